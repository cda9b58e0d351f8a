"""Continuous sheaf diffusion, ``dx/dt = sigma(-Delta (I (x) W1) x W2)`` (Bodnar et al. 2022, section 5).

Fixed-step solvers are written here; any other method of torchdiffeq is taken from there, if it is installed.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from recbole_sheaf.errors import ConfigError, EnvironmentMismatch
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

Derivative = Callable[[Tensor, Tensor], Tensor]


class ContinuousSheafDiffusion(SheafDiffusion):
    """Sheaf diffusion in continuous time, with one pair of weights and one learner for all times.

    With ``relearn_maps`` the sheaf follows the signal, otherwise the one learnt at time 0 stays. No command trains it;
    it is held to the reference implementation's numbers, as the discrete one is.
    """

    def __init__(self, graph: UndirectedGraph, settings: DiffusionSettings):
        super().__init__(graph, settings)
        total, hidden = settings.total_dim, settings.hidden_channels
        self.lin_left_weights = identity_linear(total) if settings.left_weights else None
        self.lin_right_weights = orthogonal_linear(hidden) if settings.right_weights else None
        learnt = settings.restriction_map != "identity"
        self.sheaf_learner = new_sheaf_learner(settings) if learnt else None
        self.weight_learner = EdgeWeightLearner(hidden * total) if settings.has_edge_weights else None

    def diffuse(self, x: Float[Tensor, "nD h"]) -> Float[Tensor, "nD h"]:
        """The signal at ``end_time``."""
        settings = self.settings
        fixed = None if settings.relearn_maps and self.sheaf_learner is not None else self.current_values(x)

        def derivative(time: Tensor, x: Tensor) -> Tensor:
            upper, diagonal = self.current_values(x) if fixed is None else fixed
            x = -self.laplacian.product(upper, diagonal, mix(x, self.lin_left_weights, self.lin_right_weights))
            return F.elu(x) if settings.use_activation else x

        return integrate(derivative, x, settings.end_time, settings.solver, settings.step_size)

    def current_values(self, x: Float[Tensor, "nD h"]) -> tuple[Tensor, Tensor]:
        """Values of the Laplacian that belongs to a signal."""
        if self.sheaf_learner is None:
            return self.laplacian.identity_values(x)
        return self.values(x, self.sheaf_learner, self.weight_learner)


def integrate(
    derivative: Derivative, x: Float[Tensor, "..."], end_time: float, solver: str, step_size: float
) -> Float[Tensor, "..."]:
    """Solve ``dx/dt = derivative(t, x)`` from time 0 to ``end_time``.

    Args:
        solver: ``euler``, ``midpoint`` or ``rk4`` with fixed steps (the last one shortened to fit), or the name of a
            method of torchdiffeq.

    Raises:
        ConfigError: if ``step_size`` is not positive.
        EnvironmentMismatch: if the method is torchdiffeq's and torchdiffeq is not installed.
    """
    if not step_size > 0:
        raise ConfigError(f"step_size {step_size} must be positive")
    if solver not in STEPS:
        return _integrate_adaptive(derivative, x, end_time, solver)
    times = [min(i * step_size, end_time) for i in range(math.ceil(end_time / step_size - 1e-9) + 1)]
    for start, end in zip(times[:-1], times[1:]):
        x = x + STEPS[solver](derivative, x.new_tensor(start), end - start, x)
    return x


def _euler(derivative: Derivative, t: Tensor, dt: float, x: Tensor) -> Tensor:
    return dt * derivative(t, x)


def _midpoint(derivative: Derivative, t: Tensor, dt: float, x: Tensor) -> Tensor:
    return dt * derivative(t + dt / 2, x + dt / 2 * derivative(t, x))


def _runge_kutta(derivative: Derivative, t: Tensor, dt: float, x: Tensor) -> Tensor:
    """Kutta's 3/8 rule, of order four."""
    k1 = derivative(t, x)
    k2 = derivative(t + dt / 3, x + dt * k1 / 3)
    k3 = derivative(t + dt * 2 / 3, x + dt * (k2 - k1 / 3))
    k4 = derivative(t + dt, x + dt * (k1 - k2 + k3))
    return dt * (k1 + 3 * (k2 + k3) + k4) / 8


STEPS = {"euler": _euler, "midpoint": _midpoint, "rk4": _runge_kutta}


def _integrate_adaptive(derivative: Derivative, x: Tensor, end_time: float, solver: str) -> Tensor:
    try:
        from torchdiffeq import odeint
    except ImportError as error:
        names = ", ".join(STEPS)
        raise EnvironmentMismatch(
            f"solver {solver!r} needs torchdiffeq, which is not installed; install it or choose one of {names}"
        ) from error
    times = torch.tensor([0.0, end_time], dtype=x.dtype, device=x.device)
    return odeint(derivative, x, times, method=solver, rtol=1e-9, atol=1e-7)[1]
