"""docs/experiments.md does as printed: its SQL runs, its tables name what there is, its experiment file is one."""

import re

import pytest

from recbole_sheaf.experiments.grid import KEYS, read_experiment
from recbole_sheaf.experiments.search_space import read_space
from recbole_sheaf.experiments.settings import resolve_configs
from tests.conftest import REPOSITORY
from tests.store.planted import plant

PAGE = (REPOSITORY / "docs" / "experiments.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def first_cells(heading):
    """Rows of the table under a heading, by the name in their first cell."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row for row in rows}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("page") / "store.duckdb")


def test_the_queries_answer_what_the_page_says(store):
    means, lost, cold = (store.rows(query) for query in blocks("sql"))
    line = means[(means["label"] == "LightGCN") & (means["ablation"] == "real")].iloc[0]
    assert (line["seeds"], line["recall"], line["deviation"]) == (2, pytest.approx(0.39), pytest.approx(0.02**0.5))
    assert len(means) == 6 and means.iloc[0]["label"] == "better"
    assert dict(zip(lost["label"], lost["lost"])) == {
        "better": pytest.approx(1 - 0.1 / 0.465),
        "LightGCN": pytest.approx(1 - 0.1 / 0.39),
    }
    assert len(cold) == 4 and set(cold["recall_of_cold_items"]) == {0.0} and set(cold["held_out"]) == {2}


def test_the_columns_are_those_of_the_store(store):
    written = {name: re.findall(r"`(\w+)`", row[2]) for name, row in first_cells("The store").items()}
    columns = store.rows("SELECT table_name, column_name FROM information_schema.columns ORDER BY ordinal_position")
    held = columns.groupby("table_name")["column_name"].apply(list).to_dict()
    del held["store"]
    assert written == held


def test_every_key_of_an_experiment_is_explained():
    assert tuple(first_cells("The experiment file")) == KEYS


def test_the_experiment_file_is_read_as_printed(workplace):
    (study,) = (block for block in blocks("yaml") if "# study.yaml" in block)
    (workplace / "study.yaml").write_text(study)
    tuned = workplace / "tuned" / "ml-100k"
    tuned.mkdir(parents=True)
    (tuned / "LightGCN.yaml").write_text("n_layers: 1\n")
    experiment = read_experiment(workplace / "study.yaml")
    assert len(experiment.runs) == 1 * 3 * 3 * 3 and set(re.findall(r"^(\w+):", study, re.MULTILINE)) == set(KEYS)
    assert {job.settings["n_layers"] for job in experiment.runs if job.label == "LightGCN"} == {1}


def test_the_search_space_is_read_as_printed(workplace):
    (space,) = (block for block in blocks("yaml") if "search_space:" in block)
    (workplace / "space.yaml").write_text(space)
    (config,) = resolve_configs(["LightGCN"], "ml-100k", ["space.yaml"], {})
    assert list(read_space(config)) == ["learning_rate", "n_layers"]


def test_headings_are_where_the_contents_point():
    anchors = {
        re.sub(r"[^\w\- ]", "", line[3:].lower()).replace(" ", "-") for line in PAGE.splitlines() if line[:3] == "## "
    }
    assert set(re.findall(r"^- \[.*\]\(#(.*)\)$", PAGE, flags=re.MULTILINE)) == anchors
