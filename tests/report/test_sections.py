"""What sections say, against a store whose numbers are known."""

import pandas as pd
import pytest

from recbole_sheaf.report.document import Figure, Listing, Paragraph, Table
from recbole_sheaf.report.sections.cost import unbeaten
from recbole_sheaf.report.sections.searches import space_text
from recbole_sheaf.report.settings import changed_settings, differing, model_settings
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import read_material
from recbole_sheaf.store.store import Store
from tests.report.stores import CONFIG, add, add_search


@pytest.fixture(scope="module")
def sections(documents):
    """Of the English document, by their names without the group's number."""
    return {section.name.removesuffix("-1"): section for section in documents["en"].sections}


def only(section, kind):
    return only_of(section.blocks, kind)


def only_of(blocks, kind):
    (found,) = [block for block in blocks if isinstance(block, kind)]
    return found


def said(section):
    return " ".join(
        block.text if isinstance(block, Paragraph) else block.sees
        for block in section.blocks
        if isinstance(block, (Paragraph, Figure))
    )


def column(table, head):
    place = list(table.heads).index(head)
    return [row[place].text for row in table.rows]


def test_both_languages_have_the_same_sections_and_blocks(documents):
    shapes = [
        [(section.name, section.level, [type(block) for block in section.blocks]) for section in document.sections]
        for document in documents.values()
    ]
    assert shapes[0] == shapes[1] and len(shapes[0]) == 22


def test_the_leaderboard_marks_the_best_and_what_five_seeds_support(sections):
    table = only(sections["leaderboard"], Table)
    assert column(table, "model") == ["MMSheaf", "identity", "LightGCN", "BPR"]
    recall = column(table, "recall@20")
    assert "0.5059" in recall[0] and "±\u00a00.0016" in recall[0] and "▼" in recall[1] and "▼" in recall[3]
    assert recall[2] == "0.3539", "one seed has neither deviation nor mark"
    assert [cell.strong for cell in [row[3] for row in table.rows]] == [True, False, False, False]
    assert "than MMSheaf" in table.note and "no mark: LightGCN" in table.note
    assert "MMSheaf is first on validation and has the best recall@20" in said(sections["leaderboard"])


