"""docs/report_page.py: runs from stores into the table, the page made anew, and what only lost stores knew is kept."""

import csv

import pandas as pd
import pytest

from recbole_sheaf.errors import DataError
from recbole_sheaf.store.material import read_material
from recbole_sheaf.store.store import Store
from tests.conftest import REPOSITORY, script_of_docs
from tests.report.stores import add, at_once

TODAY = REPOSITORY / "docs" / "results" / "defaults.csv"
PLACES = {("defaults", "MMSheaf", "toy", "real", seed) for seed in (1, 2)}


@pytest.fixture(scope="module")
def page():
    return script_of_docs("report_page")


def with_board(experiment, score, interval="", further=""):
    """A page of one dataset, its board with or without an interval, and sections that tables cannot give."""
    head, rule, cell = (" interval |", "--:|", f" {interval} |") if interval else ("", "", "")
    board = f"| model | recall@20 |{head}\n|:--|--:|{rule}\n| MMSheaf | {score} |{cell}"
    return "\n\n".join(
        [
            f"# Report\n\nlead\n\n## At a glance\n\nMMSheaf {score}",
            f"## toy\n\nThe experiment {experiment} on toy compares MMSheaf.",
            f"### Leaderboard\n\n**Test metrics, the best on validation first**\n\n{board}",
            *([further] if further else []),
            "### The data\n\nsizes",
            f"## Appendix: Environment\n\n{'old' if interval else 'new'}\n",
        ]
    )


STRATA = "### Who is served, what is found\n\nold strata"


def test_what_only_a_lost_store_knew_is_kept_while_the_figures_are_the_same(page):
    kept = with_board("e", "**0.5** ▼", "[0.4, 0.6]", STRATA)
    merged = page.merged(kept, with_board("e", "0.5"))
    assert STRATA in merged and "[0.4, 0.6]" in merged and "Environment\n\nold" in merged
    assert merged.index("Leaderboard") < merged.index("old strata") < merged.index("The data")
    assert "glance\n\nMMSheaf 0.5\n" in merged, "the first page is always the new one"
    assert page.merged(merged, with_board("e", "0.5")) == merged


@pytest.mark.parametrize("made", [with_board("e", "0.7"), with_board("other", "0.5")])
def test_of_other_figures_or_of_another_experiment_nothing_is_kept(page, made):
    merged = page.merged(with_board("e", "0.5", "[0.4, 0.6]", STRATA), made)
    assert "[0.4" not in merged and "strata" not in merged
    assert merged == made.replace("\n\nnew\n", "\n\nold\n")


def test_a_store_that_knows_as_much_gives_its_own(page):
    made = with_board("e", "0.5", "[0.3, 0.7]", STRATA.replace("old", "new"))
    merged = page.merged(with_board("e", "0.5", "[0.4, 0.6]", STRATA), made)
    assert "[0.3, 0.7]" in merged and "new strata" in merged and "old strata" not in merged


def test_marks_of_the_first_page_are_not_lost_in_silence(page):
    line = "\n\n**What is significant**\n\n| dataset | compared with |\n|:--|:--|\n| toy, recall@20 | MMSheaf |\n"
    kept = with_board("e", "0.5").replace("\n\n## toy", f"{line}\n## toy")
    assert page.merged(kept, kept) == kept
    with pytest.raises(SystemExit, match="significant on toy, recall@20"):
        page.merged(kept, with_board("e", "0.5"))


