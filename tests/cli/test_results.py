"""The command ``results``: what it prints and writes, and what it refuses in one sentence with exit code 2."""

import csv
import io
import re
import sys

import pytest

from recbole_sheaf.cli import main
from recbole_sheaf.cli.results import SHOWN
from tests.conftest import Terminal
from tests.store.planted import add, five_seeds, held_open, plant


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The command reads only, so all tests share one store."""
    with held_open(plant(tmp_path_factory.mktemp("results") / "store.duckdb")) as store:
        yield str(store.path)


@pytest.fixture(scope="module")
def of_five_seeds(tmp_path_factory):
    """The same models with seeds enough for marks."""
    store = plant(tmp_path_factory.mktemp("five") / "store.duckdb")
    five_seeds(store)
    with held_open(store) as store:
        yield str(store.path)


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


@pytest.fixture(scope="module")
def with_commas(tmp_path_factory):
    """A label that holds commas beside labels that are parts of it, and an ablation that holds one."""
    store = plant(tmp_path_factory.mktemp("commas") / "store.duckdb")
    add(store, "better, same", 1, [0.5] * 10, 0.4)
    add(store, "no, nothing", 1, [0.5] * 10, 0.4, ablation="titles, genres")
    with held_open(store) as store:
        yield str(store.path)


@pytest.mark.parametrize(
    "options, models",
    [
        (["--model", "better, same"], ["better, same"]),
        (["--model", "better,same"], ["better", "same"]),
        (["--model=better", "--model=same"], ["better", "same"]),
        (["--model=better, same", "--model=worse,better"], ["better", "better, same", "worse"]),
        (["--ablation=titles, genres"], ["no, nothing"]),
    ],
)
def test_a_name_with_commas_is_asked_for_as_it_stands_and_options_are_repeated(with_commas, capsys, options, models):
    given = options if "--ablation" in options[0] else [*options, "--ablation=real"]
    rows = as_rows(printed(capsys, with_commas, "--format=csv", *given))
    assert sorted({row["model"] for row in rows}) == models


def test_a_repeated_metric_is_another_and_a_part_of_a_name_is_refused(with_commas, capsys):
    (heading, *_) = printed(capsys, with_commas, "--metric=NDCG@20", "--metric=Recall@20", "--format=csv").splitlines()
    assert [name for name in heading.split(",") if name in ("recall@20", "ndcg@20")] == ["ndcg@20", "recall@20"]
    assert main(["results", with_commas, "--model=no"]) == 2
    assert """of label 'no'; there are LightGCN, better, "better, same", """ in capsys.readouterr().err


def test_runs_are_listed_one_by_one(path, capsys):
    rows = as_rows(printed(capsys, path, "--show=runs", "--model=LightGCN", "--ablation=real", "--format=csv"))
    assert [(row["seed"], float(row["valid recall@20"])) for row in rows] == [("1", 0.3), ("2", 0.34)]


def test_csv_keeps_every_digit(path, capsys):
    rows = as_rows(printed(capsys, path, "--sql=SELECT 1 / 3 AS third", "--format=csv"))
    assert float(rows[0]["third"]) == 1 / 3


def test_a_table_marks_models_in_every_format(of_five_seeds, capsys):
    table = [of_five_seeds, "--ablation=real", "--table", "--against=LightGCN", "--metric=Recall@20"]
    markdown = printed(capsys, *table, "--wide")
    lines = {line.split("|")[4].strip(): line for line in markdown.splitlines() if line.startswith("| e")}
    assert "▲" in lines["better"] and "▼" in lines["worse"]
    assert not {"▲", "▼"} & set(lines["same"] + lines["LightGCN"])
    assert "adjusted by Holm's method for 3 comparisons in each metric. Marks stand only between" in markdown
    marks = {row["model"]: row["recall@20 mark"] for row in as_rows(printed(capsys, *table, "--format=csv"))}
    assert marks == {"better": "▲", "worse": "▼", "same": "", "LightGCN": ""}
    latex = printed(capsys, *table, "--format=latex")
    assert latex.count(r"$\blacktriangle$") == 1 and latex.count(r"$\blacktriangledown$") == 1
    assert latex.startswith(r"\begin{tabular}") and "s/epoch" in latex and "▲" not in latex


def test_of_fewer_seeds_there_are_no_marks_and_the_line_below_says_why(path, capsys):
    markdown = printed(capsys, path, "--ablation=real", "--table", "--against=LightGCN", "--format=markdown")
    assert not {"▲", "▼"} & set(markdown)
    assert markdown.rstrip().endswith(
        "Marks stand only between models of 5 seeds or more. There are none here, since LightGCN has fewer."
    )


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
        (["--model=Nobody"], "holds no finished run of label 'Nobody'; there are "),
        (["--show=users", "--dataset=nowhere"], "holds no finished run of dataset 'nowhere'; there are toy"),
        (["--show=trials", "--model=better"], "trials are listed whole, without --model"),
        (["--sql", "SELEC 1"], "does not answer"),
        (["--output=."], "cannot be written"),
        (["--show=settings", "--metric=Recall@20"], "--metric chooses nothing in settings"),
        (["--show=failures", "--metric=Recall@20"], "--metric chooses nothing in failures"),
        (["--show=trials", "--metric=Recall@20"], "--metric chooses nothing in trials"),
        (["--sql=SELECT 1", "--metric=Recall@20"], "--metric chooses nothing in --sql"),
        (["--show=means", "--metric="], "ConfigError: --metric is empty"),
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


START = [("md", "| experiment"), ("csv", "experiment,"), ("tex", r"\begin{tabular}"), ("html", "<!doctype html>")]


@pytest.mark.parametrize("ending, start", START)
def test_the_ending_of_the_output_chooses_its_form(path, capsys, tmp_path, ending, start):
    target = tmp_path / f"runs.{ending}"
    printed(capsys, path, "--show=runs", f"--output={target}")
    text = target.read_text()
    assert text.lower().startswith(start) and "parameters" in text, "a file has no screen to fit"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--output=x.xlsx"], "which ends in '.xlsx'; expected .md, .csv, .tex, .html"),
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
    assert "holds no finished run of label 'LightGNC' (did you mean 'LightGCN'?)" in capsys.readouterr().err


@pytest.mark.parametrize("show", ["means", "runs", "users", "strata", "curves"])
def test_a_metric_is_all_that_is_shown_and_one_that_no_run_has_is_refused(path, capsys, show):
    rows = as_rows(printed(capsys, path, f"--show={show}", "--metric=Recall@20", "--format=csv"))
    names = {row["metric"] for row in rows} if "metric" in rows[0] else set(rows[0])
    assert "recall@20" in names and "ndcg@20" not in names
    assert main(["results", path, f"--show={show}", "--metric=Recal@20"]) == 2
    told = capsys.readouterr()
    assert "no run has the metric 'recal@20' (did you mean 'recall@20'" in told.err and told.out == ""


def test_metrics_come_in_the_order_they_are_asked_for_each_once(path, capsys):
    (heading, *_) = printed(capsys, path, "--metric=NDCG@20,Recall@20,ndcg@20", "--format=csv").splitlines()
    assert [name for name in heading.split(",") if name in ("recall@20", "ndcg@20")] == ["ndcg@20", "recall@20"]


def test_differences_come_for_the_metric_asked_for(path, capsys):
    given = [path, "--ablation=real", "--show=differences", "--against=LightGCN"]
    rows = as_rows(printed(capsys, *given, "--metric=NDCG@20", "--format=csv"))
    assert {row["metric"] for row in rows} == {"ndcg@20"}
    assert main(["results", *given, "--metric=NDGC@20"]) == 2
    assert "no metric 'ndgc@20' per user (did you mean 'ndcg@20'" in capsys.readouterr().err


def test_curves_have_a_column_a_metric_and_an_epoch_without_validation_an_empty_one(path, capsys):
    rows = as_rows(printed(capsys, path, "--show=curves", "--model=better", "--ablation=real", "--format=csv"))
    assert [(row["model" if "model" in row else "label"], row["epoch"], row["recall@20"]) for row in rows] == [
        ("better", "0", "0.1"),
        ("better", "1", ""),
    ]


def written(show, ending):
    """One table to every ending and every table to one; the other pairs are slow."""
    return pytest.param(show, ending, marks=() if show == "means" or ending == "csv" else pytest.mark.slow)


@pytest.mark.parametrize(
    "show, ending", [written(show, ending) for show in SHOWN for ending in ("md", "csv", "tex", "html")]
)
def test_every_table_is_written_to_every_ending(path, capsys, tmp_path, show, ending):
    target = tmp_path / f"table.{ending}"
    compared = ["--against=LightGCN", "--ablation=real"] if show == "differences" else []
    printed(capsys, path, f"--show={show}", f"--output={target}", *compared)
    text = target.read_text()
    assert text.endswith("\n") and "\x1b" not in text
    if show not in ("studies", "trials"):  # of which this store has none
        assert "LightGCN" in text or show in ("failures", "users"), "whole"
    if ending == "csv":
        assert len({len(line) for line in csv.reader(io.StringIO(text))}) == 1
    if ending == "tex":
        assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    if ending == "html":
        assert text.count("<table") == text.count("</table>") == 1 and "..." not in text


def on_a_terminal(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main(["results", *arguments]) == 0
    return sys.stdout.getvalue()


def test_the_best_of_each_metric_is_bold_on_a_terminal_alone(path, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    real = [path, "--ablation=real", "--metric=Recall@20"]
    assert "\x1b" not in printed(capsys, *real)
    text = on_a_terminal(monkeypatch, *real)
    bold = [line for line in text.splitlines() if "\x1b[1m" in line]
    assert len(bold) == 1 and "better" in bold[0] and bold[0].count("\x1b[1m") == 2, "on validation and on test"
    assert max(len(re.sub("\x1b\\[[01]m", "", line)) for line in text.splitlines()) <= 100
    assert "\x1b" not in on_a_terminal(monkeypatch, *real, "--format=markdown"), "a document"
    on_a_terminal(monkeypatch, *real, f"--output={tmp_path / 'table.md'}")
    assert "\x1b" not in (tmp_path / "table.md").read_text()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in on_a_terminal(monkeypatch, *real)


def test_marks_stay_on_a_narrow_screen(of_five_seeds, capsys):
    lines = printed(capsys, of_five_seeds, "--ablation=real", "--table", "--against=LightGCN").splitlines()
    assert max(map(len, lines)) <= 100
    (better,) = [line for line in lines if "| better" in line]
    (worse,) = [line for line in lines if "| worse" in line]
    assert "▲ 0.4650" in better and "▼ 0.3150" in worse


def test_what_is_left_out_is_said_in_one_line_with_what_all_rows_share(path, capsys):
    assert main(["results", path, "--show=runs", "--ablation=real"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("left out to fit the screen, --wide shows all: parameters, peak MiB")
