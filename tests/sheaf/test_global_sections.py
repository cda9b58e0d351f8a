"""Global sections are the kernel of the Laplacian and the limit of diffusion."""

import pytest
import torch
from hypothesis import given, settings

from recbole_sheaf.sheaf import (
    both_directions,
    cellular_sheaf,
    coboundary_matrix,
    global_sections,
    identity_maps,
    laplacian,
    project_to_global_sections,
)
from tests.sheaf.helpers import FAMILIES, dense_laplacian, random_problem, sizes


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=10, deadline=None)
@given(sizes)
def test_sections_are_harmonic_and_complete(family, size):
    sheaf, _ = random_problem(family, **size)
    basis = global_sections(sheaf)
    assert laplacian(sheaf, basis.permute(1, 2, 0)).abs().max().nan_to_num() < 1e-6 if len(basis) else True
    assert len(basis) == int((torch.linalg.eigvalsh(dense_laplacian(sheaf)) < 1e-9).sum())


def test_identity_maps_have_d_sections_per_component():
    arcs = both_directions(torch.tensor([[0, 1], [1, 2], [3, 4]]))
    assert len(global_sections(cellular_sheaf(arcs, 6, identity_maps(6, 2)))) == 2 * 3


def test_diffusion_tends_to_the_projection():
    sheaf, x = random_problem("diagonal", n=6, num_edges=5, d=2, seed=4)
    limit = torch.linalg.matrix_exp(-1e5 * dense_laplacian(sheaf)) @ x.flatten(0, 1)
    torch.testing.assert_close(project_to_global_sections(sheaf, x).flatten(0, 1), limit, rtol=1e-5, atol=1e-6)


def test_coboundary_matrix_squares_to_the_laplacian():
    sheaf, _ = random_problem("tall", n=5, num_edges=6, d=2, seed=0)
    delta = coboundary_matrix(sheaf)
    torch.testing.assert_close(delta.T @ delta, dense_laplacian(sheaf))
