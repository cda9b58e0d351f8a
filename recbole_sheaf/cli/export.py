"""``recbole-sheaf export``: the embeddings of a checkpoint, in a file or a database."""

import argparse
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.addresses import at_hand, place
from recbole_sheaf.cli.checkpoint_options import add_checkpoint_options, check_own_model, refuse_export
from recbole_sheaf.cli.parser import Parser
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.cli.target_options import add_size_options, add_target_options, coefficients_of
from recbole_sheaf.errors import ConfigError, counted
from recbole_sheaf.files.addresses import is_known
from recbole_sheaf.files.plain_text import one_line
from recbole_sheaf.files.whole_files import write_whole

EPILOG = """\
examples
  recbole-sheaf export saved/MMSheaf-ml-100k-....safetensors --to=mmsheaf.npz
  recbole-sheaf export saved/MMSheaf-ml-100k-....safetensors --to=mmsheaf.duckdb
  duckdb mmsheaf.duckdb "FROM recommend('196', 10)"

The file holds, by the tokens of your data: vectors of users and items whose inner product is the score or a part of it,
signed coefficients from item to item where the model has an item sheaf, the interactions, and metadata: model,
settings, data, which columns are which modality, and under 'score' how a score is computed. It is checked against the
model's own scores before it is written. What each array is: recbole_sheaf/exports/arrays.py.

  import json, numpy as np
  file = np.load("mmsheaf.npz")
  print(json.loads(str(file["metadata"]))["blocks"])          # id: columns 0 to 64, title: 64 to 128, ...
  vectors = dict(zip(file["item_tokens"], file["item_vectors"]))

What fewer coefficients and 16 bits cost is measured on the validation part, printed, and kept under 'reduced' in the
metadata; --coefficients=all --dtype=float32 keeps every number as it is. --scorer=scorer.py writes one file to copy
into your service: Scorer("mmsheaf.npz").recommend("196", k=10).

Endings: .npz, .safetensors, .parquet (pip install "recbole-sheaf[parquet]"), .duckdb (float32 always).

The checkpoint and the file may be addresses, s3://BUCKET/NAME or of another protocol of fsspec.

Databases, each with the query that ranks as the model does under 'query' in its metadata:
  recbole-sheaf export ... --to=postgresql://USER@HOST/DATABASE     pip install "recbole-sheaf[postgres]"; pgvector 0.7
  psql postgresql://USER@HOST/DATABASE -c "SELECT * FROM recbole_sheaf.recommend('196', 10)"
  recbole-sheaf export ... --to=qdrant:http://HOST:6333             pip install "recbole-sheaf[qdrant]"
  recbole-sheaf export ... --to=qdrant:FOLDER                       the client's embedded mode
All is written or nothing. An earlier export of the same columns is replaced; --name keeps several apart. A password is
best left to PGPASSWORD or ~/.pgpass, the key of Qdrant to QDRANT_API_KEY: others may read your command line.
"""
SCORER = Path(__file__).parents[1] / "exports" / "scorer.py"


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Rebuild, read out, write; gives the exit code."""
    options = parser().parse_args(argv)
    from recbole_sheaf.embeddings.reading import embeddings_of
    from recbole_sheaf.embeddings.reduction import reduction_of
    from recbole_sheaf.experiments.checkpoints import restore
    from recbole_sheaf.exports.targets import File, dtype_at, target_of

    coefficients = coefficients_of(options.coefficients)
    with at_hand(options, ("checkpoint",), ("to",) if is_known(options.to) else ()) as options:
        target = target_of(str(options.to), options.name)
        if options.layers and not isinstance(target, File):
            raise ConfigError("--layers is given, but databases hold what scores are made of; export layers to a file")
        target.check()
        _check_scorer(options.scorer, target)
        check_own_model(options)
        refuse_export(options.checkpoint)
        restored = restore(options.checkpoint, options.data_path, options.trust_checkpoint)
        embeddings = embeddings_of(restored, options.layers)
        reduction = reduction_of(embeddings, coefficients, dtype_at(target, options.dtype))
        written = target.write(reduction.of(embeddings))
    for sentence in (summary(embeddings), *reduction.said):
        print(sentence)
    print(f"written: {options.to_given if 'to_given' in options else written}")
    if options.scorer is not None:
        write_whole(options.scorer, SCORER.read_text(encoding="utf-8"))
        print(f"written: {options.scorer}")
    return 0


def _check_scorer(path: Optional[Path], target: Any) -> None:
    """Refuse, before any work, a scorer that cannot be written or would not read the export."""
    if path is None:
        return
    from recbole_sheaf.exports.files import check_target

    check_target(path, (".py",))
    if getattr(target, "path", Path()).suffix != ".npz":
        raise ConfigError("scorer=... reads an .npz alone; export to one, or leave it out")


def parser() -> argparse.ArgumentParser:
    """Options of ``export``."""
    options = Parser(
        prog="recbole-sheaf export",
        description="Write the embeddings of a checkpoint, all that its scores are made of, to a file or a database.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("checkpoint", type=place, help="what a run wrote into checkpoint_dir (saved/)")
    add_target_options(options)
    add_size_options(options)
    options.add_argument("--layers", action="store_true", help="vectors after each layer of propagation too")
    options.add_argument(
        "--scorer", type=Path, metavar="FILE", help="write a .py of lists beside the .npz, on NumPy alone"
    )
    add_checkpoint_options(options)
    return options


def summary(embeddings: Any) -> str:
    """A sentence on what a file of embeddings holds."""
    metadata, said = embeddings.metadata, embeddings.coefficients
    blocks = ", ".join(f"{block.name} {block.stop - block.start}" for block in embeddings.blocks) or "none"
    error = metadata["checked_against_the_model"]["largest_error"]
    coefficients = counted(0 if said is None else len(said.data), "coefficient")
    return one_line(
        f"{metadata['model']} on {metadata['dataset']}: {counted(len(embeddings.users), 'user')}, "
        f"{counted(len(embeddings.items), 'item')}; columns: {blocks}; {coefficients} between items; "
        f"scores agree with the model's to {error:.0e}"
    )
