"""What a report is about is read and checked before anything is written."""

import duckdb
import pytest

from recbole_sheaf.errors import DataError, StoreError
from recbole_sheaf.report import drawing
from recbole_sheaf.report.assembling import assemble
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import read_material
from recbole_sheaf.store.store import Store
from tests.report.stores import SPLIT, add, add_search, at_once
from tests.store.planted import held_open


def test_rows_gather_seeds_and_the_best_on_validation_comes_first(store):
    (group,) = read_material(store, {}).groups
    assert [(row.label, row.seeds) for row in group.models] == [
        ("MMSheaf", 5),
        ("identity", 5),
        ("LightGCN", 1),
        ("BPR", 5),
    ]
    assert {row.ablation for row in group.ablated} == {"shuffled", "missing 0.3", "missing 0.9"}
    assert group.base == "real" and group.chosen_by == "recall@20"
    assert group.metrics == ["recall@20", "ndcg@20"], "the one that chose leads, and no metric beyond accuracy"


def test_each_dataset_of_an_experiment_is_a_group_of_its_own(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    for dataset, experiment in (("toy", "e"), ("other", "e"), ("toy", "f")):
        add(store, "BPR", 1, 0.3, dataset=dataset, experiment=experiment)
    groups = read_material(store, {}).groups
    assert [(group.experiment, group.dataset) for group in groups] == [("e", "other"), ("e", "toy"), ("f", "toy")]
    assert len({group.name("curves") for group in groups}) == 3
    assert [g.dataset for g in read_material(store, {"experiment": ["e"], "dataset": ["toy"]}).groups] == ["toy"]


@pytest.mark.parametrize(
    "filters, metrics, message",
    [
        (
            {},
            ["recal@20"],
            "no run has the metric 'recal@20' .did you mean 'recall@20'.*there are giniindex@20",
        ),
        ({"experiment": ["ee"]}, [], "no finished run of experiment 'ee' .did you mean 'e'"),
        ({"dataset": ["tiktok"]}, [], "no finished run of dataset 'tiktok'; there are toy"),
    ],
)
def test_what_is_not_there_is_refused(store, filters, metrics, message):
    with pytest.raises(DataError, match=message) as error:
        read_material(store, filters, metrics)
    assert "\n" not in str(error.value)


def test_metrics_of_any_case_are_taken_in_their_order(store):
    (group,) = read_material(store, {}, ["NDCG@20", "GiniIndex@20"]).groups
    assert group.metrics == ["ndcg@20", "giniindex@20"]


@pytest.mark.parametrize("other", [{"split": {**SPLIT, "train": 700}}, {"split_seed": 7}])
def test_models_without_a_common_split_are_refused(tmp_path, other):
    store = Store(tmp_path / "store.duckdb")
    add(store, "BPR", 1, 0.3)
    add(store, "LightGCN", 1, 0.3, **other)
    with pytest.raises(DataError, match="models of e on toy have no common split: .*train 800.*split_seed 2020.* name"):
        read_material(store, {})


def test_an_ablation_may_have_a_split_of_its_own(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    add(store, "BPR", 1, 0.3)
    add(store, "BPR", 1, 0.3, ablation="cold", split={**SPLIT, "train": 700})
    assert len(read_material(store, {}).groups[0].rows) == 2


def test_an_empty_store_and_one_of_another_version_are_refused(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    store.add_failure("x", "e", "BPR on toy, seed 1", "RuntimeError: out of luck")
    with pytest.raises(DataError, match="holds no finished run and no trial"):
        read_material(store, {})
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("UPDATE store SET schema_version = 99")
    with pytest.raises(StoreError, match="version"):
        read_material(store, {})


def test_a_store_of_searches_alone_is_read(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    add_search(store)
    material = read_material(store, {})
    assert not material.groups and len(material.trials) == 4


@pytest.mark.parametrize(
    "change, refused",
    [
        ("runs SET test = NULL", "no run of e on toy has a metric at test"),
        ("runs SET test = MAP {}", "no run of e on toy has a metric at test"),
        ("runs SET test = MAP {'recall@20': 'nan'::DOUBLE}", None),
        ("runs SET valid = NULL, split = NULL, versions = NULL, modalities = NULL", None),
        ("runs SET seconds = NULL, peak_memory_mib = -1, best_epoch = NULL, device = NULL", None),
        ("runs SET model = '../../x'", None),
        ("strata SET pairs = NULL", None),
        ("strata SET stratum = 'x', users = 0", None),
        ("user_metrics SET value = 'nan'::DOUBLE", None),
        ("curves SET score = NULL", None),
        ("trials SET parameters = '3', seconds = NULL", None),
        ("studies SET search_space = '[1]', model = NULL", None),
    ],
)
def test_altered_stores_have_a_report_or_a_sentence(tmp_path, monkeypatch, change, refused):
    monkeypatch.setattr(drawing, "_svg", lambda canvas, name: "<svg></svg>")
    monkeypatch.setattr(drawing, "_lay_out", lambda canvas: None)
    store = Store(tmp_path / "store.duckdb")
    with at_once(store):
        for label, level in (("a", 0.3), ("b", 0.2)):
            add(store, label, 1, level)
        add_search(store, scores=(0.1, 0.2))
    with store.writing() as connection:
        connection.execute(f"UPDATE {change}")
    with held_open(store):
        if refused:
            with pytest.raises(DataError, match=refused):
                read_material(store, {})
        else:
            names = {section.name for section in assemble(read_material(store, {}), Words("en")).sections}
            assert {"overview", "group-1", "leaderboard-1", "searches", "commands-1"} <= names


def test_altered_settings_are_told(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    add(store, "BPR", 1, 0.3)
    with store.writing() as connection:
        connection.execute("UPDATE runs SET config = '[1]'")
    with pytest.raises(DataError, match="names no valid_metric in its config; it was altered"):
        read_material(store, {})
