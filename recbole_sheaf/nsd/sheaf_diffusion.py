"""What discrete and continuous sheaf diffusion models share: encoder, decoder, learners and weights."""

from typing import Optional, Union

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from recbole_sheaf.errors import ShapeError
from recbole_sheaf.layers.dropout import dropout
from recbole_sheaf.nsd.diffusion_settings import DiffusionSettings
from recbole_sheaf.nsd.sheaf_laplacian import SheafLaplacian
from recbole_sheaf.nsd.sheaf_learners import LocalConcatLearner, StalkSumLearner
from recbole_sheaf.nsd.sparse_features import SparseFeatures
from recbole_sheaf.sheaf import UndirectedGraph, pair_arcs

Features = Union[Float[Tensor, "..."], SparseFeatures]


class SheafDiffusion(nn.Module):
    """Encoder into stalks, diffusion (left to subclasses), decoder into log-probabilities of classes.

    Args:
        graph: the one graph the model works on; see :func:`recbole_sheaf.sheaf.undirected_graph`.
        settings: sizes and options.
    """

    def __init__(self, graph: UndirectedGraph, settings: DiffusionSettings):
        super().__init__()
        self.settings = settings
        self.laplacian = SheafLaplacian(pair_arcs(graph), settings)
        width = settings.hidden_channels * settings.total_dim
        self.lin1 = nn.Linear(settings.input_dim, width)
        if settings.second_linear:
            self.lin12 = nn.Linear(width, width)
        self.lin2 = nn.Linear(width, settings.output_dim)

    def forward(self, x: Features) -> Float[Tensor, "n output"]:
        """Log-probabilities of the classes, from node features of shape (n, input_dim), dense or sparse.

        Raises:
            ShapeError: if x has another shape, or is not finite.
        """
        out = self.diffuse(self.encode(x))
        return F.log_softmax(self.lin2(out.view(self.laplacian.num_nodes, -1)), dim=1)

    def encode(self, x: Features) -> Float[Tensor, "nD h"]:
        """Stalks of the nodes, from their features."""
        settings, n = self.settings, self.laplacian.num_nodes
        if tuple(x.shape) != (n, settings.input_dim):
            raise ShapeError(f"x has shape {tuple(x.shape)}, expected ({n}, {settings.input_dim}): nodes by input_dim")
        x = self.project(x)
        x = F.elu(x) if settings.use_activation else x
        x = dropout(x, settings.dropout, self.training)
        x = self.lin12(x) if settings.second_linear else x
        return x.view(n * settings.total_dim, settings.hidden_channels)

    def project(self, x: Features) -> Float[Tensor, "n width"]:
        """Input dropout and the first linear map."""
        if isinstance(x, SparseFeatures):
            return x.linear(self.lin1, self.settings.input_dropout, self.training)
        if not torch.isfinite(x.sum()):
            raise ShapeError("x holds values that are not finite; mask missing features before training")
        return self.lin1(dropout(x, self.settings.input_dropout, self.training))

    def diffuse(self, x: Float[Tensor, "nD h"]) -> Float[Tensor, "nD h"]:
        """Diffusion of a signal along the sheaf."""
        raise NotImplementedError

    def values(
        self, x: Float[Tensor, "nD h"], learner: nn.Module, weight_learner: Optional[nn.Module]
    ) -> tuple[Float[Tensor, " upper"], Float[Tensor, " diagonal"]]:
        """Values of the Laplacian whose maps, and edge weights if any, are learnt from the signal."""
        features = x.view(self.laplacian.num_nodes, -1)
        graph = self.laplacian.graph
        weight = weight_learner(features, graph) if weight_learner is not None else None
        return self.laplacian.values(learner(features, graph), weight)

    def sheaf_parameters(self) -> list[nn.Parameter]:
        """Parameters of the sheaf learners, which may have a weight decay of their own."""
        return [parameter for name, parameter in self.named_parameters() if name.startswith("sheaf_learner")]


def new_sheaf_learner(settings: DiffusionSettings) -> nn.Module:
    """Learner of one layer's maps."""
    shape, activation = settings.map_shape, settings.sheaf_activation
    if settings.sparse_learner:
        return StalkSumLearner(settings.total_dim, settings.hidden_channels, shape, activation)
    return LocalConcatLearner(settings.hidden_channels * settings.total_dim, shape, activation)


def mix(x: Float[Tensor, "nD h"], left: Optional[nn.Linear], right: Optional[nn.Module]) -> Float[Tensor, "nD h"]:
    """``(I (x) W1) x W2``; a weight that is None is left out."""
    if left is not None:
        stalks = x.view(-1, left.in_features, x.shape[-1])
        x = torch.einsum("ij,njh->nih", left.weight, stalks).reshape(x.shape)
    return x if right is None else right(x)


def identity_linear(size: int) -> nn.Linear:
    """Square linear map without bias, at the identity."""
    linear = nn.Linear(size, size, bias=False)
    nn.init.eye_(linear.weight)
    return linear


def orthogonal_linear(size: int) -> nn.Linear:
    """Square linear map without bias, at a random orthogonal matrix."""
    linear = nn.Linear(size, size, bias=False)
    nn.init.orthogonal_(linear.weight)
    return linear
