"""InfoNCE: the definition, term by term, and what it must not do."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_sheaf.errors import ConfigError, ShapeError
from recbole_sheaf.layers.contrastive import info_nce


def views(b, f, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, b, f, generator=generator, dtype=torch.float64).unbind()


def slow_info_nce(view, other, temperature):
    """One row and one candidate at a time, in Python's floats."""
    total = 0.0
    for r in range(len(view)):
        scores = []
        for q in range(len(other)):
            dot = sum(float(x) * float(y) for x, y in zip(view[r], other[q]))
            lengths = math.hypot(*view[r].tolist()) * math.hypot(*other[q].tolist())
            scores.append(math.exp(dot / lengths / temperature))
        total -= math.log(scores[r] / sum(scores))
    return total / len(view)


@given(
    b=st.integers(1, 6),
    f=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
    temperature=st.sampled_from([0.2, 0.5, 1.0, 3.0]),
)
def test_equals_the_definition(b, f, seed, temperature):
    view, other = views(b, f, seed)
    expected = slow_info_nce(view, other, temperature)
    assert float(info_nce(view, other, temperature)) == pytest.approx(expected, abs=1e-9)


def test_gradient_reaches_both_views():
    inputs = [x.clone().requires_grad_() for x in views(4, 3, 0)]
    assert torch.autograd.gradcheck(lambda view, other: info_nce(view, other, 0.3), inputs)


def test_agreeing_views_cost_less_than_views_out_of_order():
    view, other = views(8, 5, 1)
    near = view + 0.01 * other
    assert info_nce(view, near, 0.2) < info_nce(view, near.roll(1, dims=0), 0.2)


def test_a_low_temperature_does_not_overflow():
    """exp(10^7) is beyond any float."""
    view = torch.eye(3)
    assert float(info_nce(view, view, 1e-7)) == 0
    assert float(info_nce(view, view.roll(1, dims=0), 1e-7)) == pytest.approx(1e7)


def test_rows_of_zeros_have_a_finite_gradient():
    view, other = (x.clone() for x in views(3, 2, 2))
    view[1] = 0
    view.requires_grad_()
    info_nce(view, other, 0.2).backward()
    assert torch.isfinite(view.grad).all()


@pytest.mark.parametrize("shapes", [((3, 2), (4, 2)), ((3, 2), (3, 1)), ((0, 2), (0, 2)), ((3,), (3,))])
@pytest.mark.usefixtures("unchecked_shapes")
def test_views_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ShapeError, match="cannot be contrasted; give two matrices"):
        info_nce(*(torch.zeros(shape) for shape in shapes), 0.2)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature):
    with pytest.raises(ConfigError, match="expected a number above 0"):
        info_nce(torch.zeros(1, 1), torch.zeros(1, 1), temperature)
