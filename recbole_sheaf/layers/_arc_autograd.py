"""Gradients of the sums over arcs, stated once for every backend.

``kernels`` is :class:`TorchKernels` or :class:`DGLKernels`. The adjoint of a sum into destinations is a sum into
sources; nothing of shape (arcs, d, c) is made or kept. Each function is differentiable once.
"""

from typing import Any, Optional, Union

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from recbole_sheaf.layers._dgl_kernels import DGLKernels
from recbole_sheaf.layers._torch_kernels import TorchKernels

Kernels = Union[DGLKernels, TorchKernels]
Gradients = tuple[Optional[Tensor], ...]


class CopySum(Function):
    """``A x``; its adjoint is ``A^T g``, the same product where the arcs are symmetric."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Kernels, symmetric: bool) -> Tensor:
        ctx.kernels, ctx.symmetric = kernels, symmetric
        return kernels.copy_sum(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        return ctx.kernels.copy_sum(grad.contiguous(), transposed=not ctx.symmetric), None, None


class WeightedSum(Function):
    """``sum_u w x_u``; adjoints ``sum_v w g_v`` for the signal and ``x_u . g_v`` for the weights."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, kernels: Kernels) -> Tensor:
        ctx.kernels = kernels
        ctx.save_for_backward(x, w)
        return kernels.weighted_sum(x, w)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        x, w = ctx.saved_tensors
        grad = grad.contiguous()
        grad_x = ctx.kernels.weighted_sum(grad, w, transposed=True) if ctx.needs_input_grad[0] else None
        grad_w = ctx.kernels.dots(x, grad) if ctx.needs_input_grad[1] else None
        return grad_x, grad_w, None


class SumArcs(Function):
    """Sum of arc values at their destination; the adjoint hands each arc its destination's gradient."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, kernels: Kernels, dst: Tensor) -> Tensor:
        ctx.dst = dst
        return kernels.sum_into(a)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        return grad.index_select(0, ctx.dst), None, None


class AddEnds(Function):
    """``at_src[src] + at_dst[dst]``; the adjoint sums the arcs' gradients at both ends."""

    @staticmethod
    def forward(ctx: Any, at_src: Tensor, at_dst: Tensor, kernels: Kernels) -> Tensor:
        ctx.kernels = kernels
        return kernels.add_ends(at_src, at_dst)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        grad = grad.contiguous()
        wanted = zip((True, False), ctx.needs_input_grad)
        return tuple(ctx.kernels.sum_into(grad, at_src=end) if need else None for end, need in wanted) + (None,)


class ScaleEnds(Function):
    """``s = 1 + beta tanh(at_src[src] + at_dst[dst])``, made in place: of all arc values only s is kept.

    Adjoint of the sum: ``g (beta - (s - 1)^2 / beta)``, since ``tanh' = 1 - tanh^2``.
    """

    @staticmethod
    def forward(ctx: Any, at_src: Tensor, at_dst: Tensor, beta: float, kernels: Kernels) -> Tensor:
        ctx.kernels, ctx.beta = kernels, beta
        s = kernels.add_ends(at_src, at_dst).tanh_().mul_(beta).add_(1)
        ctx.save_for_backward(s)
        return s

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        (s,) = ctx.saved_tensors
        slope = (s - 1).square_().div_(-ctx.beta).add_(ctx.beta).mul_(grad)
        return ctx.kernels.sum_into(slope, at_src=True), ctx.kernels.sum_into(slope), None, None


class MulEnds(Function):
    """``at_src[src] * at_dst[dst]``; each end's adjoint is the sum of gradient times the other end."""

    @staticmethod
    def forward(ctx: Any, at_src: Tensor, at_dst: Tensor, kernels: Kernels, src: Tensor, dst: Tensor) -> Tensor:
        ctx.kernels, ctx.ends = kernels, (src, dst)
        ctx.save_for_backward(at_src, at_dst)
        return kernels.mul_ends(at_src, at_dst)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        at_src, at_dst = ctx.saved_tensors
        src, dst = ctx.ends
        grad_src = grad_dst = None
        if ctx.needs_input_grad[0]:
            grad_src = ctx.kernels.sum_into(at_dst.index_select(0, dst).mul_(grad), at_src=True)
        if ctx.needs_input_grad[1]:
            grad_dst = ctx.kernels.sum_into(at_src.index_select(0, src).mul_(grad))
        return grad_src, grad_dst, None, None, None


class SoftmaxArcs(Function):
    """Softmax over each destination's arcs; adjoint ``p (g - sum p g)``."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, kernels: Kernels, dst: Tensor) -> Tensor:
        ctx.kernels, ctx.dst = kernels, dst
        shares = kernels.softmax(a)
        ctx.save_for_backward(shares)
        return shares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        (shares,) = ctx.saved_tensors
        weighted = shares * grad
        mean = ctx.kernels.sum_into(weighted).index_select(0, ctx.dst)
        return torch.addcmul(weighted, shares, mean, value=-1), None, None
