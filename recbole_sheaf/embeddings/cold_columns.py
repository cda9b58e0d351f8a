"""What new items hear of a user's history: columns of the block of maps into cold items.

Where the catalogue has cold items, new ones are heard at their level. Where it has none, the level is measured: rare
warm items with content, heard through the maps into cold ones by users who do not have them, become as loud as by the
item sheaf's own maps, times the share of histories that content tells of. It depends on the catalogue alone, so that an
item is placed alike whatever is placed beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recbole_sheaf.embeddings.embeddings import TRAIN, Block, Embeddings
from recbole_sheaf.embeddings.item_maps import COLD, between_items, cold_told, smaller_as_coefficients
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.experiments.checkpoints import Restored
from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.item_sheaf import LEVEL_SCORES, ItemSheaf, LocalItemSheaf, rare_items
from recbole_sheaf.models.item_sheaf_forms import ClosedForm
from recbole_sheaf.sheaf.cold_items import content_regression, content_share, target_factors
from recbole_sheaf.sheaf.item_signals import ItemSignals, coordinates_of, spaced_users


@dataclass(frozen=True, eq=False)
class ColdColumns:
    """What k new items hear of n old ones, and the embeddings with a block for it, where it is one.

    Attributes:
        history: columns of the history blocks.
        coefficients: what each old item says; None where the block holds that.
    """

    embeddings: Embeddings
    history: Float[np.ndarray, "k h"]
    coefficients: Optional[Float[np.ndarray, "n k"]] = None


def cold_columns(
    restored: Restored, sheaf: ItemSheaf, embeddings: Embeddings, modalities: Mapping[str, ModalityFeatures]
) -> ColdColumns:
    """Maps into new items: in the block of those into cold ones, or as coefficients where these are smaller.

    Raises:
        ConfigError: if the item sheaf has no maps into cold items.
    """
    closed_form: ClosedForm = restored.model.closed_form
    ridge, weights = closed_form.fitting.cold_ridge, closed_form.content_weights
    if not (closed_form.fitting.restriction_map == "learnt" and ridge):
        raise ConfigError(
            "the item sheaf of this model has no maps into items without interactions (identity maps, or a cold ridge "
            "of 0), so it cannot place new ones; train it with learnt maps and a cold ridge above 0"
        )
    signals = closed_form.signals()
    count = len(next(iter(modalities.values())).matrix) - 1
    if not signals.content.shape[1]:
        return ColdColumns(embeddings, _nothing(embeddings, count))
    told, factor = content_regression(signals, ridge)
    heard = level_of_new_items(sheaf, signals, told, factor) * target_factors(
        _content(restored, modalities, weights), factor
    )
    block = next((block for block in embeddings.blocks if block.name == COLD), None)
    if block is None:
        tells = _tells(sheaf, told)
        if smaller_as_coefficients(count, len(embeddings.items), len(embeddings.users), len(heard[0])):
            return ColdColumns(embeddings, _nothing(embeddings, count), (tells @ heard.mT).float().numpy())
        embeddings = _with_cold_block(embeddings, tells.float().numpy())
        block = embeddings.blocks[-1]
    history = _nothing(embeddings, count)
    history[:, block.start - embeddings.width : block.stop - embeddings.width] = heard.float().numpy()
    return ColdColumns(embeddings, history)


def _nothing(embeddings: Embeddings, count: int) -> Float[np.ndarray, "k h"]:
    return np.zeros((count, embeddings.item_vectors.shape[1] - embeddings.width), dtype=np.float32)


def _content(
    restored: Restored, modalities: Mapping[str, ModalityFeatures], weights: Mapping[str, float]
) -> Float[Tensor, "k c"]:
    """Coordinates of new rows, by the means and directions of the catalogue's."""
    blocks = []
    for name, own in restored.model.modalities.items():
        if weights[name] > 0:
            learnt = coordinates_of(own.matrix, own.present, weights[name])
            blocks.append(learnt.coordinates(modalities[name].matrix[1:], modalities[name].present[1:]))
    return torch.cat(blocks, dim=1)


def level_of_new_items(
    sheaf: ItemSheaf, signals: ItemSignals, told: Float[Tensor, "n c"], factor: Float[Tensor, "c c"]
) -> float:
    """By what the content of new items is multiplied; see the module's docstring.

    Args:
        told, factor: of :func:`recbole_sheaf.sheaf.cold_items.content_regression`.
    """
    if (cold := sheaf.cold) is not None:
        unscaled = target_factors(signals.content[cold.items.cpu()], factor)
        return float(cold.target_factors.norm() / unscaled.norm())
    rare = (rare_items(signals) & signals.has_content).nonzero().squeeze(1)
    heard = target_factors(signals.content[rare], factor)
    active = (signals.user_offsets.diff() > 0).nonzero().squeeze(1)
    own, through_content = 0.0, 0.0
    for some in spaced_users(active, signals.n_items, LEVEL_SCORES).split(256):
        histories = sheaf.histories(some.to(sheaf.user_weight.device))
        scores = sheaf(histories).cpu()
        histories = histories.cpu()
        others = histories[:, rare] == 0
        own += float(scores[:, rare][others].square().sum())
        through_content += float((((histories + scores) @ told) @ heard.mT)[others].square().sum())
    return content_share(signals) * (own / through_content) ** 0.5 if through_content else 0.0


def _tells(sheaf: ItemSheaf, told: Float[Tensor, "_ c"]) -> Float[Tensor, "n c"]:
    """What old items tell new ones, padding left out."""
    hubs = (sheaf.hubs_in.cpu(), sheaf.hubs_out.cpu()) if isinstance(sheaf, LocalItemSheaf) else (None, None)
    return cold_told(between_items(sheaf), told, *hubs)[1:]


def _with_cold_block(embeddings: Embeddings, tells: Float[np.ndarray, "n c"]) -> Embeddings:
    """A last block, of which all old items hear zeros."""
    chosen = embeddings.histories.matrix(np.arange(len(embeddings.users)), [TRAIN], len(embeddings.items))
    width = embeddings.item_vectors.shape[1]
    return replace(
        embeddings,
        blocks=(*embeddings.blocks, Block(COLD, width, width + tells.shape[1], history=True)),
        user_vectors=np.concatenate([embeddings.user_vectors, chosen @ tells], axis=1),
        item_vectors=np.concatenate([embeddings.item_vectors, np.zeros_like(tells)], axis=1),
        item_told=np.concatenate([embeddings.item_told, tells], axis=1),
    )
