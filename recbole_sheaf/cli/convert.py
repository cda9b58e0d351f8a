"""``recbole-sheaf convert``: a dataset folder from whatever tables and vectors there are."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.parser import Parser, names_in
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.errors import ConfigError

EPILOG = """\
examples
  recbole-sheaf convert clicks.csv --to=data/shop --user=visitor --item=video --time=at \\
      --items=videos.csv --text=title --features=video=video.npy:ids.txt --features=speech=speech.parquet
  recbole-sheaf convert ratings.tsv --to=data/shop --layout=elliot --features=visual=ducho/visual_embeddings/resnet
  recbole-sheaf convert MMREC/baby --to=data/baby

Interactions and items are .csv, .tsv or .parquet, with the names of their columns in the first line. Times are seconds,
or ISO dates. What each column became is printed; --rating= and --time= leave out what would be taken by its usual name.
Elliot's tables have no header and the columns user, item, rating, time. A folder is one of MMRec's, which 'run' also
reads as it is; its own split is kept either way, unless --drop-split makes one table of it.

--features=NAME=PATH[:IDS], as often as there are modalities. PATH is
  .npz           item_id and feature
  .npy           rows; ids in IDS, or in PATH with .ids.txt for .npy, one a line; else row r is the item r
  .parquet       a column item_id, or one of text, and a column of lists, or one column of numbers for each dimension
  .safetensors   a tensor of rows; item_id in the metadata (a JSON list), or as a tensor
  a folder       <item>.npy for each item, as Ducho writes them; of frames their mean is taken

Items without interactions are kept. The folder appears whole or not at all. --overwrite replaces what an earlier
conversion wrote, as convert.json in the folder lists it, and leaves every other file there.
"""


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Read, check, write; gives the exit code."""
    options = parser().parse_args(argv)
    from recbole_sheaf.data.conversion import check_place, write_dataset

    check_place(options.to, options.overwrite)
    for sentence in write_dataset(_raw(options), options.to, options.overwrite):
        print(sentence)
    print(f"written: {options.to}")
    print(_next_command(options))
    return 0


def _raw(options: argparse.Namespace) -> Any:
    from recbole_sheaf.data.raw_datasets import item_texts, read_interactions, read_mmrec
    from recbole_sheaf.data.raw_features import read_vectors

    named = [_feature(given) for given in options.features]
    columns = {"user_id": options.user, "item_id": options.item, "rating": options.rating, "timestamp": options.time}
    given = {field: column for field, column in columns.items() if column is not None}
    if options.source.is_dir():
        if options.layout == "elliot":
            raise ConfigError(f"--layout=elliot is of tables; {options.source} is a folder, whose table has a header")
        raw = read_mmrec(options.source, given, not options.drop_split)
    elif options.drop_split:
        raise ConfigError(f"--drop-split is of MMRec folders; {options.source} has no split")
    else:
        raw = read_interactions(options.source, given, options.layout == "elliot")
    features = dict(raw.features)
    for name, vectors, ids in named:
        if name in features:
            raise ConfigError(f"the modality '{name}' is given twice; name each once")
        features[name] = read_vectors(vectors, ids)
    raw = replace(raw, features=features)
    if options.items is not None:
        texts, said = item_texts(options.items, options.items_id, names_in(options.text), options.item)
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
    options.add_argument("source", type=Path, help="interactions: .csv, .tsv, .parquet, or an MMRec folder")
    options.add_argument("--to", type=Path, required=True, help="the folder to write; its name is the dataset's")
    for name, what in (("user", "users"), ("item", "items"), ("rating", "ratings"), ("time", "times")):
        options.add_argument(f"--{name}", metavar="COLUMN", help=f"column of {what} (default: by its usual names)")
    options.add_argument("--layout", choices=("header", "elliot"), default="header", help="default: header")
    options.add_argument("--items", type=Path, help="table of items: .csv, .tsv or .parquet")
    options.add_argument("--items-id", metavar="COLUMN", help="its column of ids (default: as above)")
    options.add_argument("--text", metavar="COLUMNS", help="its columns of text, with commas between")
    options.add_argument("--features", action="append", default=[], metavar="NAME=PATH[:IDS]", help="see below")
    options.add_argument("--drop-split", action="store_true", help="of an MMRec folder: leave its x_label out")
    options.add_argument(
        "--overwrite", action="store_true", help="replace a dataset that is there, but no file of yours"
    )
    return options
