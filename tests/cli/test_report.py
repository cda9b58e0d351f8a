"""The command ``report``: what it writes, and what it refuses in one sentence with exit code 2."""

import pytest

from recbole_sheaf.cli import main
from recbole_sheaf.store.store import Store
from tests.report.stores import SPLIT, add, add_search


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("report") / "store.duckdb")
    add(store, "BPR", 1, 0.3)
    add(store, "LightGCN", 1, 0.3, experiment="f", split={**SPLIT, "train": 1})
    return str(store.path)


def test_both_languages_are_written_and_named(path, tmp_path, capsys):
    assert main(["report", path, f"--to={tmp_path / 'out'}", "--experiment=e", "--metric=NDCG@20"]) == 0
    said = capsys.readouterr().out
    assert "report.en.html" in said and "report.ru.html" in said
    page = (tmp_path / "out" / "report.ru.html").read_text(encoding="utf-8")
    assert '<html lang="ru">' in page and "Единственная модель, BPR: ndcg@20" in page and "LightGCN" not in page


def test_one_language_is_written(path, tmp_path, capsys):
    assert main(["report", path, f"--to={tmp_path / 'out'}", "--experiment=e", "--lang=en"]) == 0
    assert [file.name for file in sorted((tmp_path / "out").glob("*.html"))] == ["report.en.html"]


def test_searches_of_other_stores_are_told_of(path, tmp_path):
    other = Store(tmp_path / "tuned.duckdb")
    add_search(other, scores=(0.2, 0.4))
    arguments = [f"--to={tmp_path / 'out'}", "--experiment=e", "--lang=en", f"--searches={other.path}"]
    assert main(["report", path, *arguments]) == 0
    page = (tmp_path / "out" / "report.en.md").read_text(encoding="utf-8")
    assert "Trials of searches: 2" in page and "number 0 of 2 trials, not the best" in page


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--metric=recal@20"], "no run has the metric 'recal@20'"),
        (["--experiment=g"], "no finished run of experiment 'g'"),
        (["--titles=x.item"], "there is no --export beside"),
        (["--export=absent.npz"], "there is no file absent.npz"),
        (["--searches=absent.duckdb"], "there is no store absent.duckdb"),
        (["--searches=STORE"], "holds no trial; give stores that 'recbole-sheaf tune' wrote as --searches"),
    ],
)
def test_refusals_are_one_sentence_and_exit_code_2(path, tmp_path, capsys, arguments, message):
    given = [argument.replace("STORE", path) for argument in arguments]
    assert main(["report", path, f"--to={tmp_path / 'out'}", *given]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said and "\n" not in said and not (tmp_path / "out").exists()


def test_an_absent_store_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path / "absent.duckdb"), f"--to={tmp_path / 'out'}"]) == 2
    assert "there is no store" in capsys.readouterr().err and not (tmp_path / "out").exists()
