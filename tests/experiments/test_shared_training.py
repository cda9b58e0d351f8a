"""Processes that train one model together have the losses, the metrics and the parameters of one, to rounding."""

import importlib
import json
import signal
import sys

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_sheaf.cli import main
from recbole_sheaf.environment import Place, place_among_processes
from recbole_sheaf.errors import ConfigError, PartnerLost
from recbole_sheaf.experiments import processes
from recbole_sheaf.experiments.processes import Team, noticing_losses, team_of_command
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.shared_training import SharedLoss, SharedTraining, leaves_out
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.experiments.training import prepare
from recbole_sheaf.models.softmax_ranking import SoftmaxRanked
from recbole_sheaf.plugin.recbole_softmax import SERVED
from recbole_sheaf.plugin.registration import MODELS
from tests.conftest import REPOSITORY, TOY, write_toy
from tests.experiments.training_together import Stopped, start, together, trained

LOSSES = 1e-5  # relative; sums of float32 in another order


def unequal(folder):
    """The toy dataset with histories from 5 to 40 of 60 items."""
    write_toy(folder)
    rng = np.random.default_rng(1)
    lines = ["user_id:token\titem_id:token"]
    for user in range(29):
        items = rng.choice(60, size=40 if user % 5 == 0 else 5 + user % 3, replace=False)
        lines += [f"u{user}\ti{item}" for item in items]
    (folder / f"{folder.name}.inter").write_text("\n".join(lines) + "\n")


@pytest.fixture
def unequal_toy(workplace):
    """Settings of a run on it."""
    unequal(workplace / "data" / "toy")
    return {**TOY, "data_path": str(workplace / "data"), "cache_dir": str(workplace / "cache")}


def built(model, settings):
    (config,) = resolve_configs([model], "toy", [], settings)
    return prepare(config, load_split(config))


