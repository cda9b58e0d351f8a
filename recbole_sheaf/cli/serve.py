"""``recbole-sheaf serve``: recommendations over HTTP, and a page to look at them."""

import argparse
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.checkpoint_options import add_checkpoint_options, check_own_model
from recbole_sheaf.cli.parser import Parser
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.environment import ending_on_sigterm
from recbole_sheaf.extras import from_extra
from recbole_sheaf.files.plain_text import one_line

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
request. Neither asks another host for anything. A refusal is {"error": a sentence} with a status from 400 to 422.

--titles is a table (.csv, .tsv, .txt, .item) with items in its first column and a column named like 'title', or a
column of the .item file a checkpoint was trained beside. --posters is a folder of <item>.jpg, .png, .webp or .gif.

"where" of a request is an expression in SQL over the columns of <dataset>.item, and "at_most" with "per" bounds the
items of one value of such a column in a list; an export is served with them by --item-table.

Whoever reaches the port may ask: there are no passwords. By default that is this machine alone; put a proxy with your
own rules before it, or pass --host=0.0.0.0 where everybody may. Serve an export rather than a checkpoint: it starts
faster and needs no data. A single process answers on one core; for more, start several behind a proxy.
"""


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Take the port, read, answer until stopped."""
    options = parser().parse_args(argv)
    _check_installed()
    from recbole_sheaf.serving.app import build_app
    from recbole_sheaf.serving.server import address_of, answers_as, listen, serve

    with listen(options.host, options.port) as listener, ending_on_sigterm():
        check_own_model(options)
        catalogue = _catalogue(options)
        app = build_app(catalogue, answers_as(options.host, listener))
        print(_summary(catalogue, address_of(listener)), flush=True)
        serve(app, listener)
    return 0


def _check_installed() -> None:
    with from_extra("serve", "serving"):
        import fastapi  # noqa: F401
        import fastapi_offline  # noqa: F401
        import uvicorn  # noqa: F401


def _catalogue(options: argparse.Namespace) -> Any:
    from recbole_sheaf.exports.sources import open_source
    from recbole_sheaf.serving.catalogue import Catalogue
    from recbole_sheaf.serving.posters import find_posters
    from recbole_sheaf.serving.titles import read_titles

    source = open_source(options.source, options.data_path, options.trust_checkpoint)
    titles = read_titles(options.titles, source.item_file, source.embeddings) if options.titles else {}
    posters = find_posters(options.posters, source.embeddings) if options.posters else {}
    catalogue = Catalogue(source, titles, posters, options.item_table)
    if options.item_table is not None:
        catalogue.read_table()
    catalogue.warm()
    return catalogue


def _summary(catalogue: Any, address: str) -> str:
    about, count = catalogue.about(), len(catalogue.embeddings.items)
    given = {"titles": catalogue.titles, "posters": catalogue.posters}
    extras = "".join(f"; {name} for {len(found):,} of {count:,}" for name, found in given.items() if found)
    return (
        f"{one_line(about['model'])} on {one_line(about['dataset'])}: {about['users']:,} users, "
        f"{about['items']:,} items{extras}\n"
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
    add_checkpoint_options(options)
    return options


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give a whole number from 0 to 65535")
    return int(text)