def test_runs_with_a_place_go_into_the_table_in_the_place_of_old_ones(page, tmp_path):
    store = Store(tmp_path / "store.duckdb")
    with at_once(store):
        for label, seed in (("MMSheaf", 1), ("MMSheaf", 2), ("MMSheaf", 3), ("tried", 1)):
            add(store, label, seed, 0.5, experiment="named otherwise")
    with store.writing() as connection:
        connection.execute("UPDATE runs SET chosen = MAP {'ridge': 100.0}")
    table = tmp_path / "defaults.csv"
    heads = TODAY.read_text(encoding="utf-8").splitlines()[0]
    table.write_text(
        f"{heads}\ntoy,EASE,1,0.4,0.4,0.2,0,1,,,1,,\ntoy,MMSheaf,1,0.1,0.1,0.1,0,1,,,1,,\n", encoding="utf-8"
    )
    assert page.add_rows(table, [store], PLACES, "defaults") == 2
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [(row["model"], row["seed"], row["run"]) for row in rows] == [
        ("EASE", "1", ""),
        ("MMSheaf", "1", "named otherwise-toy-real-MMSheaf-1"),
        ("MMSheaf", "2", "named otherwise-toy-real-MMSheaf-2"),
    ]
    assert rows[1]["chosen"] == "ridge=100" and rows[1]["valid recall@20"] == "0.5" and None not in rows[1]
    assert page.add_rows(table, [store], PLACES, "defaults") == 0


def test_differences_are_those_of_rows_with_seeds_enough(page, tmp_path):
    store = Store(tmp_path / "store.duckdb")
    with at_once(store):
        for seed in range(1, 6):
            add(store, "MMSheaf", seed, 0.5, experiment="defaults")
            add(store, "EASE", seed, 0.3, experiment="defaults")
            add(store, "MMSheaf", seed, 0.2, experiment="defaults", ablation="noise")
        add(store, "once", 1, 0.3, experiment="defaults")
    (path,) = page.write_differences(store, read_material(store, {}), "defaults", tmp_path)
    assert path.name == "defaults-toy-differences.csv"
    assert pd.read_csv(path)[["metric", "model", "against"]].to_numpy().tolist() == [
        ["recall@20", "EASE", "MMSheaf"],
        ["ndcg@20", "EASE", "MMSheaf"],
    ]


@pytest.fixture
def small(monkeypatch):
    """The script with three runs of its table: a row of two seeds, and a row of one."""
    runs = script_of_docs("runs")
    table = runs.table_of_runs()
    own = table[(table["experiment"] == "defaults") & (table["dataset"] == "baby")].drop_duplicates(["label", "seed"])
    rows = own[(own["label"] == "FREEDOM softmax") | (own["label"] == "EASE")].copy()
    rows["run"] = [f"{line.label}-{line.seed}" for line in rows.itertuples()]
    monkeypatch.setattr(runs, "table_of_runs", lambda: rows)
    return runs, rows.set_index("run")["recall@20"]


def source_of(path, scores, names):
    store = Store(path)
    for name in names:
        run = add(store, name, 1, 0.5)
        with store.writing() as connection:
            test = f"MAP {{'recall@20': {scores[name]}, 'itemcoverage@20': 0.25}}"
            connection.execute(f"UPDATE runs SET run = ?, test = {test} WHERE run = ?", [name, run])
            for table in ("user_metrics", "strata", "curves"):
                connection.execute(f"UPDATE {table} SET run = ? WHERE run = ?", [name, run])
    return store


def test_users_are_taken_from_a_store_of_rows_that_are_there_with_all_their_seeds(small, tmp_path):
    runs, scores = small
    source = source_of(tmp_path / "source.duckdb", scores, ["EASE-1", "FREEDOM softmax-1"])
    store = Store(tmp_path / "store.duckdb")
    for _ in range(2):  # the second time changes nothing
        assert runs.write_runs(store, [source]) == (3, 3)
        for table, lines in (("user_metrics", 80), ("strata", 5), ("curves", 3)):
            assert store.rows(f"SELECT run FROM {table}")["run"].tolist() == ["EASE-1"] * lines
    cover = store.rows("SELECT run, test['itemcoverage@20'] AS cover FROM runs ORDER BY run")["cover"]
    assert cover.fillna(0).tolist() == [0.25, 0, 0]


def test_a_run_of_the_same_name_with_other_scores_is_refused(small, tmp_path):
    runs, scores = small
    source = source_of(tmp_path / "source.duckdb", scores + 0.01, ["EASE-1"])
    with pytest.raises(DataError, match="has another recall@20 of run EASE-1 than the table"):
        runs.write_runs(Store(tmp_path / "store.duckdb"), [source])
