"""``recbole-sheaf results``: list, filter and export what a store holds, with significance."""

import argparse
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.parser import Parser, chosen_names
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.files.whole_files import write_whole

EPILOG = """\
examples
  recbole-sheaf results tiktok.duckdb                                  means over seeds, a line per model
  recbole-sheaf results tiktok.duckdb --show runs --model LightGCN,MMSheaf
  recbole-sheaf results tiktok.duckdb --table --against LightGCN       marks what is significantly better or worse
  recbole-sheaf results tiktok.duckdb --show differences --against LightGCN --metric NDCG@20
  recbole-sheaf results tiktok.duckdb --show strata --format csv --output strata.csv
  recbole-sheaf results tiktok.duckdb --sql "SELECT label, max(test['recall@20']) FROM entries JOIN runs USING (run)
                                             GROUP BY label"

--metric, --experiment, --dataset, --model and --ablation may be repeated, so that a name with commas in it has one for
itself: --model "titles, no genres" --model MMSheaf. A value that is such a name as it stands is not taken apart.

Significance is two-sided, over users, whose metrics are averaged over a model's seeds first: a randomisation test for
the marks, Wilcoxon's signed-rank test beside it under --show differences, both corrected by Holm's method. Marks stand
only between models of five seeds or more, here as in the report.
"""
SHOWN = ("means", "runs", "settings", "differences", "users", "strata", "curves", "failures", "studies", "trials")
FORMATS = ("markdown", "csv", "latex", "html")
ENDINGS = {".md": "markdown", ".csv": "csv", ".tex": "latex", ".html": "html"}
WITHOUT_METRICS = ("settings", "failures", "studies", "trials")


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Print or write a table; gives the exit code."""
    options = parser().parse_args(argv)
    if options.output is not None and options.output.resolve() == options.store.resolve():
        raise ConfigError(f"--output is the store {options.store} itself; give another file")
    kind = _format(options)
    from recbole_sheaf.cli.screen import print_table
    from recbole_sheaf.store.store import Store

    table, legend = _table(Store(options.store), options)
    if options.output is not None:
        write_whole(options.output, _text(table, kind, legend) + "\n")
        print(f"written: {options.output}")
    elif options.format is None:
        print_table(table, options.wide, legend)
    else:  # a document, whole
        print(_text(table, kind, legend))
    return 0


def _format(options: argparse.Namespace) -> str:
    """The one asked for, or that of the file's ending; the two have to agree."""
    if options.output is None:
        return options.format or "markdown"
    if options.output.is_dir():
        raise ConfigError(f"--output is {options.output}, a folder, which cannot be written; give the path of a file")
    ending = options.output.suffix.lower()
    if ending not in ENDINGS:
        raise ConfigError(f"--output is {options.output}, which ends in '{ending}'; expected {', '.join(ENDINGS)}")
    if options.format not in (None, ENDINGS[ending]):
        raise ConfigError(f"--format is {options.format}, but --output ends in {ending}; leave one of them out")
    return ENDINGS[ending]


def _text(table: Any, kind: str, legend: str) -> str:
    from recbole_sheaf.evaluation import to_csv, to_html, to_latex, to_markdown

    if kind == "html":
        return to_html(table, legend).rstrip("\n")
    text = {"markdown": to_markdown, "csv": to_csv, "latex": to_latex}[kind](table).rstrip("\n")
    return f"{text}\n\n{legend}" if legend and kind == "markdown" else text


def _table(store: Any, options: argparse.Namespace) -> tuple[Any, str]:
    from recbole_sheaf.store import results

    filters = _filters(store, options)
    _refuse_half_a_comparison(options)
    _refuse_idle_metrics(options)
    metrics = chosen_names(options.metric, ())
    if options.sql:
        return store.rows(options.sql), ""
    if options.table:
        return results.beside_reference(store, filters, options.against, metrics)
    if options.show == "settings":
        return _settings(results.settings_of_runs(store, filters)), ""
    if options.show == "differences":
        return results.comparisons_with(store, filters, options.against, metrics), ""
    if options.show in ("means", "runs"):
        runs = results.finished_runs(store, filters, metrics)
        return (runs if options.show == "runs" else results.means_over_seeds(runs)), ""
    return results.raw_table(store, options.show, filters, metrics), ""


def _filters(store: Any, options: argparse.Namespace) -> dict[str, list[str]]:
    """Names by what they name, as the store calls it; a label may hold commas."""
    from recbole_sheaf.store.results import FILTERS, names_of_finished_runs

    given = {name: getattr(options, "model" if name == "label" else name) for name in FILTERS}
    known = names_of_finished_runs(store) if any(given.values()) else {}
    return {name: chosen_names(values, known.get(name, ())) for name, values in given.items()}


def _settings(rows: list[dict[str, Any]]) -> Any:
    """A line per model, whose seeds share their settings."""
    import pandas as pd

    from recbole_sheaf.report.settings import TRAINING, as_text, model_settings

    lines: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        place = tuple(str(row[name]) for name in ("experiment", "dataset", "ablation", "label"))
        line = {**dict(zip(("experiment", "dataset", "ablation", "model"), place)), "class": row["model"]}
        line.update({key: row["config"].get(key) for key in TRAINING})
        lines.setdefault(place, {**line, "settings": as_text(model_settings(row["model"], row["config"]))})
    return pd.DataFrame(list(lines.values()))


def _refuse_half_a_comparison(options: argparse.Namespace) -> None:
    compared = options.table or options.show == "differences"
    if compared and not options.against:
        raise ConfigError("--against is missing; name the model to compare with, for example --against LightGCN")
    if options.against and not compared:
        raise ConfigError("--against marks nothing by itself; add --table, or --show differences")


def _refuse_idle_metrics(options: argparse.Namespace) -> None:
    if options.metric is None:
        return
    if not chosen_names(options.metric, ()):
        raise ConfigError("--metric is empty; name metrics, for example --metric Recall@20,NDCG@20")
    if options.sql:
        raise ConfigError("--metric chooses nothing in --sql; write the metric into the query, test['recall@20']")
    if options.show in WITHOUT_METRICS and not options.table:
        raise ConfigError(f"--metric chooses nothing in {options.show}, which has no column of metrics; leave it out")


def parser() -> argparse.ArgumentParser:
    """Options of ``results``."""
    options = Parser(
        prog="recbole-sheaf results",
        description="List, filter and export the runs of a store.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("store", type=Path, help="the DuckDB file that 'compare' wrote")
    options.add_argument("--show", choices=SHOWN, default="means", help="what to list (default: means)")
    options.add_argument("--table", action="store_true", help="models beside --against, significance marked")
    options.add_argument("--against", help="the model to compare with")
    shown = "metrics to show (default: all; where models are compared, Recall@20 and NDCG@20 or what there is)"
    options.add_argument("--metric", action="append", help=shown)
    options.add_argument("--experiment", action="append", help="experiments, separated by commas")
    options.add_argument("--dataset", action="append", help="datasets, separated by commas")
    options.add_argument(
        "--model", action="append", help="models, by their names in the experiment, separated by commas"
    )
    options.add_argument("--ablation", action="append", help="ablations, separated by commas")
    options.add_argument("--format", choices=FORMATS, help="default: markdown, or what --output ends in")
    options.add_argument(
        "--output", type=Path, help="write to this .md, .csv, .tex or .html file instead of the screen"
    )
    options.add_argument("--wide", action="store_true", help="all columns, however wide the screen has to be")
    options.add_argument("--sql", help="a SQL query instead; the store's tables stand in recbole_sheaf.store.store")
    return options
