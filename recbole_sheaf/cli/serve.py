"""``recbole-sheaf serve``: recommendations over HTTP, and a page to look at them."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.checkpoint_options import add_checkpoint_options, check_own_model
from recbole_sheaf.cli.parser import Parser
from recbole_sheaf.cli.refusals import as_typed, one_sentence
from recbole_sheaf.environment import ending_on_sigterm
from recbole_sheaf.errors import DataError, SheafError, as_sentence, counted
from recbole_sheaf.extras import from_extra
from recbole_sheaf.files.plain_text import one_line
from recbole_sheaf.files.regular_files import hash_of_regular, state_of

EPILOG = """\
examples
  recbole-sheaf serve mmsheaf.npz
  recbole-sheaf serve mmsheaf.npz --titles=content.tsv --posters=posters --port=8080
  recbole-sheaf serve saved/MMSheaf-ml-1m-....safetensors --titles=movie_title

  curl -s localhost:8000/recommend --json '{"user": "196", "k": 3, "explain": true}'
  curl -s localhost:8000/recommend --json '{"items": ["50", "181"], "k": 3}'     # somebody the model never met
  curl -s localhost:8000/recommend --json '{"users": ["196", "x"], "k": 3, "unknown": "popular", "without": ["50"]}'
  curl -s localhost:8000/recommend --json '{"user": "196", "clicked": ["50"], "where": "duration < 60", "k": 3}'
  curl -s localhost:8000/similar   --json '{"item": "50", "k": 3}'
  curl -s localhost:8000/embed     --json '{"user": "196"}'                      # or item, or items
  curl -s localhost:8000/health

http://localhost:8000 is a page on which one picks a user or items and sees recommendations, with titles and posters
where they are given, and what each modality and each item of the user has to say for them; /docs describes every
request. Neither asks another host for anything. A refusal is {"error": a sentence} with a status from 400 to 422, or
503 where an answer is not there in time.

--titles is a table (.csv, .tsv, .txt, .item) with items in its first column and a column named like 'title', or a
column of the .item file a checkpoint was trained beside. --posters is a folder of <item>.jpg, .png, .webp or .gif.

"where" of a request is an expression in SQL over the columns of <dataset>.item, and "at_most" with "per" bounds the
items of one value of such a column in a list; an export is served with them by --item-table.

Whoever reaches the port may ask: there are no passwords. By default that is this machine alone; put a proxy with your
own rules before it, or pass --host=0.0.0.0 where everybody may. Serve an export rather than a checkpoint: it starts
faster and needs no data.

A process answers on one core and holds the model once; --workers=N starts N of them on one port. With --watch=5 each
looks every 5 s, and another file at the same path takes the old one's place between two requests; one that cannot be
read changes nothing, and /health, /metrics and the log say why. /metrics is for Prometheus. Each answer says its model
and version: the first 12 digits of sha256sum FILE.
"""

VERSION_DIGITS = 12
MOST_TIMEOUT = 25.0  # a connection ends after 30


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Take the port, read, answer until stopped."""
    options = parser().parse_args(argv)
    _check_installed()
    from recbole_sheaf.serving.server import address_of, answers_as, listen, serve, serve_by_workers

    with listen(options.host, options.port) as listener, ending_on_sigterm():
        check_own_model(options)
        catalogue = _catalogue(options)
        hosts = answers_as(options.host, listener)
        print(_summary(catalogue, address_of(listener)), flush=True)
        if options.workers == 1:
            serve(_app(options, hosts, catalogue), listener)
        else:
            del catalogue  # each worker has its own; here it was read to be refused, and summed up, once
            serve_by_workers(_Worker(options, hosts), listener, options.workers)
    return 0


def _check_installed() -> None:
    with from_extra("serve", "serving"):
        import fastapi  # noqa: F401
        import fastapi_offline  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401


