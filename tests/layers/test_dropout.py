"""Dropout: rate, scale, gradient, and nothing in evaluation."""

import pytest
import torch

from recbole_sheaf.layers.dropout import dropout


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_rate_and_scale(probability):
    torch.manual_seed(0)
    out = dropout(torch.ones(20_000), probability, training=True)
    kept = out != 0
    assert abs(float(kept.float().mean()) - (1 - probability)) < 0.02
    torch.testing.assert_close(out[kept], torch.full((int(kept.sum()),), 1 / (1 - probability)))


def test_gradient_is_the_mask():
    x = torch.ones(100, requires_grad=True)
    out = dropout(x, 0.5, training=True)
    out.sum().backward()
    torch.testing.assert_close(x.grad, out.detach())


def test_nothing_in_evaluation_or_at_rate_zero():
    x = torch.randn(5)
    assert dropout(x, 0.5, training=False) is x and dropout(x, 0.0, training=True) is x


def test_rate_one_drops_all():
    assert dropout(torch.randn(5), 1.0, training=True).count_nonzero() == 0
