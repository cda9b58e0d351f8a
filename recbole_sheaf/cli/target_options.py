"""Where ``export`` and ``embed-items`` write to, and how much."""

import argparse
from typing import Union

from recbole_sheaf.errors import ConfigError, shown


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


def add_size_options(options: argparse.ArgumentParser) -> None:
    """``--coefficients`` and ``--dtype``; :func:`coefficients_of` reads the first."""
    options.add_argument(
        "--coefficients",
        metavar="N",
        default="auto",
        help="at most so many into an item, the largest, or all (default: as few as cost less than .2 %% of Recall@20)",
    )
    options.add_argument(
        "--dtype",
        choices=("auto", "float32", "float16"),
        default="auto",
        help="default: auto, in a file float16 where it costs less than .02 %% of Recall@20, else float32",
    )


def coefficients_of(given: str) -> Union[int, str]:
    """A number from 1, ``auto`` or ``all``.

    Raises:
        ConfigError: if it is none of these.
    """
    if given in ("auto", "all"):
        return given
    if not given.isdecimal() or not given.isascii() or not int(given):
        raise ConfigError(
            f"coefficients={shown(given)} is no whole number from 1; give one, all to keep every coefficient, or auto"
        )
    return int(given)
