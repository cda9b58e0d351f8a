"""Trains each of RecBole's own models for an epoch on a part of ml-100k, and sets what two Pythons gave side by side.

    python docs/recbole_models.py run --to=3.11.jsonl          # in an environment of each Python
    python docs/recbole_models.py table 3.11.jsonl 3.13.jsonl > docs/recbole-models.md

Each model is a process of its own, by RecBole's ``run_recbole`` with its own defaults, one thread, seed 2020. A model
that is in the file already is not run again.
"""

import argparse
import contextlib
import importlib
import importlib.util
import json
import logging
import multiprocessing
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path

KINDS = ("general", "sequential", "context_aware", "knowledge_aware")
PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "torch", "dgl", "ray")
SETTINGS = {
    "epochs": 1,
    "user_inter_num_interval": "[200,inf)",  # a part of ml-100k, where the slowest of them train in minutes
    "item_inter_num_interval": "[20,inf)",
    "metrics": ["Recall", "NDCG"],
    "topk": [20],
    "valid_metric": "NDCG@20",
    "seed": 2020,
    "show_progress": False,
    "state": "error",
    "log_to_file": False,
    "log_tensorboard": False,
}
OF_KIND = {
    "sequential": {"train_neg_sample_args": None},
    "context_aware": {
        "load_col": {
            "inter": ["user_id", "item_id", "rating", "timestamp"],
            "user": ["user_id", "age", "gender", "occupation"],
            "item": ["item_id", "release_year", "class"],
        },
        "threshold": {"rating": 4},
        "train_neg_sample_args": None,
        "eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "mode": "labeled"},
        "metrics": ["AUC", "LogLoss"],
        "valid_metric": "AUC",
    },
    "knowledge_aware": {
        "load_col": {
            "inter": ["user_id", "item_id", "rating", "timestamp"],
            "kg": ["head_id", "relation_id", "tail_id"],
            "link": ["item_id", "entity_id"],
        },
    },
}
OF_MODEL = {"NCL": {"num_clusters": 50}}  # the data have fewer users than its 1,000
FIGURES = {"context_aware": "auc"}


def names(kind):
    """RecBole's models of a kind: a module each, whose class is found by RecBole's list of settings."""
    spec = importlib.util.find_spec("recbole")
    folder = Path(spec.origin).parent
    settings = {path.stem.lower(): path.stem for path in (folder / "properties" / "model").glob("*.yaml")}
    modules = sorted(path.stem for path in (folder / "model" / f"{kind}_recommender").glob("[a-z]*.py"))
    return [settings[module] for module in modules if module in settings]


def train(kind, model, to):
    """One model in a process of its own; its row goes to a file."""
    from recbole.quick_start import run_recbole

    began = time.process_time()
    row = {"kind": kind, "model": model, "python": platform.python_version()}
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        logging.disable(logging.CRITICAL)
        try:
            found = run_recbole(model=model, dataset="ml-100k", config_dict=settings_of(kind, model), saved=False)
            row |= {"valid": dict(found["best_valid_result"] or {}), "test": dict(found["test_result"])}
        except Exception as error:  # it is what the table is about, and stands in it
            row["fault"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    row["seconds"] = round(time.process_time() - began, 1)
    Path(to).write_text(json.dumps(row))


def settings_of(kind, model):
    """RecBole's defaults, and what RecBole itself asks for by a sentence."""
    settings = {**SETTINGS, **OF_KIND.get(kind, {}), **OF_MODEL.get(model, {})}
    if model in ("MultiVAE", "MultiDAE", "MacridVAE", "CDAE", "ENMF", "RaCT", "RecVAE", "DiffRec", "LDiffRec"):
        settings["train_neg_sample_args"] = None
    return settings


def run(options):
    for module in ("recbole_sheaf", "recbole.quick_start"):  # the first mends the second; once, for all forks below
        importlib.import_module(module)

    sys.argv = sys.argv[:1]
    there = (
        {json.loads(line)["model"] for line in options.to.read_text().splitlines()} if options.to.exists() else set()
    )
    context, part = multiprocessing.get_context("fork"), options.to.with_suffix(".part")
    for kind in options.kinds:
        for model in names(kind):
            if model in there or (options.models and model not in options.models):
                continue
            part.unlink(missing_ok=True)
            process = context.Process(target=train, args=(kind, model, part))
            process.start()
            process.join(options.seconds)
            if process.is_alive():
                process.kill()
                process.join()
            row = {"kind": kind, "model": model, "fault": f"ended after {options.seconds} s, or by the system"}
            row = json.loads(part.read_text()) if part.exists() else row
            row["versions"] = {name: version(name) for name in PACKAGES}
            with options.to.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(kind, model, row.get("test") or row["fault"], flush=True)
    part.unlink(missing_ok=True)


def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def table(options):
    """Markdown of two files of rows."""
    first, second = ({row["model"]: row for row in map(json.loads, path.open())} for path in options.rows)
    heads = [next(iter(rows.values())) for rows in (first, second)]
    pythons = [".".join(row["python"].split(".")[:2]) for row in heads]
    print("# RecBole's own models\n")
    print(
        "Every model of RecBole 1.2.1, one epoch by `run_recbole` with its defaults, seed 2020, one thread, on the\n"
        "users of ml-100k with 200 interactions and more and its items with 20 and more."
    )
    print("`python docs/recbole_models.py` makes this page; its head says how.\n")
    for row, python in zip(heads, pythons):
        held = ", ".join(f"{name} {found}" for name, found in row["versions"].items() if found)
        print(f"- Python {python}: {held}")
    for kind in KINDS:
        models = [model for model, row in first.items() if row["kind"] == kind]
        if not models:
            continue
        figure = FIGURES.get(kind, "ndcg@20")
        same = sum(of(first[name], figure) == of(second.get(name), figure) and "test" in first[name] for name in models)
        print(f"\n## {kind.replace('_', '-').capitalize()} models\n")
        print(f"{same} of {len(models)} train, evaluate and have the same figure on both.\n")
        print(f"| model | {figure.upper()} on test, Python {pythons[0]} | {pythons[1]} | |")
        print("|:--|--:|--:|:--|")
        for model in models:
            rows = [first[model], second.get(model, {"fault": "not run"})]
            shown = [of(row, figure) for row in rows]
            faults = dict.fromkeys(row["fault"] for row in rows if "fault" in row)
            print(f"| {model} | {shown[0]} | {shown[1]} | {'; '.join(faults)} |")


def of(row, figure):
    return f"{row['test'][figure]:.4f}" if row and "test" in row else "-"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run")
    running.add_argument("--to", type=Path, required=True)
    running.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    running.add_argument("--models", nargs="+")
    running.add_argument("--seconds", type=int, default=600, help="after which a model is ended")
    running.set_defaults(call=run)
    writing = commands.add_parser("table")
    writing.add_argument("rows", nargs=2, type=Path)
    writing.set_defaults(call=table)
    options = parser.parse_args()
    options.call(options)


if __name__ == "__main__":
    main()
