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
TABLE = pd.read_csv(FOLDER / "runs.csv")
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
    """Of each experiment the lines of its table of such a caption, without marks of significance.

    The main experiment of a dataset goes by the dataset, whose page it is.
    """
    found, dataset = {}, ""
    for level, heading, section in re.findall(r"^(##+) (.+?)\n(.*?)(?=^##|\Z)", page, re.DOTALL | re.MULTILINE):
        dataset = heading if level == "##" else dataset
        title = heading if "experiment" in heading else dataset
        table = section.partition(f"**{caption}")[2].partition("\n\n")[2].partition("\n\n")[0]
        lines = [re.sub(r"\s[▲▼]|\*\*", "", line).strip(" |").split(" | ") for line in table.splitlines()[2:]]
        if lines:
            found[title] = lines
    return found


def test_every_run_of_the_table_is_declared_by_an_experiment_file_and_every_one_declared_is_there(runs):
    cells = {tuple(line) for line in TABLE[runs.CELL].to_numpy().tolist()}
    assert len(cells) == len(TABLE) > 400
    assert runs.settings_of_cells().keys() == cells


def test_settings_are_those_of_the_file_over_the_protocol(runs):
    cells = runs.settings_of_cells()
    assert cells["tiktok-protocol", "EASE", "tiktok", "real", 1]["seen_at_test"] == ["train"]
    bm3 = cells["ml-100k", "BM3", "ml-100k", "real", 2]
    assert (bm3["stopping_step"], bm3["epochs"], bm3["seen_at_test"]) == (60, 60, ["train", "valid"])
    assert cells["ml-1m-content", "MMSheaf", "ml-1m", "noise", 1]["features"] == "noise"


@pytest.mark.parametrize("caption, columns", [("Test metrics", 9), ("Protocol", 2)])
def test_the_page_that_is_kept_says_what_the_tables_say(made, caption, columns):
    """Rows in their order, all but the intervals over users; sizes, splits, and when training ended."""
    kept, anew = (
        {title: [line[:columns] for line in lines] for title, lines in tables(page, caption).items()}
        for page in ((FOLDER / "report.md").read_text(encoding="utf-8"), made)
    )
    assert len(kept) == TABLE.groupby(["experiment", "dataset"]).ngroups
    assert anew == kept


def test_the_first_page_shows_all_datasets_and_what_content_was_worth(made):
    first = made.partition("\n## ")[2].partition("\n## ")[0]
    for said in ("| model | seeds | ml-100k | ml-1m | tiktok |", "GenRec-V1", "real over the best of these", "Failed"):
        assert said in first or said in made.partition("\n## ")[0], said
    content = {line.split(" | ")[0].strip("| "): line.split(" | ")[3:7] for line in first.splitlines()}
    assert content["tiktok"] == ["0.1188", "0.1051", "0.1078", "0.1081"]


def test_published_figures_stand_on_the_page_of_tiktok_alone(made):
    assert made.count("### Published figures on this split") == 1
    assert "| GenRec-V1 | 0.1165 | 0.0492\u00a0= |" in made.partition("\n## tiktok\n")[2].partition("\n## ")[0]


@pytest.mark.slow  # of a small store: tests/report/test_writing.py and test_rendering.py
def test_html_and_figures_are_made_of_the_table(store, tmp_path):
    write_report(store, tmp_path, ["en"])
    html = (tmp_path / "report.en.html").read_text(encoding="utf-8")
    assert html.count("Every item was ranked for every user") == 4, "on the first page and those of three datasets"
    assert len(html.encode()) < MOST_BYTES
    figures = {path.stem.rpartition("-")[0] for path in (tmp_path / "figures" / "en").glob("*.svg")}
    assert {"coverage", "seconds", "peak-memory-mib"} <= figures
    assert html.count("<svg") >= len(list((tmp_path / "figures" / "en").glob("*.svg")))


def test_what_is_drawn_is_not_kept():
    files = [path for path in FOLDER.rglob("*") if path.is_file() and ".duckdb" not in path.name]
    assert {path.suffix for path in files} == {".md", ".csv", ".yaml"}
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
