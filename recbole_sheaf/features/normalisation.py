"""Rows of a modality at unit length, or with standardised columns; rows that come later are treated as those were."""

from dataclasses import dataclass
from typing import Optional

import torch
from jaxtyping import Bool, Float
from torch import Tensor

BLOCK = 4096  # rows whose squares are summed at once
ROUNDING = 1e-7  # of the mean: a column that varies less is constant, as float32 holds it


@dataclass(frozen=True, eq=False)
class Normalisation:
    """What was done to a modality's rows.

    Attributes:
        unit_rows: each row divided by its length; a row of zeros stays.
        mean: subtracted from each column; with ``deviation``, by which the column was divided, 1 where it was constant.
    """

    unit_rows: bool = False
    mean: Optional[Float[Tensor, " dim"]] = None
    deviation: Optional[Float[Tensor, " dim"]] = None

    def apply_(self, matrix: Float[Tensor, "n dim"], present: Bool[Tensor, " n"]) -> None:
        """Do it to other rows, in their place; rows that are not present stay zeros."""
        if self.unit_rows:
            lengths = torch.linalg.vector_norm(matrix, dim=1, keepdim=True)
            matrix.div_(lengths.masked_fill_(lengths == 0, 1))
        if self.mean is not None and self.deviation is not None:
            matrix.sub_(self.mean).div_(self.deviation)
            matrix[~present] = 0


NONE = Normalisation()


def fit_normalisation(how: str, matrix: Float[Tensor, "n dim"], present: Bool[Tensor, " n"]) -> Normalisation:
    """What ``rows``, ``columns`` or ``none`` means for these rows; those that are not present are zeros.

    Time O(n dim); no second copy of the matrix. Sums are in float64.
    """
    if how != "columns":
        return Normalisation(unit_rows=how == "rows")
    count = max(int(present.sum()), 1)
    mean = matrix.sum(dim=0, dtype=torch.float64) / count
    squares = torch.zeros_like(mean)
    for rows, there in zip(matrix.split(BLOCK), present.split(BLOCK)):
        squares += (rows[there] - mean).square().sum(dim=0)
    deviation = (squares / count).sqrt()
    constant = deviation <= ROUNDING * mean.abs()
    return Normalisation(mean=mean.float(), deviation=deviation.masked_fill_(constant, 1).float())
