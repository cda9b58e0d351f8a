"""``recbole-sheaf explain``: what a score is made of."""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

from tabulate import tabulate

from recbole_sheaf.cli.checkpoint_options import add_checkpoint_options, check_own_model
from recbole_sheaf.cli.parser import Parser
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.cli.streams import shows_all_characters
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.files.plain_text import in_markdown, json_line, one_line

CONTRIBUTIONS = ("the user's item", "contribution")
EPILOG = """\
examples
  recbole-sheaf explain saved/MMSheaf-ml-100k-....safetensors --user=196 --item=275
  recbole-sheaf explain mmsheaf.npz --user=196 --item=275 --json

The parts add up to the score: one for the ID stalk ('id') and each modality's, one for the item sheaf, and
under it each item of the user's history with its contribution, a minus where it speaks against. 'mean of rare items' is
the share of a seldom chosen item's stalks that gave way to the mean of such items.
"""


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Read, take apart, print; gives the exit code."""
    options = parser().parse_args(argv)
    if options.most < 0:
        raise ConfigError(f"--most is {options.most}, expected a whole number >= 0")
    from recbole_sheaf.embeddings.explanation import explain
    from recbole_sheaf.exports.sources import open_source

    check_own_model(options)
    embeddings = open_source(options.source, options.data_path, options.trust_checkpoint).embeddings
    found = explain(embeddings, options.user, options.item)
    if not options.json:
        print(_text(found, options.most))
    elif shows_all_characters(sys.stdout):
        print(json_line(found.as_json()))
    else:
        print(json.dumps(found.as_json()))
    return 0


def _text(found: Any, most: int) -> str:
    """A sentence, the parts, and the user's items that say most."""
    has = "; the user has this item" if found.in_history else f", rank {found.rank} among the items the user lacks"
    head = one_line(f"user {found.user}, item {found.item}: score {found.score:.4f}")
    text = f"{head}{has}\n\n{_table(('part', 'contribution'), found.parts.items())}"
    if found.contributions:
        largest = found.contributions[:most]
        shown = f"the {len(largest)} largest of {len(found.contributions)} contributions to the item sheaf's part"
        text = f"{text}\n\n{shown}\n\n{_table(CONTRIBUTIONS, largest)}"
    return text


def _table(heads: tuple[str, str], rows: Iterable[tuple[str, float]]) -> str:
    cells = [(in_markdown(name), round(value, 4)) for name, value in rows]
    return tabulate(cells, heads, tablefmt="pipe", floatfmt=".4g", disable_numparse=[0])


def parser() -> argparse.ArgumentParser:
    """Options of ``explain``."""
    options = Parser(
        prog="recbole-sheaf explain",
        description="Take a user's score of an item apart, into parts that add up to it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("source", type=Path, help="a checkpoint, or what 'export' or 'embed-items' wrote")
    options.add_argument("--user", required=True, help="token of the user")
    options.add_argument("--item", required=True, help="token of the item")
    options.add_argument("--json", action="store_true", help="one JSON object instead of tables, with all items")
    options.add_argument("--most", type=int, default=10, help="how many of the user's items to show (default: 10)")
    add_checkpoint_options(options)
    return options
