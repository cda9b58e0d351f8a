"""``recbole-sheaf convert``: a dataset folder from whatever tables and vectors there are."""

import argparse
import glob
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.parser import Parser, names_in
from recbole_sheaf.cli.refusals import as_typed, one_sentence
from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.files.addresses import fetched, is_address

EPILOG = """\
examples
  recbole-sheaf convert clicks.csv --to=data/shop --user=visitor --item=video --time=at \\
      --items=videos.csv --text=title --features=video=video.npy:ids.txt --features=speech=speech.parquet
  recbole-sheaf convert ratings.tsv --to=data/shop --layout=elliot --features=visual=ducho/visual_embeddings/resnet
  recbole-sheaf convert logs/*.parquet --to=data/shop --features=video=video.npy:ids.txt
  recbole-sheaf convert MMREC/baby --to=data/baby
  recbole-sheaf convert VK-LSVD/subsamples/ur0.01 --to=data/vk --layout=vk-lsvd --weeks=20:24 --users=10000 \\
      --positive="like or share or timespent >= 0.7 * duration" --dimensions=32
  recbole-sheaf convert yambda/flat/50m --to=data/music --layout=yambda --users=5000 \\
      --positive="event_type = 'like' or played_ratio_pct >= 50"

Interactions and items are .csv, .tsv or .parquet, with the names of their columns in the first line. Times are seconds,
or ISO dates. What each column became is printed; --rating= and --time= leave out what would be taken by its usual name.
Several tables of the same columns become one, in the order given; a piece of one is in memory at a time.
Elliot's tables have no header and the columns user, item, rating, time. A folder is one of MMRec's, which 'run' also
reads as it is; its own split is kept either way, unless --drop-split makes one table of it.

--features=NAME=PATH[:IDS], as often as there are modalities. PATH is
  .npz           item_id and feature
  .npy           rows; ids in IDS, or in PATH with .ids.txt for .npy, one a line; else row r is the item r
  .parquet       a column item_id, or one of text, and a column of lists, or one column of numbers for each dimension
  .safetensors   a tensor of rows; item_id in the metadata (a JSON list), or as a tensor
  a folder       <item>.npy for each item, as Ducho writes them; of frames their mean is taken

--layout=vk-lsvd is of VK-LSVD's folder, the one that holds interactions/, or one of subsamples/; metadata/ is looked
for there and up to two folders above. Weeks are read a piece at a time, within --memory. What --positive says, a
condition in SQL over the columns of interactions and metadata, is an interaction, if it is no dislike; dislikes go to
<name>.dislike.inter. Without it: like or share or bookmark or click_on_author or timespent >= 0.7 * duration. Rows are
in the order of time, of which there is no column: timestamp is their number. Vectors become the modality 'content'.
The published split is kept, its weeks of validation and test whole, unless --drop-split makes one table.

--layout=yambda is of Yambda's folder of events, such as flat/50m; embeddings.parquet is looked for there and up to
two folders above. multi_event.parquet is read, or else the files of listens, likes, dislikes, unlikes and undislikes.
Without --positive: played_ratio_pct >= 50, its Listen+. A user's first positive event of a track is the interaction,
its time in seconds. What an unlike or undislike of the same part takes back counts as not done. The split is its
benchmark's: 299 days, and half an hour of gap before each of the last two; users of training alone. Dislikes and
vectors are as above.

Items without interactions are kept, but for those of such logs. The folder appears whole or not at all. --overwrite
replaces what an earlier conversion wrote, as convert.json in the folder lists it, and leaves every other file there.

Tables of interactions may be addresses, s3://BUCKET/NAME or of another protocol of fsspec.
"""

