"""The command ``results``: what it prints and writes, and what it refuses in one sentence with exit code 2."""

import csv
import io

import pytest

from recbole_sheaf.cli import main
from tests.experiments.planted import plant


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The command reads only, so all tests share one store."""
    return str(plant(tmp_path_factory.mktemp("results") / "store.duckdb").path)


def printed(capsys, *arguments):
    assert main(["results", *arguments]) == 0
    return capsys.readouterr().out


def as_rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_means_are_listed_and_filtered(path, capsys):
    rows = as_rows(printed(capsys, path, "--ablation=real", "--format=csv"))
    assert [(row["model"], row["seeds"]) for row in rows] == [
        ("better", "1"),
        ("LightGCN", "2"),
        ("same", "1"),
        ("worse", "1"),
    ]
    rows = as_rows(printed(capsys, path, "--model=better, same", "--format=csv"))
    assert [(row["ablation"], row["model"]) for row in rows] == [
        ("real", "better"),
        ("real", "same"),
        ("shuffled", "better"),
    ]


def test_runs_are_listed_one_by_one(path, capsys):
    rows = as_rows(printed(capsys, path, "--show=runs", "--model=LightGCN", "--ablation=real", "--format=csv"))
    assert [(row["seed"], float(row["valid recall@20"])) for row in rows] == [("1", 0.3), ("2", 0.34)]


def test_csv_keeps_every_digit(path, capsys):
    rows = as_rows(printed(capsys, path, "--sql=SELECT 1 / 3 AS third", "--format=csv"))
    assert float(rows[0]["third"]) == 1 / 3


def test_a_table_marks_models_in_every_format(path, capsys, tmp_path):
    table = [path, "--ablation=real", "--table", "--against=LightGCN", "--metric=Recall@20"]
    markdown = printed(capsys, *table, "--wide")
    lines = {line.split("|")[4].strip(): line for line in markdown.splitlines() if line.startswith("| e")}
    assert "▲" in lines["better"] and "▼" in lines["worse"]
    assert not {"▲", "▼"} & set(lines["same"] + lines["LightGCN"])
    assert markdown.rstrip().endswith("adjusted by Holm's method for 3 comparisons in each metric.")
    marks = {row["model"]: row["recall@20 mark"] for row in as_rows(printed(capsys, *table, "--format=csv"))}
    assert marks == {"better": "▲", "worse": "▼", "same": "", "LightGCN": ""}
    latex = printed(capsys, *table, "--format=latex")
    assert latex.count(r"$\blacktriangle$") == 1 and latex.count(r"$\blacktriangledown$") == 1
    assert latex.startswith(r"\begin{tabular}") and "s/epoch" in latex and "▲" not in latex


def test_an_output_file_holds_what_the_screen_would(path, capsys, tmp_path):
    shown = printed(capsys, path, "--show=strata", "--format=csv")
    target = tmp_path / "out" / "strata.csv"
    assert printed(capsys, path, "--show=strata", "--format=csv", f"--output={target}") == f"written: {target}\n"
    assert target.read_text() == shown and len(as_rows(shown)) == 7 * 2


def test_differences_come_for_each_metric(path, capsys):
    given = [path, "--ablation=real", "--show=differences", "--against=LightGCN", "--format=csv"]
    rows = as_rows(printed(capsys, *given))
    assert [row["metric"] for row in rows] == ["recall@20"] * 3 + ["ndcg@20"] * 3
    assert {row["against"] for row in rows} == {"LightGCN"}


def test_sql_answers_and_changes_nothing(path, capsys):
    query = "SELECT label, max(test['recall@20']) AS best FROM entries JOIN runs USING (run) GROUP BY label"
    best = {row["label"]: float(row["best"]) for row in as_rows(printed(capsys, path, "--sql", query, "--format=csv"))}
    assert best["LightGCN"] == pytest.approx(0.49) and len(best) == 4
    assert main(["results", path, "--sql", "DELETE FROM runs"]) == 2
    assert "does not answer" in capsys.readouterr().err
    assert len(as_rows(printed(capsys, path, "--show=runs", "--format=csv"))) == 7


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["--table", "--against=LightGNC", "--ablation=real"],
            "no run of 'LightGNC' to compare with (did you mean",
        ),
        (["--table", "--against=LightGCN"], "name one with --ablation"),
        (["--table"], "ConfigError: --against is missing; name the model to compare with"),
        (["--show=differences"], "ConfigError: --against is missing"),
        (["--against=LightGCN"], "ConfigError: --against marks nothing by itself; add --table"),
        (["--table", "--against=LightGCN", "--metric=,"], "ConfigError: --metric is empty"),
        (["--show=differences", "--against=LightGCN", "--metric="], "ConfigError: --metric is empty"),
        (["--table", "--against=same", "--ablation=real", "--metric=MRR@20"], "there is no metric 'mrr@20' per user"),
        (["--model=Nobody"], "holds no finished run of label Nobody; there are experiment: e; dataset: toy; label: Li"),
        (["--show=users", "--dataset=nowhere"], "holds no finished run of dataset nowhere; there are"),
        (["--show=trials", "--model=better"], "trials are listed whole, without --model"),
        (["--sql", "SELEC 1"], "does not answer"),
        (["--output=."], "cannot be written"),
    ],
)
def test_refusals_are_one_sentence_and_exit_code_2(path, capsys, arguments, message):
    assert main(["results", path, *arguments]) == 2
    told = capsys.readouterr()
    (error,) = told.err.strip().splitlines()
    assert message in error and "Error: " in error and told.out == ""


def test_an_absent_store_is_refused_and_not_made(tmp_path, capsys):
    assert main(["results", str(tmp_path / "absent.duckdb")]) == 2
    assert capsys.readouterr().err.startswith(f"StoreError: there is no store {tmp_path}/absent.duckdb; 'recbole-sheaf")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "text.duckdb").write_text("hello")
    assert main(["results", str(tmp_path / "text.duckdb")]) == 2
    assert "cannot be opened as a store" in capsys.readouterr().err


def test_an_unknown_table_is_refused_by_the_parser(path, capsys):
    with pytest.raises(SystemExit) as exit:
        main(["results", path, "--show=everything"])
    assert exit.value.code == 2 and "invalid choice: 'everything'" in capsys.readouterr().err


def test_the_store_itself_is_no_place_for_a_table(tmp_path, capsys):
    path = plant(tmp_path / "s.duckdb").path
    before = path.read_bytes()
    assert main(["results", str(path), "--output", str(tmp_path / "x" / ".." / "s.duckdb")]) == 2
    assert "--output is the store" in capsys.readouterr().err and path.read_bytes() == before


def test_tables_fit_the_screen_unless_asked_to_be_wide(path, capsys):
    assert main(["results", path, "--show=runs"]) == 0
    narrow = capsys.readouterr()
    assert max(map(len, narrow.out.splitlines())) <= 100
    assert narrow.err.startswith("left out to fit the screen, --wide shows all: parameters, peak MiB")
    assert main(["results", path, "--show=runs", "--wide"]) == 0
    wide = capsys.readouterr()
    assert "parameters" in wide.out.splitlines()[0] and not wide.err


@pytest.mark.parametrize("ending, start", [("md", "| experiment"), ("csv", "experiment,"), ("tex", r"\begin{tabular}")])
def test_the_ending_of_the_output_chooses_its_form(path, capsys, tmp_path, ending, start):
    target = tmp_path / f"runs.{ending}"
    printed(capsys, path, "--show=runs", f"--output={target}")
    text = target.read_text()
    assert text.lower().startswith(start) and "parameters" in text, "a file has no screen to fit"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--output=x.xlsx"], "which ends in '.xlsx'; expected .md, .csv, .tex"),
        (["--output=x.md", "--format=csv"], "--format is csv, but --output ends in .md"),
    ],
)
def test_an_output_that_would_hold_something_else_is_refused(path, workplace, capsys, arguments, message):
    assert main(["results", path, *arguments]) == 2
    assert message in capsys.readouterr().err and not list(workplace.glob("x.*"))


def test_settings_are_listed_a_line_per_model(path, capsys):
    rows = as_rows(printed(capsys, path, "--show=settings", "--ablation=real", "--format=csv"))
    assert [(row["model"], row["class"]) for row in rows] == [
        ("LightGCN", "BPR"),
        ("better", "BPR"),
        ("same", "BPR"),
        ("worse", "BPR"),
    ]
    assert main(["results", path, "--show=settings", "--model=LightGNC"]) == 2
    assert "holds no finished run of label LightGNC" in capsys.readouterr().err
