"""The pictures of ``mathematics.md``, drawn by the sheaf mathematics itself: ``python docs/drawings.py``.

Every length and every curve is computed by :mod:`recbole_sheaf.sheaf`; what the pictures claim, tests/test_drawings.py
holds. Colours are Okabe and Ito's, which the colour-blind tell apart, and no line is told by its colour alone.
"""

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from recbole_sheaf.sheaf import (
    Sheaf,
    both_directions,
    cellular_sheaf,
    coboundary,
    coboundary_matrix,
    dirichlet_energy,
    identity_maps,
    laplacian,
    orthogonal_maps,
    project_to_global_sections,
)

PICTURES = Path(__file__).parent / "pictures"
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#595959"
STEPS = 40
STYLE = {
    "svg.hashsalt": "recbole-sheaf",  # names inside the file are the same each time
    "svg.fonttype": "path",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.6,
}


class Diffusion(NamedTuple):
    """Signals and energies of all steps, the first before any, and the global section that they tend to."""

    signals: Float[Tensor, "steps n d"]
    energies: Float[Tensor, " steps"]
    limit: Float[Tensor, "n d"]


def two_groups(agree: bool) -> Sheaf:
    """Six nodes in two triangles, two edges between them; stalks of dimension 1.

    Args:
        agree: identity maps everywhere; else the second triangle's ends of the edges between have the map -1.
    """
    within, between = [[0, 1], [1, 2], [0, 2], [3, 4], [4, 5], [3, 5]], [[2, 3], [1, 4]]
    arcs = both_directions(torch.tensor(within + between))
    maps = identity_maps(arcs.shape[1], 1).double()
    if not agree:
        maps[(arcs[0] >= 3) & (arcs[1] < 3)] = -1.0
    return cellular_sheaf(arcs, 6, maps)


def diffuse(sheaf: Sheaf, x: Float[Tensor, "n d c"], steps: int = STEPS) -> Diffusion:
    """Steps ``x <- x - eta L x``, eta one over the largest eigenvalue of L: half of what is stable."""
    step_size = 1 / torch.linalg.matrix_norm(coboundary_matrix(sheaf), ord=2) ** 2
    signals = [x]
    for _ in range(steps):
        signals.append(signals[-1] - step_size * laplacian(sheaf, signals[-1]))
    energies = torch.stack([dirichlet_energy(sheaf, signal) for signal in signals])
    return Diffusion(torch.stack(signals).squeeze(3), energies, project_to_global_sections(sheaf, x).squeeze(2))


def start() -> Float[Tensor, "6 1 1"]:
    """What the six nodes hold at first."""
    return torch.tensor([1.0, 0.2, 0.7, -0.1, -0.9, 0.3], dtype=torch.float64).view(6, 1, 1)


def one_edge() -> tuple[Sheaf, Float[Tensor, "2 2 1"]]:
    """Two nodes whose stalks are planes, rotated into the plane of their edge; and what the nodes hold."""
    arcs = both_directions(torch.tensor([[0, 1]]))
    angles = torch.tensor([[0.21], [-0.12]], dtype=torch.float64)  # in turns
    x = torch.tensor([[0.8, 0.1], [0.4, 0.65]], dtype=torch.float64).unsqueeze(2)
    return cellular_sheaf(arcs, 2, orthogonal_maps(angles, 2, "euler")), x


def draw_stalks() -> Figure:
    """A graph with a plane over each node, and in each plane the node's vector."""
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = _blank(figure.subplots(), (-0.2, 8.2), (-0.6, 3.8))
    nodes = {"v": (1.2, 0.0), "w": (4.0, 0.5), "z": (6.8, 0.0)}
    vectors = {"v": (0.5, 0.35), "w": (-0.35, 0.55), "z": (0.5, 0.15)}
    for one, other in (("v", "w"), ("w", "z")):
        axes.plot(*zip(nodes[one], nodes[other]), color=GREY, zorder=1)
    for name, (x, y) in nodes.items():
        axes.plot([x, x], [y, y + 1.3], color=GREY, linestyle=":", zorder=1)
        axes.plot(x, y, "o", color="black", markersize=9)
        axes.text(x, y - 0.45, f"node ${name}$", ha="center")
        _plane(axes, (x, y + 2.2), f"$F({name}) = R^2$")
        _arrow(axes, (x, y + 2.2), vectors[name], BLUE, f"$x_{name}$")
    return figure


