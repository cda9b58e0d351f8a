"""Files appear whole, beside what was there, or not at all; whatever the store holds, and soon."""

import os
import time

import pytest

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.report import write_report, writing
from recbole_sheaf.store.store import Store
from tests.report.stores import add, add_search, with_many_runs


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("small") / "store.duckdb")
    add(store, "BPR", 1, 0.3)
    return store


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_store_with_one_run_makes_a_report(small, tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    (tmp_path / "report.en.html").write_text("old")
    assert write_report(small, tmp_path, ["en"]) == [tmp_path / "report.en.html"]
    there = files(tmp_path)
    assert {"mine.txt", "report.en.html", "report.en.md", "report.en.tex", "figures/en/figures.pdf"} <= set(there)
    assert not [name for name in there if "intervals" in name], "one interval is in the table and needs no drawing"
    assert "figures/en/curves-1.svg" in there and not [name for name in there if name.startswith(".")]
    assert "BPR, the only model, has recall@20" in (tmp_path / "report.en.html").read_text(encoding="utf-8")
    markdown = (tmp_path / "report.en.md").read_text(encoding="utf-8")
    linked = [line.split("](")[1].rstrip(")") for line in markdown.splitlines() if line.startswith("![")]
    assert linked and all((tmp_path / link).is_file() for link in linked)


def test_the_same_store_gives_the_same_pages(small, tmp_path):
    for name in ("a", "b"):
        write_report(small, tmp_path / name, ["ru"])
    for file in ("report.ru.html", "report.ru.md", "report.ru.tex"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_searches_alone_make_a_report(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    add_search(store)
    write_report(store, tmp_path / "out", ["ru"])
    assert "Завершённых запусков нет" in (tmp_path / "out" / "report.ru.html").read_text(encoding="utf-8")


def test_nothing_is_written_where_something_is_refused(small, tmp_path):
    for metrics, filters in ((["recal@20"], {}), ([], {"dataset": ["other"]})):
        with pytest.raises(DataError):
            write_report(small, tmp_path / "out", filters=filters, metrics=metrics)
    with pytest.raises(ConfigError, match="titles=.* names items of an export"):
        write_report(small, tmp_path / "out", titles=tmp_path / "x.item")
    with pytest.raises(DataError, match="there is no file"):
        write_report(small, tmp_path / "out", export=tmp_path / "absent.npz")
    assert not (tmp_path / "out").exists()


def test_an_error_in_the_middle_leaves_an_older_report(small, tmp_path, monkeypatch):
    (tmp_path / "report.en.html").write_text("old")

    def full_disk(document):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "as_latex", full_disk)
    with pytest.raises(ConfigError, match="No space left on device"):
        write_report(small, tmp_path, ["en"])
    assert files(tmp_path) == ["report.en.html"] and (tmp_path / "report.en.html").read_text() == "old"


def test_a_folder_that_is_none_is_refused_before_the_store_is_read(small, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(writing, "read_material", None)
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match="no report .* is no folder of yours; name another folder"):
            write_report(small, folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_others_is_refused(small, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="is no folder of yours"):
        write_report(small, tmp_path / "out")


@pytest.mark.slow
def test_two_hundred_runs_are_told_of_in_under_twenty_seconds(tmp_path):
    store = with_many_runs(tmp_path / "store.duckdb")
    started = time.process_time()  # of this process, so that others on the machine do not count
    write_report(store, tmp_path / "out")
    assert time.process_time() - started < 20
    page = (tmp_path / "out" / "report.en.html").read_text(encoding="utf-8")
    assert "Finished runs: 200." in page and page.count("model 17") > 5 and len(page) < 3_000_000
    assert "for 10 comparisons" in page and "without a mark for that: 29." in page
