"""Rows at length 1, of any finite float32.

Squares leave float32 from 1e19 upwards and below 1e-19, and PyTorch's ``normalize`` divides by 1e-12 at least. Rows far
from 1 are brought near it by a power of two first, which changes no digit; all others are untouched.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

ORDINARY = 2.0**-20, 2.0**40  # between these the largest value of a row may be as it is
SMALLEST = torch.finfo(torch.float32).tiny  # of what float32 holds with all its digits


def unit_length(rows: Tensor) -> Tensor:
    """Rows divided by their lengths, (n, dim) to (n, dim); rows of zeros stay zeros. Time O(n dim).

    Examples:
        >>> unit_length(torch.tensor([[3.0, 4.0], [3e30, 4e30], [0.0, 0.0]]))  # squares of 3e30 overflow
        tensor([[0.6000, 0.8000],
                [0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    if not rows.shape[1]:
        return rows
    largest = torch.linalg.vector_norm(rows, torch.inf, dim=1, keepdim=True)
    far = (largest > 0) & ((largest < ORDINARY[0]) | (largest > ORDINARY[1]))
    if far.any():
        rows = torch.where(far, torch.ldexp(rows, to_one(largest)), rows)
    return normalize(rows)


def to_one(largest: Tensor) -> Tensor:
    """Exponent of the power of two that brings a positive number into [0.5, 1), as far as float32 reaches.

    Examples:
        >>> to_one(torch.tensor([0.75, 3.0, 1000.0])).tolist()
        [0, -2, -10]
    """
    return -torch.frexp(largest).exponent.clamp(-126, 126)
