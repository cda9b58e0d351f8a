"""``recbole-sheaf recommend``: top lists of users, or audiences of items, tokens in, tokens and scores out."""

import argparse
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.addresses import at_hand, place
from recbole_sheaf.cli.checkpoint_options import add_checkpoint_options, check_own_model
from recbole_sheaf.cli.parser import Parser
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.cli.streams import until_unread
from recbole_sheaf.cli.worker_options import add_worker_options, workers_of
from recbole_sheaf.environment import ending_on_sigterm
from recbole_sheaf.errors import ConfigError, counted, shown

EPILOG = """\
examples
  recbole-sheaf recommend mmsheaf.npz --users=196,186 --k=5
  recbole-sheaf recommend saved/MMSheaf-ml-100k-....safetensors --k=20 --to=lists.parquet
  recbole-sheaf recommend mmsheaf.npz --users=visitors.csv --k=10 --to=lists.jsonl
  recbole-sheaf recommend with_new.npz --among=new --k=3 --to=new_items.csv
  recbole-sheaf recommend mmsheaf.npz --user=196 --clicked=50,181 --without=@shown.txt --k=5
  recbole-sheaf recommend shop.npz --item-table=data/shop/shop.item --at-most=2 --per=author \\
      --where="category = 'news' and duration < 60"
  recbole-sheaf recommend with_new.npz --audience=new --k=100 --per-user=3 --to=audiences.parquet

A file for --users has one token a line, or two columns under their names, in any order: a user whom the model never
met, and an item that this user chose, a line for each item:
  user,item
  visitor,50
  visitor,181

--seen says which items of a user are left out: 'masked', all that the data hold; 'at_test', those that the test of the
model left out, so that lists are the tested ones; 'kept', none.

ITEMS are tokens with commas between, or a file after an @ (.csv, .tsv or .txt). --where is an expression in SQL over
the columns of <dataset>.item, which an export does not have: give it by --item-table. An item for which it is not true
is left out. --at-most and --per take the best item that still may come; items without a value are not counted. Lists
are shorter than --k where fewer items are left.

--clicked adds to the history of a user: exactly to what the item sheaf says, and to vectors by the rule that places new
users. With --unknown=popular those whom nobody knows are listed last, by popularity, and it is said.

--audience turns the table around: for each item the users to show it to, by score over all pairs, the highest first,
no user more often than --per-user.

Lists are exact. --approximate (pip install "recbole-sheaf[ann]") builds an index of the vectors first and looks at some
hundred items a user instead of at all, scored exactly. What share of the exact lists that finds is measured on 100
users and said. It pays for many users of many items: at a million items building takes minutes.

--workers=N makes the lists in N processes of --threads each, --ray-address=HOST:PORT on a Ray cluster. The file is the
same, byte for byte, for any number of workers of as many threads. A worker that dies, alone or with its node, is
replaced. Lists that are finished lie in FILE.shards beside the file of --to until it is whole: the same command goes on
from them.

The source and --to may be addresses, s3://BUCKET/NAME or of another protocol of fsspec.
"""

