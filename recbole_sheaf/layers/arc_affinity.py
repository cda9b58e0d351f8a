"""Inner products of the two ends of each arc, without anything of shape (arcs, f)."""

from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from recbole_sheaf.errors import ShapeError
from recbole_sheaf.layers._arc_autograd import Gradients, Kernels
from recbole_sheaf.layers.message_passing import ArcGraph


def arc_affinity(graph: ArcGraph, at_src: Float[Tensor, "n f"], at_dst: Float[Tensor, "n f"]) -> Float[Tensor, " arcs"]:
    """Inner product ``at_src[src] . at_dst[dst]`` on each arc, with gradients to both; once differentiable.

    Raises:
        ShapeError: if the two are not matrices of one shape with a row per node.

    Time O(arcs f), memory O(arcs).

    Examples:
        >>> import torch
        >>> graph = ArcGraph(torch.tensor([0, 1]), torch.tensor([1, 0]), num_nodes=2, backend="torch")
        >>> at_src, at_dst = torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[5.0, 0.0], [3.0, 4.0]])
        >>> arc_affinity(graph, at_src, at_dst)  # 1 * 3 + 2 * 4 on 0 -> 1
        tensor([11.,  0.])
    """
    if at_src.ndim != 2 or at_src.shape != at_dst.shape or len(at_src) != graph.num_nodes:
        raise ShapeError(
            f"at_src {tuple(at_src.shape)} and at_dst {tuple(at_dst.shape)} do not fit a graph of {graph.num_nodes} "
            "nodes; give two matrices of one shape with a row per node"
        )
    return _Affinity.apply(at_src.contiguous(), at_dst.contiguous(), graph.weight_kernels)


class _Affinity(Function):
    """Adjoints of ``x_u . y_v`` on arcs: ``sum_v g y_v`` into the source, ``sum_u g x_u`` into the destination."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, kernels: Kernels) -> Tensor:
        ctx.kernels = kernels
        ctx.save_for_backward(x, y)
        return kernels.dots(x.unsqueeze(1), y.unsqueeze(1)).squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        x, y = (side.unsqueeze(1) for side in ctx.saved_tensors)
        weights = grad.contiguous().unsqueeze(1)
        to_x = ctx.kernels.weighted_sum(y, weights, transposed=True).squeeze(1) if ctx.needs_input_grad[0] else None
        to_y = ctx.kernels.weighted_sum(x, weights).squeeze(1) if ctx.needs_input_grad[1] else None
        return to_x, to_y, None
