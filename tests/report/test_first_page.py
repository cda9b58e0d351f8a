"""The first page says what the rest proves, and what has nothing to say is not there."""

import re

import pandas as pd
import pytest

from recbole_sheaf.report.assembling import assemble
from recbole_sheaf.report.document import Figure, Paragraph, Table
from recbole_sheaf.report.pages import pages_of
from recbole_sheaf.report.rendering import as_html, as_latex, as_markdown, shared_letters
from recbole_sheaf.report.sections.content import content, knockouts
from recbole_sheaf.report.sections.environment import failed_jobs
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import read_material
from recbole_sheaf.store.store import Store
from tests.report.stores import add, at_once
from tests.report.test_published import PARTS, TIKTOK

EN = Words("en")


@pytest.fixture(scope="module")
def two_datasets(tmp_path_factory):
    """tiktok with two classes, its parts in an experiment of their own, and a second dataset."""
    store = Store(tmp_path_factory.mktemp("two") / "store.duckdb")
    own = {"dataset": "tiktok", "split": TIKTOK, "benchmark_filename": PARTS}
    with at_once(store):
        for seed in range(1, 6):
            add(store, "MMSheaf", seed, 0.5, model="MMSheaf", **own)
            add(store, "BM3", seed, 0.3, model="BM3", **own)
            add(store, "level", seed, 0.5, model="MMGCN", **own)
        add(store, "EASE", 1, 0.4, model="EASE", **own)
        for label in ("MMSheaf", "no maps"):
            add(store, label, 1, 0.2, model="MMSheaf", experiment="parts", **own)
        for label, level in (("EASE", 0.2), ("MMSheaf", 0.6)):
            add(store, label, 1, level, model=label)
        add(store, "only here", 1, 0.1, model="Pop")
    return read_material(store, {})


def tables_of(section):
    return {block.caption: block for block in section.blocks if isinstance(block, Table)}


@pytest.fixture(scope="module")
def first(two_datasets):
    document = assemble(two_datasets, EN)
    assert document.sections[0].name == "overview" and document.before_contents == 1
    return document.sections[0]


def test_one_table_has_all_datasets_and_marks_the_best_of_each(first):
    (table,) = [table for caption, table in tables_of(first).items() if caption.startswith("All datasets at test: rec")]
    assert list(table.heads) == ["model", "seeds", "tiktok", "toy"]
    rows = {row[0].text: row[1:] for row in table.rows}
    assert list(rows)[:2] == ["MMSheaf", "EASE"], "what both datasets have comes first, the best of it above"
    assert list(rows)[-1] == "best printed elsewhere" and rows["best printed elsewhere"][1].text.endswith("GenRec-V1")
    assert rows["MMSheaf"][0].text == "1–5" and rows["MMSheaf"][1].text == "0.5059\u00a0/ 0.2529"
    assert rows["BM3"][1].text == "0.3059▼\u00a0/ 0.1529▼" and rows["BM3"][2].text == ""
    assert [label for label, cells in rows.items() if cells[2].strong] == ["MMSheaf"]
    assert {label for label, cells in rows.items() if cells[1].strong} == {"MMSheaf", "level"}


def test_a_table_of_many_models_is_cut_and_says_so(tmp_path, monkeypatch):
    from recbole_sheaf.report.sections import overview

    monkeypatch.setattr(overview, "MOST_MODELS", 2)
    store = Store(tmp_path / "store.duckdb")
    with at_once(store):
        for place, label in enumerate("abc"):
            add(store, label, 1, 0.2 + place / 10)
            add(store, label, 1, 0.2 + place / 10, dataset="other")
        add(store, "best there", 1, 0.9, dataset="other")
    table = next(iter(tables_of(assemble(read_material(store, {}), EN).sections[0]).values()))
    assert [row[0].text for row in table.rows] == ["c", "best there"], "which one dataset alone has, and is best there"
    assert "Not shown: 2 more" in table.note


def test_what_is_significant_is_named_with_its_reference_and_the_rule(first):
    table = tables_of(first)["What is significant"]
    assert [cell.text for cell in table.rows[0]] == ["tiktok, recall@20", "MMSheaf", "", "BM3", "level", "EASE"]
    assert len(table.rows) == 1 and "toy: fewer than two models have them." in table.note
    assert EN("board.rule", seeds=5) in table.note


