"""Neural Sheaf Diffusion: node representations by diffusion along a sheaf that is learnt from them.

n nodes, d learnt stalk coordinates and up to two fixed channels, D in all, h hidden channels, signal x of shape
(n D, h). One layer is

    x <- (1 + tanh(epsilon)) x - sigma(Delta (I (x) W1) x W2),

with the restriction maps of Delta learnt from x (Bodnar et al. 2022, https://arxiv.org/abs/2202.04579, section 5).
Modules carry the parameter names of the reference implementation's checkpoints. Where we differ on purpose: nodes
without edges stay finite when the Laplacian is not augmented, left and right weights may be off for every family, and
repeated eigenvalues need no jitter.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from recbole_sheaf.layers.dropout import dropout
from recbole_sheaf.layers.module_list import ModuleList
from recbole_sheaf.nsd.diffusion_settings import DiffusionSettings
from recbole_sheaf.nsd.sheaf_diffusion import (
    SheafDiffusion,
    identity_linear,
    mix,
    new_sheaf_learner,
    orthogonal_linear,
)
from recbole_sheaf.nsd.sheaf_learners import EdgeWeightLearner
from recbole_sheaf.sheaf import UndirectedGraph


class NeuralSheafDiffusion(SheafDiffusion):
    """The discrete model: diffusion layers, each with weights, and unless told otherwise a sheaf, of its own."""

    def __init__(self, graph: UndirectedGraph, settings: DiffusionSettings):
        super().__init__(graph, settings)
        layers, total, hidden = settings.num_layers, settings.total_dim, settings.hidden_channels
        left, right = layers * settings.left_weights, layers * settings.right_weights
        self.lin_left_weights: ModuleList[nn.Linear] = ModuleList(identity_linear(total) for _ in range(left))
        self.lin_right_weights = nn.ModuleList(orthogonal_linear(hidden) for _ in range(right))
        self.epsilons = nn.ParameterList(nn.Parameter(torch.zeros(total, 1)) for _ in range(layers))
        learnt = 0 if settings.restriction_map == "identity" else layers if settings.relearn_maps else 1
        weights = learnt * settings.has_edge_weights
        self.sheaf_learners = nn.ModuleList(new_sheaf_learner(settings) for _ in range(learnt))
        self.weight_learners = nn.ModuleList(EdgeWeightLearner(hidden * total) for _ in range(weights))

    def diffuse(self, x: Float[Tensor, "nD h"]) -> Float[Tensor, "nD h"]:
        """All diffusion layers."""
        values = self.learn(0, x) if self.sheaf_learners else self.laplacian.identity_values(x)
        for layer, epsilon in enumerate(self.epsilons):
            if 0 < layer < len(self.sheaf_learners):
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
        x = self.laplacian.product(*values, mix(x, left, right))
        return F.elu(x) if self.settings.use_activation else x
