"""``recbole-sheaf report``: what a store holds as a document, in HTML, Markdown and LaTeX."""

import argparse
from pathlib import Path
from typing import Optional

from recbole_sheaf.cli.parser import Parser, names_in
from recbole_sheaf.cli.refusals import one_sentence

EPILOG = """\
examples
  recbole-sheaf report tiktok.duckdb --to=report
  recbole-sheaf report tiktok.duckdb --to=report --lang=ru --experiment=tiktok-softmax --metric=NDCG@20,Recall@20
  recbole-sheaf report tiktok.duckdb --to=report --searches=tuned.duckdb
  recbole-sheaf report ml.duckdb --to=report --export=mmsheaf.npz --titles=ml-100k/ml-100k.item

report.<language>.html needs nothing beside itself: open it, print it, send it. report.<language>.md and .tex (pdflatex)
take their drawings from figures/. What the store holds is read, never a model; --export adds a section on the learnt
item sheaf of one model, from what 'recbole-sheaf export' wrote. Marks of significance stand only between models of five
seeds or more, here as in 'recbole-sheaf results'.
"""
LANGUAGES = ("en", "ru", "both")


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Read, write, say where; gives the exit code."""
    options = parser().parse_args(argv)
    from recbole_sheaf.report import write_report
    from recbole_sheaf.store.store import Store

    written = write_report(
        Store(options.store),
        options.to,
        LANGUAGES[:2] if options.lang == "both" else [options.lang],
        {"experiment": names_in(options.experiment), "dataset": names_in(options.dataset)},
        names_in(options.metric),
        options.export,
        options.titles,
        [Store(Path(path)) for path in names_in(options.searches)],
    )
    print("written: " + ", ".join(map(str, written)) + ", and beside each .md and .tex")
    return 0


def parser() -> argparse.ArgumentParser:
    """Options of ``report``."""
    options = Parser(
        prog="recbole-sheaf report",
        description="Write what a store holds as a document for people: HTML, Markdown and LaTeX.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("store", type=Path, help="the DuckDB file that 'compare' and 'tune' wrote")
    options.add_argument("--to", type=Path, required=True, help="folder for the report; made where it is not there")
    options.add_argument("--lang", choices=LANGUAGES, default="both", help="language (default: both)")
    options.add_argument("--experiment", help="experiments, separated by commas (default: all)")
    options.add_argument("--dataset", help="datasets, separated by commas (default: all)")
    options.add_argument("--metric", help="metrics to show, the leading one first (default: what chose, and more)")
    options.add_argument("--searches", help="other stores, separated by commas, whose searches the report tells of too")
    options.add_argument("--export", type=Path, help="embeddings of a model, for the section on its item sheaf")
    options.add_argument("--titles", type=Path, help="table with item_id and a title, for the worked examples")
    return options
