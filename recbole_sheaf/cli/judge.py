"""``recbole-sheaf judge``: vectors of items as vectors, beside those of content."""

import argparse
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.checkpoint_options import add_checkpoint_options, check_own_model
from recbole_sheaf.cli.parser import Parser
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.files.plain_text import in_markdown

EPILOG = """\
examples
  recbole-sheaf judge saved/MMSheaf-ml-100k-....safetensors
  recbole-sheaf judge saved/MMSheaf-ml-1m-....safetensors --columns=genre --to=judged.csv
  recbole-sheaf judge mmsheaf.npz --item-table=shop/shop.item

Of each kind of vectors, for items with training interactions (warm) and without (cold) apart: what share of an item's
nearest neighbours has a user in common with it in validation or test, which training never saw, and what share has
a value of a column in common, such as a genre. Beside each stands its chance, the same of all other items, and of
audiences also that of items as popular: what many chose shares users with anything.

Then one kind found from another: a ridge map is fitted on half of the warm items, drawn by --seed, since the blocks of
a model live in no common space, and the others' own rows are looked for among all of theirs.

'fused' are the vectors by which 'similar' compares; 'block' is what one modality, or 'id', has of them. A checkpoint
also has the content that its model reads, as controls: each modality, all side by side, and their principal components
at the width of the fused vectors. An export does not hold it.
"""


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Read, judge, print, write; gives the exit code."""
    options = parser().parse_args(argv)
    from recbole_sheaf.embeddings.item_groups import item_groups
    from recbole_sheaf.embeddings.item_judging import judge_items
    from recbole_sheaf.exports.files import check_target

    if options.to is not None:
        check_target(options.to, (".csv",))
    check_own_model(options)
    embeddings, content, table = _read(options)
    columns = options.columns.split(",") if options.columns else None
    if table is None and columns is not None:
        raise ConfigError("columns=... are given and there is no item table; give one by item_table=shop/shop.item")
    groups = {} if table is None else item_groups(table, embeddings.items, columns)
    rows = _frame(judge_items(embeddings, content, groups, options.k, options.seed))
    print(_table(rows))
    if options.to is not None:
        from recbole_sheaf.files.whole_files import write_whole

        write_whole(options.to, rows.to_csv(index=False, lineterminator="\n"))
        print(f"\nwritten: {options.to}")
    return 0


def _read(options: argparse.Namespace) -> tuple[Any, dict[str, Any], Optional[Path]]:
    """Embeddings, the content of a checkpoint's model, and the item table where there is one."""
    from recbole_sheaf.exports.files import holds_embeddings
    from recbole_sheaf.exports.sources import open_source

    if options.source.is_file() and holds_embeddings(options.source):
        return open_source(options.source, options.data_path).embeddings, {}, options.item_table
    from recbole_sheaf.embeddings.item_judging import content_of
    from recbole_sheaf.embeddings.reading import embeddings_of
    from recbole_sheaf.experiments.checkpoints import restore

    restored = restore(options.source, options.data_path, options.trust_checkpoint)
    table = options.item_table or Path(restored.config["data_path"]) / f"{restored.config['dataset']}.item"
    there = options.item_table is not None or table.is_file()
    return embeddings_of(restored), content_of(restored), table if there else None


def _frame(found: list[Any]) -> Any:
    import pandas as pd

    rows = pd.DataFrame([vars(each) for each in found])
    return rows.assign(lift=rows["value"] / rows["chance"].where(rows["chance"] > 0))


def _table(rows: Any) -> str:
    from tabulate import tabulate

    heads = ("items", "vectors", "measure", "n", "value", "error", "chance", "among equals", "lift")
    cells = [
        [each.items, in_markdown(each.vectors), in_markdown(each.measure), f"{each.count:,}"]
        + ["" if number != number else f"{number:.4f}" for number in (each.value, each.error, each.chance)]
        + ["" if each.among_equals != each.among_equals else f"{each.among_equals:.4f}"]
        + ["" if each.lift != each.lift else f"{each.lift:.2f}"]
        for each in rows.astype({"among_equals": float})
        .sort_values("items", ascending=False, kind="stable")
        .itertuples()
    ]
    return tabulate(cells, heads, tablefmt="pipe", disable_numparse=True, colalign=("left",) * 3 + ("right",) * 6)


def parser() -> argparse.ArgumentParser:
    """Options of ``judge``."""
    options = Parser(
        prog="recbole-sheaf judge",
        description="Judge the vectors of items as vectors: what near items share, one modality found from another.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("source", type=Path, help="a checkpoint, or what 'export' or 'embed-items' wrote")
    options.add_argument("--item-table", type=Path, metavar="FILE", help="<dataset>.item (default: the checkpoint's)")
    options.add_argument(
        "--columns", help="of the item table, with commas between (default: those of tokens with up to 100 values)"
    )
    options.add_argument("--k", type=int, default=10, help="neighbours of an item (default: 10)")
    options.add_argument("--seed", type=int, default=0, help="draws the half on which maps are fitted (default: 0)")
    options.add_argument("--to", type=Path, metavar="FILE", help="write the rows to a .csv as well")
    add_checkpoint_options(options)
    return options
