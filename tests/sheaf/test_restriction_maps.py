"""Map families: orthogonality, counts, frames, gradients."""

import pytest
import torch

from recbole_sheaf.errors import ShapeError
from recbole_sheaf.sheaf import (
    ORTHOGONAL_MAPS,
    identity_maps,
    num_arc_parameters,
    num_orthogonal_parameters,
    orthogonal_maps,
    orthonormal_columns,
    orthonormal_rows,
)

parametrisations = [(name, d) for name in ORTHOGONAL_MAPS for d in range(1, 7) if name != "euler" or d <= 3]


@pytest.mark.parametrize("name, d", parametrisations)
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_orthogonal_in_float32(name, d, scale):
    matrices = orthogonal_maps(scale * torch.randn(200, num_orthogonal_parameters(d, name)), d, name)
    torch.testing.assert_close(matrices @ matrices.mT, torch.eye(d).expand(200, d, d), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name, d", parametrisations)
def test_determinant(name, d):
    matrices = orthogonal_maps(torch.randn(20, num_orthogonal_parameters(d, name)).double(), d, name)
    expected = (-1.0) ** d if name == "householder" else 1.0
    torch.testing.assert_close(torch.linalg.det(matrices), torch.full((20,), expected).double())


@pytest.mark.parametrize("name, d", [case for case in parametrisations if case[1] in (2, 3)])
def test_orthogonal_gradients(name, d):
    params = torch.randn(3, num_orthogonal_parameters(d, name)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: orthogonal_maps(p, d, name), params)


@pytest.mark.parametrize("d", [2, 3, 5])
def test_householder_is_a_product_of_reflections(d):
    params = torch.randn(4, d * (d - 1) // 2).double()
    row, col = torch.tril_indices(d, d, -1)
    v = torch.eye(d).double().repeat(4, 1, 1)
    v[:, row, col] = params
    product = torch.eye(d).double().expand(4, d, d)
    for i in range(d):
        column = v[:, :, i : i + 1]
        product = product @ (torch.eye(d) - 2 * column @ column.mT / column.square().sum(1, keepdim=True))
    torch.testing.assert_close(orthogonal_maps(params, d, "householder"), product)


@pytest.mark.parametrize("name", ORTHOGONAL_MAPS)
def test_zero_parameters_of_rotations_are_the_identity(name):
    matrices = orthogonal_maps(torch.zeros(2, num_orthogonal_parameters(3, name)), 3, name)
    expected = -torch.eye(3) if name == "householder" else torch.eye(3)
    torch.testing.assert_close(matrices, expected.expand(2, 3, 3))


def test_parameters_on_an_arc():
    counts = {name: num_arc_parameters(name, 4) for name in ("identity", "diagonal", "general", "factored", "wide")}
    assert counts == {"identity": 0, "diagonal": 4, "general": 16, "factored": 4, "wide": 0}
    assert [num_arc_parameters("orthogonal", 3, name) for name in ORTHOGONAL_MAPS] == [3, 6, 6, 3]


def test_frames_are_orthonormal():
    columns, rows = orthonormal_columns(torch.randn(9, 6, 3).double()), orthonormal_rows(torch.randn(9, 2, 3).double())
    torch.testing.assert_close(columns.mT @ columns, torch.eye(3).double().expand(9, 3, 3))
    torch.testing.assert_close(rows @ rows.mT, torch.eye(2).double().expand(9, 2, 2))
    torch.testing.assert_close(orthonormal_columns(columns), columns)


def test_frames_of_another_form_are_refused():
    with pytest.raises(ShapeError, match="2 x 3 matrices cannot have orthonormal columns"):
        orthonormal_columns(torch.zeros(5, 2, 3))
    with pytest.raises(ShapeError, match="3 x 2 matrices cannot have orthonormal rows"):
        orthonormal_rows(torch.zeros(5, 3, 2))


def test_identity_maps_follow_dtype():
    assert identity_maps(3, 2).dtype == torch.float32
    assert identity_maps(3, 2, like=torch.zeros(1).double()).dtype == torch.float64
