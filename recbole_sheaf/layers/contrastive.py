"""Contrasting two views of the same things: InfoNCE with the other things of the batch as negatives."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from recbole_sheaf.errors import ConfigError, ShapeError


def info_nce(view: Float[Tensor, "b f"], other: Float[Tensor, "b f"], temperature: float) -> Float[Tensor, ""]:
    r"""InfoNCE loss of two views: how badly row r of one finds row r of the other among all rows, the mean over r of

    .. math:: -\ln \frac{\exp(s_{rr} / \tau)}{\sum_q \exp(s_{rq} / \tau)}, \qquad s_{rq} = \cos(a_r, b_q)

    (van den Oord et al. 2018, https://arxiv.org/abs/1807.03748). Rows of zeros have cosine 0 with everything. One row
    has no negatives and costs 0.

    Raises:
        ShapeError: if the views are not two matrices of one shape with at least one row.
        ConfigError: if the temperature is not above 0.

    Time O(b^2 f), memory O(b^2); the logarithm of the sum is taken without overflow at any temperature.

    Examples:
        >>> view = torch.eye(2)
        >>> info_nce(view, view, temperature=0.1) < info_nce(view, view.flip(0), temperature=0.1)
        tensor(True)
        >>> info_nce(view, torch.zeros(2, 2), temperature=0.1)  # all alike: ln 2
        tensor(0.6931)
    """
    if view.ndim != 2 or view.shape != other.shape or not len(view):
        raise ShapeError(
            f"two views of shapes {tuple(view.shape)} and {tuple(other.shape)} cannot be contrasted; give two matrices "
            "of one shape, row r of both for the same thing, with at least one row"
        )
    if not temperature > 0:
        raise ConfigError(f"the temperature of a contrast is {temperature}, expected a number above 0, such as 0.2")
    similarity = (normalize(view) / temperature) @ normalize(other).T  # divides b f numbers and not b^2
    return cross_entropy(similarity, torch.arange(len(view), device=view.device))
