"""No setting makes RecBole run a text or a pickle, through whichever door it comes."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import recbole.model
import torch

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.unsafe_settings import UNSAFE_SETTINGS, refuse_unsafe_names
from recbole_sheaf.settings.config import RECBOLE_PROPERTIES
from recbole_sheaf.settings.settings_files import read_yaml

RUNS = "__import__('pathlib').Path('touched').touch()"
CONTEXT = {"eval_args": {"mode": "labeled"}, "metrics": ["AUC"], "valid_metric": "AUC", "load_col": None}


class Payload:
    """Touches a file when it is unpickled."""

    def __reduce__(self):
        return (open, ("touched", "w"))


@pytest.fixture
def own(toy_settings, workplace):
    """Settings of any model; after the test nothing has been touched."""
    del toy_settings["embedding_size"]
    (workplace / "payload.pth").write_bytes(pickle.dumps(Payload()))
    (workplace / "renamed.safetensors").write_bytes(pickle.dumps(Payload()))
    torch.save(Payload(), workplace / "zipped.pth")
    torch.save({"state_dict": {}}, workplace / "good.pth")
    yield toy_settings
    assert not (workplace / "touched").exists()


def resolved(model, settings):
    return resolve_configs([model], "toy", [], settings)


@pytest.mark.parametrize(
    "model, key, value, said",
    [
        ("BPR", "dataset_save_path", "payload.pth", "dataset_save_path names a pickle, which is not read"),
        ("BPR", "dataloaders_save_path", "payload.pth", "dataloaders_save_path names a pickle, which is not read"),
        ("MMSheaf", "dataset_save_path", "x.pth", "dataset_save_path names a pickle"),
        *(("NeuMF", f"{part}_pretrain_path", "payload.pth", "cannot be read as data alone") for part in ("mf", "mlp")),
        ("NAIS", "pretrain_path", "payload.pth", "pretrain_path names 'payload.pth', which cannot be read"),
        ("NAIS", "pretrain_path", "zipped.pth", "pretrain_path names 'zipped.pth', which cannot be read"),
        ("NAIS", "pretrain_path", "absent.pth", "No such file"),
        ("NAIS", "pretrain_path", "renamed.safetensors", "cannot be read as data alone"),
        ("NAIS", "pretrain_path", ["a"], "pretrain_path names"),
        ("NAIS", "pretrain_path", 7, "pretrain_path names 7"),
        ("ConvNCF", "pre_model_path", "payload.pth", "pre_model_path names 'payload.pth'"),
        ("RaCT", "pre_model_path", "payload.pth", "pre_model_path names 'payload.pth'"),
        ("LDiffRec", "n_cate", 2, "n_cate is 2, for which RecBole reads .*item_emb.npy"),
    ],
)
def test_pickles_are_refused_before_any_data_are_read(own, model, key, value, said):
    with pytest.raises(ConfigError, match=said) as refusal:
        resolved(model, {**own, key: value})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("teacher", [RUNS, "CrossNet or exit()", "print", "", None, 3, ["CIN"], {"CIN": 1}])
def test_a_teacher_is_no_python(own, teacher):
    with pytest.raises(ConfigError, match="teacher is .*expected (CrossNet or CIN|a text)"):
        resolved("KD_DAGFM", {**own, **CONTEXT, "teacher": teacher})


def test_what_is_data_alone_passes(own, toy):
    resolved("KD_DAGFM", {**own, **CONTEXT, "teacher": "CIN"})
    resolved("NAIS", {**own, "pretrain_path": "good.pth"})
    np.save(toy / "toy" / "item_emb.npy", np.ones((3, 2)))
    resolved("LDiffRec", {**own, "n_cate": 2})
    resolved("LDiffRec", {**own, "n_cate": 1})


@pytest.mark.parametrize("content", [np.array([Payload()], dtype=object), None])
def test_embeddings_of_items_are_plain_numbers(own, toy, content):
    path = toy / "toy" / "item_emb.npy"
    path.write_bytes(b"") if content is None else np.save(path, content, allow_pickle=True)
    with pytest.raises(ConfigError, match="no array of plain numbers"):
        resolved("LDiffRec", {**own, "n_cate": 2})


def test_a_settings_file_is_no_other_door(own, workplace):
    (workplace / "one.yaml").write_text(f'teacher: "{RUNS}"\n')
    (workplace / "two.yaml").write_text(f'model_settings: {{KD_DAGFM: {{teacher: "{RUNS}"}}}}\n')
    for path in ("one.yaml", "two.yaml"):
        with pytest.raises(ConfigError, match="teacher is"):
            resolve_configs(["KD_DAGFM"], "toy", [path], {**own, **CONTEXT})


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "../toy", "/etc", "a\\b", "a\0b", "a\nb"])
def test_a_dataset_is_named_and_not_pointed_to(name):
    with pytest.raises(ConfigError, match="the dataset's name is"):
        refuse_unsafe_names(name)
    with pytest.raises(ConfigError, match="the dataset's name is"):
        resolve_configs(["BPR"], name, [], {})


def test_the_table_has_every_place_where_recbole_runs_or_unpickles():
    """A model that RecBole brings next year and that evaluates a text is found here."""
    wanted = set()
    for path in Path(recbole.model.__path__[0]).rglob("*.py"):
        text = re.sub(r"\.eval\(|literal_eval\(|def eval\(", "", path.read_text(encoding="utf-8"))
        if re.search(r"\b(eval|exec)\(|torch\.load\(|allow_pickle=True|\bpickle\b", text):
            wanted.add(path.stem)
    table = {model.lower() for setting in UNSAFE_SETTINGS for model in setting.models}
    assert wanted == table
    for setting in UNSAFE_SETTINGS:
        for model in setting.models:
            assert setting.key in read_yaml(RECBOLE_PROPERTIES / "model" / f"{model}.yaml")
