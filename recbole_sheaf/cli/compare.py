"""``recbole-sheaf compare``: run a grid of datasets, models, ablations and seeds, once each."""

import argparse
import sys
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.parser import Parser
from recbole_sheaf.cli.refusals import as_typed, one_sentence
from recbole_sheaf.cli.run import QUIET, read_settings
from recbole_sheaf.errors import ConfigError, counted

EPILOG = """\
an experiment file
  name: tiktok-baselines          # of the experiment in the store; default: the file's name
  store: tiktok.duckdb            # beside this file; default: <name>.duckdb
  datasets: [tiktok]              # or 'tiktok: {setting: value}' lines
  models:                         # a list of names, or names with settings of their own
    LightGCN: {settings_file: tuned/LightGCN.yaml}
    MMSheaf:
    control: {model: MMSheaf, item_sheaf_map: identity}
    mine: {model: package.module:MyModel}
  ablations:                      # optional; any settings, of the data side above all
    real:
    shuffled: {features: shuffled}
    image only: {modalities: [image]}
  seeds: [1, 2, 3]
  settings: {data_path: ../data, epochs: 100}
  workers: 2                      # processes that train at once; the numbers do not depend on it
  threads: 1                      # of each training

A run that the store holds is not run again, whatever experiment asked for it. Stop the command at any moment, start it
again, and it goes on where it was, losing at most the epoch in progress. Several commands may share a store.
--key=value sets a setting of every run. Exit code: 0 when all is finished, 1 when a run failed, 2 for refused input.
"""


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Run what is not finished; gives the exit code."""
    options, others = parser().parse_known_args(argv)
    from recbole_sheaf.experiments.compare import run_grid
    from recbole_sheaf.experiments.grid import read_experiment

    experiment = read_experiment(options.experiment, read_settings(others), QUIET)
    report = run_grid(experiment, _workers(options, experiment))
    _say(report, experiment)
    return 1 if report.failed else 0


def parser() -> argparse.ArgumentParser:
    """Options of ``compare``."""
    options = Parser(
        prog="recbole-sheaf compare",
        description="Run a grid of datasets x models x ablations x seeds, once each, into one store.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("experiment", type=Path, help="the experiment's YAML file")
    options.add_argument("--workers", type=int, help="processes that train at once (default: the file's, else 1)")
    options.add_argument("--ray-address", help="run on a Ray cluster: its address, 'auto', or 'local' to start one")
    return options


def _workers(options: argparse.Namespace, experiment: Any) -> Any:
    from recbole_sheaf.workers.pools import ProcessWorkers, RayWorkers, ThisProcess

    count = experiment.workers if options.workers is None else options.workers
    if count < 1:
        raise ConfigError(f"--workers is {count}, expected a whole number from 1")
    if options.ray_address:
        return RayWorkers(options.ray_address, max(run.threads for run in experiment.runs))
    return ProcessWorkers(count) if count > 1 else ThisProcess()


def _say(report: Any, experiment: Any) -> None:
    print(
        f"{counted(report.done, 'run')} done, {report.finished_before} finished before, {len(report.failed)} failed, "
        f"of {report.runs}; see them with: recbole-sheaf results {experiment.store}"
    )
    for run, error in report.failed.items():
        print(as_typed(f"failed: {run}: {error}"), file=sys.stderr)
