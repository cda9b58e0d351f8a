"""``recbole-sheaf recommend``: top lists of users, tokens in, tokens and scores out."""

import argparse
import sys
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.checkpoint_options import add_checkpoint_options, check_own_model
from recbole_sheaf.cli.parser import Parser
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.cli.streams import until_unread
from recbole_sheaf.errors import ConfigError

EPILOG = """\
examples
  recbole-sheaf recommend mmsheaf.npz --users=196,186 --k=5
  recbole-sheaf recommend saved/MMSheaf-ml-100k-....safetensors --k=20 --to=lists.parquet
  recbole-sheaf recommend mmsheaf.npz --users=visitors.csv --k=10 --to=lists.jsonl
  recbole-sheaf recommend with_new.npz --among=new --k=3 --to=new_items.csv

A file for --users has one token a line, or two columns under their names, in any order: a user whom the model never
met, and an item that this user chose, a line for each item:
  user,item
  visitor,50
  visitor,181

--seen says which items of a user are left out: 'masked', all that the data hold; 'at_test', those that the test of the
model left out, so that lists are the tested ones; 'kept', none.

Lists are exact. --approximate (pip install "recbole-sheaf[ann]") builds an index of the vectors first and looks at some
hundred items a user instead of at all, scored exactly. What share of the exact lists that finds is measured on 100
users and said. It pays for many users of many items: at a million items building takes minutes.
"""


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Read, rank, write; gives the exit code."""
    options = parser().parse_args(argv)
    from recbole_sheaf.embeddings.ranking import top_lists
    from recbole_sheaf.exports.files import check_target
    from recbole_sheaf.exports.lists import ENDINGS, OF_USERS, write_lists
    from recbole_sheaf.exports.sources import open_source

    if options.to is not None:
        check_target(options.to, ENDINGS)
    check_own_model(options)
    source = open_source(options.source, options.data_path, options.trust_checkpoint)
    embeddings, rows = _users(source.embeddings, options.users)
    allowed = _allowed_items(embeddings, options.among)
    show_progress = options.to is not None and sys.stderr.isatty()
    if options.approximate:
        lists = _approximate(source.scores, embeddings, rows, options, allowed, show_progress)
    else:
        lists = top_lists(embeddings, rows, options.k, source.scores, options.seen, allowed, show_progress)
    with until_unread():
        count = write_lists(lists, embeddings.users, embeddings.items, OF_USERS, options.to)
    if options.to is not None:
        print(f"written: {options.to} ({count:,} users, up to {options.k} of {len(embeddings.items):,} items each)")
    return 0


def _users(embeddings: Any, given: Optional[str]) -> tuple[Any, Any]:
    """The embeddings with the users in question, and their rows."""
    import numpy as np

    from recbole_sheaf.embeddings.new_users import with_users
    from recbole_sheaf.exports.token_files import read_tokens

    if given is None:
        return embeddings, np.arange(len(embeddings.users))
    named = read_tokens(given, "user")
    if isinstance(named, dict):
        embeddings = with_users(embeddings, named)
        return embeddings, np.arange(len(embeddings.users))
    return embeddings, embeddings.user_rows(named)


def _approximate(scores: Any, embeddings: Any, rows: Any, options: Any, allowed: Any, show_progress: bool) -> Any:
    """Lists from an index, once it is said how good they are."""
    from recbole_sheaf.embeddings.approximate import ApproximateLists

    if scores is not None:
        raise ConfigError("this model makes its scores by itself, so that no index finds them; leave --approximate out")
    approximate = ApproximateLists(embeddings, options.k, options.seen, allowed)
    print(approximate.sentence(rows), file=sys.stderr)
    return approximate.lists(rows, show_progress)


def _allowed_items(embeddings: Any, which: str) -> Optional[Any]:
    """Which items may be listed, ``all`` or ``new``; None is all."""
    if which == "all":
        return None
    fresh = embeddings.item_is_new
    if fresh is None or not fresh.any():
        raise ConfigError("--among=new is given, but there are no new items; 'recbole-sheaf embed-items' places some")
    return fresh


def parser() -> argparse.ArgumentParser:
    """Options of ``recommend``."""
    options = Parser(
        prog="recbole-sheaf recommend",
        description="The best items of each user, best first: user, rank, item, score.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("source", type=Path, help="a checkpoint, or what 'export' or 'embed-items' wrote")
    options.add_argument(
        "--users", help="tokens with commas between, or a .csv, .tsv or .txt file (default: all users)"
    )
    options.add_argument("--k", type=int, default=20, help="length of a list (default: 20)")
    options.add_argument("--to", type=Path, help=".csv, .jsonl or .parquet (default: CSV on the screen)")
    options.add_argument("--seen", choices=("masked", "at_test", "kept"), default="masked", help="default: masked")
    options.add_argument("--among", choices=("all", "new"), default="all", help="items to choose from (default: all)")
    options.add_argument("--approximate", action="store_true", help="from an index of the vectors, with its recall")
    add_checkpoint_options(options)
    return options