OF_TABLES = ("user", "item", "rating", "time", "items_id", "text", "features")
OF_LAYOUT = {  # options of published logs
    "vk-lsvd": ("weeks", "users", "seed", "positive", "dimensions", "memory"),
    "yambda": ("users", "seed", "positive", "memory"),
}


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Read, check, write; gives the exit code."""
    options = parser().parse_args(argv)
    from recbole_sheaf.data.conversion import check_place, write_dataset

    _refuse_of_other_layouts(options)
    check_place(options.to, options.overwrite)
    with _fetched(options):
        if options.layout == "vk-lsvd":
            from recbole_sheaf.data.vk_lsvd import Wanted as VkLsvd
            from recbole_sheaf.data.vk_lsvd import write_vk_lsvd

            said = write_vk_lsvd(_alone(options), options.to, VkLsvd(**_taken(options)), options.overwrite)
        elif options.layout == "yambda":
            from recbole_sheaf.data.yambda import Wanted as Yambda
            from recbole_sheaf.data.yambda import write_yambda

            said = write_yambda(_alone(options), options.to, Yambda(**_taken(options)), options.overwrite)
        else:
            said = write_dataset(raw_dataset(options), options.to, options.overwrite)
    for sentence in said:
        print(as_typed(sentence))
    print(f"written: {options.to}")
    print(_next_command(options))
    return 0


def _refuse_of_other_layouts(options: argparse.Namespace) -> None:
    own = OF_LAYOUT.get(options.layout)
    for name in dict.fromkeys([*OF_TABLES, *(name for names in OF_LAYOUT.values() for name in names)]):
        if getattr(options, name) and name not in (OF_TABLES if own is None else own):
            option = f"--{name.replace('_', '-')}"
            of = [f"--layout={layout}" for layout, names in OF_LAYOUT.items() if name in names]
            place = f"for {' and '.join(of)}" if of else f"not for --layout={options.layout}"
            raise ConfigError(f"{option} is {place}; leave {option} out")


def _taken(options: argparse.Namespace) -> dict[str, Any]:
    """What the options of a published log say of how much is taken."""
    given = {name: getattr(options, name) for name in OF_LAYOUT[options.layout] if getattr(options, name) is not None}
    if options.items is not None:
        if not options.items.isdecimal():
            raise ConfigError(f"--items={options.items} is no number; of this layout it is how many items are drawn")
        given["items"] = int(options.items)
    return {**given, "keep_split": not options.drop_split}


@contextmanager
def _fetched(options: argparse.Namespace) -> Iterator[None]:
    """The sources that are addresses as paths, as long as the block runs."""
    with ExitStack() as stack:
        options.source = [str(stack.enter_context(fetched(s))) if is_address(s) else s for s in options.source]
        yield


def _sources(options: argparse.Namespace) -> list[Path]:
    """The paths that are named, each pattern as the files that it stands for."""
    paths: list[Path] = []
    for given in options.source:
        found = [given] if Path(given).exists() or not glob.has_magic(given) else sorted(glob.glob(given))
        if not found:
            raise DataError(f"{given} stands for no file; name tables of interactions that are there")
        paths += map(Path, found)
    return paths


def _alone(options: argparse.Namespace) -> Path:
    paths = _sources(options)
    if len(paths) > 1:
        raise ConfigError(f"--layout={options.layout} takes one source, and {len(paths)} are given")
    return paths[0]


def raw_dataset(options: argparse.Namespace) -> Any:
    """What the options of tables, columns and features name, read and checked."""
    from recbole_sheaf.data.raw_datasets import item_texts, read_interactions, read_mmrec, read_several
    from recbole_sheaf.data.raw_features import read_vectors

    named = [_feature(given) for given in options.features]
    columns = {"user_id": options.user, "item_id": options.item, "rating": options.rating, "timestamp": options.time}
    given = {field: column for field, column in columns.items() if column is not None}
    paths = _sources(options)
    if options.layout == "elliot" and paths[0].is_dir():
        raise ConfigError(f"--layout=elliot is of tables; {paths[0]} is a folder, whose table has a header")
    if options.drop_split and not paths[0].is_dir():
        raise ConfigError(f"--drop-split is of MMRec folders; {paths[0]} has no split")
    if options.layout == "elliot" or len(paths) == 1:
        path = _alone(options)
        raw = (
            read_mmrec(path, given, not options.drop_split)
            if path.is_dir()
            else read_interactions(path, given, options.layout == "elliot")
        )
    else:
        raw = read_several(paths, given)
    features = dict(raw.features)
    for name, vectors, ids in named:
        if name in features:
            raise ConfigError(f"the modality '{name}' is given twice; name each once")
        features[name] = read_vectors(vectors, ids)
    raw = replace(raw, features=features)
    if options.items is not None:
        texts, said = item_texts(Path(options.items), options.items_id, names_in(options.text), options.item)
        return replace(raw, texts=texts, said=[*raw.said, *said])
    for option, value in (("text", options.text), ("items-id", options.items_id)):
        if value:
            raise ConfigError(f"--{option}={value} names columns of an item table; give that table with --items=PATH")
    return raw


def _feature(given: str) -> tuple[str, Path, Optional[Path]]:
    from recbole_sheaf.data.conversion import UNFIT

    name, equals, rest = given.partition("=")
    if not equals or not rest or not name or name.startswith(".") or set(name) & UNFIT:
        raise ConfigError(f"--features={given} is not understood; write --features=NAME=PATH or NAME=PATH:IDS")
    path, colon, ids = rest.rpartition(":")
    if not colon or Path(rest).exists() or not path:
        return name, Path(rest), None
    return name, Path(path), Path(ids)


def _next_command(options: argparse.Namespace) -> str:
    texts = names_in(options.text)
    text = f" --text_modalities='{{{', '.join(f'{name}: [{name}]' for name in texts)}}}'" if texts else ""
    settings = f"--data_path={options.to.parent}{text}"
    look = f"look at it first: recbole-sheaf audit {options.to.name} {settings}"
    return f"{look}\nnext: recbole-sheaf run --dataset={options.to.name} {settings}"


def parser() -> argparse.ArgumentParser:
    """Options of ``convert``."""
    options = Parser(
        prog="recbole-sheaf convert",
        description="Write a dataset folder from interactions, an item table and vectors.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument(
        "source",
        nargs="+",
        help="interactions: .csv, .tsv, .parquet, several of these, or a folder of MMRec, VK-LSVD or Yambda",
    )
    options.add_argument("--to", type=Path, required=True, help="the folder to write; its name is the dataset's")
    add_column_options(options)
    options.add_argument("--layout", choices=("header", "elliot", *OF_LAYOUT), default="header", help="default: header")
    options.add_argument(
        "--items", help="table of items: .csv, .tsv or .parquet; of VK-LSVD and Yambda: how many to draw"
    )
    add_item_options(options)
    options.add_argument(
        "--drop-split", action="store_true", help="of MMRec, VK-LSVD and Yambda: one table, without its split"
    )
    options.add_argument("--weeks", metavar="FIRST:LAST", help="of VK-LSVD: weeks of training (default: all)")
    options.add_argument(
        "--users", type=int, metavar="N", help="of VK-LSVD and Yambda: how many to draw of those with positives"
    )
    options.add_argument(
        "--seed", type=int, metavar="N", help="of VK-LSVD and Yambda: what both draws begin with (default: 2020)"
    )
    options.add_argument(
        "--positive", metavar="CONDITION", help="of VK-LSVD and Yambda: which interactions count, in SQL"
    )
    options.add_argument("--dimensions", type=int, metavar="K", help="of VK-LSVD: the first K numbers of the vectors")
    options.add_argument(
        "--memory", metavar="SIZE", help="of VK-LSVD and Yambda: what DuckDB may take at most (default: 2GiB)"
    )
    options.add_argument(
        "--overwrite", action="store_true", help="replace a dataset that is there, but no file of yours"
    )
    return options


def add_column_options(options: argparse.ArgumentParser) -> None:
    """Which column of interactions is which."""
    for name, what in (("user", "users"), ("item", "items"), ("rating", "ratings"), ("time", "times")):
        options.add_argument(f"--{name}", metavar="COLUMN", help=f"column of {what} (default: by its usual names)")


def add_item_options(options: argparse.ArgumentParser) -> None:
    """What of the item table is read, and vectors of items."""
    options.add_argument("--items-id", metavar="COLUMN", help="its column of ids (default: as above)")
    options.add_argument("--text", metavar="COLUMNS", help="its columns of text, with commas between")
    options.add_argument("--features", action="append", default=[], metavar="NAME=PATH[:IDS]", help="see below")
