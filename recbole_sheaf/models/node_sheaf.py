r"""The sheaf that SheafRec or MMSheaf has learnt on the user-item graph, to be looked at: its maps, and its energy.

n nodes, D node stalk, k edge stalk. Nothing here is used in training.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recbole_sheaf.layers.normalised_laplacians import DELTAS
from recbole_sheaf.models.mmsheaf import MMSheaf


@torch.no_grad()
def step_energies(model: MMSheaf) -> list[float]:
    r"""Dirichlet energy :math:`\langle x, \Delta x \rangle` of all stalks before diffusion and after each step.

    :math:`\Delta` is the normalised Laplacian of the sheaf that the model has at this moment. Its spectrum lies in
    [0, 2], so with a step size up to 1 no step raises the energy.

    Args:
        model: a trained one, or one in training. It is put into evaluation mode, where nothing is dropped, and left in
            the mode in which it was.

    Returns:
        ``n_layers + 1`` numbers.

    Time and memory are those of one pass of diffusion more.
    """
    training = model.training
    model.train(False)
    x = model.stalks()
    maps, frames = model.maps(model.graph, _sources(model, x))
    signals = [frames.rotate(x)]
    for step in model.steps:
        signals.append(step(model.graph, signals[-1], *maps))
    delta = DELTAS[model.maps.family]
    model.train(training)
    return [float((signal * delta(model.graph, signal, *maps)).sum()) for signal in signals]


@torch.no_grad()
def restriction_maps(model: MMSheaf, arcs: Sequence[int]) -> Float[Tensor, "some k D"]:
    r"""Restriction maps :math:`F_{v \trianglelefteq e}` of arcs u -> v, each that of its end v, written out.

    Args:
        model: in whose evaluation mode the maps are read; it is left in the mode in which it was.
        arcs: places in ``model.graph.src`` and ``model.graph.dst``; the other end's map lies at
            ``model.graph.reverse[arc]``.

    Time O(some D^3), beside what the maps cost in a pass of diffusion.
    """
    training = model.training
    model.train(False)
    at, x = torch.as_tensor(arcs, device=model.graph.device), model.stalks()
    made = _written_out(model, _sources(model, x), at, x.shape[1])
    model.train(training)
    return made


def _sources(model: MMSheaf, x: Float[Tensor, "n D c"]) -> Float[Tensor, "n p"]:
    """What the maps are learnt from."""
    return x.flatten(1) if model.learn_from_signal else model.content


def _written_out(
    model: MMSheaf, h: Float[Tensor, "n p"], arcs: Int[Tensor, " some"], size: int
) -> Float[Tensor, "some k D"]:
    maps, graph = model.maps, model.graph
    u, v = graph.src[arcs], graph.dst[arcs]
    if maps.wide is not None:
        return maps.wide(h)[v]
    if maps.matrices is not None:
        at_src, at_dst = maps.matrices.ends(h).chunk(2, dim=1)
        return maps.matrices.maps(at_src[u] + at_dst[v])
    made = torch.eye(size, device=h.device).to(model.content.dtype).expand(len(arcs), -1, -1)
    if maps.frames is not None:
        made = maps.frames(h[v]).rotate(made)
    if maps.scales is not None:
        made = maps.scales(graph, h)[arcs].unsqueeze(2) * made
    return made
