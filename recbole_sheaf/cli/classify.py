"""``recbole-sheaf classify``: node classification with Neural Sheaf Diffusion on a dataset's given folds."""

import argparse
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.parser import Parser
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.settings.settings_files import read_yaml
from recbole_sheaf.settings.vocabulary import NODE_CLASSIFICATION_MAPS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--dataset", required=True, help="name of an .npz file: texas, wisconsin, actor, chameleon")
    parser.add_argument("--data_path", type=Path, default=Path("dataset"), help="folder that holds the file")
    parser.add_argument("--restriction_map", choices=NODE_CLASSIFICATION_MAPS, help="instead of the dataset's own maps")
    parser.add_argument("--settings_file", type=Path, help="YAML file of settings that replace the dataset's own")
    parser.add_argument("--folds", type=int, help="only the first so many folds")
    parser.add_argument("--seed", type=int, default=43, help="of parameters and dropout")
    parser.add_argument("--result_file", type=Path, help="append one JSON row a fold; finished folds are not run again")


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Train all folds, print mean and standard deviation."""
    parser = Parser(prog="recbole-sheaf classify", description=__doc__)
    add_arguments(parser)
    options = parser.parse_args(argv)
    from recbole_sheaf.nsd.classification import run_folds
    from recbole_sheaf.nsd.data import load_node_classification
    from recbole_sheaf.nsd.results import summary
    from recbole_sheaf.nsd.settings import classification_for

    data = load_node_classification(options.dataset, options.data_path)
    task = classification_for(options.dataset, data, options.seed, _overrides(options))
    if options.folds is not None and options.folds < 1:
        raise ConfigError(f"--folds is {options.folds}, expected a whole number >= 1")
    folds = range(len(data.train_masks) if options.folds is None else options.folds)
    print(summary(task, run_folds(task, data, folds, options.result_file)))
    return 0


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    """Settings from the file and the command line, the latter stronger."""
    settings = read_yaml(options.settings_file) if options.settings_file else {}
    return settings if options.restriction_map is None else {**settings, "restriction_map": options.restriction_map}
