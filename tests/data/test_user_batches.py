"""Batches of users: everyone with a training interaction, each once an epoch, in equal batches."""

import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.dataloader import TrainDataLoader

from recbole_sheaf.data.user_batches import TrainingUsers, users_per_step


def loader(settings, model="MMSheaf"):
    config = Config(model=model, dataset="toy", config_dict={**settings, "loss": "softmax"})
    return data_preparation(config, create_dataset(config))[0]


def test_each_user_with_a_training_interaction_comes_once_an_epoch(toy_settings, toy):
    with open(toy / "toy" / "toy.inter", "a") as file:
        file.writelines(f"v{user}\ti{user}\n" for user in range(40))
    split = {"split": {"RS": [0.5, 0.2, 0.3]}, "group_by": "none", "order": "RO"}
    train_data = loader({**toy_settings, "eval_args": split, "softmax_steps": 4})
    expected = train_data.dataset.inter_feat["user_id"].unique()
    assert 0 not in expected and 30 < len(expected) < 70
    epochs = [[batch["user_id"] for batch in train_data] for _ in range(2)]
    for epoch in epochs:
        assert torch.equal(torch.cat(epoch).sort().values, expected)
        assert len(epoch) == 4 and max(map(len, epoch)) - min(map(len, epoch)) < 4
    assert not torch.equal(torch.cat(epochs[0]), torch.cat(epochs[1]))
    assert all(set(batch.interaction) == {"user_id"} for batch in train_data)


def test_the_order_comes_from_the_seed(toy_settings):
    first, again, other = (
        torch.cat([batch["user_id"] for batch in loader({**toy_settings, "seed": seed})]) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("model", ["LightGCN", "MMSheaf"])
def test_bpr_keeps_batches_of_interactions(toy_settings, model):
    config = Config(model=model, dataset="toy", config_dict={**toy_settings, "loss": "bpr"})
    train_data = data_preparation(config, create_dataset(config))[0]
    assert type(train_data) is TrainDataLoader
    assert type(loader(toy_settings, model)) is TrainingUsers


@pytest.mark.parametrize(
    "users, most, min_steps, size",
    [
        (943, 2048, 8, 118),
        (6040, 2048, 8, 755),
        (6040, 2048, 2, 2014),
        (9308, 2048, 8, 1164),
        (10**6, 2048, 8, 2045),
        (943, 500, 2, 472),
        (943, 100, 2, 95),
        (2049, 2048, 1, 1025),
        (3, 2048, 8, 1),
        (1, 2048, 2, 1),
    ],
)
def test_steps_are_equal_and_several(users, most, min_steps, size):
    assert users_per_step(users, most, min_steps) == size
