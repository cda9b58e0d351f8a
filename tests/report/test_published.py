"""Published figures: every line says where it is from, and none is shown beside another split."""

import csv

import pytest

from recbole_sheaf.report import published
from recbole_sheaf.report.document import Table
from recbole_sheaf.report.published import FILE, Printed, printed_on, repeated
from recbole_sheaf.report.sections.printed import printed
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import read_material
from recbole_sheaf.store.store import Store
from tests.conftest import REPOSITORY
from tests.report.stores import add

LINES = list(csv.DictReader(FILE.open(encoding="utf-8")))
TIKTOK = {"users": 9308, "items": 6710, "train": 59541, "valid": 3051, "test": 6130}
PARTS = ["train", "valid", "test"]


def group_of(tmp_path, dataset="tiktok", split=TIKTOK, parts=PARTS, labels=("BM3",)):
    store = Store(tmp_path / "store.duckdb")
    for place, label in enumerate(labels):
        add(store, label, 1, 0.2 + place / 10, dataset=dataset, split=split, benchmark_filename=parts)
    (group,) = read_material(store, {}).groups
    return group


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line['dataset']}-{line['model']}")
def test_each_line_has_a_source_a_split_and_how_it_was_chosen(line):
    assert line["paper"] and line["split"] and line["content"] and line["run_by_us"] == "no"
    assert line["selected_on"] in {"test", "validation", "not said"} and line["masked"] in PARTS
    assert all(int(line[size]) > 0 for size in TIKTOK) and line["dataset"] == line["dataset"].casefold()
    assert 0 < float(line["ndcg@20"]) < float(line["recall@20"]) < 1


def test_a_split_is_told_by_one_name_and_one_set_of_sizes():
    splits = {(line["dataset"], line["split"], *(line[size] for size in TIKTOK)) for line in LINES}
    assert len(splits) == len({line["dataset"] for line in LINES}) == 2
    assert len({(line["dataset"], line["model"]) for line in LINES}) == len(LINES)


def test_the_best_printed_on_tiktok_is_the_one_that_our_pages_name():
    best = max((line for line in LINES if line["dataset"] == "tiktok"), key=lambda line: float(line["recall@20"]))
    assert (best["model"], best["recall@20"], best["ndcg@20"]) == ("GenRec-V1", "0.1165", "0.0492")
    for page in ("results/README.md", "results/softmax.md", "results/published.md", "ru/results.md"):
        text = " ".join((REPOSITORY / "docs" / page).read_text(encoding="utf-8").split())
        assert "GenRec-V1" in text and ".1165" in text, page


def test_the_page_of_published_figures_is_the_file():
    page = (REPOSITORY / "docs" / "results" / "published.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|\n ").split("|")] for line in page.splitlines() if " | " in line]
    theirs = {tuple(cell.rstrip(" =") for cell in row) for row in rows if "ours" not in row[0]}
    for line in LINES:
        scores = [f"{float(line[metric]):.4f}".lstrip("0") for metric in ("recall@20", "ndcg@20")]
        assert (line["model"], *scores, line["paper"], line["content"], line["selected_on"]) in theirs


def test_figures_stand_beside_the_same_split(tmp_path):
    group = group_of(tmp_path, labels=("MMSheaf", "BM3"))
    (table,) = printed(group, Words("en"))
    assert isinstance(table, Table)
    models = [row[0].text for row in table.rows]
    assert models[:3] == ["BM3", "GenRec-V1", "MMHCL"], "the best on validation here, then the highest printed ones"
    bm3 = [cell.text for cell in table.rows[models.index("BM3", 1)]]
    assert bm3[1:3] == ["0.0957", "0.0404"] and bm3[3].startswith("0.3"), "printed, and here"
    assert bm3[5:] == ["DiffMM, arXiv 2406.11781 (ACM MM 2024)", "test", "training", "image, audio, text"]
    assert table.rows[0][7].text == "training and validation" and table.rows[0][6].text == "validation"


@pytest.mark.parametrize("size", list(TIKTOK))
def test_a_split_that_differs_in_one_size_is_another(tmp_path, size):
    group = group_of(tmp_path, split={**TIKTOK, size: TIKTOK[size] + 1})
    assert printed_on(group) == [] and printed(group, Words("en")) == []


@pytest.mark.parametrize("changed", [{"parts": None}, {"dataset": "baby"}, {"dataset": "toy"}])
def test_a_split_of_ours_and_another_dataset_have_no_printed_figures(tmp_path, changed):
    """Whatever sizes a random split happens to have."""
    assert printed_on(group_of(tmp_path, **changed)) == []


def test_a_dataset_is_known_however_its_folder_is_written(tmp_path):
    assert len(printed_on(group_of(tmp_path, dataset="TikTok"))) == 10


def test_equal_cells_of_two_papers_are_flagged_and_of_one_paper_not():
    def line(paper, recall, ndcg, dataset="d"):
        return Printed(dataset, "s", (1,), "m", recall, ndcg, paper, "test", "train", "none", "no")

    rows = [line("a", 0.1, 0.2), line("a", 0.1, 0.3), line("b", 0.4, 0.3), line("c", 0.4, 0.5, "other")]
    assert repeated(rows) == {(1, "ndcg@20"), (2, "ndcg@20")}


def test_the_flag_is_in_the_table_with_its_meaning(tmp_path):
    (table,) = printed(group_of(tmp_path), Words("en"))
    flagged = [(row[0].text, place) for row in table.rows for place in (1, 2) if row[place].text.endswith("=")]
    assert flagged == [("GenRec-V1", 2), ("MMHCL", 2)] and "copied, or chance" in table.note


def test_the_file_is_read_once(monkeypatch):
    first = published.published()
    monkeypatch.setattr(published, "FILE", None)
    assert published.published() is first and len(first) == len(LINES)