def gradient_of(parameter):
    """Zeros of one that a loss does not look at, such as the weights of an item graph that is not in use."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


class OneOfThem(Team):
    """One process of a few, played one after the other: it notes its part, and is told the sum of all."""

    parts: list
    of_batch: torch.Tensor

    def add_up(self, tensor):
        self.parts.append(tensor.detach().clone())
        return self.of_batch


SPLIT = [
    ("MMSheaf", {"item_sheaf_nearest": 3, "item_sheaf_targets": 3.0}),
    ("MMSheaf", {"item_sheaf_nearest": 3, "softmax_items": 20, "reg_weight": 0.1}),
    ("MMSheaf", {"item_sheaf_weight": 0, "softmax_popularity": 1.0, "restriction_map": "general"}),
    ("SheafRec", {"modalities": ["image"], "map_source": "signal"}),
    ("Sheaf4Rec", {"loss": "softmax"}),
    ("VBPR", {"loss": "softmax"}),
    ("LightGCN", {"loss": "softmax"}),
    ("NGCF", {"loss": "softmax", "hidden_size_list": [8, 8]}),
    ("BPR", {"loss": "softmax"}),
]


def test_every_model_that_splits_batches_is_looked_at():
    classes = {name: getattr(importlib.import_module(module), name) for name, module in MODELS.items()}
    ours = {name for name, model in classes.items() if getattr(model, "splits_batches", False)}
    theirs = {name.partition(":")[2] for name in SERVED}
    assert {model for model, _ in SPLIT} == ours | theirs
    assert not SoftmaxRanked.splits_batches


@pytest.mark.parametrize("model, changed", SPLIT)
def test_parts_of_a_batch_give_its_loss_and_its_gradient(unequal_toy, model, changed):
    """Each part with dropout and sampled items as the whole has them, whoever has the long histories."""
    prepared = built(model, {**unequal_toy, **changed})
    batch = next(iter(prepared.train_data))
    net = prepared.model.train()

    def differentiated(loss):
        net.zero_grad()
        torch.manual_seed(7)
        value = loss(batch)
        value.backward()
        return value.detach(), {name: gradient_of(each).clone() for name, each in net.named_parameters()}

    value, gradients = differentiated(net.calculate_loss)
    assert all(gradient.any() for name, gradient in gradients.items() if "embedding" in name)
    size, of_parts, parts = 3, [], []
    for rank in range(size):
        one = OneOfThem(rank, size)
        vars(one).update(parts=parts, of_batch=value)
        told, gradient = differentiated(SharedLoss(net, one))
        torch.testing.assert_close(told, value, rtol=1e-6, atol=0)
        of_parts.append(gradient)
    torch.testing.assert_close(sum(parts), value, rtol=LOSSES, atol=0)
    rounding = 1e-6 * max(float(gradient.abs().max()) for gradient in gradients.values())
    for name, gradient in gradients.items():
        mean = sum(each[name] for each in of_parts) / size
        torch.testing.assert_close(mean, gradient, rtol=1e-3, atol=rounding)


def test_a_look_for_parameters_without_a_gradient_draws_nothing(unequal_toy):
    """The weights of an item graph that is not in use are such; LightGCN has none."""
    for model, changed, found in (
        ("MMSheaf", {"item_sheaf_nearest": 3}, True),
        ("LightGCN", {"loss": "softmax"}, False),
    ):
        net = built(model, {**unequal_toy, **changed}).model
        before = torch.get_rng_state()
        assert leaves_out(net, Interaction({net.USER_ID: torch.tensor([1, 2])})) == found
        assert torch.equal(torch.get_rng_state(), before)
        assert all(each.grad is None for each in net.parameters())


def test_a_process_without_a_user_has_no_part(unequal_toy):
    """Of a last batch of fewer users than processes."""
    net = built("MMSheaf", {**unequal_toy, "item_sheaf_nearest": 3}).model.train()
    last = OneOfThem(2, 3)
    vars(last).update(parts=[], of_batch=torch.tensor(2.0))
    loss = SharedLoss(net, last)(Interaction({net.USER_ID: torch.tensor([1, 2])}))
    loss.backward()
    assert loss.item() == 2.0 and last.parts == [torch.tensor(0.0)]
    assert not any(gradient_of(each).any() for each in net.parameters())


@pytest.mark.parametrize(
    "model, changed, size, said",
    [
        ("MMSheaf", {"loss": "bpr"}, 2, "with loss bpr, whose batches are of interactions; set loss=softmax"),
        ("FREEDOM", {"loss": "softmax"}, 2, "the loss of FREEDOM is not known to be a sum over the users of a batch"),
        ("ItemKNN", {}, 2, "the loss of ItemKNN is not known to be a sum"),
        ("LightGCN", {"loss": "softmax", "softmax_steps": 10}, 4, "share batches of 3 users; start at most 3"),
    ],
)
def test_what_is_not_shared_is_refused(unequal_toy, model, changed, size, said):
    if model == "ItemKNN":
        del unequal_toy["embedding_size"]
    prepared = built(model, {**unequal_toy, **changed})
    with pytest.raises(ConfigError, match=said):
        SharedTraining(prepared.trainer, Team(0, size), prepared.train_data)


def test_a_graphics_card_is_refused(unequal_toy):
    prepared = built("MMSheaf", {**unequal_toy, "item_sheaf_nearest": 3})
    prepared.trainer.device = torch.device("cuda", 0)
    with pytest.raises(ConfigError, match="the device is cuda:0; set use_gpu=False"):
        SharedTraining(prepared.trainer, Team(0, 2), prepared.train_data)


@pytest.mark.parametrize(
    "environment, place",
    [
        ({}, Place(0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "2"}, Place(1, 2)),
        ({"WORLD_SIZE": "2"}, Place(0, 1)),
        ({"RANK": "first", "WORLD_SIZE": "2"}, Place(0, 1)),
    ],
)
def test_where_a_process_stands(monkeypatch, environment, place):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert place_among_processes() == place


@pytest.fixture
def second_of_two(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")


@pytest.mark.parametrize("command", ["compare", "tune", "update", "export"])
def test_other_commands_are_refused_under_torchrun(second_of_two, capsys, command):
    assert main([command, "--no-such-option"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        f"process 1: ConfigError: 2 processes were started together, and each would do all of '{command}'"
    )
    assert said.count("\n") == 1


def test_a_pytorch_without_gloo_is_refused(second_of_two, monkeypatch):
    monkeypatch.setattr(processes.dist, "is_backend_available", lambda name: False)
    with pytest.raises(ConfigError, match="takes gloo, and this PyTorch is built without it"), team_of_command():
        pass


def test_processes_that_do_not_find_each_other(second_of_two, monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(PartnerLost, match="process 1 of 2 does not find the others .*MASTER_ADDR"), team_of_command():
        pass


def test_a_defect_is_no_lost_process():
    with pytest.raises(RuntimeError, match="out of memory"), noticing_losses():
        raise RuntimeError("out of memory")
    with pytest.raises(PartnerLost, match="another process of this training has ended"), noticing_losses():
        raise RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer")


def job(home, model, **changed):
    """A job's settings, with dropout in stalks and features."""
    common = {
        **TOY, "epochs": 3, "dataset": "toy", "data_path": str(home / "data"), "log_to_file": False, "state": "error",
        "cache_dir": str(home / "cache"), "checkpoint_dir": str(home / "saved"), "log_tensorboard": False,
    }  # fmt: skip
    return [model, {**common, "learning_rate": 0.02, **changed}]


