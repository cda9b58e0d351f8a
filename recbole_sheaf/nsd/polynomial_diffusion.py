"""Sheaf diffusion with a learnt polynomial of the Laplacian in each layer.

    x <- (1 + tanh(epsilon)) x - sigma(p(Delta) (I (x) W1) x W2),    p(Delta) = sum_k theta_k T_k(Delta - I)

with Chebyshev polynomials T_k: the spectrum of a normalised Delta lies in [0, 2], that of Delta - I in [-1, 1], where
they stay bounded (Defferrard et al. 2016, https://arxiv.org/abs/1606.09375). One layer sees p's degree in hops.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.nsd.diffusion_settings import DiffusionSettings
from recbole_sheaf.nsd.discrete_diffusion import NeuralSheafDiffusion
from recbole_sheaf.sheaf import UndirectedGraph


class PolynomialSheafDiffusion(NeuralSheafDiffusion):
    """Neural Sheaf Diffusion in which every layer applies a polynomial of its Laplacian.

    Coefficients start at p(Delta) = Delta, so an untrained model is Neural Sheaf Diffusion.

    Args:
        graph, settings: as for :class:`NeuralSheafDiffusion`.
        degree: of the polynomial, at least 1; the cost of a layer grows with it.

    Raises:
        ConfigError: if the degree is below 1, or the Laplacian is not normalised, so that its spectrum is unbounded.
    """

    def __init__(self, graph: UndirectedGraph, settings: DiffusionSettings, degree: int = 3):
        super().__init__(graph, settings)
        if degree < 1:
            raise ConfigError(f"degree {degree} of the polynomial must be at least 1")
        if not settings.normalised:
            raise ConfigError("a polynomial filter needs a spectrum within [0, 2]; set normalised to true")
        start = torch.zeros(degree + 1)
        start[:2] = 1  # Delta = T_0 + T_1(Delta - I)
        self.coefficients = nn.ParameterList(nn.Parameter(start.clone()) for _ in range(settings.num_layers))

    def operator(self, layer: int, values: tuple[Tensor, Tensor], x: Float[Tensor, "nD h"]) -> Float[Tensor, "nD h"]:
        """``p(Delta) x`` in place of ``Delta x``. Time: ``degree`` products with Delta."""
        return self.filter(self.coefficients[layer], values, x)

    def filter(
        self, theta: Float[Tensor, " k"], values: tuple[Tensor, Tensor], x: Float[Tensor, "nD h"]
    ) -> Float[Tensor, "nD h"]:
        """``sum_k theta_k T_k(Delta - I) x`` by the recursion ``T_k = 2 (Delta - I) T_{k-1} - T_{k-2}``."""
        before, current = x, self.laplacian.product(*values, x) - x
        out = theta[0] * before + theta[1] * current
        for weight in theta[2:]:
            before, current = current, 2 * (self.laplacian.product(*values, current) - current) - before
            out = out + weight * current
        return out
