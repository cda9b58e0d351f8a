"""Models of the toy dataset, as restoring a checkpoint gives them, and scores from pieces by their definition."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_sheaf.experiments.checkpoints import Checkpoint, Restored
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.experiments.training import prepare
from tests.conftest import CLOSED_FORM, TOY, content_of, write_toy

SOME_COLD = {"eval_args": {"split": {"RS": [0.25, 0.35, 0.4]}, "group_by": None}}  # items without training interactions
WITHOUT_SIZE = (*CLOSED_FORM, "EASE", "ItemKNN", "Pop", "SLIMElastic", "MultiVAE", "NCEPLRec", "LINE", "NeuMF")


def restored(name, settings, moved=0.1):
    """A model with each parameter moved from its start, and what a traditional model counts counted."""
    own = {key: value for key, value in settings.items() if key != "embedding_size" or name not in WITHOUT_SIZE}
    (config,) = resolve_configs([name], "toy", [], {**content_of(name), **own})
    split = load_split(config)
    prepared = prepare(config, split)
    generator = torch.Generator().manual_seed(0)
    for parameter in prepared.model.parameters():
        parameter.data += moved * torch.randn(parameter.shape, generator=generator)
    if name == "Pop":
        for batch in prepared.train_data:
            prepared.model.calculate_loss(batch)
    return untrained(config, split, prepared)


def restored_in(folder, name, settings):
    """The same of a toy dataset that is written into a folder, for a fixture that many tests share."""
    write_toy(folder / "data" / "toy")
    places = {"data_path": str(folder / "data"), "cache_dir": str(folder / "cache")}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["pytest"])
        return restored(name, {**TOY, **places, **settings})


def untrained(config, split, prepared):
    """As if from a checkpoint."""
    prepared.model.eval()
    checkpoint = Checkpoint(Path("absent"), config["model"], config["dataset"], 0, {}, {}, {})
    return Restored(checkpoint, config, split, prepared)


def scores_by_definition(embeddings):
    """The formula in the metadata, in float64: inner products, and sums over histories one user after another."""
    scores = embeddings.user_vectors.astype(np.float64) @ embeddings.item_vectors.T.astype(np.float64)
    if embeddings.coefficients is None:
        return scores
    said = embeddings.coefficients.toarray().astype(np.float64)
    for user, row in enumerate(scores):
        row += sum((said[item] for item in history_of(embeddings, user)), np.zeros(len(row)))
    return scores


def history_of(embeddings, user, parts=(0,)):
    """Rows of the items in a user's history."""
    histories = embeddings.histories
    mine = slice(histories.offsets[user], histories.offsets[user + 1])
    return [item for item, part in zip(histories.items[mine], histories.parts[mine]) if part in parts]
