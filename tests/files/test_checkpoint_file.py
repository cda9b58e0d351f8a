"""The file of a checkpoint: everything comes back, on the model's device, and no half of one is ever seen."""

import io
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch
from torch import nn

from recbole_sheaf.environment import Terminated
from recbole_sheaf.errors import CheckpointError, WriteError
from recbole_sheaf.files import checkpoint_file
from recbole_sheaf.files.checkpoint_file import put_into, read_checkpoint_file, write_checkpoint, write_pickle


class Model(nn.Module):
    """With tied weights, a buffer, and something of each kind beside them."""

    device = torch.device("cpu")

    def __init__(self, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.one = nn.Parameter(torch.randn(4, 3, generator=generator))
        self.two = self.one
        self.register_buffer("counts", torch.arange(5) + seed)
        rng = np.random.default_rng(seed)
        self.kept = {
            "none": None,
            "number": 3 + seed,
            "text": "ü",
            "tensor": torch.randn(2, 2, generator=generator).T,
            "array": rng.random((3, 2)),
            "scalar": np.float32(seed),
            "matrix": np.asmatrix(rng.random((2, 2))),
            "csr": scipy.sparse.random(5, 4, 0.5, "csr", random_state=seed),
            "lil": scipy.sparse.random(5, 4, 0.5, "lil", random_state=seed),
            "ripples": {7: [(torch.tensor([seed]), torch.tensor([2]))], 8: []},
            "layer": nn.Linear(1, 1),
        }

    def other_parameter(self):
        return self.kept

    def load_other_parameter(self, other):
        self.kept = {**self.kept, **other}


def test_everything_comes_back_bit_for_bit(tmp_path):
    written, read = Model(1), Model(2)
    data = {"rows": torch.arange(3)}
    write_checkpoint(tmp_path / "x.safetensors", written, {"model": "Model", "epoch": 3}, {"read": [1]}, data)
    found = read_checkpoint_file(tmp_path / "x.safetensors")
    assert (found.about["model"], found.about["epoch"]) == ("Model", 3)
    assert (
        found.about["data"] == {"read": [1]}
        and found.data.keys() == {"rows"}
        and torch.equal(found.data["rows"], data["rows"])
    )
    put_into(read, found.state, found.other)
    assert torch.equal(read.one, written.one) and torch.equal(read.counts, written.counts)
    for name in ("none", "number", "text"):
        assert read.kept[name] == written.kept[name]
    for name in ("tensor", "array", "scalar", "matrix"):
        assert np.array_equal(read.kept[name], written.kept[name])
        assert read.kept[name].dtype == written.kept[name].dtype
    assert isinstance(read.kept["matrix"], np.matrix)
    for name in ("csr", "lil"):
        assert read.kept[name].format == name and not (read.kept[name] != written.kept[name]).nnz
    assert read.kept["ripples"] == {7: [[torch.tensor([1]), torch.tensor([2])]], 8: []}
    assert "layer" not in found.other, "its weights are the model's"


def test_what_a_model_keeps_goes_to_its_device(tmp_path):
    write_checkpoint(tmp_path / "x", Model(), {}, {}, {})
    found, read = read_checkpoint_file(tmp_path / "x"), Model()
    read.device = torch.device("meta")
    put_into(read, found.state, found.other)
    assert read.kept["tensor"].is_meta and read.kept["ripples"][7][0][0].is_meta


def test_a_writing_that_fails_leaves_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    write_checkpoint(path, Model(1), {}, {}, {})
    before = path.read_bytes()

    def half(tensors, name, header):
        Path(name).write_bytes(b"half")
        raise OSError("no space left")

    assert [found.name for found in tmp_path.iterdir()] == ["x.safetensors"]
    monkeypatch.setattr(checkpoint_file, "save_file", half)
    with pytest.raises(OSError, match="no space left"):
        write_checkpoint(path, Model(2), {}, {}, {})
    assert path.read_bytes() == before


def test_what_a_checkpoint_cannot_hold_is_told(tmp_path):
    model = Model()
    model.kept["strange"] = object()
    with pytest.raises(CheckpointError, match="has a object in 'strange', which a checkpoint cannot hold"):
        write_checkpoint(tmp_path / "x", model, {}, {}, {})


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Terminated, OSError])
@pytest.mark.parametrize("written", [0, 3])
def test_what_stops_the_writing_of_a_state_is_what_is_raised(tmp_path, monkeypatch, stop, written):
    """PyTorch hides it behind a RuntimeError about the end that its archive lacks."""

    class Stopped(io.BytesIO):
        left = written

        def write(self, data):
            self.left -= 1
            if self.left < 0:
                raise stop()
            return super().write(data)

    monkeypatch.setattr(checkpoint_file, "open", lambda path, mode: Stopped(), raising=False)
    with pytest.raises(WriteError if stop is OSError else stop):
        write_pickle(tmp_path / "state.pth", {"a": torch.ones(10), "b": torch.ones(1000)})
    assert not list(tmp_path.glob("state.pth"))
