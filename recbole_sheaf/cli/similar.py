"""``recbole-sheaf similar``: items like an item."""

import argparse
import sys
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.checkpoint_options import add_checkpoint_options, check_own_model
from recbole_sheaf.cli.parser import Parser
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.cli.streams import until_unread
from recbole_sheaf.errors import counted

EPILOG = """\
examples
  recbole-sheaf similar mmsheaf.npz --items=50,181 --k=5
  recbole-sheaf similar saved/ItemSheaf-ml-100k-....safetensors --items=50 --k=10 --to=like_50.csv
  recbole-sheaf similar mmsheaf.npz --items=50 --by=coefficients

--by=embeddings compares fused embeddings by their cosine: alike in content and in who chose them. --by=coefficients
gives the items whose scores an item in a user's history raises most; they are chosen together, not always alike. 'auto'
takes the first where the model has embeddings.

--approximate (pip install "recbole-sheaf[ann]") searches an index of the embeddings, and says what share of the exact
lists it finds, measured on 100 items.
"""


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Read, compare, write; gives the exit code."""
    options = parser().parse_args(argv)
    from recbole_sheaf.embeddings.similarity import similar_items
    from recbole_sheaf.exports.files import check_target
    from recbole_sheaf.exports.lists import ENDINGS, OF_ITEMS, write_lists
    from recbole_sheaf.exports.sources import open_source

    if options.to is not None:
        check_target(options.to, ENDINGS)
    check_own_model(options)
    embeddings = open_source(options.source, options.data_path, options.trust_checkpoint).embeddings
    rows = _rows(embeddings, options.items)
    if options.approximate:
        from recbole_sheaf.embeddings.approximate import ApproximateSimilar

        approximate = ApproximateSimilar(embeddings, options.k, options.by)
        print(approximate.sentence(rows), file=sys.stderr)
        lists = approximate.lists(rows)
    else:
        lists = similar_items(embeddings, rows, options.k, options.by)
    with until_unread():
        count = write_lists(lists, embeddings.items, embeddings.items, OF_ITEMS, options.to)
    if options.to is not None:
        print(f"written: {options.to} ({counted(count, 'item')}, {options.k} like each)")
    return 0


def _rows(embeddings: Any, given: Optional[str]) -> Any:
    import numpy as np

    from recbole_sheaf.exports.token_files import read_tokens

    if given is None:
        return np.arange(len(embeddings.items))
    return embeddings.item_rows(read_tokens(given, "item"))


def parser() -> argparse.ArgumentParser:
    """Options of ``similar``."""
    options = Parser(
        prog="recbole-sheaf similar",
        description="The items most like each of some items: item, rank, similar, similarity.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("source", type=Path, help="a checkpoint, or what 'export' or 'embed-items' wrote")
    options.add_argument(
        "--items", help="tokens with commas between, or a .csv, .tsv or .txt file (default: all items)"
    )
    options.add_argument("--k", type=int, default=20, help="how many for each (default: 20)")
    options.add_argument("--by", choices=("auto", "embeddings", "coefficients"), default="auto", help="default: auto")
    options.add_argument("--to", type=Path, help=".csv, .jsonl or .parquet (default: CSV on the screen)")
    options.add_argument("--approximate", action="store_true", help="from an index of embeddings, with its recall")
    add_checkpoint_options(options)
    return options
