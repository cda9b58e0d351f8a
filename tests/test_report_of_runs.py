"""docs/report: its page says what its table of runs says, and the report can be drawn from what is kept there."""

import re

import pandas as pd
import pytest

from recbole_sheaf.report import drawing, write_report
from recbole_sheaf.report.assembling import assemble
from recbole_sheaf.report.rendering import as_markdown
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import read_material
from recbole_sheaf.store.store import Store
from tests.conftest import REPOSITORY, script_of_docs

FOLDER = REPOSITORY / "docs" / "report"
TABLE = script_of_docs("runs").table_of_runs()
TODAY = pd.read_csv(REPOSITORY / "docs" / "results" / "defaults.csv")
DATASETS = ["baby", "microlens-50k", "ml-100k", "ml-1m", "tiktok"]
INTERVAL = "recall@20, 95 % interval"
MOST_BYTES = 1_000_000  # of the folder; what is drawn is made again and not kept


@pytest.fixture(scope="module")
def runs():
    return script_of_docs("runs")


@pytest.fixture(scope="module")
def store(runs, tmp_path_factory):
    """A store with the runs of the table."""
    store = Store(tmp_path_factory.mktemp("report") / "runs.duckdb")
    assert runs.write_runs(store) == (TABLE["run"].nunique(), len(TABLE))
    return store


@pytest.fixture(scope="module")
def made(store):
    """The page that the table gives, in English; of its figures none is drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "_lay_out", lambda canvas: None)
        patch.setattr(drawing, "_svg", lambda canvas, name: "<svg></svg>")
        return as_markdown(assemble(read_material(store, {}), Words("en")))


def tables(page, caption):
    """Of each experiment the lines of its table of such a caption, without marks of significance and intervals.

    The main experiment of a dataset goes by the dataset, whose page it is.
    """
    found, dataset = {}, ""
    for level, heading, section in re.findall(r"^(##+) (.+?)\n(.*?)(?=^##|\Z)", page, re.DOTALL | re.MULTILINE):
        dataset = heading if level == "##" else dataset
        title = heading if "xperiment" in heading else dataset
        table = section.partition(f"**{caption}")[2].partition("\n\n")[2].partition("\n\n")[0]
        lines = [re.sub(r"\s[▲▼]|\*\*", "", line).strip("| ").split(" | ") for line in table.splitlines()]
        if lines:
            width = lines[0].index(INTERVAL) if INTERVAL in lines[0] else None
            found[title] = [line[:width] for line in [lines[0], *lines[2:]]]
    return found


def test_every_run_of_the_table_is_declared_by_an_experiment_file_and_every_one_declared_is_there(runs):
    """Of today's defaults some are still to be run."""
    cells = {tuple(line) for line in TABLE[runs.CELL].to_numpy().tolist()}
    assert len(cells) == len(TABLE) > 500
    declared = runs.declared_cells().keys()
    assert cells <= declared and {experiment for experiment, *_ in declared - cells} <= {"defaults"}


def test_rows_of_today_are_in_the_table_with_their_figures_and_their_class():
    today = TABLE[(TABLE["experiment"] == "defaults") & (TABLE["ablation"] == "real")]
    assert today[["dataset", "label", "seed", "recall@20", "best epoch", "run"]].notna().all(axis=None)
    assert today["recall@20"].tolist() == TODAY["recall@20"].tolist()
    assert set(zip(today["label"], today["model"])) > {("FREEDOM softmax", "FREEDOM"), ("MMSheaf", "MMSheaf")}
    assert TABLE["run"].nunique() == TABLE.drop_duplicates(["run", "dataset", "model", "seed"]).shape[0]


def test_settings_are_those_of_the_file_over_the_protocol(runs):
    cells = {cell: settings for cell, (_, settings) in runs.declared_cells().items()}
    assert cells["tiktok-protocol", "EASE", "tiktok", "real", 1]["seen_at_test"] == ["train"]
    bm3 = cells["ml-100k", "BM3", "ml-100k", "real", 2]
    assert (bm3["stopping_step"], bm3["epochs"], bm3["seen_at_test"]) == (60, 60, ["train", "valid"])
    assert cells["ml-1m-content", "MMSheaf", "ml-1m", "noise", 1]["features"] == "noise"