def draw_restriction_maps() -> Figure:
    """Two nodes' vectors mapped into the plane of their edge, where their difference is the coboundary."""
    sheaf, x = one_edge()
    v, w = (sheaf.maps @ x)[:, :, 0].tolist()
    (gap,) = coboundary(sheaf, x)[:, :, 0].tolist()
    figure = Figure(figsize=(7, 2.4), layout="constrained")
    axes = _blank(figure.subplots(), (-0.4, 8.4), (-1.3, 1.5))
    for at, name in ((1.0, "$F(v)$"), (4.0, "$F(e)$"), (7.0, "$F(w)$")):
        _plane(axes, (at, 0.0), name)
    _arrow(axes, (1.0, 0.0), x[0, :, 0].tolist(), BLUE, "$x_v$")
    _arrow(axes, (7.0, 0.0), x[1, :, 0].tolist(), ORANGE, "$x_w$")
    _arrow(axes, (4.0, 0.0), v, BLUE, "")
    _arrow(axes, (4.0, 0.0), w, ORANGE, "")
    _arrow(axes, (4.0 + w[0], w[1]), gap, GREEN, "", linestyle="--")
    axes.text(3.9, 0.55, r"$F_{v \trianglelefteq e}\,x_v$", color=BLUE, ha="right")
    axes.text(4.15, -0.35, r"$F_{w \trianglelefteq e}\,x_w$", color=ORANGE)
    axes.text(4.52, 0.62, r"$(\delta x)_e$", color=GREEN)
    maps = ((2.05, 2.95, r"$F_{v \trianglelefteq e}$"), (5.95, 5.05, r"$F_{w \trianglelefteq e}$"))
    for start_at, end_at, name in maps:
        axes.annotate("", (end_at, -0.75), (start_at, -0.75), arrowprops={"arrowstyle": "->", "color": GREY})
        axes.text((start_at + end_at) / 2, -1.1, name, ha="center", color=GREY)
    return figure


def draw_diffusion() -> Figure:
    """The same start diffused with identity maps and with signed ones, and the energies."""
    figure = Figure(figsize=(9, 3.3), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    same, signed = (diffuse(two_groups(agree), start()) for agree in (True, False))
    _trajectories(left, same, "identity maps")
    _trajectories(middle, signed, "maps of $-1$ between the groups")
    for run, name, colour, style in ((same, "identity", GREY, "-"), (signed, "signed", GREEN, "--")):
        right.semilogy(_shown(run.energies), color=colour, linestyle=style, label=name)
    right.set_title(r"Dirichlet energy $|\delta x|^2$", fontsize=11)
    right.set_xlabel("step")
    right.legend(frameon=False)
    return figure


def _trajectories(axes: Any, run: Diffusion, title: str) -> None:
    for node in range(6):
        colour, style = (BLUE, "-") if node < 3 else (ORANGE, "--")
        label = {0: "first group", 3: "second group"}.get(node)
        axes.plot(_shown(run.signals[:, node, 0]), color=colour, linestyle=style, label=label)
    for limit in sorted({round(float(value), 6) for value in run.limit.flatten()}):
        axes.axhline(limit, color="black", linewidth=0.8, linestyle=":")
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("step")
    axes.set_ylabel("$x_v$")
    axes.set_ylim(-1.05, 1.05)
    axes.legend(frameon=False, loc="upper right", fontsize=9)


def _shown(values: Tensor) -> list[float]:
    """Numbers to as many digits as every processor agrees on."""
    return [float(f"{value:.6g}") for value in values.tolist()]


def _blank(axes: Any, xs: tuple[float, float], ys: tuple[float, float]) -> Any:
    axes.set(xlim=xs, ylim=ys, aspect="equal")
    axes.axis("off")
    return axes


def _plane(axes: Any, centre: tuple[float, float], name: str) -> None:
    x, y = centre
    axes.add_patch(matplotlib.patches.Rectangle((x - 1, y - 1), 2, 2, facecolor="#f2f2f2", edgecolor=GREY))
    axes.plot([x - 0.9, x + 0.9], [y, y], color=GREY, linewidth=0.6)
    axes.plot([x, x], [y - 0.9, y + 0.9], color=GREY, linewidth=0.6)
    axes.text(x, y + 1.15, name, ha="center")


def _arrow(axes: Any, tail: Any, vector: Any, colour: str, name: str, linestyle: str = "-") -> None:
    (x, y), (dx, dy) = tail, (round(part, 6) for part in vector)
    props = {"arrowstyle": "-|>", "color": colour, "linewidth": 2, "linestyle": linestyle, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (x + dx, y + dy), (x, y), arrowprops=props)
    axes.text(x + dx, y + dy + 0.1, name, color=colour, ha="center", va="bottom")


DRAWINGS = {"stalks": draw_stalks, "restriction_maps": draw_restriction_maps, "diffusion": draw_diffusion}


def write(folder: Path) -> list[Path]:
    """Draw all pictures into a folder, the same bytes each time under the same matplotlib."""
    folder.mkdir(exist_ok=True)
    paths = []
    with matplotlib.rc_context(STYLE):
        for name, draw in DRAWINGS.items():
            paths.append(folder / f"{name}.svg")
            draw().savefig(paths[-1], metadata={"Date": None})
    return paths


if __name__ == "__main__":
    print("written: " + ", ".join(str(path) for path in write(PICTURES)))
