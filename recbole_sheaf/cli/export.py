"""``recbole-sheaf export``: the embeddings of a checkpoint, in a file or a database."""

import argparse
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.checkpoint_options import add_checkpoint_options, check_own_model, refuse_export
from recbole_sheaf.cli.parser import Parser
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.cli.target_options import add_target_options
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.files.plain_text import one_line

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

Endings: .npz, .safetensors, .parquet (pip install "recbole-sheaf[parquet]"), .duckdb (float32 always).

Databases, each with the query that ranks as the model does under 'query' in its metadata:
  recbole-sheaf export ... --to=postgresql://USER@HOST/DATABASE     pip install "recbole-sheaf[postgres]"; pgvector 0.7
  psql postgresql://USER@HOST/DATABASE -c "SELECT * FROM recbole_sheaf.recommend('196', 10)"
  recbole-sheaf export ... --to=qdrant:http://HOST:6333             pip install "recbole-sheaf[qdrant]"
  recbole-sheaf export ... --to=qdrant:FOLDER                       the client's embedded mode
All is written or nothing. An earlier export of the same columns is replaced; --name keeps several apart. A password is
best left to PGPASSWORD or ~/.pgpass, the key of Qdrant to QDRANT_API_KEY: others may read your command line.
"""


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Rebuild, read out, write; gives the exit code."""
    options = parser().parse_args(argv)
    from recbole_sheaf.embeddings.reading import embeddings_of
    from recbole_sheaf.experiments.checkpoints import restore
    from recbole_sheaf.exports.targets import File, target_of

    target = target_of(options.to, options.name)
    if options.layers and not isinstance(target, File):
        raise ConfigError("--layers is given, but databases hold what scores are made of; export layers to a file")
    target.check()
    check_own_model(options)
    refuse_export(options.checkpoint)
    embeddings = embeddings_of(restore(options.checkpoint, options.data_path, options.trust_checkpoint), options.layers)
    written = target.write(embeddings.with_floats(options.dtype))
    print(summary(embeddings))
    print(f"written: {written}")
    return 0


def parser() -> argparse.ArgumentParser:
    """Options of ``export``."""
    options = Parser(
        prog="recbole-sheaf export",
        description="Write the embeddings of a checkpoint, all that its scores are made of, to a file or a database.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("checkpoint", type=Path, help="what a run wrote into checkpoint_dir (saved/)")
    add_target_options(options)
    options.add_argument("--dtype", choices=("float32", "float16"), default="float32", help="default: float32")
    options.add_argument("--layers", action="store_true", help="vectors after each layer of propagation too")
    add_checkpoint_options(options)
    return options


def summary(embeddings: Any) -> str:
    """A sentence on what a file of embeddings holds."""
    metadata, said = embeddings.metadata, embeddings.coefficients
    blocks = ", ".join(f"{block.name} {block.stop - block.start}" for block in embeddings.blocks) or "none"
    error = metadata["checked_against_the_model"]["largest_error"]
    return one_line(
        f"{metadata['model']} on {metadata['dataset']}: {len(embeddings.users):,} users, {len(embeddings.items):,} "
        f"items; columns: {blocks}; {0 if said is None else len(said.data):,} coefficients between items; "
        f"scores agree with the model's to {error:.0e}"
    )