def test_the_best_on_test_is_not_taken_for_the_best_on_validation(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    add(store, "a", 1, 0.4)
    add(store, "b", 1, 0.3)
    with store.writing() as connection:
        connection.execute("UPDATE runs SET valid = MAP {'recall@20': 0.9} WHERE run LIKE '%-b-%'")
    from recbole_sheaf.report.sections.leaderboard import leaderboard

    text = leaderboard(read_material(store, {}).groups[0], Words("en"))[0].text
    assert (
        text.startswith("b is first on validation (recall@20); the best recall@20 at test, 0.40")
        and "that of a" in text
    )


def test_hyperparameters_of_every_row_and_where_they_are_from(sections):
    table = only(sections["hyperparameters"], Table)
    assert column(table, "learning_rate") == ["0.001", "0.001", "0.001", "0.002"]
    assert column(table, "where from") == ["not searched"] * 3 + ["best of 4 trials (number 1)"]
    assert (
        column(table, "its own settings")[0].startswith("embedding_size = 64")
        and "restriction_map = diagonal" in (column(table, "its own settings")[0])
    )


def test_searched_space_and_budget(sections):
    table, trials = [block for block in sections["searches"].blocks if isinstance(block, Table)]
    assert column(table, "searched space") == ["learning_rate ∈ [0.0003; 0.01] (log); embedding_size ∈ {64, 128}"]
    assert column(table, "trials") == ["4"] and column(table, "most epochs") == ["5"]
    assert set(column(table, "ended as")[0].split(", ")) == {"complete 3", "failed 1"}
    assert column(table, "best score") == ["0.3000"] and column(trials, "state").count("failed") == 1
    assert "had the same budget" in said(sections["searches"])
    assert "gain over the defaults is that of BPR: +0.1" in said(sections["searches"])


def test_unequal_budgets_are_said(tmp_path):
    from recbole_sheaf.report.sections.searches import searches

    store = Store(tmp_path / "store.duckdb")
    add_search(store)
    add_search(store, model="LightGCN", scores=(0.1, 0.2))
    text = " ".join(b.text for b in searches(read_material(store, {}), Words("en")) if isinstance(b, Paragraph))
    assert "different budgets of trials or epochs on toy" in text


@pytest.fixture
def two_searches(tmp_path):
    """A model searched under either loss, the second search in a store of its own; trial 1 is the best of both."""
    store, other = Store(tmp_path / "store.duckdb"), Store(tmp_path / "searches.duckdb")
    for label, rate, settings in (
        ("own", 0.002, {"loss": "bpr"}),
        ("softmax", 0.002, {"loss": "softmax", "embedding_size": 64}),
        ("its trial", 0.003, {"loss": "softmax"}),
        ("by hand", 0.005, {"loss": "softmax"}),
        ("wider", 0.002, {"loss": "softmax", "embedding_size": 192}),
        ("noise", 0.002, {"loss": "softmax", "features": "noise"}),
        ("longer", 0.002, {"loss": "softmax", "stopping_step": 60}),
    ):
        add(store, label, 1, 0.3, model="LightGCN", learning_rate=rate, **settings)
    add(store, "Pop", 1, 0.1, model="Pop")
    add_search(store, model="Pop", scores=(0.1,), study="none", space={})
    add_search(store, model="LightGCN", scores=(0.2, 0.3), study="one", loss="bpr")
    add_search(
        other, model="LightGCN", scores=(0.2, 0.4, 0.1), study="two", loss="softmax", embedding_size=64, data_path="/x"
    )
    add_search(other, model="LightGCN", scores=(0.9,), study="one")
    return read_material(store, {}, searched=[other])


def test_rows_are_held_against_the_searches_of_their_own_loss_and_width(two_searches):
    from recbole_sheaf.report.sections.hyperparameters import hyperparameters

    (group,) = two_searches.groups
    found = column(only_of(hyperparameters(group, Words("en"), two_searches), Table), "where from")
    assert dict(zip([row.label for row in group.models], found)) == {
        "own": "best of 2 trials (number 1)",
        "softmax": "best of 3 trials (number 1)",
        "its trial": "number 2 of 3 trials, not the best",
        "by hand": "none of the 3 trials of its search",
        "wider": "not searched",
        "noise": "none of the 3 trials of its search",
        "longer": "best of 3 trials (number 1)",
        "Pop": "nothing to search",
    }


def test_searches_of_one_model_are_told_apart_and_their_common_settings_stand_beside(two_searches):
    from recbole_sheaf.report.sections.searches import searches

    blocks = searches(two_searches, Words("en"))
    table, trials = [block for block in blocks if isinstance(block, Table)]
    names = ["LightGCN, loss = bpr", "LightGCN, loss = softmax, embedding_size = 64"]
    assert column(table, "class") == [*names, "Pop"], "and the first store's search of a name is the one told of"
    assert column(table, "the same in all trials") == ["loss = bpr", "loss = softmax, embedding_size = 64", ""]
    assert column(trials, "class") == ["Pop"] + [names[0]] * 2 + [names[1]] * 3
    figure = only_of(blocks, Figure)
    assert "that of LightGCN, loss = softmax, embedding_size = 64: +0.2" in figure.sees


def test_searches_that_differ_in_their_training_alone_are_told_apart_by_it(tmp_path):
    from recbole_sheaf.report.sections.searches import searches

    store = Store(tmp_path / "store.duckdb")
    for study, stop in (("one", 5), ("two", 60)):
        add_search(store, model="BM3", scores=(0.1, 0.2), study=study, stopping_step=stop, epochs=60, eval_step=2)
    table, *_ = [block for block in searches(read_material(store, {}), Words("en")) if isinstance(block, Table)]
    assert column(table, "class") == ["BM3, stopping_step = 5", "BM3, stopping_step = 60"]
    assert column(table, "the same in all trials")[0] == "epochs = 60, stopping_step = 5, eval_step = 2"


def test_the_best_searches_are_drawn_and_how_many_is_said(tmp_path):
    from recbole_sheaf.report.drawing import MOST_SERIES
    from recbole_sheaf.report.sections.searches import searches

    store = Store(tmp_path / "store.duckdb")
    for number in range(MOST_SERIES + 1):
        add_search(store, model=f"M{number}", scores=(number, number + (0.1 if number else 0.9)))
    figure = only_of(searches(read_material(store, {}), Words("en")), Figure)
    assert f"Drawn are the {MOST_SERIES} best of {MOST_SERIES + 1} searches." in figure.sees
    assert "that of M0" not in figure.sees, "the worst of them gained most, and is left out"


def test_of_a_metric_that_is_better_small_the_smallest_trial_is_the_best(tmp_path):
    from recbole_sheaf.report.sections.searches import searches

    store = Store(tmp_path / "store.duckdb")
    add_search(store, scores=(0.9, 0.7, 0.8))
    with store.writing() as connection:
        connection.execute("UPDATE studies SET valid_metric = 'GiniIndex@20'")
    table, *_ = [block for block in searches(read_material(store, {}), Words("en")) if isinstance(block, Table)]
    assert column(table, "best score") == ["0.7000"]


def test_spaces_that_optuna_never_wrote_are_shown_as_they_are():
    assert space_text({"a": "Odd(1)"}, Words("en")) == "a ∈ Odd(1)"


def test_unequal_stopping_is_said(tmp_path):
    from recbole_sheaf.report.sections.protocol import compared

    store = Store(tmp_path / "store.duckdb")
    add(store, "a", 1, 0.4)
    add(store, "b", 1, 0.3, stopping_step=0)
    (group,) = read_material(store, {}).groups
    assert "different rules of when to end" in compared(group, Words("en"))[-1].text
    assert "stopping_step = 0: b" in compared(group, Words("en"))[-1].text


def test_the_protocol_is_that_of_the_runs(sections):
    text = said(sections["group"])
    assert "compares MMSheaf, identity, LightGCN and BPR" in text and "seeds behind a row: 1–5" in text
    assert (
        "Every item was ranked" in text and "training and validation" in text and "All rows were trained under" in text
    )


@pytest.mark.parametrize(
    "parts, split, seed", [(["train", "valid", "test"], "the dataset's own", ""), (None, "RO, user", "2020")]
)
def test_a_dataset_that_came_in_parts_is_not_said_to_be_split(tmp_path, parts, split, seed):
    from recbole_sheaf.report.sections.protocol import compared

    store = Store(tmp_path / "store.duckdb")
    add(store, "a", 1, 0.4, benchmark_filename=parts)
    (group,) = read_material(store, {}).groups
    (table,) = (block for block in compared(group, Words("en")) if isinstance(block, Table))
    values = {row[0].text: row[1].text for row in table.rows}
    assert split in values["split, order, grouping"] and values["seed of the split"] == seed


def test_learning_curves_say_where_the_best_epoch_is(sections):
    assert "All of them are at their best at epoch 2." in said(sections["curves"])


def test_only_what_nothing_beats_is_on_the_front():
    points = [("slow", 9.0, 0.5), ("bad", 5.0, 0.1), ("fast", 1.0, 0.2), ("equal", 9.5, 0.5)]
    assert [name for name, _, _ in unbeaten(points)] == ["fast", "slow"]
    assert [name for name, _, _ in unbeaten(points, bigger=False)] == ["fast", "bad"]


def test_cost_names_the_unbeaten(sections):
    """Seconds are by level here: BPR is fastest, and each better row costs more."""
    text = said(sections["cost"])
    assert "the fastest first: BPR (0.930 s), LightGCN (1.08 s), identity (1.23 s) and MMSheaf (1.53 s)" in text
    assert "MMSheaf costs 1.65 times what BPR does" in text


def test_strata_are_in_the_order_of_their_counts(sections):
    items, users = [block for block in sections["strata"].blocks if isinstance(block, Table)]
    assert list(items.heads) == ["model", "cold (8)", "1–3 (8)", "4–9 (8)"]
    assert list(users.heads) == ["model", "1–3 (8)", "12–40 (8)"]
    assert column(items, "4–9 (8)") == ["0.5000", "0.4000", "0.3500", "0.3000"]
    assert "From the last group to the first MMSheaf gains: 0.7500 and 0.2500." in said(sections["strata"])


def test_variants_and_ablations_are_paired_differences(sections):
    variants, ablations = only(sections["variants"], Table), only(sections["ablations"], Table)
    assert column(variants, "changed") == ["identity"] and column(variants, "difference") == ["−0.1000"]
    assert column(variants, "what was set") == ["restriction_map = identity"]
    assert column(ablations, "changed") == ["shuffled", "missing 0.3", "missing 0.9"]
    assert column(ablations, "difference") == ["−0.0520", "−0.0770", "−0.2270"], "seed 1 beside the mean of 1 to 5"
    assert column(ablations, "seeds") == ["1 and 5"] * 3
    assert "The largest loss is that of MMSheaf: missing 0.9: −0.2270" in said(sections["ablations"])


def test_a_difference_of_fewer_than_five_seeds_is_not_told_from_none(sections):
    """Every interval here is clear of 0; the ablations have one seed."""
    assert "Below 0, interval and all, with 5 seeds or more in both rows: MMSheaf: identity." in said(
        sections["variants"]
    )
    few = "Not told from 0, or of fewer than 5 seeds: MMSheaf: shuffled, MMSheaf: missing 0.3 and MMSheaf: missing 0.9."
    assert few in said(sections["ablations"]) and "interval and all" not in said(sections["ablations"])


def test_the_curve_of_missing_content_starts_where_nothing_is_missing(sections):
    (curve,) = [b for b in sections["ablations"].blocks if isinstance(b, Figure) and b.name == "missing-1"]
    assert curve.sees == "MMSheaf at 90\u00a0% of missing content: −44.9\u00a0%."


def test_ablations_that_change_no_run_are_said(tmp_path):
    from recbole_sheaf.report.sections.ablations import ablations

    store = Store(tmp_path / "store.duckdb")
    add(store, "BPR", 1, 0.3)
    add(store, "MMSheaf", 1, 0.5)
    add(store, "MMSheaf", 1, 0.4, ablation="noise", features="noise")
    entry = {
        "experiment": "e",
        "label": "BPR",
        "dataset": "toy",
        "ablation": "noise",
        "seed": 1,
        "run": "e-toy-real-BPR-1",
    }
    store.add_entries(pd.DataFrame([entry]))
    blocks = ablations(read_material(store, {}).groups[0], Words("en"))
    assert column(next(b for b in blocks if isinstance(b, Table)), "model") == ["MMSheaf"]
    assert "No ablation changes these, which read no content: BPR." in [
        b.text for b in blocks if isinstance(b, Paragraph)
    ]


def test_beyond_accuracy_marks_by_what_is_better(sections):
    table = only(sections["beyond"], Table)
    strong = {head: [row[n].strong for row in table.rows] for n, head in enumerate(table.heads)}
    assert strong["coverage@20"] == strong["Gini@20"] == [True, False, False, False]
    assert "MMSheaf shows the most items, 50.0\u00a0% of the catalogue" in said(sections["beyond"])


def test_the_data_and_their_density(sections):
    rows = dict(zip(*(column(only(sections["dataset"], Table), head) for head in ("what", "value"))))
    assert (rows["users"], rows["interactions"], rows["density"]) == ("40", "1,000", "50.000\u00a0%")
    assert rows["items with a vector of title"] == "98.0\u00a0%"


def test_the_experiment_file_is_one_that_compare_reads(sections, tmp_path):
    from recbole_sheaf.settings.settings_files import read_yaml

    listing = next(block for block in sections["commands"].blocks if isinstance(block, Listing))
    path = tmp_path / "experiment.yaml"
    path.write_text(listing.code, encoding="utf-8")
    file = read_yaml(path)
    assert file["models"]["identity"]["model"] == "MMSheaf" and file["models"]["BPR"]["learning_rate"] == 0.002
    assert file["ablations"] == {
        "real": None,
        "shuffled": {"features": "shuffled"},
        **{f"missing {share}": {"missing_share": share} for share in (0.3, 0.9)},
    }
    assert file["seeds"] == [1, 2, 3, 4, 5] and file["datasets"] == ["toy"] and file["settings"]["epochs"] == 3


def test_failures_are_those_that_were_not_finished_later(tmp_path, sections):
    from recbole_sheaf.report.sections.environment import failures

    table = only(sections["failures"], Table)
    assert column(table, "error") == ["ValueError: Training loss is nan"]
    store = Store(tmp_path / "store.duckdb")
    run = add(store, "BPR", 1, 0.3)
    store.add_failure(run, "e", "BPR on toy, seed 1", "RuntimeError: out of luck")
    assert failures(read_material(store, {}), Words("en")) == []


def test_settings_that_somebody_chose():
    assert changed_settings("BPR", "toy", {**CONFIG, "learning_rate": 0.5, "epochs": 300}) == {
        "learning_rate": 0.5,
        "topk": [20],
    }
    assert model_settings("BPR", CONFIG) == {"embedding_size": 64}
    assert differing({"a": 1, "seed": 1, "b": 2}, {"a": 1.0, "seed": 2, "c": 3}) == {"b": 2, "c": None}
    assert "../../x" not in str(changed_settings("../../x", "../y", CONFIG))