@pytest.mark.parametrize("caption", ["Test metrics", "Protocol"])
def test_the_page_that_is_kept_says_what_the_tables_say(made, caption):
    """Rows in their order, all but the intervals over users; sizes, splits, and when training ended."""
    kept, anew = (tables(page, caption) for page in ((FOLDER / "report.md").read_text(encoding="utf-8"), made))
    assert len(kept) == TABLE.groupby(["experiment", "dataset"]).ngroups
    assert anew == kept


def first_page(page):
    """The lines of the first page by what stands at their head."""
    first = page.partition("\n## ")[2].partition("\n## ")[0]
    return {line.split(" | ")[0].strip("| "): [c.strip() for c in line.split(" | ")[1:]] for line in first.splitlines()}


def test_the_first_page_shows_today_s_defaults_on_all_datasets(made):
    """MMSheaf's cells are the means of its rows, on the page that is kept and on the one that is made."""
    means = TODAY[TODAY["model"] == "MMSheaf"].groupby("dataset")[["recall@20", "ndcg@20"]].mean()
    for page in ((FOLDER / "report.md").read_text(encoding="utf-8"), made):
        lines = first_page(page)
        assert lines["model"][1:6] == DATASETS
        cells = [re.sub(r"[*▲▼]", "", cell).split("\u00a0/ ") for cell in lines["MMSheaf"][1:6]]
        assert cells == [[f"{value:.4f}" for value in means.loc[name]] for name in DATASETS]
        assert lines["best printed elsewhere"][1].endswith("BRIDGE")


def test_the_first_page_says_what_content_was_worth_and_in_which_experiment(made):
    content = {line[0]: [*line[:1], *line[3:5]] for line in [first_page(made)[name] for name in ("baby", "ml-1m")]}
    assert content["defaults"][2] == "0.0972" and content["ml-1m-content"][1:] == ["0.3139", "0.3123"]


def test_experiments_of_the_defaults_before_stand_on_the_pages_of_their_datasets(made):
    for dataset in ("ml-100k", "ml-1m", "tiktok"):
        page = made.partition(f"\n## {dataset}\n")[2].partition("\n## ")[0]
        assert f"### Experiment {dataset}\n" in page
        assert re.search(rf"Rows named as in defaults are other runs there, .*: in {dataset} MMSheaf", page)


def test_published_figures_stand_on_the_pages_of_the_splits_that_they_are_of(made):
    assert made.count("### Published figures on this split") == 2
    assert "| FITMM | 0.1089 | 0.0484 |" in made.partition("\n## baby\n")[2].partition("\n## ")[0]
    assert "| GenRec-V1 | 0.1165 | 0.0492\u00a0= |" in made.partition("\n## tiktok\n")[2].partition("\n## ")[0]


@pytest.mark.slow  # of a small store: tests/report/test_writing.py and test_rendering.py
def test_html_and_figures_are_made_of_the_table(store, tmp_path):
    write_report(store, tmp_path, ["en"])
    html = (tmp_path / "report.en.html").read_text(encoding="utf-8")
    assert html.count("Every item was ranked for every user") == 6, "on the first page and those of five datasets"
    assert len(html.encode()) < MOST_BYTES
    figures = {path.stem.rpartition("-")[0] for path in (tmp_path / "figures" / "en").glob("*.svg")}
    assert {"coverage", "seconds", "peak-memory-mib"} <= figures
    assert html.count("<svg") >= len(list((tmp_path / "figures" / "en").glob("*.svg")))


def test_what_is_drawn_is_not_kept():
    files = [path for path in FOLDER.rglob("*") if path.is_file() and ".duckdb" not in path.name]
    assert {path.suffix for path in files} == {".md", ".csv", ".yaml"}
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
