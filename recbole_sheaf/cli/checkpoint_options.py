"""Options of every command that takes a checkpoint apart."""

import argparse
from pathlib import Path

from recbole_sheaf.errors import ConfigError

TRUST = (
    "read a .pth too, which is a pickle: PyTorch is told to take data alone from it, but a file made to harm may still "
    "find a way to run code, so say this of files only whose writer you know"
)


def add_checkpoint_options(options: argparse.ArgumentParser) -> None:
    """``--model``, ``--data_path`` and ``--trust-checkpoint``; :func:`check_own_model` after they are parsed."""
    options.add_argument("--model", help="where a model of your own is: package.module:MyModel")
    options.add_argument(
        "--data_path", help="of a checkpoint: where the datasets lie, if not where they lay when the run was made"
    )
    options.add_argument("--trust-checkpoint", action="store_true", help=TRUST)


def check_own_model(options: argparse.Namespace) -> None:
    """Import a model of the user's own, by whose name a checkpoint will ask for it.

    Raises:
        ConfigError: if it is not there.
    """
    from recbole_sheaf.plugin.registration import check_model_name

    if options.model:
        check_model_name(options.model)


def refuse_export(path: Path) -> None:
    """Refuse an export where the model itself is needed.

    Raises:
        ConfigError: if the file is one.
    """
    from recbole_sheaf.exports.files import holds_embeddings

    if path.is_file() and holds_embeddings(path):
        raise ConfigError(
            f"{path} is an export, which holds numbers of a model but not the model; give the checkpoint of its run, a "
            ".safetensors file in saved/"
        )
