"""A training goes on after a stop with the very numbers of one that was never stopped."""

import numpy as np
import pytest

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.evaluation.ranking import per_user_metrics
from recbole_sheaf.experiments import training
from recbole_sheaf.experiments.carry_out import split_of
from recbole_sheaf.experiments.runs import run_models
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.experiments.training import STATE_FILE, train


class Stop(Exception):
    """Ends a training from outside."""


def prepared(model, settings):
    (config,) = resolve_configs([model], "toy", [], settings)
    return config, load_split(config)


def stop_after(number):
    def listener(epoch):
        if epoch.number == number:
            raise Stop

    return listener


def same_numbers(one, other):
    assert one.result.train_loss == other.result.train_loss
    assert (one.result.valid, one.result.test) == (other.result.valid, other.result.test)
    assert (one.result.best_epoch, one.result.epochs) == (other.result.best_epoch, other.result.epochs)
    assert [(epoch.valid, epoch.score) for epoch in one.epochs] == [(e.valid, e.score) for e in other.epochs]
    assert np.array_equal(one.judgement.rankings.top, other.judgement.rankings.top)


BPR_ONES = [(model, {"loss": "bpr"}) for model in ("MMSheaf", "MMGCN", "LightGCN", "BPR", "SGL")]
NARROW = [  # by default 600 wide, on 60 items
    ("MultiVAE", {"loss": "bpr", "mlp_hidden_size": [16], "latent_dimension": 8}),
    ("RecVAE", {"loss": "bpr", "hidden_dimension": 16, "latent_dimension": 8}),
]
SOFTMAX_ONES = [(model, {"loss": "softmax"}) for model in ("MMSheaf", "FREEDOM", "LightGCN")]
SAMPLED = ("MMSheaf", {"loss": "softmax", "softmax_items": 20, "softmax_steps": 3})


@pytest.mark.parametrize("model, changed", [*BPR_ONES, *NARROW, *SOFTMAX_ONES, SAMPLED])
def test_a_stopped_training_goes_on_with_the_same_numbers(toy_settings, tmp_path, model, changed):
    """RecVAE has a training loop of its own: it starts again, and still gives the same numbers."""
    settings = {**toy_settings, "epochs": 5, **changed}
    if model in ("MultiVAE", "RecVAE"):
        del settings["embedding_size"]
    undisturbed = train(*prepared(model, settings))
    folder = tmp_path / "run"
    folder.mkdir()
    for number in (0, 2):
        with pytest.raises(Stop):
            train(*prepared(model, settings), folder, stop_after(number))
    assert (folder / STATE_FILE).is_file() == (model != "RecVAE")
    seen = []
    resumed = train(*prepared(model, settings), folder, lambda epoch: seen.append(epoch.number))
    assert seen == [0, 1, 2, 3, 4]
    same_numbers(resumed, undisturbed)


def test_a_training_stopped_after_early_stopping_does_not_train_on(toy_settings, tmp_path):
    settings = {**toy_settings, "epochs": 60, "stopping_step": 1, "learning_rate": 0.05}
    undisturbed = train(*prepared("BPR", settings))
    last = undisturbed.epochs[-1].number
    assert last < 59
    with pytest.raises(Stop):
        train(*prepared("BPR", settings), tmp_path, stop_after(last))
    same_numbers(train(*prepared("BPR", settings), tmp_path), undisturbed)


def test_epochs_without_validation_are_kept_too(toy_settings, tmp_path):
    settings = {**toy_settings, "epochs": 6, "eval_step": 3}
    undisturbed = train(*prepared("BPR", settings))
    assert [epoch.score is not None for epoch in undisturbed.epochs] == [False, False, True, False, False, True]
    with pytest.raises(Stop):
        train(*prepared("BPR", settings), tmp_path, stop_after(3))
    same_numbers(train(*prepared("BPR", settings), tmp_path), undisturbed)


def test_a_damaged_state_starts_again(toy_settings, tmp_path):
    settings = {**toy_settings, "epochs": 3}
    with pytest.raises(Stop):
        train(*prepared("BPR", settings), tmp_path, stop_after(1))
    state = tmp_path / STATE_FILE
    state.write_bytes(state.read_bytes()[:1000])
    same_numbers(train(*prepared("BPR", settings), tmp_path), train(*prepared("BPR", settings)))


def test_a_training_on_other_data_starts_again(toy, toy_settings, tmp_path):
    """Its parameters belong to other rows, be it that the lines stand in another order."""
    settings = {**toy_settings, "epochs": 3}
    with pytest.raises(Stop):
        train(*prepared("BPR", settings), tmp_path, stop_after(1))
    header, *lines = (toy / "toy" / "toy.inter").read_text().splitlines()
    (toy / "toy" / "toy.inter").write_text("\n".join([header, *lines[::-1]]) + "\n")
    same_numbers(train(*prepared("BPR", settings), tmp_path), train(*prepared("BPR", settings)))


def test_a_changed_table_is_loaded_again(toy, toy_settings):
    """Runs in a row share a loaded split, unless the files under it have changed."""
    config, _ = prepared("BPR", toy_settings)
    first = split_of(config)
    assert split_of(prepared("LightGCN", toy_settings)[0]) is first
    with open(toy / "toy" / "toy.inter", "a") as file:
        file.write("u1\tanother\n")
    assert split_of(config).dataset.item_num == first.dataset.item_num + 1


def test_users_add_up_to_the_result(toy_settings):
    """The rankings that are kept give RecBole's own test metrics."""
    run = train(*prepared("MMSheaf", toy_settings))
    means = per_user_metrics(run.judgement.rankings, ["Recall", "NDCG", "Precision", "MRR"], [10, 20]).mean()
    for name, value in means.items():
        assert run.result.test[name] == pytest.approx(value, abs=1e-6)


def test_without_a_test_the_test_part_is_not_read(toy_settings, monkeypatch):
    monkeypatch.setattr(training, "judge", lambda *arguments: pytest.fail("the test part was read"))
    run = train(*prepared("BPR", toy_settings), test=False)
    assert run.result.test == {} and run.judgement is None and run.result.valid


def test_only_training_items_are_left_out_where_asked(toy_settings):
    """With [train] a user's validation items may be recommended at test; RecBole's way never lists them."""
    lists = {}
    del toy_settings["embedding_size"]
    for seen in (["train", "valid"], ["train"]):
        config, split = prepared("Pop", {**toy_settings, "seen_at_test": seen})
        rankings = train(config, split).judgement.rankings
        lists[len(seen)] = dict(zip(rankings.users, rankings.top))
    held = {}
    for part in (0, 1):
        users, items = (split.parts[part].inter_feat[name].numpy() for name in ("user_id", "item_id"))
        held[part] = {user: set(items[users == user]) for user in lists[1]}
    assert not any(set(lists[n][user][:30]) & held[0][user] for n in (1, 2) for user in lists[n])
    assert not any(set(lists[2][user][:30]) & held[1][user] for user in lists[2])
    assert any(set(lists[1][user]) & held[1][user] for user in lists[1])
    with pytest.raises(ConfigError, match="seen_at_test is .*expected"):
        train(*prepared("Pop", {**toy_settings, "seen_at_test": ["valid"]}))


def test_side_by_side_runs_are_single_trainings(toy_settings):
    (together,) = run_models(["MMSheaf"], "toy", overrides=toy_settings)
    assert together.test == train(*prepared("MMSheaf", toy_settings)).result.test
