"""``recbole-sheaf update``: yesterday's model and today's log."""

import argparse
from pathlib import Path
from typing import Optional

from recbole_sheaf.cli.checkpoint_options import add_checkpoint_options, check_own_model, refuse_export
from recbole_sheaf.cli.convert import add_column_options, add_item_options, raw_dataset
from recbole_sheaf.cli.parser import Parser
from recbole_sheaf.cli.refusals import as_typed, one_sentence
from recbole_sheaf.errors import ConfigError

EPILOG = """\
examples
  recbole-sheaf update saved/MMSheaf-shop-....safetensors --interactions=monday.csv
  recbole-sheaf update saved/MMSheaf-shop-....safetensors --interactions=monday.csv \\
      --items=new_videos.csv --text=title --features=video=new_videos.npy:ids.txt

Tables, columns and vectors are as 'recbole-sheaf convert' reads them, vectors by the encoder that made the old ones;
an item may have none. Old users and items keep their numbers, new ones come behind.

Written are a dataset folder, the old interactions with the new ones, and a checkpoint on it beside the old one; the
old folder and checkpoint stay. What is fitted in closed form is fitted to all of it, in the form that was chosen;
stalks and other weights train on from where they were. Of the new interactions a share as large as that of validation
so far joins validation, as many are the test, all others train, and so does the old test. The next update takes the
new checkpoint.
"""


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Read, train on, print; gives the exit code."""
    options = parser().parse_args(argv)
    from recbole_sheaf.experiments.updating import EPOCHS, update

    check_own_model(options)
    refuse_export(options.checkpoint)
    if any(path.is_dir() for path in map(Path, options.source)):
        raise ConfigError(f"--interactions={options.source[0]} is a folder; give a .csv, .tsv or .parquet")
    updated = update(
        options.checkpoint,
        raw_dataset(options),
        options.to,
        epochs=EPOCHS if options.epochs is None else options.epochs,
        choose=options.choose,
        data_path=options.data_path,
        trust=options.trust_checkpoint,
    )
    for sentence in updated.said:
        print(as_typed(sentence))
    print(_scores({"valid": updated.result.valid, "test": updated.result.test}))
    print(f"written: {updated.folder}, {updated.checkpoint}")
    return 0


def _scores(parts: dict[str, dict[str, float]]) -> str:
    return ", ".join(f"{part} {name} {value:.4f}" for part, scores in parts.items() for name, value in _first(scores))


def _first(scores: dict[str, float]) -> list[tuple[str, float]]:
    return [(name, scores[name]) for name in ("recall@20", "ndcg@20") if name in scores] or list(scores.items())[:2]


def parser() -> argparse.ArgumentParser:
    """Options of ``update``."""
    options = Parser(
        prog="recbole-sheaf update",
        description="Train a checkpoint on with the interactions, users and items of a new day.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("checkpoint", type=Path, help="what a run, or an update, wrote into checkpoint_dir (saved/)")
    options.add_argument(
        "--interactions",
        dest="source",
        action="append",
        required=True,
        help="new ones, as often as there are tables: .csv, .tsv or .parquet",
    )
    options.add_argument(
        "--to", type=Path, help="the dataset's folder to write (default: <old folder>-update1, -update2, ...)"
    )
    options.add_argument("--epochs", type=int, metavar="N", help="epochs to train on (default: 5)")
    options.add_argument("--choose", action="store_true", help="choose the form of the item sheaf again")
    add_column_options(options)
    options.add_argument("--items", help="table of new items: .csv, .tsv or .parquet")
    add_item_options(options)
    add_checkpoint_options(options)
    options.set_defaults(layout="header", drop_split=False)
    return options
