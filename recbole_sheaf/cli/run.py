"""``recbole-sheaf run`` and ``python run_recbole_sheaf.py``: train and evaluate models by name."""

import argparse
import shlex
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.parser import Parser, files_in
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.environment import place_among_processes
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.settings.settings_files import NotYaml, parse

QUIET = {"show_progress": False, "state": "WARNING"}  # what a command sets where a bar of its own tells how far it is

EPILOG = """\
Any RecBole setting and any key of properties/model/<model>.yaml can follow as --key=value, for example
  --epochs=50 --learning_rate=0.005 --train_batch_size=4096 --seed=1 --restriction_map=identity
With several models a key reaches those that know it. The command line wins over --config_files, which win over the
YAML defaults.

examples
  python run_recbole_sheaf.py --model=MMSheaf --dataset=ml-100k
  python run_recbole_sheaf.py --models=Pop,ItemKNN,BPR,LightGCN,MMGCN,MMSheaf --dataset=ml-100k
  python run_recbole_sheaf.py --model=MMSheaf --dataset=tiktok --data_path=DIR --result_file=run.json
  torchrun --nproc_per_node=2 run_recbole_sheaf.py --model=MMSheaf --dataset=ml-100k

--data_path=DIR holds one folder per dataset: DIR/<dataset>/<dataset>.inter with a RecBole header
(user_id:token, item_id:token, ...), optionally <dataset>.item and features/<modality>.npz; or an MMRec-style folder.
ml-100k needs no path: RecBole's package carries it.
A model of your own is named --model=package.module:MyModel; see docs/own-model.md.
"""


def parser() -> argparse.ArgumentParser:
    """Options of ``run``; everything else on the command line is a setting."""
    options = Parser(
        prog="recbole-sheaf run",
        description="Train and evaluate a recommender, or several side by side on the same split.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("--model", help="MMSheaf, MMGCN, any of RecBole's, or module:class (default: MMSheaf)")
    options.add_argument("--models", help="several models, separated by commas, that end in one comparison table")
    options.add_argument("--dataset", default="ml-100k", help="name of the dataset folder (default: ml-100k)")
    options.add_argument("--config_files", default="", help="YAML files of settings, separated by spaces or commas")
    options.add_argument("--result_file", type=Path, help="write one JSON object per run, a line each")
    options.add_argument("--table_file", type=Path, help="stem of the table's .csv and .md (default: results/...)")
    options.add_argument(
        "--wide", action="store_true", help="all columns of the table, however wide the screen has to be"
    )
    return options


def model_names(text: str) -> list[str]:
    """Names of models that commas separate.

    Raises:
        ConfigError: if one of them is empty.
    """
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise ConfigError(f"the models are given as '{text}', where a name is empty; write --models=LightGCN,MMSheaf")
    return names


def read_settings(arguments: Sequence[str]) -> dict[str, Any]:
    """``--key=value`` arguments as a dict, values read as YAML.

    Raises:
        ConfigError: if an argument has another form, or a key comes twice with two values.
    """
    settings: dict[str, Any] = {}
    for argument in arguments:
        key, equals, text = argument[2:].partition("=")
        if not argument.startswith("--") or not equals or not key:
            raise ConfigError(f"'{argument}' is not understood; write settings as --key=value")
        value = _value(text, key)
        if key in settings and repr(settings[key]) != repr(value):
            raise ConfigError(f"--{key} is given twice, as {settings[key]!r} and {value!r}; give it once")
        settings[key] = value
    return settings


def _value(text: str, key: str) -> Any:
    """What a text spells in YAML; a text that is no YAML, such as ``user:id``, as it stands."""
    if text == "None":
        return None
    try:
        return parse(text, f"--{key}").content
    except NotYaml:
        return text


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Train, evaluate, print; gives the exit code."""
    options, others = parser().parse_known_args(argv)
    from recbole_sheaf.experiments.progress import ProgressBar, RunsProgress
    from recbole_sheaf.experiments.runs import refuse_unwritable, run_models
    from recbole_sheaf.experiments.settings import settings_by_model
    from recbole_sheaf.experiments.sinks import Results

    if options.model is not None and options.models is not None:
        raise ConfigError("--model and --models are both given; give one of them")
    given = options.model if options.models is None else options.models
    models = model_names("MMSheaf" if given is None else given)
    settings = read_settings(others)
    files = files_in(options.config_files)
    resolved = settings_by_model(models, options.dataset, files, settings).values()
    if place_among_processes().rank:  # only the first of several shows and writes
        run_models(models, options.dataset, files, settings, defaults=QUIET)
        return 0
    refuse_unwritable(options.table_file)
    results = Results()
    try:
        with ProgressBar(len(models), "run", beside=resolved, **RunsProgress.LOOKS) as bar:
            sinks = [results, RunsProgress(len(models), bar)]
            run_models(models, options.dataset, files, settings, options.result_file, sinks, _quiet_beside_a_bar())
    finally:  # where one model ends in an error, those before it have their table
        _show(results.rows, options, len(models) > 1)
    return 0


def _quiet_beside_a_bar() -> dict[str, Any]:
    """Settings that hush RecBole: all of it on a terminal, where a bar of ours shows, else its bars alone."""
    return QUIET if sys.stderr.isatty() else {"show_progress": False}


def _show(rows: list[dict[str, Any]], options: argparse.Namespace, several: bool) -> None:
    from recbole_sheaf.cli.screen import columns_across, print_table
    from recbole_sheaf.evaluation import comparison_table, what_was_learnt, write_table

    if not rows:
        return
    table, written = comparison_table(rows), []
    if options.table_file or several:
        stem = options.table_file or Path("results") / f"{options.dataset}-{time.strftime('%Y%m%d-%H%M%S')}"
        written = write_table(table, stem)
    print()
    print_table(table, options.wide)
    for row in rows:
        if learnt := what_was_learnt(row):
            print("\n" + textwrap.fill(learnt, columns_across(100)))
    print("\n" + "\n".join(f"checkpoint: {row['checkpoint']}" for row in rows))
    last = shlex.quote(str(rows[-1]["checkpoint"]))
    print(f"lists of {rows[-1]['model']}: recbole-sheaf recommend {last} --k=10")
    if written:
        print("\nwritten: " + ", ".join(map(str, written)))
