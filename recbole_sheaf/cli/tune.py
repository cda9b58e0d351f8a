"""``recbole-sheaf tune``: search the hyperparameters of models, the same budget for each."""

import argparse
import sys
from pathlib import Path
from typing import Optional

from recbole_sheaf.cli.parser import Parser, files_in
from recbole_sheaf.cli.refusals import as_typed, one_sentence
from recbole_sheaf.cli.run import QUIET, model_names, read_settings
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.settings.config import class_name

EPILOG = """\
What is searched stands in each model's YAML file (properties/model/<model>.yaml), or in one of --config_files:
  search_space:
    learning_rate: {low: 1e-4, high: 1e-2, log: true}
    n_layers: {choices: [1, 2, 3]}

Optuna proposes (TPE; the first trial takes the defaults) and ends trials that lag behind the median. The validation
metric decides and the test part is never read. Every model gets the same number of trials; a store refuses searches of
unequal budgets on one dataset. Stop it at any moment, start it again, and it goes on.

example
  recbole-sheaf tune --models=LightGCN,MMSheaf --dataset=tiktok --data_path=DIR --trials=8 --epochs=60 \\
      --store=tiktok.duckdb --output=tuned
  recbole-sheaf run --model=LightGCN --dataset=tiktok --data_path=DIR --config_files=tuned/tiktok/LightGCN.yaml
"""


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Search; gives the exit code."""
    options, others = parser().parse_known_args(argv)
    from recbole_sheaf.experiments.settings import settings_by_model
    from recbole_sheaf.experiments.tuning import Budget, Search, run_searches, write_best
    from recbole_sheaf.store.store import Store
    from recbole_sheaf.workers.pools import ProcessWorkers, ThisProcess

    if options.trials < 1 or options.workers < 1 or options.threads < 1:
        raise ConfigError("--trials, --workers and --threads are whole numbers from 1")
    if not 0 <= options.search_seed < 2**32:
        raise ConfigError(f"--search_seed is {options.search_seed}, expected a whole number >= 0 and <= {2**32 - 1}")
    models = model_names(options.models)
    files = files_in(options.config_files)
    budget = Budget(options.trials, options.search_seed, options.threads)
    folder = options.store.with_name(options.store.name + ".searches")
    searches = [
        Search(model, options.dataset, own, budget, folder)
        for model, own in settings_by_model(models, options.dataset, files, read_settings(others), QUIET).items()
    ]
    workers = ProcessWorkers(options.workers) if options.workers > 1 else ThisProcess()
    (options.output / options.dataset).mkdir(parents=True, exist_ok=True)  # refused before hours of training, not after
    errors = run_searches(searches, Store(options.store), workers)
    found = {
        search: write_best(search, options.output / search.dataset / f"{class_name(search.model)}.yaml")
        for search in searches
    }
    for search, path in found.items():
        print(f"{search}: {path or 'no trial was completed'}")
    for trial, error in errors.items():
        print(as_typed(f"failed: {trial}: {error}"), file=sys.stderr)
    return 1 if errors else 0


def parser() -> argparse.ArgumentParser:
    """Options of ``tune``; everything else on the command line is a setting."""
    options = Parser(
        prog="recbole-sheaf tune",
        description="Search the hyperparameters of one model or several, the same budget for each.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument(
        "--models", "--model", required=True, help="models, separated by commas; your own as module:class"
    )
    options.add_argument("--dataset", default="ml-100k", help="name of the dataset folder (default: ml-100k)")
    options.add_argument("--trials", type=int, default=20, help="trials for each model (default: 20)")
    options.add_argument("--store", type=Path, default=Path("results.duckdb"), help="where trials are recorded")
    options.add_argument("--output", type=Path, default=Path("tuned"), help="folder for <dataset>/<model>.yaml")
    options.add_argument("--workers", type=int, default=1, help="processes that train at once (default: 1)")
    options.add_argument("--threads", type=int, default=1, help="threads of each training (default: 1)")
    options.add_argument("--search_seed", type=int, default=0, help="seed of the proposals (default: 0)")
    options.add_argument("--config_files", default="", help="YAML files of settings, separated by spaces or commas")
    return options