NOT_FOR_AUDIENCES = (
    *("approximate", "among", "without", "where", "at_most", "per", "clicked", "unknown", "item_table"),
    *("workers", "ray_address", "threads"),
)


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Read, rank, write; gives the exit code."""
    options = parser().parse_args(argv)
    from recbole_sheaf.exports.files import check_target
    from recbole_sheaf.exports.lists import ENDINGS
    from recbole_sheaf.exports.sources import open_source

    _refuse_idle(options)
    with at_hand(options, ("source",), ("to",)) as options:
        if options.to is not None:
            check_target(options.to, ENDINGS)
        check_own_model(options)
        source = open_source(options.source, options.data_path, options.trust_checkpoint)
        count = (_audiences if options.audience is not None else _lists)(source, options)
    if options.to is not None:
        _forget_shards(options)
        print(f"written: {options.to_given} ({count})")
    return 0


def _refuse_idle(options: argparse.Namespace) -> None:
    """Options that would say nothing beside the others."""
    if options.audience is None:
        if options.per_user is not None:
            raise ConfigError("--per-user is of --audience, which is not given; leave it out")
        return
    defaults = parser()
    for name in NOT_FOR_AUDIENCES:
        if getattr(options, name) != defaults.get_default(name):
            raise ConfigError(f"--{name.replace('_', '-')} is of lists of users, not of --audience; leave it out")


def _lists(source: Any, options: argparse.Namespace) -> str:
    """Write lists; says of how many."""
    import numpy as np

    from recbole_sheaf.embeddings.ranking import popular_lists, top_lists
    from recbole_sheaf.exports.lists import OF_USERS, write_lists

    k = 20 if options.k is None else options.k
    embeddings, rows, unknown = _users(source.embeddings, options)
    choice = _wanted(options).of(embeddings, partial(source.item_table, options.item_table))
    length = choice.length(k)
    show_progress = options.to is not None and sys.stderr.isatty()
    workers, threads = workers_of(options)
    lists: Iterable[Any]
    if workers is not None:
        lists = _sharded(source, embeddings, rows, options, length, choice, workers, threads, show_progress)
    elif options.approximate:
        lists = _approximate(source.scores, embeddings, rows, options, length, choice, show_progress)
    else:
        lists = top_lists(
            *(embeddings, rows, length, source.scores, options.seen),
            *(choice.allowed, show_progress, choice.at_most),
        )
    owners, n_users = embeddings.users, len(embeddings.users)
    if unknown:
        popular = popular_lists(embeddings, len(unknown), length, choice.allowed, choice.at_most)
        lists = chain(lists, (replace(some, rows=some.rows + n_users) for some in popular))
        owners = np.array([*owners.tolist(), *unknown], dtype=object)
        print(_of_unknown(unknown), file=sys.stderr)
    with until_unread(), ending_on_sigterm() if workers is not None else nullcontext():
        count = write_lists(lists, owners, embeddings.items, OF_USERS, options.to)
    return f"{counted(count, 'user')}, up to {length} of {counted(len(embeddings.items), 'item')} each"


def _audiences(source: Any, options: argparse.Namespace) -> str:
    """Write audiences; says of how many."""
    import numpy as np

    from recbole_sheaf.embeddings.audience import audiences
    from recbole_sheaf.embeddings.choice import Wanted
    from recbole_sheaf.exports.lists import OF_AUDIENCES, write_lists

    k, per_user = (100 if given is None else given for given in (options.k, options.per_user))
    embeddings, rows, _ = _users(source.embeddings, options)
    wanted = Wanted(_tokens_or(options.audience, "new"), named="audience")
    allowed = wanted.of(embeddings, source.item_table).allowed
    items = np.arange(len(embeddings.items)) if allowed is None else np.flatnonzero(allowed)
    show_progress = options.to is not None and sys.stderr.isatty()
    lists = audiences(embeddings, items, k, per_user, source.scores, rows, options.seen, show_progress)
    with until_unread():
        count = write_lists([lists], embeddings.items, embeddings.users, OF_AUDIENCES, options.to)
    return f"{counted(count, 'item')}, up to {k} of {counted(len(rows), 'user')} each, {per_user} a user"


def _users(embeddings: Any, options: argparse.Namespace) -> tuple[Any, Any, list[str]]:
    """The embeddings with the users in question, their rows, and who is unknown and shall have popular items."""
    import numpy as np

    from recbole_sheaf.embeddings.new_users import with_clicks, with_users
    from recbole_sheaf.exports.token_files import read_items, read_tokens

    if options.users is None:
        if options.clicked is not None:
            raise ConfigError("--clicked is given without --user; name the one who clicked")
        return embeddings, np.arange(len(embeddings.users)), []
    named = read_tokens(options.users, "user")
    if options.clicked is not None:
        if isinstance(named, dict) or len(named) != 1:
            raise ConfigError(f"--clicked is of one user of the data, and {len(named)} are named; give --user=TOKEN")
        return with_clicks(embeddings, named[0], read_items(options.clicked)), np.arange(1), []
    if isinstance(named, dict):
        embeddings = with_users(embeddings, named)
        return embeddings, np.arange(len(embeddings.users)), []
    popular = options.unknown == "popular"
    unknown = [user for user in named if not embeddings.knows_user(user)] if popular else []
    return embeddings, embeddings.user_rows(user for user in named if user not in set(unknown)), unknown


def _of_unknown(unknown: list[str]) -> str:
    listed = ", ".join(map(shown, unknown[:3])) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
    return (
        f"the model does not know {listed}: listed last, by popularity, with the number of an item's training "
        "interactions as its score"
    )


def _wanted(options: argparse.Namespace) -> Any:
    from recbole_sheaf.embeddings.choice import Wanted
    from recbole_sheaf.exports.token_files import read_items

    without = () if options.without is None else read_items(options.without)
    return Wanted(_tokens_or(options.among, "all", "new"), without, options.where, options.at_most, options.per)


def _tokens_or(given: str, *words: str) -> Any:
    """Items, or one of the words."""
    from recbole_sheaf.exports.token_files import read_items

    return given if given in words else read_items(given)


def _sharded(
    source: Any,
    embeddings: Any,
    rows: Any,
    options: Any,
    length: int,
    choice: Any,
    workers: Any,
    threads: Any,
    show_progress: bool,
) -> Any:
    """Lists that workers make."""
    from recbole_sheaf.exports.sharded_lists import sharded_lists

    if source.scores is not None:
        raise ConfigError("this model makes its scores by itself, which workers do not have; leave --workers out")
    if options.approximate:
        raise ConfigError("an index is built in one process; leave --approximate or --workers out")
    kept = None if options.to is None else _kept(options)
    return sharded_lists(workers, embeddings, rows, length, options.seen, choice, threads, kept, show_progress)


def _kept(options: argparse.Namespace) -> Path:
    """Where finished shards lie: beside the file, and of an address in the user's cache."""
    if options.to_given == options.to:
        return options.to.with_name(f"{options.to.name}.shards")
    from platformdirs import user_cache_dir

    from recbole_sheaf.files.cache import content_key

    return Path(user_cache_dir("recbole_sheaf")) / "lists" / content_key([options.to_given])[:16]


