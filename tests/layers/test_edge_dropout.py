"""Edges kept: as many as asked, each once, and with the probabilities of drawing without replacement."""

import itertools

import pytest
import torch

from recbole_sheaf.errors import ConfigError, ShapeError
from recbole_sheaf.layers.edge_dropout import keep_edges_by_degree

U = torch.tensor([0, 0, 0, 1])
V = torch.tensor([2, 3, 4, 4])
DEGREES = torch.bincount(torch.cat([U, V]))


def inclusion(weights, draws):
    """Probability that each edge is among the first draws, by going through every order of drawing."""
    total = torch.zeros(len(weights), dtype=torch.float64)
    for order in itertools.permutations(range(len(weights)), draws):
        probability, left = 1.0, weights.sum().item()
        for edge in order:
            probability *= weights[edge].item() / left
            left -= weights[edge].item()
        total[list(order)] += probability
    return total


def test_probabilities_fall_with_the_degrees_of_both_ends():
    expected = inclusion((DEGREES[U] * DEGREES[V]).double().rsqrt(), draws=2)
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(4, dtype=torch.float64)
    for _ in range(4000):
        counts[keep_edges_by_degree(U, V, DEGREES, 0.5, generator)] += 1
    assert expected[3] > expected[0] > expected[2]
    torch.testing.assert_close(counts / 4000, expected, atol=0.03, rtol=0)


def test_edges_of_equal_degrees_are_equally_likely():
    generator, ring = torch.Generator().manual_seed(0), torch.arange(4)
    degrees = torch.full((4,), 2)
    draws = [keep_edges_by_degree(ring, ring.roll(1), degrees, 0.5, generator) for _ in range(2000)]
    counts = torch.stack([torch.bincount(kept, minlength=4) for kept in draws])
    torch.testing.assert_close(counts.double().mean(dim=0), torch.full((4,), 0.5).double(), atol=0.04, rtol=0)


@pytest.mark.parametrize("keep, count", [(1.0, 12), (0.55, 6), (0.1, 1)])
def test_as_many_as_asked_each_once_and_in_order(keep, count):
    kept = keep_edges_by_degree(U.repeat(3), V.repeat(3), DEGREES, keep)
    assert len(kept) == count and torch.equal(kept, kept.unique())


def test_the_global_seed_decides_where_no_generator_is_given():
    torch.manual_seed(3)
    one = keep_edges_by_degree(U.repeat(9), V.repeat(9), DEGREES, 0.5)
    torch.manual_seed(3)
    assert torch.equal(one, keep_edges_by_degree(U.repeat(9), V.repeat(9), DEGREES, 0.5))


def test_a_generator_decides_alone_where_it_is_given():
    kept = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        kept.append(keep_edges_by_degree(U.repeat(9), V.repeat(9), DEGREES, 0.5, torch.Generator().manual_seed(3)))
    assert torch.equal(*kept)


@pytest.mark.parametrize("keep", [0.0, -0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(keep):
    with pytest.raises(ConfigError, match="share of edges to keep is .*, expected a number above 0 and at most 1"):
        keep_edges_by_degree(U, V, DEGREES, keep)


@pytest.mark.usefixtures("unchecked_shapes")
def test_ends_that_do_not_pair_are_refused():
    with pytest.raises(ShapeError, match="4 first ends came with 3 second ends"):
        keep_edges_by_degree(U, V[1:], DEGREES, 0.5)