JOBS = {
    "all items": ("MMSheaf", {"item_sheaf_nearest": 3, "item_sheaf_targets": 3.0, "softmax_steps": 2}),
    "sampled": ("MMSheaf", {"item_sheaf_nearest": 3, "softmax_items": 20, "softmax_steps": 7}),
    "early stopping": ("LightGCN", {"loss": "softmax", "epochs": 8, "stopping_step": 0}),
    "gone on": ("BPR", {"loss": "softmax", "stopping_step": 5}),
    "refused": ("MMSheaf", {"loss": "bpr"}),
}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Each job by one process and by two: what one gave, and what each of the two gave."""
    home = tmp_path_factory.mktemp("shared")
    unequal(home / "data" / "toy")
    jobs = {name: job(home, model, **changed) for name, (model, changed) in JOBS.items()}
    with pytest.raises(Stopped):
        trained(*jobs["gone on"], home / f"two-{list(JOBS).index('gone on')}", stopped_after=0)
    two = together([[*each, str(home / f"two-{n}")] for n, each in enumerate(jobs.values())], home / "out")
    found = {name: [each[n] for each in two] for n, name in enumerate(jobs)}
    del jobs["refused"]
    return {name: trained(*each, home / f"one-{name}") for name, each in jobs.items()}, found


@pytest.mark.slow
@pytest.mark.parametrize("name", list(JOBS)[:-1])
def test_two_processes_train_as_one(both, name):
    one, parameters = both[0][name]
    (first, of_first), (_, of_second) = both[1][name]
    np.testing.assert_allclose(first["losses"], one["losses"], rtol=LOSSES)
    assert first["losses"][-1] < 0.999 * first["losses"][0]
    assert len(first["losses"]) == 3 or name == "early stopping" and len(first["losses"]) < 8
    assert first["valid"] == one["valid"] and first["test"] == one["test"] and first["chosen"] == one["chosen"]
    for key, of_one in parameters.items():
        torch.testing.assert_close(of_first[key], of_one, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(of_second[key], of_first[key], rtol=0, atol=0)


@pytest.mark.slow
def test_each_process_refuses(both):
    assert all("set loss=softmax" in told["refused"] for told, _ in both[1]["refused"])


@pytest.mark.slow
def test_a_run_under_torchrun_is_written_once(tmp_path, monkeypatch):
    """One line of results, one checkpoint, one table; the second process prints nothing and makes no folder."""
    unequal(tmp_path / "data" / "toy")
    model, settings = job(tmp_path, "MMSheaf", item_sheaf_nearest=3, epochs=2)
    options = [f"--{name}={value}" for name, value in settings.items()]
    options += [f"--model={model}", f"--result_file={tmp_path / 'run.json'}", "--log_tensorboard=True"]
    options.remove("--log_tensorboard=False")
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    (process,) = start([*launched, str(REPOSITORY / "run_recbole_sheaf.py"), *options], 1, cwd=tmp_path)
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    assert out.count("checkpoint: ") == 1
    (line,) = (tmp_path / "run.json").read_text().splitlines()
    (one, _) = trained(model, settings, tmp_path / "one")
    np.testing.assert_allclose(json.loads(line)["train_loss"], one["losses"], rtol=LOSSES)
    assert json.loads(line)["test"] == one["test"]
    assert len(list((tmp_path / "saved").iterdir())) == 1 and len(list((tmp_path / "log_tensorboard").iterdir())) == 1


DYING = """
import os, signal, sys
from recbole_sheaf.cli import main
from recbole_sheaf.experiments.shared_training import SharedLoss
forward, steps = SharedLoss.forward, []
def dying(self, interaction):
    loss = forward(self, interaction)
    steps.append(1)
    if len(steps) == 3 and os.environ["RANK"] == "{rank}":
        os.kill(os.getpid(), signal.SIGKILL)
    return loss
SharedLoss.forward = dying
options, sys.argv = sys.argv[1:], sys.argv[:1]
sys.exit(main(["run", *options]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_dies_ends_the_others_with_a_sentence(tmp_path, rank):
    """In the midst of a step, when the other waits for its gradient."""
    unequal(tmp_path / "data" / "toy")
    model, settings = job(tmp_path, "LightGCN", loss="softmax", softmax_steps=2)
    options = [f"--{name}={value}" for name, value in settings.items()]
    started = start([sys.executable, "-c", DYING.format(rank=rank), f"--model={model}", *options], 2, cwd=tmp_path)
    said = [process.communicate(timeout=200)[1] for process in started]
    assert started[rank].returncode == -signal.SIGKILL, said
    assert started[1 - rank].returncode == 2, said
    assert said[1 - rank].count("\n") == 1, said
    assert "another process of this training has ended" in said[1 - rank]
    assert said[1 - rank].startswith("PartnerLost" if rank else "process 1: PartnerLost")
