"""What the pictures and derivations of docs/mathematics.md claim, and that the committed pictures are those drawn."""

import re

import matplotlib
import pytest
import torch

from recbole_sheaf.sheaf import coboundary, global_sections, laplacian
from recbole_sheaf.sheaf.item_sheaf import ridge_diagonal
from tests.conftest import REPOSITORY, script_of_docs


@pytest.fixture(scope="module")
def drawings():
    return script_of_docs("drawings")


@pytest.mark.parametrize("agree", [True, False])
def test_diffusion_lowers_the_energy_and_ends_in_the_kernel_of_the_laplacian(drawings, agree):
    sheaf = drawings.two_groups(agree)
    run = drawings.diffuse(sheaf, drawings.start())
    assert len(global_sections(sheaf)) == 1
    assert (run.energies.diff() < 0).all() and run.energies[-1] < 1e-6 * run.energies[0]
    torch.testing.assert_close(run.signals[-1], run.limit, atol=1e-3, rtol=0)
    assert laplacian(sheaf, run.limit.unsqueeze(2)).abs().max() < 1e-9


def test_identity_maps_leave_one_value_and_signed_ones_two_opposite(drawings):
    same, signed = (drawings.diffuse(drawings.two_groups(agree), drawings.start()).limit for agree in (True, False))
    mean = drawings.start().mean()
    torch.testing.assert_close(same, mean.expand(6, 1))
    assert signed[:3].std() < 1e-9 and signed[3:].std() < 1e-9
    torch.testing.assert_close(signed[:3], -signed[3:])
    assert signed[0] > 0.3


def test_the_dashed_arrow_is_the_gap_of_the_two_mapped_ones(drawings):
    sheaf, x = drawings.one_edge()
    v, w = sheaf.maps @ x
    torch.testing.assert_close(coboundary(sheaf, x)[0], v - w)
    lengths = torch.stack([v, w]).norm(dim=1), x.norm(dim=1)
    torch.testing.assert_close(*lengths)  # both maps are rotations


def test_a_ridge_of_dropout_is_the_expected_loss():
    """By all 2^4 ways to lose entries of four items, for a signal and maps that are not special."""
    p, target = 0.3, 0.8
    z, w = torch.tensor([0.5, -1.2, 0.7, 2.0]).double(), torch.tensor([0.4, 0.1, -0.6, 0.3]).double()
    kept = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 4)
    chance = (kept * (1 - p) + (1 - kept) * p).prod(dim=1)
    expected = chance @ (target - kept @ (z * w)).square()
    v = (1 - p) * w
    penalty = ridge_diagonal(z.square(), 0.0, p) @ v.square()
    torch.testing.assert_close(expected, (target - z @ v) ** 2 + penalty)


def test_the_committed_pictures_are_those_that_the_script_draws(drawings, tmp_path):
    committed = {
        path.name: path.read_text(encoding="utf-8")
        for path in drawings.PICTURES.glob("*.svg")
        if path.name not in ("sheaf.svg", "sheaf.ru.svg")  # by hand: tests/test_first_screen.py
    }
    used = set(re.findall(r"\]\(pictures/([\w.]+)\)", (REPOSITORY / "docs/mathematics.md").read_text(encoding="utf-8")))
    assert set(committed) == used == {f"{name}.svg" for name in drawings.DRAWINGS}
    if not all(f"Matplotlib v{matplotlib.__version__}," in text for text in committed.values()):
        pytest.skip(f"the pictures were drawn by another release than matplotlib {matplotlib.__version__}")
    for path in drawings.write(tmp_path):
        drawn = names_in_order(path.read_text(encoding="utf-8"))
        assert drawn == names_in_order(committed[path.name]), f"run python docs/drawings.py for {path.name}"


def names_in_order(svg):
    """The picture with the names of its clipping paths in their order: matplotlib makes them of Python's own hashes."""
    names = list(dict.fromkeys(re.findall(r"\bp[0-9a-f]{10}\b", svg)))
    return re.sub(r"\bp[0-9a-f]{10}\b", lambda found: f"clip{names.index(found.group())}", svg)
