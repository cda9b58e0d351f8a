"""What a file may be that is given to ``evaluate``, and the sentence that is said of it."""

import contextlib
import json
import pickle
import struct
import sys

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recbole.quick_start import run_recbole
from safetensors.torch import save

from recbole_sheaf.cli import main
from recbole_sheaf.errors import CheckpointError, SheafError
from recbole_sheaf.experiments.checkpoints import evaluate_checkpoint, read_checkpoint, restore
from recbole_sheaf.experiments.runs import run_models
from recbole_sheaf.files.checkpoint_file import KEY, MOST_HEADER
from tests.attack.test_unsafe_settings import RUNS, Payload
from tests.conftest import TOY, opened, write_toy


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with two datasets and the checkpoints of runs on one of them."""
    home = tmp_path_factory.mktemp("home")
    write_toy(home / "data" / "toy")
    write_toy(home / "data" / "small", n_users=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(sys, "argv", ["pytest"])
        settings = {**TOY, "epochs": 1, "data_path": str(home / "data"), "cache_dir": str(home / "cache")}
        for model in ("BPR", "LightGCN"):
            (result,) = run_models([model], "toy", overrides=settings)
            (home / f"{model}.safetensors").write_bytes((home / result.checkpoint).read_bytes())
        del settings["embedding_size"]
        (result,) = run_models(["EASE"], "toy", overrides=settings)
        (home / "EASE.safetensors").write_bytes((home / result.checkpoint).read_bytes())
        run_recbole(model="BPR", dataset="toy", config_dict={**TOY, "epochs": 1, "data_path": str(home / "data")})
        next((home / "saved").glob("BPR-*.pth")).rename(home / "BPR.pth")
    return home


@pytest.fixture
def place(home, workplace):
    """An empty current folder; after the test no payload has touched a file in it."""
    yield workplace
    assert not (workplace / "touched").exists()


def altered(path, about=(), drop=(), settings=(), tensors=()):
    """Bytes of a checkpoint in which something is otherwise."""
    found, held = opened(path)
    found.update(about)
    found["settings"] = {**found["settings"], **dict(settings)} if isinstance(found.get("settings"), dict) else None
    for name in drop:
        held.pop(name, None)
        found.pop(name, None)
    held.update(tensors)
    return save(held, {KEY: json.dumps(found)})


def raw(header, body=b""):
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def one_tensor(dtype="F32", shape=(1,), offsets=(0, 4), body=b"\0" * 4):
    return raw({"x": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}, body)


HUGE = 2**41
NOT_CHECKPOINTS = {
    "empty": (b"", "no whole safetensors file"),
    "one byte": (b"{", "no whole safetensors file"),
    "text": (b"nothing to see here\n" * 20, "claims a header of"),
    "zeros": (b"\0" * 64, "no whole safetensors file"),
    "zip signature": (b"PK\3\4", "is a pickle, which may run code"),
    "pickle": (pickle.dumps(Payload()), "is a pickle, which may run code .*trust=True"),
    "old pickle": (pickle.dumps(Payload(), protocol=0), "claims a header of|no whole safetensors file"),
    "npy": (b"\x93NUMPY\1\0v\0{'descr': '|O'}", "no whole safetensors file|claims a header"),
    "gzip": (b"\x1f\x8b\x08\0" + b"\0" * 60, "no whole safetensors file"),
    "elf": (b"\x7fELF" + b"\xff" * 60, "claims a header of"),
    "utf-16": ("checkpoint".encode("utf-16"), "claims a header of"),
    "header bomb": (struct.pack("<Q", HUGE) + b"{}", f"claims a header of {HUGE} bytes, more than the {MOST_HEADER}"),
    "header of all": (b"\xff" * 8 + b"{}", "claims a header of"),
    "header longer than file": (struct.pack("<Q", 1000) + b"{}", "no whole safetensors file"),
    "header no JSON": (raw(b"{nothing}"), "no whole safetensors file"),
    "header no object": (raw([1, 2]), "no whole safetensors file"),
    "header not UTF-8": (raw(b'{"\xff": 1}'), "no whole safetensors file"),
    "header deep": (raw(b'{"a":' * 5000), "no whole safetensors file"),
    "header twice": (raw(b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":1}', b"\0" * 4), "no whole"),
    "2 TiB claimed": (one_tensor(shape=(HUGE // 4,), offsets=(0, HUGE)), "no whole safetensors file"),
    "shape overflows": (one_tensor(shape=(2**63, 2**63)), "no whole safetensors file"),
    "offsets backwards": (one_tensor(offsets=(4, 0)), "no whole safetensors file"),
    "offsets overlap": (
        raw({n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in "xy"}, b"\0" * 4),
        "no whole safetensors file",
    ),
    "shape and offsets differ": (one_tensor(shape=(2,)), "no whole safetensors file"),
    "bytes left over": (one_tensor(body=b"\0" * 99), "no whole safetensors file"),
    "negative shape": (one_tensor(shape=(-1,)), "no whole safetensors file"),
    "unknown dtype": (one_tensor(dtype="OBJECT"), "no whole safetensors file"),
    "another program's": (save({"x": torch.ones(2)}, {"format": "pt"}), "a safetensors file of another program"),
    "no metadata": (save({"x": torch.ones(2)}), "a safetensors file of another program"),
    "our header no JSON": (save({}, {KEY: "{nothing"}), "the header of .* is no JSON"),
    "our header deep": (save({}, {KEY: "[" * 100_000}), "the header of .* is no JSON"),
    "our header a list": (save({}, {KEY: "[]"}), "has format None, this release reads 2"),
    "our header null": (save({}, {KEY: "null"}), "has format None, this release reads 2"),
    "our header empty": (save({}, {KEY: "{}"}), "has format None, this release reads 2"),
    "a number of 5000 digits": (save({}, {KEY: "9" * 5000}), "no JSON|has format None"),
}


@pytest.mark.parametrize("what", NOT_CHECKPOINTS)
def test_what_is_no_checkpoint_is_refused_in_one_sentence(place, what):
    content, said = NOT_CHECKPOINTS[what]
    (place / "x.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as refusal:
        restore(place / "x.safetensors")
    assert "\n" not in str(refusal.value) and "x.safetensors" in str(refusal.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_checkpoint_cut_short_is_refused(home, place, share):
    whole = (home / "BPR.safetensors").read_bytes()
    (place / "x.safetensors").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match="no whole safetensors file"):
        restore(place / "x.safetensors")


ALTERED = {
    "format 3": ({"about": {"format": 3}}, "has format 3, this release reads 2; use the release that wrote it"),
    "format text": ({"about": {"format": "2"}}, "has format '2', this release reads 2"),
    "format 1": ({"about": {"format": 1}}, "is of an earlier release, which did not write whose rows .*; train again"),
    "no model": ({"drop": ["model"]}, "names no model as we write it"),
    "model a number": ({"about": {"model": 3}}, r"names no model as we write it \(3\)"),
    "model a list": ({"about": {"model": ["BPR"]}}, "names no model"),
    "no dataset": ({"drop": ["dataset"]}, "names no dataset"),
    "dataset null": ({"about": {"dataset": None}}, "names no dataset"),
    "no settings": ({"about": {"settings": None}}, "names no settings"),
    "epoch text": ({"about": {"epoch": "last"}}, r"names no epoch as we write it \('last'\)"),
    "source a number": ({"about": {"source": 3}}, "names no source"),
    "no source": ({"drop": ["source"]}, "names no source"),
    "other a list": ({"about": {"other_parameter": []}}, "other_parameter in .* is not as we write it"),
    "no other": ({"drop": ["other_parameter"]}, "other_parameter in .* is not as we write it"),
    "other names no tensor": ({"about": {"other_parameter": {"w": {"tensor": "w"}}}}, "is not as we write it"),
    "other of a kind": ({"about": {"other_parameter": {"w": {"pickle": "w"}}}}, "is not as we write it"),
    "other unasked": ({"about": {"other_parameter": {"predict": 1}}}, "has predict, which its model has not"),
    "other a method": ({"about": {"other_parameter": {"__class__": "x"}}}, "has __class__, which its model has not"),
    "unknown model": ({"about": {"model": "BPRR"}}, "is of a model 'BPRR', neither RecBole's nor ours"),
    "a module to import": ({"about": {"model": "planted:Model"}}, "is of a model 'planted:Model', neither"),
    "a source to import": ({"about": {"model": "Model", "source": "planted:Model"}}, "where that was 'planted:Model'"),
    "a model that is a path": ({"about": {"model": "../../planted"}}, "neither RecBole's nor ours"),
    "a model of another kind": ({"about": {"model": "SASRec"}}, "RecBole refuses the settings of SASRec"),
    "another model": ({"about": {"model": "LightGCN"}}, "cannot be rebuilt|the checkpoint"),
    "a model in C": ({"about": {"model": "XGBoost"}}, "cannot be rebuilt|the checkpoint|XGBoost"),
    "dataset a path": ({"about": {"dataset": "../data/toy"}}, "the dataset's name is '../data/toy', expected"),
    "dataset hidden": ({"about": {"dataset": ".ssh"}}, "the dataset's name is '.ssh'"),
    "dataset unknown": ({"about": {"dataset": "moon"}}, "dataset 'moon' is not in"),
    "dataset to download": ({"about": {"dataset": "ml-1m"}}, r"dataset 'ml-1m' is not in \S+; expected"),
    "another dataset": ({"about": {"dataset": "small"}}, "it did not read small.inter, which is there now"),
    "data_path a number": ({"settings": {"data_path": 3}}, "dataset 'toy' is not in"),
    "data_path gone": ({"settings": {"data_path": "/nowhere/toy"}}, "dataset 'toy' is not in /nowhere"),
    "seed a word": ({"settings": {"seed": "x"}}, "seed is 'x', expected a whole number"),
    "seed negative": ({"settings": {"seed": -1}}, "seed is -1, expected a whole number >= 0"),
    "embedding a word": ({"settings": {"embedding_size": "x"}}, "embedding_size|cannot be rebuilt"),
    "embedding a list": ({"settings": {"embedding_size": [8]}}, "embedding_size|cannot be rebuilt"),
    "embedding none": ({"settings": {"embedding_size": 0}}, "embedding_size|user_embedding.weight is of shape"),
    "embedding negative": ({"settings": {"embedding_size": -8}}, "embedding_size|cannot be rebuilt"),
    "embedding wider": ({"settings": {"embedding_size": 16}}, r"user_embedding.weight is of shape \(31, 8\)"),
    "metric unknown": ({"settings": {"metrics": ["Recal"]}}, "metrics has no 'Recal'"),
    "metrics a number": ({"settings": {"metrics": 3}}, "metrics|cannot be rebuilt"),
    "topk a word": ({"settings": {"topk": "x"}}, "topk|valid_metric"),
    "topk negative": ({"settings": {"topk": [-1]}}, "topk|valid_metric"),
    "topk too long": ({"settings": {"topk": [10, 999]}}, "topk is 999, but dataset 'toy' has 60 items"),
    "split a word": ({"settings": {"eval_args": "x"}}, "eval_args|cannot be rebuilt"),
    "split empty": ({"settings": {"eval_args": {"split": {"RS": [1, 0, 0]}}}}, "expected three shares above 0"),
    "batch none": ({"settings": {"eval_batch_size": 0}}, "eval_batch_size is 0"),
    "fields unknown": ({"settings": {"USER_ID_FIELD": "foo"}}, "foo"),
    "parts that are paths": ({"settings": {"benchmark_filename": ["../x"] * 3}}, "cannot be rebuilt|not|benchmark"),
    "columns of nothing": ({"settings": {"load_col": 5}}, "load_col|cannot be rebuilt"),
    "no weights": ({"drop": ["user_embedding.weight"]}, "lacks user_embedding.weight, which its model has"),
    "more weights": ({"tensors": {"extra": torch.ones(2)}}, "has extra, which its model has not"),
    "weights transposed": ({"tensors": {"item_embedding.weight": torch.ones(8, 61)}}, r"of shape \(8, 61\)"),
    "weights whole": ({"tensors": {"item_embedding.weight": torch.ones(61, 8).long()}}, "item_embedding.weight is"),
    "weights flat": ({"tensors": {"item_embedding.weight": torch.tensor(1.0)}}, r"of shape \(\)"),
    "weights NaN": (
        {"tensors": {"item_embedding.weight": torch.full((61, 8), np.nan)}},
        "item_embedding.weight holds NaN",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ALTERED)
def test_what_was_altered_is_refused_in_one_sentence(home, place, what):
    change, said = ALTERED[what]
    (place / "planted.py").write_text("open('touched', 'w')\n")
    (place / "x.safetensors").write_bytes(altered(home / "BPR.safetensors", **change))
    with pytest.raises(SheafError, match=said) as refusal:
        evaluate_checkpoint(place / "x.safetensors")
    assert "\n" not in str(refusal.value)
    assert "planted" not in sys.modules


BESIDE = {  # what EASE and LightGCN keep beside their weights
    "EASE none": ("EASE", {"about": {"other_parameter": {}}}, "lacks interaction_matrix, item_similarity"),
    "EASE text": ("EASE", {"other": {"item_similarity": "x"}}, "item_similarity is a str in the checkpoint"),
    "EASE null": ("EASE", {"other": {"item_similarity": None}}, "item_similarity is a NoneType"),
    "EASE numbers": ("EASE", {"other": {"item_similarity": [1, 2]}}, "item_similarity is a list"),
    "EASE of a format": ("EASE", {"other": {"interaction_matrix": {"sparse": "dsr"}}}, "is not as we write it"),
    "EASE beyond its shape": ("EASE", {"shape": [3, 3]}, "is not as we write it"),
    "EASE of another shape": ("EASE", {"shape": [99, 99]}, "is not as we write it .index pointer size"),
    "LightGCN word": ("LightGCN", {"other": {"restore_user_e": "x"}}, "cannot be rebuilt"),
    "LightGCN flat": ("LightGCN", {"other": {"restore_user_e": [0.0]}}, "cannot be rebuilt"),
    "LightGCN small": ("LightGCN", {"tensors": 0}, "cannot be rebuilt"),
}


@pytest.mark.parametrize("what", BESIDE)
def test_what_lies_beside_the_weights_is_checked_too(home, place, what):
    model, change, said = BESIDE[what]
    path = home / f"{model}.safetensors"
    other, held = opened(path)[0]["other_parameter"], {}
    other.update(change.get("other", {}))
    if "shape" in change:
        other["interaction_matrix"]["shape"] = change["shape"]
    if "tensors" in change:
        held = {
            name: torch.ones(1, 1) for name in (other["restore_user_e"]["tensor"], other["restore_item_e"]["tensor"])
        }
    about = change.get("about", {"other_parameter": other})
    (place / "x.safetensors").write_bytes(altered(path, about=about, tensors=held))
    with pytest.raises(CheckpointError, match=said) as refusal:
        evaluate_checkpoint(place / "x.safetensors")
    assert "\n" not in str(refusal.value)


ORDER, USERS = "data:tables:toy.inter:order", "data:tables:toy.inter:user_id"
NOT_AS_WE_WRITE = "what .* says of its data is not as we write it"
OF_DATA = {  # what a checkpoint says of the data of its run, by the place in its JSON, or by tensor
    "none": ({"drop": ["data"]}, NOT_AS_WE_WRITE),
    "null": ({"about": {"data": None}}, NOT_AS_WE_WRITE),
    "text": ({"about": {"data": "x"}}, NOT_AS_WE_WRITE),
    "list": ({"about": {"data": []}}, NOT_AS_WE_WRITE),
    "empty": ({"about": {"data": {}}}, NOT_AS_WE_WRITE),
    "tables a list": ({"at": ["tables"], "value": []}, NOT_AS_WE_WRITE),
    "tables a text": ({"at": ["tables"], "value": "toy.inter"}, NOT_AS_WE_WRITE),
    "no table": ({"at": ["tables"], "value": {}}, "it did not read toy.inter, which is there now"),
    "a table a number": ({"at": ["tables", "toy.inter"], "value": 3}, NOT_AS_WE_WRITE),
    "a table of nothing": ({"at": ["tables", "toy.inter"], "value": {}}, NOT_AS_WE_WRITE),
    "a table unheard of": ({"at": ["tables", "x"], "value": {"columns": [], "digest": "", "keys": []}}, "says of its"),
    "columns a number": ({"at": ["tables", "toy.inter", "columns"], "value": 3}, NOT_AS_WE_WRITE),
    "columns of numbers": ({"at": ["tables", "toy.inter", "columns"], "value": [1, 2]}, NOT_AS_WE_WRITE),
    "other columns": ({"at": ["tables", "toy.inter", "columns"], "value": ["a"]}, "its columns were a and are user_id"),
    "columns less": ({"at": ["tables", "toy.inter", "columns"], "value": ["item_id"]}, "columns were item_id"),
    "digest a number": ({"at": ["tables", "toy.inter", "digest"], "value": 3}, NOT_AS_WE_WRITE),
    "another digest": ({"at": ["tables", "toy.inter", "digest"], "value": "0"}, "of toy.inter, its rows are others"),
    "keys null": ({"at": ["tables", "toy.inter", "keys"], "value": None}, NOT_AS_WE_WRITE),
    "keys unheard of": ({"at": ["tables", "toy.inter", "keys"], "value": ["x"]}, NOT_AS_WE_WRITE),
    "keys a list": ({"at": ["tables", "toy.inter", "keys"], "value": [[]]}, NOT_AS_WE_WRITE),
    "parts a list": ({"at": ["parts"], "value": []}, NOT_AS_WE_WRITE),
    "parts numbers": ({"at": ["parts", "numbering"], "value": 3}, NOT_AS_WE_WRITE),
    "another numbering": ({"at": ["parts", "numbering"], "value": "x"}, "makes another numbering of them"),
    "a part more": ({"at": ["parts", "part 9 of the split"], "value": "x"}, "makes another part 9 of the split"),
    "texts null": ({"at": ["texts"], "value": None}, NOT_AS_WE_WRITE),
    "features null": ({"at": ["features"], "value": None}, NOT_AS_WE_WRITE),
    "features unheard of": ({"at": ["features"], "value": ["x"]}, NOT_AS_WE_WRITE),
    "features a list": ({"at": ["features"], "value": [[]]}, NOT_AS_WE_WRITE),
    "no order": ({"drop": [ORDER]}, NOT_AS_WE_WRITE),
    "order of floats": ({"tensors": {ORDER: torch.zeros(360)}}, NOT_AS_WE_WRITE),
    "order of long": ({"tensors": {ORDER: torch.arange(360)}}, NOT_AS_WE_WRITE),
    "order a square": ({"tensors": {ORDER: torch.zeros(19, 19).int()}}, NOT_AS_WE_WRITE),
    "order a number": ({"tensors": {ORDER: torch.tensor(3).int()}}, NOT_AS_WE_WRITE),
    "order empty": ({"tensors": {ORDER: torch.zeros(0).int()}}, "it had 0 rows and has 360"),
    "order of zeros": ({"tensors": {ORDER: torch.zeros(360).int()}}, NOT_AS_WE_WRITE),
    "order negative": ({"tensors": {ORDER: torch.arange(360).int() - 1}}, NOT_AS_WE_WRITE),
    "order beyond": ({"tensors": {ORDER: torch.arange(360).int() + 1}}, NOT_AS_WE_WRITE),
    "order too short": ({"tensors": {ORDER: torch.arange(359).int()}}, "it had 359 rows and has 360"),
    "order too long": ({"tensors": {ORDER: torch.arange(361).int()}}, "it had 361 rows and has 360"),
    "another order": ({"tensors": {ORDER: torch.arange(360).int()}}, "this release makes another numbering of them"),
    "no tokens": ({"drop": [f"{USERS}:tokens"]}, NOT_AS_WE_WRITE),
    "tokens of floats": ({"tensors": {f"{USERS}:tokens": torch.zeros(9)}}, NOT_AS_WE_WRITE),
    "tokens cut short": ({"tensors": {f"{USERS}:tokens": torch.zeros(9).byte()}}, NOT_AS_WE_WRITE),
    "lengths negative": ({"tensors": {f"{USERS}:lengths": torch.arange(30).int() - 9}}, NOT_AS_WE_WRITE),
    "lengths huge": ({"tensors": {f"{USERS}:lengths": torch.full((30,), 2**31 - 1).int()}}, NOT_AS_WE_WRITE),
    "lengths of another number": ({"tensors": {f"{USERS}:lengths": torch.tensor([80]).int()}}, NOT_AS_WE_WRITE),
    "sums of another number": ({"tensors": {f"{USERS}:sums": torch.zeros(29).long()}}, NOT_AS_WE_WRITE),
    "sums of floats": ({"tensors": {f"{USERS}:sums": torch.zeros(30)}}, NOT_AS_WE_WRITE),
}  # fmt: skip


@pytest.mark.parametrize("what", OF_DATA)
def test_what_it_says_of_its_data_is_checked(home, place, what):
    change, said = OF_DATA[what]
    change = dict(change)
    if "at" in change:
        data = opened(home / "BPR.safetensors")[0]["data"]
        *way, last = change.pop("at")
        inner = data
        for key in way:
            inner = inner[key]
        inner[last] = change.pop("value")
        change["about"] = {"data": data}
    (place / "x.safetensors").write_bytes(altered(home / "BPR.safetensors", **change))
    with pytest.raises(CheckpointError, match=said) as refusal:
        restore(place / "x.safetensors")
    assert "\n" not in str(refusal.value) and "x.safetensors" in str(refusal.value)


def test_tokens_that_are_no_text_are_told_all_the_same(home, place):
    """They are decoded only where a difference is named."""
    held = opened(home / "BPR.safetensors")[1]
    bytes_ = {f"{USERS}:tokens": torch.full_like(held[f"{USERS}:tokens"], 0xFF)}
    (place / "x.safetensors").write_bytes(altered(home / "BPR.safetensors", tensors=bytes_))
    restore(place / "x.safetensors")
    write_toy(place / "data" / "toy", n_users=29)
    with pytest.raises(CheckpointError, match="that it had is gone") as refusal:
        restore(place / "x.safetensors", str(place / "data"))
    assert len(str(refusal.value)) < 600


@pytest.mark.parametrize("model", ["BPR", "LightGCN", "EASE"])
def test_what_was_not_altered_is_restored_whole(home, place, model):
    found = restore(home / f"{model}.safetensors")
    again = place / "again.safetensors"
    again.write_bytes(altered(home / f"{model}.safetensors"))
    assert evaluate_checkpoint(again)["test"] == evaluate_checkpoint(home / f"{model}.safetensors")["test"]
    assert not found.model.training and found.split.dataset.item_num == 61
    other = found.model.other_parameter()
    assert all(value is not None for value in other.values()) and len(other) == {"BPR": 0}.get(model, 2)


def test_a_header_of_any_length_is_read(home, place):
    """Its length comes first in the file, and looks like the start of a pickle in one of 32 files."""
    starts = set()
    for more in range(0, 512, 8):
        content = altered(home / "BPR.safetensors", settings={"more": "x" * more})
        (place / "x.safetensors").write_bytes(content)
        assert read_checkpoint(place / "x.safetensors").model == "BPR"
        starts.add(content[0])
    assert 0x80 in starts and len(starts) == 32


def test_weights_on_a_dataset_elsewhere(home, place):
    (place / "x.safetensors").write_bytes(altered(home / "BPR.safetensors", settings={"data_path": "/nowhere/toy"}))
    assert restore(place / "x.safetensors", str(home / "data")).config["dataset"] == "toy"


@pytest.mark.parametrize("model, size", [("BPR", 10**8), ("BPR", 10**13), ("LightGCN", 10**8)])
def test_settings_that_ask_for_all_memory_are_refused(home, place, model, size):
    (place / "x.safetensors").write_bytes(altered(home / f"{model}.safetensors", settings={"embedding_size": size}))
    with pytest.raises(CheckpointError, match="ask for .* GiB, and its weights have|cannot be rebuilt"):
        restore(place / "x.safetensors")


PLACES = {
    "checkpoint_dir": "there",
    "cache_dir": "there",
    "dataset_save_path": "payload.pth",
    "dataloaders_save_path": "payload.pth",
    "save_dataset": True,
    "save_dataloaders": True,
    "log_wandb": True,
    "log_mlflow": True,
    "mlflow_tracking_uri": "there",
    "config_files": "there.yaml",
    "search_space": RUNS,
    "state": "there",
    "gpu_id": RUNS,
    "nproc": 8,
    "local_rank": 0,
}


def test_places_that_a_checkpoint_names_are_not_written_or_unpickled(home, place):
    (place / "payload.pth").write_bytes(pickle.dumps(Payload()))
    (place / "x.safetensors").write_bytes(altered(home / "BPR.safetensors", settings=PLACES))
    assert evaluate_checkpoint(place / "x.safetensors") == evaluate_checkpoint(home / "BPR.safetensors")
    made = {path.name for path in place.iterdir()}
    assert made <= {"payload.pth", "x.safetensors", "cache"}


@pytest.mark.parametrize("settings", [{"model": "KD_DAGFM", "teacher": RUNS}, {"model": "LDiffRec", "n_cate": 2}])
def test_settings_that_recbole_would_run_are_refused(home, place, settings):
    about = {"model": settings["model"]}
    (place / "x.safetensors").write_bytes(altered(home / "BPR.safetensors", about, settings=settings))
    with pytest.raises(SheafError, match="teacher is|n_cate is|metrics"):
        restore(place / "x.safetensors")


def pickled(path, home, kind):
    """A pickle of a kind, as a path."""
    state = torch.load(home / "BPR.pth", weights_only=True)
    made = {
        "payload": lambda: path.write_bytes(pickle.dumps(Payload())),
        "payload in a zip": lambda: torch.save(Payload(), path),
        "payload in a checkpoint": lambda: torch.save({**state, "epoch": Payload()}, path),
        "stock": lambda: torch.save({**state, "config": vars(state["config"])["model_class"]}, path, pickle_protocol=4),
        "zip": lambda: path.write_bytes(b"PK\3\4" + b"\0" * 40),
        "cut short": lambda: path.write_bytes((home / "BPR.pth").read_bytes()[:3000]),
        "a tensor": lambda: torch.save(torch.ones(3), path),
        "a dict": lambda: torch.save({"config": {}, "state_dict": {}}, path),
        "no weights": lambda: torch.save({**state, "state_dict": None}, path),
        "other weights": lambda: torch.save({**state, "state_dict": {}}, path),
        "weights no tensors": lambda: torch.save({**state, "state_dict": dict.fromkeys(state["state_dict"], 1)}, path),
        "epoch a text": lambda: torch.save({**state, "epoch": "x"}, path),
        "no data": lambda: torch.save({key: state[key] for key in state if key != "data"}, path),
        "data a text": lambda: torch.save({**state, "data": "x"}, path),
        "no tensors of data": lambda: torch.save({**state, "of_data": None}, path),
        "data no tensors": lambda: torch.save({**state, "of_data": dict.fromkeys(state["of_data"], 1)}, path),
    }
    made[kind]()
    return path


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize(
    "kind, said",
    [
        ("payload", "cannot be read as data alone"),
        ("payload in a zip", "cannot be read as data alone"),
        ("payload in a checkpoint", "cannot be read as data alone"),
        ("stock", "cannot be read as data alone .* RecBole wrote it without this package"),
        ("zip", "cannot be read as data alone"),
        ("cut short", "cannot be read as data alone"),
        ("a tensor", "is no checkpoint of a run"),
        ("a dict", "is no checkpoint of a run"),
        ("no weights", "is no checkpoint of a run"),
        ("other weights", "lacks item_embedding.weight, user_embedding.weight"),
        ("weights no tensors", "is no checkpoint of a run"),
        ("epoch a text", "names no epoch as we write it"),
        ("no data", "is of an earlier release, which did not write whose rows"),
        ("data a text", NOT_AS_WE_WRITE),
        ("no tensors of data", NOT_AS_WE_WRITE),
        ("data no tensors", NOT_AS_WE_WRITE),
    ],
)
def test_a_pickle_runs_nothing_trusted_or_not(home, place, kind, said, name, unchecked_shapes):
    path = pickled(place / name, home, kind)
    with pytest.raises(CheckpointError, match="is a pickle, which may run code .* trust=True"):
        restore(path)
    with pytest.raises(CheckpointError, match=said) as refusal:
        restore(path, trust=True)
    assert "\n" not in str(refusal.value)


def test_a_pickled_config_imports_no_model(home, place):
    (place / "planted.py").write_text("open('touched', 'w')\n")
    state = torch.load(home / "BPR.pth", weights_only=True)
    state["config"].__dict__.update(model="planted:Model")
    state["config"].model_class = None  # so that only the name says what the class was
    torch.save(state, place / "x.pth")
    with pytest.raises(CheckpointError, match="is of a model 'planted:Model'"):
        restore(place / "x.pth", trust=True)
    assert "planted" not in sys.modules


def test_recboles_trainer_still_writes_what_trust_reads(home, place):
    found = restore(home / "BPR.pth", trust=True)
    assert found.checkpoint.model == "BPR" and found.checkpoint.epoch == 0
    assert torch.equal(
        found.model.state_dict()["user_embedding.weight"], found.checkpoint.state["user_embedding.weight"]
    )


@pytest.mark.parametrize("name, said", [("absent", "there is no checkpoint"), (".", "there is no checkpoint")])
def test_an_absent_file_and_a_folder_are_refused(place, name, said):
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(name)


def test_the_command_says_one_sentence_and_takes_the_flag(home, place, capsys):
    assert main(["evaluate", str(home / "BPR.pth")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["evaluate", str(home / "BPR.pth"), "--trust-checkpoint"]) == 0
    assert "recall@10" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    assert "may still find a way to run code" in " ".join(capsys.readouterr().out.split())


@given(data=st.data())
@hypothesis.settings(max_examples=150, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_any_other_byte_is_read_or_refused(home, place, data):
    """Of the header mostly, where bytes mean something."""
    content = bytearray((home / "BPR.safetensors").read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, header if data.draw(st.booleans()) else len(content) - 1))] = data.draw(
            st.integers(0, 255)
        )
    (place / "x.safetensors").write_bytes(content[: data.draw(st.sampled_from([None, header, -1]))])
    with contextlib.suppress(SheafError):
        restore(place / "x.safetensors")