def _forget_shards(options: argparse.Namespace) -> None:
    if workers_of(options)[0] is None:
        return
    from recbole_sheaf.exports.sharded_lists import forget_shards

    forget_shards(_kept(options))


def _approximate(
    scores: Any, embeddings: Any, rows: Any, options: Any, length: int, choice: Any, show_progress: bool
) -> Any:
    """Lists from an index, once it is said how good they are."""
    from recbole_sheaf.embeddings.approximate import ApproximateLists

    if scores is not None:
        raise ConfigError("this model makes its scores by itself, so that no index finds them; leave --approximate out")
    if choice.at_most is not None:
        raise ConfigError("an index knows no groups of items; leave --approximate or --at-most out")
    approximate = ApproximateLists(embeddings, length, options.seen, choice.allowed)
    print(approximate.sentence(rows), file=sys.stderr)
    return approximate.lists(rows, show_progress)


def parser() -> argparse.ArgumentParser:
    """Options of ``recommend``."""
    options = Parser(
        prog="recbole-sheaf recommend",
        description="The best items of each user, best first: user, rank, item, score.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("source", type=place, help="a checkpoint, or what 'export' or 'embed-items' wrote")
    options.add_argument(
        "--users", "--user", help="tokens with commas between, or a .csv, .tsv or .txt file (default: all users)"
    )
    options.add_argument("--clicked", metavar="ITEMS", help="what one user of the data chose since the training")
    options.add_argument(
        "--unknown", choices=("refused", "popular"), default="refused", help="users of no list (default: refused)"
    )
    options.add_argument("--k", type=int, help="length of a list (default: 20, of an audience 100)")
    options.add_argument("--to", type=place, help=".csv, .jsonl or .parquet (default: CSV on the screen)")
    options.add_argument("--seen", choices=("masked", "at_test", "kept"), default="masked", help="default: masked")
    options.add_argument("--among", default="all", help="items to choose from: all, new or ITEMS (default: all)")
    options.add_argument("--without", metavar="ITEMS", help="items to leave out")
    options.add_argument("--where", metavar="EXPRESSION", help="of items, over the columns of their table")
    options.add_argument("--at-most", type=int, metavar="N", help="items of one value of --per in a list")
    options.add_argument("--per", metavar="COLUMN", help="a column of the item table, such as author")
    options.add_argument("--item-table", type=Path, metavar="FILE", help="<dataset>.item (default: the checkpoint's)")
    options.add_argument("--audience", metavar="ITEMS", help="new or ITEMS: users for each item")
    options.add_argument("--per-user", type=int, metavar="N", help="lists of --audience with a user (default: 100)")
    options.add_argument("--approximate", action="store_true", help="from an index of the vectors, with its recall")
    add_worker_options(options)
    add_checkpoint_options(options)
    return options