@dataclass(frozen=True)
class _Worker:
    """Makes the application in a process of its own, from what the command was given."""

    options: argparse.Namespace
    hosts: Sequence[str]

    def __call__(self) -> Any:
        from recbole_sheaf.serving.server import end_with_the_parent

        end_with_the_parent()
        try:
            check_own_model(self.options)
            catalogue = _catalogue(self.options)
        except SheafError as error:
            print(as_typed(as_sentence(error)), file=sys.stderr, flush=True)
            raise SystemExit(1) from error  # of one that took an ended one's place, and is tried again
        return _app(self.options, self.hosts, catalogue)


def _app(options: argparse.Namespace, hosts: Sequence[str], catalogue: Any) -> Any:
    from recbole_sheaf.serving.app import build_app
    from recbole_sheaf.serving.watching import Watch

    watch = Watch(options.source, options.watch, partial(_catalogue, options)) if options.watch else None
    return build_app(catalogue, hosts, options.timeout, watch)


def _catalogue(options: argparse.Namespace) -> Any:
    from recbole_sheaf.exports.sources import open_source
    from recbole_sheaf.serving.catalogue import Catalogue
    from recbole_sheaf.serving.posters import find_posters
    from recbole_sheaf.serving.titles import read_titles

    before = state_of(options.source)
    source = open_source(options.source, options.data_path, options.trust_checkpoint)
    version = hash_of_regular(options.source, DataError)[:VERSION_DIGITS]
    if state_of(options.source) != before:
        raise DataError(
            f"{options.source} was written to while it was read; write it whole and rename it, as export does"
        )
    titles = read_titles(options.titles, source.item_file, source.embeddings) if options.titles else {}
    posters = find_posters(options.posters, source.embeddings) if options.posters else {}
    catalogue = Catalogue(source, titles, posters, options.item_table, version, before)
    if options.item_table is not None:
        catalogue.read_table()
    catalogue.warm()
    return catalogue


def _summary(catalogue: Any, address: str) -> str:
    about, count = catalogue.about(), len(catalogue.embeddings.items)
    given = {"titles": catalogue.titles, "posters": catalogue.posters}
    extras = "".join(f"; {name} for {len(found):,} of {count:,}" for name, found in given.items() if found)
    return (
        f"{one_line(about['model'])} on {one_line(about['dataset'])}: {counted(about['users'], 'user')}, "
        f"{counted(about['items'], 'item')}{extras}; version {about['version']}\n"
        f"serving at {address} (requests: {address}/docs); Ctrl-C stops it"
    )


def parser() -> argparse.ArgumentParser:
    """Options of ``serve``."""
    options = Parser(
        prog="recbole-sheaf serve",
        description="Answer requests for recommendations, similar items and vectors, and show them on a page.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("source", type=Path, help="a checkpoint, or what 'export' or 'embed-items' wrote")
    options.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this machine)")
    options.add_argument("--port", type=_port, default=8000, help="default: 8000; 0 takes any that is free")
    options.add_argument("--titles", help="a table of titles, or a column of the checkpoint's .item file")
    options.add_argument("--item-table", type=Path, metavar="FILE", help="<dataset>.item (default: the checkpoint's)")
    options.add_argument("--posters", type=Path, help="folder of pictures named after items")
    options.add_argument("--workers", type=_workers, default=1, metavar="N", help="processes, a core each (default: 1)")
    options.add_argument("--watch", type=_seconds, metavar="SECONDS", help="how often to look for a newer file there")
    options.add_argument(
        "--timeout",
        type=_timeout,
        default=10.0,
        metavar="SECONDS",
        help="for an answer, then it is a 503 (default: 10)",
    )
    add_checkpoint_options(options)
    return options


def _workers(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes; give 1 or more")
    return int(text)


def _seconds(text: str, most: float = 86_400.0) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; give seconds from 0.1 to {most:,g}")
    return seconds


def _timeout(text: str) -> float:
    return _seconds(text, MOST_TIMEOUT)


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give a whole number from 0 to 65535")
    return int(text)
