"""Rows of a modality within the range of float32's sums and squares, at unit length, or with standardised columns.

Rows that come later are treated as those were. Where the largest value is far from 1, all rows are multiplied by one
power of two, which changes no digit. Models read the directions of rows, before or after these are centred, so their
lists are those of the rows times any factor.
"""

from dataclasses import dataclass
from typing import Optional

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recbole_sheaf.errors import FeatureError
from recbole_sheaf.sheaf.unit_length import SMALLEST, to_one, unit_length

BLOCK = 4096  # rows whose squares are summed at once
ORDINARY = 2.0**-40, 2.0**40  # between these the largest value of a modality may be as it is
ROUNDING = 1e-7  # of the mean: a column that varies less is constant, as float32 holds it


@dataclass(frozen=True, eq=False)
class Normalisation:
    """How the rows of a modality were scaled and centred, to do the same to other rows.

    Attributes:
        exponent: of the power of two by which each row was multiplied first.
        unit_rows: each row divided by its length; a row of zeros stays.
        mean: subtracted from each column; with ``deviation``, by which the column was divided, 1 where it was constant.
    """

    exponent: int = 0
    unit_rows: bool = False
    mean: Optional[Float[Tensor, " dim"]] = None
    deviation: Optional[Float[Tensor, " dim"]] = None

    def apply_(self, matrix: Float[Tensor, "n dim"], present: Bool[Tensor, " n"], name: str) -> None:
        """Apply it to rows in their place; rows that are not present stay zeros.

        Raises:
            FeatureError: if rows are so much longer or shorter than the others that float32 cannot hold both.
        """
        if self.exponent:
            _refuse_beyond(matrix, self.exponent, name)
            matrix.mul_(2.0**self.exponent)
        if self.unit_rows:
            for block in matrix.split(BLOCK):
                block.copy_(unit_length(block))
        if self.mean is not None and self.deviation is not None:
            matrix.sub_(self.mean).div_(self.deviation)
            matrix[~present] = 0


NONE = Normalisation()


def fit_normalisation(
    how: str, matrix: Float[Tensor, "n dim"], present: Bool[Tensor, " n"], name: str
) -> Normalisation:
    """The normalisation ``rows``, ``columns`` or ``none`` fitted to these rows; those that are not present are zeros.

    Raises:
        FeatureError: if a column varies by less than float32 holds with all its digits.

    Time O(n dim); no second copy of the matrix. Sums are in float64.
    """
    exponent = _exponent(matrix)
    if how != "columns":
        return Normalisation(exponent, unit_rows=how == "rows")
    count = max(int(present.sum()), 1)
    mean = matrix.sum(dim=0, dtype=torch.float64) / count
    squares = torch.zeros_like(mean)
    for rows, there in zip(matrix.split(BLOCK), present.split(BLOCK)):
        squares += (rows[there] - mean).square().sum(dim=0)
    deviation = (squares / count).sqrt()
    constant = deviation <= ROUNDING * mean.abs()
    factor = 2.0**exponent
    fine = int(((deviation > 0) & ~constant & (deviation * factor < SMALLEST)).sum())
    if fine:
        raise FeatureError(
            f"{fine} columns of modality '{name}' vary by so little beside the others that float32 has no digits left; "
            "leave them out, or standardise the columns before you write them"
        )
    deviation = (deviation * factor).masked_fill_(constant, 1).float()
    return Normalisation(exponent, mean=(mean * factor).float(), deviation=deviation)


def _exponent(matrix: Float[Tensor, "n dim"]) -> int:
    """Of the power of two that brings a modality's largest value near 1; 0 where it is in the ordinary range."""
    if not matrix.numel():
        return 0
    low, high = torch.aminmax(matrix)
    largest = torch.maximum(high, -low)
    ordinary = not largest or ORDINARY[0] <= largest <= ORDINARY[1]
    return 0 if ordinary else int(to_one(largest))


def _refuse_beyond(matrix: Float[Tensor, "n dim"], exponent: int, name: str) -> None:
    """Refuse rows whose largest value would leave the range in which float32 has all its digits."""
    largest = torch.linalg.vector_norm(matrix, torch.inf, dim=1).double() * 2.0**exponent
    beyond = (largest > 0) & ((largest < SMALLEST) | (largest > torch.finfo(torch.float32).max))
    if beyond.any():
        raise FeatureError(
            f"{int(beyond.sum())} rows of modality '{name}' are so much longer or shorter than the others that float32 "
            "cannot hold both; bring them to one scale, or leave them out"
        )
