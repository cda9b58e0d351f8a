r"""A user who joins a graph in which everyone else stays: what each item of the history adds to the user's vector.

A user with items H and nothing else, no vector of its own, joins the user-item graph. With identity maps and step size
:math:`\eta` the user's signal is, layer by layer,

.. math:: x_u^{(l + 1)} = (1 - \eta) x_u^{(l)}
    + \eta \, |H|^{-1/2} \sum_{i \in H} d_i^{-1/2} x_i^{(l)}, \qquad x_u^{(0)} = 0,

so the mean over the layers is :math:`|H|^{-1/2} \sum_{i \in H} s_i`, a sum over the items. Under the cosine the factor
before it makes no difference.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Num
from torch import Tensor


def user_sources(
    signals: Sequence[Float[Tensor, "k f"]], degree: Num[Tensor, " k"], step_size: float
) -> Float[Tensor, "k f"]:
    """s of k items from their signals before the first layer and after each; an item without users counts as of one.

    Examples:
        >>> user_sources([torch.tensor([[6.0]]), torch.tensor([[9.0]])], torch.tensor([4]), step_size=1.0)
        tensor([[1.5000]])
    """
    scale = degree.to(signals[0].dtype).clamp(min=1).rsqrt().unsqueeze(1)
    received = total = torch.zeros_like(signals[0])
    for signal in signals[:-1]:
        received = (1 - step_size) * received + step_size * scale * signal
        total = total + received
    return total / len(signals)