def test_without_single_users_the_first_page_says_why_nothing_is_marked(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    with at_once(store):
        for seed in range(5):
            add(store, "a", seed, 0.2)
            add(store, "b", seed, 0.4)
        with store.writing() as connection:
            connection.execute("DELETE FROM user_metrics")
    document = assemble(read_material(store, {}), EN)
    said = [block.text for block in document.sections[0].blocks if isinstance(block, Paragraph)]
    assert any("toy: the store holds no metrics of single users" in text for text in said)
    board = next(section for section in document.sections if section.name == "leaderboard-1").blocks[1]
    assert board.note.endswith("which are what is tested.") and "95 %" not in " ".join(board.heads)


def test_content_is_knocked_out_beside_real(documents, group):
    table = next(
        table for caption, table in tables_of(documents["en"].sections[0]).items() if "content used" in caption
    )
    assert list(table.heads) == ["dataset", "model", "seeds", "real", "shuffled", "real over the best of these"]
    assert [cell.text for cell in table.rows[0]] == ["toy", "MMSheaf", "1–5", "0.5059", "0.4539", "+11.5\u00a0%"]
    assert [each.real.label for each in knockouts(group)] == ["MMSheaf"], "missing content is not knocked out"


def with_content(path, noise=0.3, seeds=5):
    store = Store(path)
    with at_once(store):
        for seed in range(1, seeds + 1):
            add(store, "MMSheaf", seed, 0.5, model="MMSheaf")
            for kind, level in (("noise", noise), ("constant", 0.5)):
                add(store, "MMSheaf", seed, level, model="MMSheaf", ablation=kind, features=kind)
    return read_material(store, {}).groups


@pytest.mark.parametrize("seeds, mark", [(5, "\u00a0▼"), (4, "")])
def test_worse_without_content_is_marked_by_the_rule_of_all_marks(tmp_path, seeds, mark):
    (table,) = content(with_content(tmp_path / "store.duckdb", seeds=seeds), EN)
    real, noise, constant, gives = table.rows[0][3:]
    assert noise.text.endswith("▼") == bool(mark) and "▼" not in constant.text + real.text
    assert gives.text == "0.0\u00a0%", "constant content does as well"


def test_content_that_was_knocked_out_beside_another_change_says_nothing(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    add(store, "MMSheaf", 1, 0.5, model="MMSheaf")
    add(store, "MMSheaf", 1, 0.2, model="MMSheaf", ablation="noise", features="noise", learning_rate=0.1)
    assert content(read_material(store, {}).groups, EN) == []


def test_a_model_that_reads_no_content_says_nothing_of_it(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    run = add(store, "Pop", 1, 0.3)
    with store.writing() as connection:
        connection.execute(f"INSERT INTO entries VALUES ('e', 'Pop', 'toy', 'noise', 1, '{run}')")
    assert content(read_material(store, {}).groups, EN) == []


def test_failed_runs_are_counted_and_named(documents, material):
    first = documents["en"].sections[0]
    assert failed_jobs(material) == ["LightGCN on toy, seed 2"] and "Failed runs: 1." in documents["en"].lead
    assert first.blocks[-1].text.startswith("Runs that failed for good: 1 (LightGCN on toy, seed 2)")


def test_the_main_experiment_of_a_dataset_compares_most_classes(two_datasets):
    tiktok, toy = sorted(pages_of(two_datasets.groups), key=lambda page: page.dataset)
    assert (tiktok.main.experiment, [group.experiment for group in tiktok.parts], list(tiktok.beside)) == (
        "e",
        ["parts"],
        [],
    )
    assert toy.groups == [toy.main]


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """One experiment on two datasets; on one of them another that is broader, and a third that shares a run with it."""
    store = Store(tmp_path_factory.mktemp("beside") / "store.duckdb")
    with at_once(store):
        for dataset in ("toy", "other"):
            for label, level in (("MMSheaf", 0.6), ("EASE", 0.2)):
                add(store, label, 1, level, model=label, dataset=dataset, experiment="today")
            add(store, "MMSheaf", 1, 0.6, model="MMSheaf", dataset=dataset, experiment="wide but of one class")
        for label in ("MMSheaf", "BM3", "Pop"):
            add(store, label, 1, 0.4, model=label, experiment="before")
            add(store, label, 1, 0.4, model=label, experiment="alone", dataset="third")
        shared = {"dataset": "toy", "ablation": "real", "seed": 1, "run": "today-toy-real-MMSheaf-1"}
        add(store, "no maps", 1, 0.3, model="MMSheaf", experiment="parts")
        store.add_entries(pd.DataFrame([{"experiment": "parts", "label": "MMSheaf", **shared}]))
    return read_material(store, {})


def test_the_main_experiment_compares_on_most_datasets_and_only_then_most_classes(beside):
    pages = {page.dataset: page for page in pages_of(beside.groups)}
    mains = {dataset: page.main.experiment for dataset, page in pages.items()}
    assert mains == {"other": "today", "toy": "today", "third": "alone"}
    assert [group.experiment for group in pages["toy"].beside] == ["before"]


def test_other_experiments_are_named_and_so_are_rows_that_only_share_a_name(beside):
    sections = {section.name: section for section in assemble(beside, EN).sections}
    named = {page.dataset: page.main.name("beside") for page in pages_of(beside.groups)}
    said = sections[named["toy"]].blocks[0].text
    assert said.startswith("Also run on toy: before, parts and wide but of one class. Rows named as in today are other")
    assert said.endswith(": in before MMSheaf; in wide but of one class MMSheaf."), "that of parts is the main one's"
    assert named["third"] not in sections, "where there is no other"


def test_experiments_beside_the_main_one_have_their_strata_too(beside):
    titles = [section.title for section in assemble(beside, EN).sections]
    assert titles.index("Experiment before") + 1 == titles.index("Experiment before: who is served")


def test_lines_on_content_of_several_experiments_name_theirs(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    with at_once(store):
        for experiment, level in (("before", 0.4), ("today", 0.3)):
            add(store, "MMSheaf", 1, 0.5, experiment=experiment)
            add(store, "MMSheaf", 1, level, experiment=experiment, ablation="noise", features="noise")
    (table,) = content(read_material(store, {}).groups, EN)
    assert list(table.heads)[:4] == ["dataset", "experiment", "model", "seeds"]
    assert [[cell.text for cell in row[:3]] for row in table.rows] == [
        ["toy", "before", "MMSheaf"],
        ["toy", "today", "MMSheaf"],
    ]


def test_pages_then_appendices_and_parts_stand_behind(two_datasets):
    sections = assemble(two_datasets, EN).sections
    names = [section.name for section in sections]
    assert [section.title for section in sections if section.own_page] == ["tiktok", "toy"]
    pages = [names.index(section.name) for section in sections if section.own_page]
    assert 0 < min(pages) and max(pages) < names.index("appendix-parts") < names.index("appendix-commands")
    under = sections[names.index("appendix-parts") + 1]
    assert under.title == "tiktok: experiment parts" and [type(b) for b in under.blocks].count(Table) == 2
    assert "printed-1" in names or "printed-2" in names


def test_nothing_says_that_there_is_none(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    add(store, "BPR", 1, 0.3)
    with store.writing() as connection:
        for table in ("strata", "curves"):
            connection.execute(f"DELETE FROM {table}")
    document = assemble(read_material(store, {}), EN)
    names = [section.name for section in document.sections]
    for absent in (
        "strata",
        "curves",
        "variants",
        "ablations",
        "searches",
        "item-sheaf",
        "failures",
        "parts",
        "printed",
    ):
        assert not [name for name in names if absent in name], absent
    assert all(section.blocks or section.name.startswith("appendix-") for section in document.sections)
    text = as_markdown(document)
    assert not re.search(r"no (strata|learning curves|variants|ablations|search|row|export|run)\b", text, re.IGNORECASE)


@pytest.mark.parametrize("language", ["en", "ru"])
def test_links_stand_after_the_first_numbers_and_lead_somewhere(documents, language):
    html = as_html(documents[language])
    assert html.index("<table") < html.index('<details class="contents" open>') < html.index('class="page"')
    links = re.findall(r'<li class="l\d"><a href="#([^"]+)"', html)
    assert len(links) < 30 and all(f'id="{link}"' in html for link in links)
    latex = as_latex(documents[language])
    assert latex.index(r"\toprule") < latex.index(r"\tableofcontents") < latex.index(r"\clearpage")


def test_letters_are_on_a_page_once_and_every_use_finds_its_outline(documents):
    document = documents["en"]
    html = as_html(document)
    used = set(re.findall(r'href="#(letter-[0-9a-f]+)"', html))
    there = re.findall(r'<path id="(letter-[0-9a-f]+)"', html)
    assert used and used == set(there) and len(there) == len(set(there))
    assert "DejaVuSans-" not in html
    alone = sum(len(figure.svg) for figure in document.figures)
    letters, drawings = shared_letters(document.figures)
    assert len(letters) + sum(map(len, drawings.values())) < 0.75 * alone


def test_coordinates_have_two_decimals_and_scales_all_of_theirs(documents):
    svg = next(figure.svg for figure in documents["en"].figures if isinstance(figure, Figure))
    assert "scale(0.015625)" in svg
    paths = " ".join(re.findall(r' d="([^"]*)"', svg))
    assert re.search(r"\.\d", paths) and not re.search(r"\.\d{3,}", paths)
