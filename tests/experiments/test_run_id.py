"""A run's id follows what decides its numbers, and nothing else."""

import ast
import shutil

import pytest

from recbole_sheaf.experiments import run_id as ids
from recbole_sheaf.experiments.settings import resolve_configs


def run_id(settings, model="MMSheaf", threads=1, processes=1):
    (config,) = resolve_configs([model], "toy", [], settings)
    return ids.run_id(config, threads, processes)


def test_the_same_things_have_the_same_id_wherever_they_lie(toy_settings, workplace):
    first = run_id(toy_settings)
    assert len(first) == 16 and run_id(toy_settings) == first
    shutil.copytree(toy_settings["data_path"], workplace / "elsewhere")
    moved = {"data_path": str(workplace / "elsewhere"), "cache_dir": "other", "show_progress": True, "state": "INFO"}
    moved |= {"item_sheaf_workers": 4, "item_sheaf_ray_address": "local"}  # of which none is started here
    assert run_id({**toy_settings, **moved, "checkpoint_dir": "kept"}) == first


@pytest.mark.parametrize(
    "changed", [{"seed": 3}, {"learning_rate": 0.5}, {"features": "shuffled"}, {"modalities": ["image"]}, {"epochs": 9}]
)
def test_another_setting_is_another_run(toy_settings, changed):
    assert run_id({**toy_settings, **changed}) != run_id(toy_settings)


@pytest.mark.parametrize("model, reads", [("ItemSheaf", True), ("FREEDOM", True), ("VBPR", True), ("Sheaf4Rec", False)])
def test_content_counts_for_every_model_that_reads_it(toy_settings, model, reads):
    shuffled = {**toy_settings, "features": "shuffled"}
    assert (run_id(shuffled, model) != run_id(toy_settings, model)) == reads


def test_threads_models_and_data_count(toy_settings, toy):
    first = run_id(toy_settings)
    others = {run_id(toy_settings, threads=2), run_id(toy_settings, processes=2), run_id(toy_settings, model="MMGCN")}
    with open(toy / "toy" / "toy.inter", "a") as file:
        file.write("u0\ti1\n")
    others.add(run_id(toy_settings))
    (toy / "toy" / "features" / "text.npz").unlink()
    others.add(run_id(toy_settings))
    assert len(others) == 5 and first not in others


def test_a_file_that_a_modality_names_counts_by_content_wherever_it_lies(toy_settings, toy, workplace):
    def chosen(path, name="video", **more):
        return run_id({**toy_settings, "modalities": [{"name": name, "file": str(path), **more}]})

    shutil.copy(toy / "toy" / "features" / "image.npz", workplace / "clips.npz")
    (workplace / "moved").mkdir()
    shutil.copy(workplace / "clips.npz", workplace / "moved" / "clips.npz")
    first = chosen(workplace / "clips.npz")
    assert chosen(workplace / "moved" / "clips.npz") == first
    others = {
        chosen(workplace / "clips.npz", "image"),
        chosen(workplace / "clips.npz", normalise="rows"),
        chosen("text.npz"),
    }
    shutil.copy(toy / "toy" / "features" / "text.npz", workplace / "clips.npz")
    others.add(chosen(workplace / "clips.npz"))
    assert len(others) == 4 and first not in others
    with_ids = [workplace / "x.npy", workplace / "x.ids.txt"]
    for path, text in zip(with_ids, ("rows", "i1\ni2\n")):
        path.write_text(text)
    told = chosen(workplace / "x.npy")
    with_ids[1].write_text("i2\ni1\n")
    assert chosen(workplace / "x.npy") != told


def test_a_model_without_content_is_one_run_whatever_file_a_modality_names(toy_settings, workplace):
    (workplace / "a.npz").write_bytes(b"a")
    entry = {"name": "video", "file": str(workplace / "a.npz")}
    runs = {run_id({**toy_settings, "modalities": given}, model="Sheaf4Rec") for given in ("auto", [entry])}
    (workplace / "a.npz").write_bytes(b"b")
    runs.add(run_id({**toy_settings, "modalities": [entry]}, model="Sheaf4Rec"))
    assert len(runs) == 1


def test_code_counts_where_a_model_reaches_it_and_comments_never(monkeypatch):
    before = {model: ids.code_version(model) for model in ("MMSheaf", "LightGCN")}
    tree = ids._tree

    def changed(text):
        def of(module):
            return ast.parse(text(ast.unparse(tree(module)))) if module.endswith("mmsheaf") else tree(module)

        monkeypatch.setattr(ids, "_tree", of)
        ids._fingerprint.cache_clear()
        after = {model: ids.code_version(model) for model in before}
        ids._fingerprint.cache_clear()
        return {model for model in before if after[model] != before[model]}

    assert changed(lambda source: source + "\nLATER = 1\n") == {"MMSheaf"}
    assert changed(lambda source: '"""Another docstring."""\n' + source.split('"""', 2)[2]) == set()


def test_a_new_model_changes_no_other(monkeypatch):
    with_more = ast.parse("MODEL_NAMES = ('A', 'B')\nX = 1")
    without = ast.parse("MODEL_NAMES = ('A',)\nX = 1")
    prints = []
    for tree in (with_more, without):
        monkeypatch.setattr(ids, "_tree", lambda module, tree=tree: tree)
        ids._fingerprint.cache_clear()
        prints.append(ids._fingerprint("some"))
    ids._fingerprint.cache_clear()
    assert prints[0] == prints[1] and "X = 1" in prints[0]


def test_what_judges_a_run_counts_as_its_code():
    reached = ids._reached(ids._ROOTS)
    for module in ("experiments.judging", "evaluation.strata", "evaluation.beyond_accuracy", "evaluation.ranking"):
        assert f"recbole_sheaf.{module}" in reached
    assert "scikit-learn" in ids._PACKAGES and set(ids._PACKAGES) <= set(ids.versions())
