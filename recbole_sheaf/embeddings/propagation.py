r"""Vectors after each layer of a model that propagates on the user-item graph, and what items tell a new user.

A user with items H and nothing else, no vector of its own, joins a graph in which everyone else stays as they are. With
identity maps and step size :math:`\eta` the user's signal is, layer by layer,

.. math:: x_u^{(l + 1)} = (1 - \eta) x_u^{(l)}
    + \eta \, |H|^{-1/2} \sum_{i \in H} d_i^{-1/2} x_i^{(l)}, \qquad x_u^{(0)} = 0,

so the mean over the layers is :math:`|H|^{-1/2} \sum_{i \in H} t_i`, a sum of what each item tells. Under the cosine
the factor before it makes no difference.
"""

from typing import Any, Optional

import torch
from jaxtyping import Float
from recbole.model.general_recommender import LightGCN
from torch import Tensor

from recbole_sheaf.layers.sheaf_conv import SheafConv
from recbole_sheaf.models.mmsheaf import MMSheaf


def layers_of(model: Any) -> Optional[list[Float[Tensor, "nodes f"]]]:
    """Signals of all nodes, users first, before the first layer and after each; None where a model has none to show."""
    if isinstance(model, MMSheaf):
        return _of_diffusion(model)
    if isinstance(model, LightGCN):
        signals = [model.get_ego_embeddings()]
        for _ in range(model.n_layers):
            signals.append(torch.sparse.mm(model.norm_adj_matrix, signals[-1]))
        return signals
    return None


def _of_diffusion(model: MMSheaf) -> list[Float[Tensor, "nodes f"]]:
    x = model.stalks()
    maps, frames = model.maps(model.graph, x.flatten(1) if model.learn_from_signal else model.content)
    signals = [frames.rotate(x)]
    for step in model.steps:
        signals.append(step(model.graph, signals[-1], *maps))
    return [frames.rotate_back(signal).flatten(1) for signal in signals]


def told_to_users(model: Any) -> Optional[Float[Tensor, "n_items f"]]:
    """What each item tells a new user; None where a model has no such sum.

    Learnt maps on the user-item graph are maps of the user too, which only training gives.
    """
    if isinstance(model, MMSheaf):
        if (step := identity_step(model)) is None:
            return None
        step_size = step
    elif isinstance(model, LightGCN):
        step_size = 1.0
    else:
        return None
    items = [rows[model.n_users :] for rows in layers_of(model) or []]
    return told(items, item_degrees(model), step_size)


def identity_step(model: MMSheaf) -> Optional[float]:
    """Size of the diffusion's steps where its maps are the identity; None where they are learnt or nothing steps."""
    first = next(iter(model.steps), None)
    return first.step_size if isinstance(first, SheafConv) and first.family == "identity" else None


def told(signals: list[Float[Tensor, "k f"]], degree: Float[Tensor, " k"], step_size: float) -> Float[Tensor, "k f"]:
    """t of k items from their signals before the first layer and after each; an item without users counts as of one."""
    scale = degree.clamp(min=1).rsqrt().unsqueeze(1)
    heard = total = torch.zeros_like(signals[0])
    for signal in signals[:-1]:
        heard = (1 - step_size) * heard + step_size * scale * signal
        total = total + heard
    return total / len(signals)


def item_degrees(model: Any) -> Float[Tensor, " n_items"]:
    """Users of each item in training."""
    if isinstance(model, MMSheaf):
        return model.graph.in_degrees[model.n_users :].float()
    counts = torch.bincount(torch.from_numpy(model.interaction_matrix.col).long(), minlength=model.n_items)
    return counts.float()
