"""``recbole-sheaf embed-items``: new items placed by content, nothing retrained."""

import argparse
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.checkpoint_options import add_checkpoint_options, check_own_model, refuse_export
from recbole_sheaf.cli.parser import Parser
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.cli.target_options import add_size_options, add_target_options, coefficients_of
from recbole_sheaf.errors import counted
from recbole_sheaf.files.plain_text import one_line

EPILOG = """\
example
  recbole-sheaf embed-items saved/MMSheaf-mydata-....safetensors --features=new_videos --to=with_new.npz
  recbole-sheaf recommend with_new.npz --users=u1,u2 --k=10
  recbole-sheaf recommend with_new.npz --among=new --k=3

new_videos/ holds <modality>.npz files as a dataset's features/ does (item_id: tokens, feature: rows), made by the
encoder that made those the model was trained with. An item may lack a modality. Items that the model knows are left as
they are.

The file is an export with the new items after the old ones, of which no number moves. A new item has no history: it is
scored by its content, by the maps that serve items without interactions (MMSheaf, ItemSheaf, VBPR).
"""


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Rebuild, place, write; gives the exit code."""
    options = parser().parse_args(argv)
    from recbole_sheaf.embeddings.new_items import place_items, read_new_items
    from recbole_sheaf.embeddings.reading import embeddings_of
    from recbole_sheaf.embeddings.reduction import reduction_of
    from recbole_sheaf.experiments.checkpoints import restore
    from recbole_sheaf.exports.targets import dtype_at, target_of

    coefficients = coefficients_of(options.coefficients)
    target = target_of(options.to, options.name)
    target.check()
    check_own_model(options)
    refuse_export(options.checkpoint)
    restored = restore(options.checkpoint, options.data_path, options.trust_checkpoint)
    embeddings = embeddings_of(restored)
    items = read_new_items(options.features, restored, embeddings)
    placed = place_items(restored, embeddings, items)
    reduction = reduction_of(embeddings, coefficients, dtype_at(target, options.dtype))
    written = target.write(reduction.of(placed))
    for sentence in (_summary(items), *reduction.said):
        print(sentence)
    print(f"{counted(len(placed.items), 'item')} written: {written}")
    return 0


def _summary(items: Any) -> str:
    rows = ", ".join(f"{name} {count}" for name, count in items.coverage.items())
    left = f"; {items.known:,} known items in the files are left as they are" if items.known else ""
    return one_line(f"{len(items.tokens):,} new items placed (with content: {rows}){left}")


def parser() -> argparse.ArgumentParser:
    """Options of ``embed-items``."""
    options = Parser(
        prog="recbole-sheaf embed-items",
        description="Place items that the model never met by their content, with everything else frozen.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("checkpoint", type=Path, help="what a run wrote into checkpoint_dir (saved/)")
    options.add_argument("--features", type=Path, required=True, help="folder of <modality>.npz with the new items")
    add_target_options(options)
    add_size_options(options)
    add_checkpoint_options(options)
    return options
