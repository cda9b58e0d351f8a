"""One modality's rows mapped to the width of a model's embeddings."""

from typing import Callable, Optional

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from recbole_sheaf.errors import ShapeError
from recbole_sheaf.sheaf.unit_length import unit_length


class ModalityProjection(nn.Module):
    r"""Rows c_i of one modality as :math:`W c_i + b`, or :math:`W_2 \rho(W_1 c_i + b_1) + b_2` with a hidden layer.

    Rows are put to length 1, so that modalities of any scale start alike. An item without a row gets zeros, not the
    bias. The rows are a buffer that no checkpoint keeps: they are the dataset's, and are never trained.

    Args:
        rows: one per item, zeros where an item is missing.
        present: which items have a row.
        size: width of the result.
        hidden: width of one hidden layer; 0 for none.
        activation: :math:`\rho`; ignored without a hidden layer.

    Raises:
        ShapeError: if rows and mask differ in number.

    Time O(n_items dim size).

    Examples:
        >>> rows, present = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([True, False])
        >>> projection = ModalityProjection(rows, present, size=5)
        >>> projection.rows[0], projection()[1]
        (tensor([0.6000, 0.8000]), tensor([0., 0., 0., 0., 0.], grad_fn=<SelectBackward0>))
    """

    rows: Tensor
    present: Tensor

    def __init__(
        self,
        rows: Float[Tensor, "n_items dim"],
        present: Bool[Tensor, " n_items"],
        size: int,
        hidden: int = 0,
        activation: Optional[Callable[[Tensor], Tensor]] = None,
    ) -> None:
        super().__init__()
        if rows.ndim != 2 or present.shape != rows.shape[:1]:
            raise ShapeError(
                f"rows of shape {tuple(rows.shape)} came with a mask of shape {tuple(present.shape)}; "
                "give (n_items, dim) and (n_items,)"
            )
        self.register_buffer("rows", unit_length(rows), persistent=False)
        self.register_buffer("present", present.unsqueeze(1), persistent=False)
        self.activation = activation or torch.relu
        self.hidden = _linear(rows.shape[1], hidden) if hidden else None
        self.linear = _linear(hidden or rows.shape[1], size)

    def forward(self) -> Float[Tensor, "n_items size"]:
        """Projected rows of all items; zeros where an item is missing."""
        x = self.rows if self.hidden is None else self.activation(self.hidden(self.rows))
        return self.linear(x) * self.present


def _linear(in_size: int, out_size: int) -> nn.Linear:
    linear = nn.Linear(in_size, out_size)
    nn.init.xavier_normal_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
