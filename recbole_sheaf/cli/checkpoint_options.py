"""Options of every command that takes a checkpoint apart."""

import argparse

from recbole_sheaf.cli.evaluate import TRUST


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
    from recbole_sheaf.registration import check_model_name

    if options.model:
        check_model_name(options.model)
