"""The coursework: its files are experiments, page and notebook go by them, and what the notebook stored is whole."""

import json
import re
import shlex

import pytest
import yaml

from recbole_sheaf.experiments.grid import read_experiment
from tests.conftest import REPOSITORY
from tests.test_documentation import printed_commands, text

FOLDER = REPOSITORY / "examples" / "coursework"
NOTEBOOK = REPOSITORY / "examples" / "coursework.ipynb"
PAGES = ("docs/coursework.md", "docs/ru/coursework.md")
STAGES = ("stage1", "stage2", "stage3")
MOST_BYTES = 300_000
METRICS = ("valid recall@20", "recall@20", "ndcg@20")


@pytest.fixture(scope="module")
def cells():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


@pytest.fixture(scope="module")
def printed(cells):
    """What each cell of code has written, as text."""
    return ["".join(map(as_text, cell["outputs"])) for cell in cells if cell["cell_type"] == "code"]


def as_text(output):
    return "".join(output.get("text", ())) + "".join(output.get("data", {}).get("text/plain", ()))


def html_of(cells, word):
    """The stored HTML table of the cell whose source has a word."""
    (cell,) = (cell for cell in cells if cell["cell_type"] == "code" and word in "".join(cell["source"]))
    return "".join("".join(output.get("data", {}).get("text/html", ())) for output in cell["outputs"])


def declared(stage):
    return yaml.safe_load((FOLDER / f"{stage}.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def experiments(workplace):
    """The three files as they are read, beside settings such as a search writes."""
    tuned = workplace / "tuned" / "ml-100k"
    tuned.mkdir(parents=True)
    for model in ("SheafRec", "MMSheaf"):
        (tuned / f"{model}.yaml").write_text("learning_rate: 0.005\nloss: softmax\n")
    for stage in STAGES:
        (workplace / f"{stage}.yaml").write_text((FOLDER / f"{stage}.yaml").read_text())
    return {stage: read_experiment(workplace / f"{stage}.yaml") for stage in STAGES}


def test_a_file_is_a_stage_and_all_go_into_one_store(experiments):
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == sorted(STAGES)
    assert [experiments[stage].name for stage in STAGES] == list(STAGES)
    assert {experiment.store.name for experiment in experiments.values()} == {"coursework.duckdb"}


def test_stage_one_is_one_modality_beside_its_control(experiments):
    learnt, control = experiments["stage1"].runs
    assert {learnt.model, control.model} == {"SheafRec"} and "modalities" not in learnt.settings
    differing = {key for key in {**learnt.settings, **control.settings}
                 if learnt.settings.get(key) != control.settings.get(key)}  # fmt: skip
    assert differing == {"restriction_map"} and control.settings["restriction_map"] == "identity"


def test_stage_two_differs_from_both_modalities_by_one_thing_a_row(experiments):
    runs = {run.label: run for run in experiments["stage2"].runs}
    assert {label: runs[label].settings["modalities"] for label in ("title", "genre")} == {
        "title": ["title"],
        "genre": ["genre"],
    }
    whole = runs["title + genre"].settings
    for label, key in (("title + genre, identity maps", "restriction_map"), ("title + genre, shuffled", "features")):
        own = runs[label].settings
        assert {name for name in {**own, **whole} if own.get(name) != whole.get(name)} == {key}
    shared = declared("stage2")["settings"]
    sheafrec = yaml.safe_load((REPOSITORY / "properties" / "model" / "SheafRec.yaml").read_text())
    for name in set(shared) - {"epochs", "softmax_popularity"}:
        assert shared[name] == sheafrec[name], name


def test_stage_three_trains_what_was_found_from_several_seeds(experiments):
    runs = experiments["stage3"].runs
    found = {run.label for run in runs if run.settings.get("learning_rate") == 0.005}
    assert found == {"SheafRec searched", "MMSheaf searched"} and len({run.seed for run in runs}) == 2


@pytest.mark.parametrize("page", PAGES)
def test_the_page_runs_the_three_files_in_turn_and_the_notebooks_search(page, cells):
    commands = [(name, arguments) for name, arguments in printed_commands(page)]
    names = [arguments[0].removesuffix(".yaml") for name, arguments in commands if name == "compare"]
    assert names == list(STAGES)
    order = [name for name, _ in commands]
    assert order.index("tune") == 2 and order[-1] != "tune" and "report" in order
    (search,) = (shlex.join(arguments) for name, arguments in commands if name == "tune")
    sources = "\n".join("".join(cell["source"]) for cell in cells)
    assert search in sources and search in (FOLDER / "stage3.yaml").read_text()
    assert "jupyter execute --timeout=600 examples/coursework.ipynb" in text(page)


def test_every_cell_was_run_in_turn_and_nothing_of_the_machine_is_left(cells):
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    stored = json.dumps([cell["outputs"] for cell in code])
    assert '"error"' not in stored and "stderr" not in stored
    assert not re.search(r"/(root|home|tmp|usr|work|Users)/", stored)
    assert NOTEBOOK.stat().st_size < MOST_BYTES
    pictures = [output for cell in code for output in cell["outputs"] if "image/png" in output.get("data", {})]
    assert len(pictures) >= 4  # energy, maps, what a modality gives, common maps


def test_each_part_begins_in_russian_and_has_a_line_of_english(cells):
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown" and source.startswith("#"):
            assert re.match(r"#+ [^\n]*[а-яА-Я]", source) and re.search(r"\*[A-Z][a-z ][^*]{20,}\*", source), source


def test_the_stored_energy_falls_with_each_step(cells):
    numbers = [
        [float(cell) for cell in re.findall(r"<td>([\d.]+)</td>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", html_of(cells, "energies.round"), re.DOTALL)
    ]
    falls = [row for row in numbers if row]
    assert len(falls) == 1 + declared("stage1")["settings"]["epochs"]
    assert all(len(row) == 3 and row[0] > row[1] > row[2] > 0 for row in falls)


def test_the_stored_table_has_metrics_and_hyperparameters_of_every_model_of_each_stage(cells):
    table = html_of(cells, "metrics_and_hyperparameters.csv")
    assert all(f"<th>{name}</th>" in table for name in (*METRICS, "learning_rate", "epochs", "restriction_map"))
    for stage in STAGES:
        assert re.search(rf"<th[^>]*>{stage}</th>", table)
        for label in declared(stage)["models"]:
            assert f">{label}</th>" in table, label
    figures = [float(number) for number in re.findall(r"<td>(0\.\d+)</td>", table)]
    models = sum(len(declared(stage)["models"]) for stage in STAGES)
    assert sum(0.05 < number < 0.5 for number in figures) >= models * len(METRICS)


def test_the_stored_report_has_a_chapter_a_stage_and_passes_its_check(printed):
    *_, headings, check = printed
    for stage in STAGES:
        assert re.search(rf"^###? .*{stage}", headings, re.MULTILINE), stage
    for language in ("ru", "en"):
        line = next(line for line in check.splitlines() if line.startswith(f"report.{language}:"))
        assert "метрики, гиперпараметры и все этапы" in line and "metrics, hyperparameters and all stages" in line


def test_the_check_looks_for_metrics_hyperparameters_and_every_stage(cells):
    """What the last cell asserts, so that the line it prints means something."""
    check = "".join(cells[-2]["source"])
    assert all(f'"{word}"' in check for word in (*STAGES, "recall@20", "ndcg@20", "restriction_map", "learning_rate"))
    assert check.count("assert ") >= 4
