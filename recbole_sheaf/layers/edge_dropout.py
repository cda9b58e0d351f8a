"""Sample of a graph's edges for a training step: the busier the ends of an edge, the rarer it is kept.

Edge k joins nodes u[k] and v[k] of degrees d. A sample is drawn without replacement and listed in the edges' order.
"""

from typing import Optional

import torch
from jaxtyping import Int
from torch import Tensor

from recbole_sheaf.errors import ConfigError, ShapeError


def keep_edges_by_degree(
    u: Int[Tensor, " e"],
    v: Int[Tensor, " e"],
    degrees: Int[Tensor, " n"],
    keep: float,
    generator: Optional[torch.Generator] = None,
) -> Int[Tensor, " kept"]:
    r"""Numbers of the edges to keep, drawn one after the other with probability :math:`\propto 1 / \sqrt{d_u d_v}`.

    Each draw is among the edges that are left. Popular items and busy users lose more of their edges (FREEDOM, Zhou &
    Shen 2023, https://arxiv.org/abs/2211.06924).

    Args:
        u, v: ends of each edge.
        degrees: of every node; at least 1 at the ends of edges.
        keep: share of the edges that stay, in (0, 1], rounded down to a whole number of edges.
        generator: source of the draws; None takes torch's global one.

    Raises:
        ConfigError: if keep is outside (0, 1].
        ShapeError: if there are not as many u as v.

    Time O(e log e). Drawn by the largest of :math:`\ln w_k + g_k` with Gumbel noise g, which is that law.

    Examples:
        >>> u, v, degrees = torch.tensor([0, 0, 0, 1]), torch.tensor([2, 3, 4, 5]), torch.tensor([3, 1, 1, 1, 1, 1])
        >>> kept = keep_edges_by_degree(u, v, degrees, keep=0.5)
        >>> len(kept), bool((kept.diff() > 0).all())  # two of four, in the order of the edges
        (2, True)
    """
    if u.shape != v.shape:
        raise ShapeError(f"{len(u)} first ends came with {len(v)} second ends; give one of each per edge")
    if not 0 < keep <= 1:
        raise ConfigError(f"the share of edges to keep is {keep}, expected a number above 0 and at most 1")
    log_weights = -0.5 * (degrees[u].double().log() + degrees[v].double().log())
    waiting = torch.empty_like(log_weights).exponential_(generator=generator)
    return (log_weights - waiting.log()).topk(int(keep * len(log_weights))).indices.sort().values
