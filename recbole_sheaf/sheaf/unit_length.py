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
    """Each row divided by its length, rows of zeros as they are; (n, dim) to (n, dim), time O(n dim)."""
    if not rows.shape[1]:
        return rows
    largest = torch.linalg.vector_norm(rows, torch.inf, dim=1, keepdim=True)
    far = (largest > 0) & ((largest < ORDINARY[0]) | (largest > ORDINARY[1]))
    if far.any():
        rows = torch.where(far, torch.ldexp(rows, to_one(largest)), rows)
    return normalize(rows)


def to_one(largest: Tensor) -> Tensor:
    """Exponent of the power of two that brings a positive number near 1, itself within float32."""
    return -torch.frexp(largest).exponent.clamp(-126, 126)
