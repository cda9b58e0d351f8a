"""Neural Sheaf Diffusion: node representations by diffusion along a sheaf that is learnt from them.

n nodes, d learnt stalk coordinates and up to two fixed channels, D in all, h hidden channels, signal x of shape
(n D, h). One layer is

    x <- (1 + tanh(epsilon)) x - sigma(Delta (I (x) W1) x W2),

with the restriction maps of Delta learnt from x (Bodnar et al. 2022, https://arxiv.org/abs/2202.04579, section 5).
:func:`from_manifest` rebuilds a model from the reference implementation's settings and parameters; modules carry the
parameter names of its checkpoints. Where we differ on purpose: nodes without edges stay finite when the Laplacian is
not augmented, left and right weights may be off for every family, and repeated eigenvalues need no jitter.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Union

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from recbole_sheaf.errors import ShapeError
from recbole_sheaf.layers.dropout import dropout
from recbole_sheaf.nsd.continuous_diffusion import ContinuousSheafDiffusion
from recbole_sheaf.nsd.diffusion_settings import DiffusionSettings, settings_from_reference
from recbole_sheaf.nsd.sheaf_diffusion import (
    SheafDiffusion,
    identity_linear,
    mix,
    new_sheaf_learner,
    orthogonal_linear,
)
from recbole_sheaf.nsd.sheaf_learners import EdgeWeightLearner
from recbole_sheaf.sheaf import UndirectedGraph, undirected_graph


class NeuralSheafDiffusion(SheafDiffusion):
    """The discrete model: diffusion layers, each with weights, and unless told otherwise a sheaf, of its own."""

    def __init__(self, graph: UndirectedGraph, settings: DiffusionSettings):
        super().__init__(graph, settings)
        layers, total, hidden = settings.num_layers, settings.total_dim, settings.hidden_channels
        left, right = layers * settings.left_weights, layers * settings.right_weights
        self.lin_left_weights = nn.ModuleList(identity_linear(total) for _ in range(left))
        self.lin_right_weights = nn.ModuleList(orthogonal_linear(hidden) for _ in range(right))
        self.epsilons = nn.ParameterList(nn.Parameter(torch.zeros(total, 1)) for _ in range(layers))
        learnt = 0 if settings.restriction_map == "identity" else layers if settings.relearn_maps else 1
        weights = learnt * settings.has_edge_weights
        self.sheaf_learners = nn.ModuleList(new_sheaf_learner(settings) for _ in range(learnt))
        self.weight_learners = nn.ModuleList(EdgeWeightLearner(hidden * total) for _ in range(weights))

    def diffuse(self, x: Float[Tensor, "nD h"]) -> Float[Tensor, "nD h"]:
        """All diffusion layers."""
        values = None if self.sheaf_learners else self.laplacian.identity_values(x)
        for layer, epsilon in enumerate(self.epsilons):
            if layer < len(self.sheaf_learners):
                values = self.learn(layer, x)
            kept = (1 + torch.tanh(epsilon)) * x.view(self.laplacian.num_nodes, len(epsilon), -1)
            x = kept.flatten(0, 1) - self.diffusion_term(layer, values, x)
        return x

    def learn(self, layer: int, x: Float[Tensor, "nD h"]) -> tuple[Float[Tensor, " upper"], Float[Tensor, " diagonal"]]:
        """Values of this layer's Laplacian, learnt from the signal."""
        x = x if layer == 0 else dropout(x, self.settings.dropout, self.training)
        weight_learner = self.weight_learners[layer] if self.weight_learners else None
        return self.values(x, self.sheaf_learners[layer], weight_learner)

    def diffusion_term(
        self, layer: int, values: tuple[Tensor, Tensor], x: Float[Tensor, "nD h"]
    ) -> Float[Tensor, "nD h"]:
        """``sigma(Delta (I (x) W1) x W2)``."""
        x = dropout(x, self.settings.dropout, self.training)
        left = self.lin_left_weights[layer] if self.settings.left_weights else None
        right = self.lin_right_weights[layer] if self.settings.right_weights else None
        x = self.operator(layer, values, mix(x, left, right))
        return F.elu(x) if self.settings.use_activation else x

    def operator(self, layer: int, values: tuple[Tensor, Tensor], x: Float[Tensor, "nD h"]) -> Float[Tensor, "nD h"]:
        """``Delta x``; a variant that filters by another function of Delta overrides this."""
        return self.laplacian.product(*values, x)


def from_manifest(
    entry: Mapping[str, Any],
    parameters: Mapping[str, Union[np.ndarray, Tensor]],
    edge_index: Int[Tensor, "..."],
) -> SheafDiffusion:
    """Build a model from an entry of the reference implementation's manifest and its parameters.

    Args:
        entry: ``kind`` (one of ``diag``, ``bundle``, ``general``, alone or within a longer name) and ``args``, the
            reference's arguments, ``graph_size`` among them.
        parameters: arrays by the names of the reference's ``state_dict``. One ``sheaf_learner`` for all times, or names
            under ``odefunc`` or ``odeblock``, make the model a continuous one.
        edge_index: (2, a), both directions of every edge, in any order.

    Returns:
        The model in evaluation mode, in the parameters' precision; ``model(x)`` gives log-probabilities, and
        ``model.named_parameters()`` has the reference's names.

    Raises:
        ShapeError: if parameters are missing, unknown or of another shape.
        ConfigError: if the kind or an option is unknown.
        GraphError: if the arcs are no undirected graph on ``graph_size`` nodes.
    """
    continuous = any("odefunc" in name or name.startswith("sheaf_learner.") for name in parameters)
    model_class = ContinuousSheafDiffusion if continuous else NeuralSheafDiffusion
    graph = undirected_graph(edge_index, entry["args"]["graph_size"])
    settings = settings_from_reference(entry["kind"], entry["args"])
    if continuous:
        settings = replace(settings, sparse_learner=False)  # the reference's continuous models never use it
    model = model_class(graph, settings)
    tensors = {_own_name(name): torch.as_tensor(value) for name, value in parameters.items()}
    _check_parameters(model, tensors)
    model = model.to(next(iter(tensors.values())).dtype)
    model.load_state_dict(tensors)
    return model.eval()


def _own_name(name: str) -> str:
    return name.replace("odeblock.", "").replace("odefunc.", "")


def _check_parameters(model: nn.Module, given: Mapping[str, Tensor]) -> None:
    own = model.state_dict()
    if own.keys() != given.keys():
        missing, unknown = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
        raise ShapeError(f"parameters do not fit the settings: missing {missing}, unknown {unknown}")
    misfits = [(name, tuple(given[name].shape), tuple(own[name].shape)) for name in own]
    misfits = [f"{name} {got}, expected {expected}" for name, got, expected in misfits if got != expected]
    if misfits:
        raise ShapeError(f"parameters of another shape than the settings ask for: {'; '.join(misfits)}")
