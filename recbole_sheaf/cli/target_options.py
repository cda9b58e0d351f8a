"""Where ``export`` and ``embed-items`` write to."""

import argparse


def add_target_options(options: argparse.ArgumentParser) -> None:
    """``--to`` and ``--name``."""
    options.add_argument(
        "--to", required=True, help=".npz, .safetensors, .parquet, .duckdb, postgresql://... or qdrant:..."
    )
    options.add_argument(
        "--name",
        default="recbole_sheaf",
        help="schema of PostgreSQL, prefix of Qdrant's collections (default: recbole_sheaf)",
    )
