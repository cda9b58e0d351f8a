"""The softmax of cosines: its dense definition, its gradient, what it leaves out, and its sampled form."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_sheaf.errors import ConfigError, ShapeError
from recbole_sheaf.layers import softmax_loss as module
from recbole_sheaf.layers.softmax_loss import Draw, ItemSampler, inclusion_probabilities, softmax_loss


def slow_loss(users, items, pairs, temperature, offset=None, weight=None):
    """Pair by pair from the definition: each pair counts once or its weight, the padding is in no sum."""
    losses = []
    for row, chosen in zip(*(t.tolist() for t in pairs)):
        s = []
        for item in range(1, len(items)):
            cosine = users[row] @ items[item] / (users[row].norm() * items[item].norm())
            s.append(cosine / temperature + (0 if offset is None else offset[row % len(offset), item]))
        losses.append(torch.stack(s).logsumexp(dim=0) - s[chosen - 1])
    losses = torch.stack(losses)
    return losses.mean() if weight is None else (weight * losses).sum() / weight.sum()


def random_problem(b=4, n_items=7, f=3, seed=0, density=0.4):
    """Users, items and pairs in any order; the first user has an item, the last none."""
    generator = torch.Generator().manual_seed(seed)
    users, items = (torch.randn(n, f, dtype=torch.float64, generator=generator) for n in (b, n_items))
    seen = torch.rand(b, n_items, generator=generator) < density
    seen[:, 0], seen[0, 1], seen[-1] = False, True, b == 1
    seen[:, 0] = False
    row, item = seen.nonzero().unbind(1)
    order = torch.randperm(len(row), generator=generator)
    return users, items, (row[order], item[order])


def random_offset(rows, n_items, seed=1):
    return torch.randn(rows, n_items, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def random_weight(pairs, seed=2):
    """In steps of a half, some of them none."""
    return torch.randint(0, 4, pairs[0].shape, generator=torch.Generator().manual_seed(seed)).double() / 2 + 1e-9


def everything(n_items):
    return Draw(torch.arange(1, n_items), torch.zeros(n_items - 1))


problems = st.builds(
    random_problem,
    b=st.integers(1, 6),
    n_items=st.integers(2, 9),
    f=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)


@given(problem=problems, temperature=st.sampled_from([0.05, 0.2, 1.0]), offset=st.sampled_from([None, "one", "each"]))
@settings(deadline=None, max_examples=60)
def test_equals_the_dense_definition(problem, temperature, offset):
    users, items, pairs = problem
    constants = offset and random_offset(1 if offset == "one" else len(users), len(items))
    expected = slow_loss(users, items, pairs, temperature, constants)
    torch.testing.assert_close(softmax_loss(users, items, pairs, temperature, constants), expected)
    drawn = everything(len(items))  # every item, each for certain: the sampled form is the full one
    torch.testing.assert_close(softmax_loss(users, items, pairs, temperature, constants, drawn), expected)


@given(problem=problems, offset=st.sampled_from([None, 1]))
@settings(deadline=None, max_examples=30)
def test_a_pair_counts_its_weight(problem, offset):
    users, items, pairs = problem
    weight, constants = random_weight(pairs), offset and random_offset(offset, len(items))
    expected = slow_loss(users, items, pairs, 0.3, constants, weight)
    torch.testing.assert_close(softmax_loss(users, items, pairs, 0.3, constants, weight=weight), expected)
    drawn = everything(len(items))
    torch.testing.assert_close(softmax_loss(users, items, pairs, 0.3, constants, drawn, weight), expected)


@pytest.mark.parametrize("entries", [1, 12, 1 << 22])
def test_gradient_of_weighted_pairs_in_both_forms(monkeypatch, entries):
    monkeypatch.setattr(module, "CHUNK_ENTRIES", entries)
    users, items, pairs = random_problem(b=5)
    inputs, weight = [t.requires_grad_() for t in (users, items)], random_weight(pairs)
    assert torch.autograd.gradcheck(lambda u, i: softmax_loss(u, i, pairs, 0.3, weight=weight), inputs)
    draw = Draw(torch.tensor([2, 3, 6]), torch.tensor([-0.5, -0.1, -1.2], dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda u, i: softmax_loss(u, i, pairs, 0.3, draw=draw, weight=weight), inputs)


@pytest.mark.parametrize("entries", [1, 12, 1 << 22])
@pytest.mark.parametrize("offset", [None, 1, 5])
def test_gradient_of_all_items_whatever_is_held_at_once(monkeypatch, entries, offset):
    monkeypatch.setattr(module, "CHUNK_ENTRIES", entries)
    users, items, pairs = random_problem(b=5)
    constants = offset and random_offset(offset, len(items))
    inputs = [t.requires_grad_() for t in (users, items)]
    assert torch.autograd.gradcheck(lambda u, i: softmax_loss(u, i, pairs, 0.3, constants), inputs)
    given_gradients = torch.autograd.grad(3 * softmax_loss(users, items, pairs, 0.3, constants), inputs)
    expected = torch.autograd.grad(3 * slow_loss(users, items, pairs, 0.3, constants), inputs)
    torch.testing.assert_close(given_gradients, expected)


@pytest.mark.parametrize("offset", [None, 1, 5])
def test_gradient_of_drawn_items(offset):
    users, items, pairs = random_problem(b=5)
    constants = offset and random_offset(offset, len(items))
    draw = Draw(torch.tensor([2, 3, 6]), torch.tensor([-0.5, -0.1, -1.2], dtype=torch.float64))
    inputs = [t.requires_grad_() for t in (users, items)]
    assert torch.autograd.gradcheck(lambda u, i: softmax_loss(u, i, pairs, 0.3, constants, draw), inputs)


def test_gradients_of_both_forms_are_equal_where_every_item_is_drawn():
    users, items, pairs = random_problem(b=9, n_items=30, f=5)
    inputs = [t.requires_grad_() for t in (users, items)]
    sampler = ItemSampler(torch.bincount(pairs[1], minlength=30), draws=29)
    full = torch.autograd.grad(softmax_loss(users, items, pairs, 0.2), inputs)
    sampled = torch.autograd.grad(softmax_loss(users, items, pairs, 0.2, draw=sampler.draw()), inputs)
    torch.testing.assert_close(sampled, full)


def test_draws_estimate_the_sum_without_bias_and_the_gradient_closely():
    """exp(loss) of a user with one item is Z over a constant: its mean over draws is the full one's."""
    users, items, _ = random_problem(b=1, n_items=40, f=4, seed=3)
    pairs = (torch.tensor([0]), torch.tensor([5]))
    sampler = ItemSampler(torch.randint(0, 30, (40,), generator=torch.Generator().manual_seed(0)), draws=12)
    generator = torch.Generator().manual_seed(1)
    inputs = [t.requires_grad_() for t in (users, items)]
    full = softmax_loss(users, items, pairs, 0.4)
    wanted = torch.autograd.grad(full, inputs)[1]
    totals, gradients = [], torch.zeros_like(wanted)
    for _ in range(1000):
        loss = softmax_loss(users, items, pairs, 0.4, draw=sampler.draw(generator))
        totals.append(loss.exp().item())
        gradients += torch.autograd.grad(loss, inputs)[1] / 1000
    z = torch.tensor(totals, dtype=torch.float64)
    assert abs(z.mean() - full.exp()) < 2 * z.std() / len(z) ** 0.5  # 2 % of Z; the draws are the same in each run
    assert (gradients - wanted).norm() < 0.05 * wanted.norm()


def test_uncorrected_draws_are_biased():
    """With a third of the items drawn by frequency, Z without the correction misses most of the others."""
    users, items, _ = random_problem(b=1, n_items=40, f=4, seed=3)
    pairs = (torch.tensor([0]), torch.tensor([5]))
    sampler, generator = ItemSampler(torch.arange(40), draws=12), torch.Generator().manual_seed(1)
    draws = [sampler.draw(generator) for _ in range(500)]
    raw = [Draw(draw.items, torch.zeros_like(draw.log_probability)) for draw in draws]
    full = softmax_loss(users, items, pairs, 0.4).exp()
    corrected, uncorrected = (
        sum(softmax_loss(users, items, pairs, 0.4, draw=draw).exp() for draw in several) / (500 * full)
        for several in (draws, raw)
    )
    assert abs(corrected - 1) < 0.1 and uncorrected < 0.7


@pytest.mark.parametrize("draw", [None, everything(7), Draw(torch.zeros(0, dtype=torch.long), torch.zeros(0))])
def test_no_interactions_cost_nothing_and_keep_the_graph(draw):
    users, items, _ = random_problem()
    none = torch.zeros(0, dtype=torch.long)
    inputs = [t.requires_grad_() for t in (users, items)]
    loss = softmax_loss(users, items, (none, none), 0.2, draw=draw)
    assert loss.item() == 0
    assert all(not gradient.any() for gradient in torch.autograd.grad(loss, inputs))


@pytest.mark.parametrize("draw", [None, everything(7)])
def test_users_without_interactions_and_the_padding_are_left_out(draw):
    users, items, pairs = random_problem()
    before = softmax_loss(users, items, pairs, 0.2, draw=draw)
    users[-1], items[0] = 100.0, -100.0
    torch.testing.assert_close(softmax_loss(users, items, pairs, 0.2, draw=draw), before)
    inputs = [t.requires_grad_() for t in (users, items)]
    d_users, d_items = torch.autograd.grad(softmax_loss(users, items, pairs, 0.2, draw=draw), inputs)
    assert not d_users[-1].any() and not d_items[0].any() and d_items[1:].any(dim=1).all()


@pytest.mark.parametrize("draw", [None, everything(7)])
def test_an_offset_of_minus_infinity_takes_an_item_out(draw):
    users, items, _ = random_problem()
    pairs = (torch.tensor([0, 0, 2]), torch.tensor([1, 2, 2]))
    offset = torch.zeros(1, 7)
    offset[0, 4:] = -math.inf
    expected = slow_loss(users, items[:4], pairs, 0.2)
    inputs = [t.requires_grad_() for t in (users, items)]
    loss = softmax_loss(users, items, pairs, 0.2, offset, draw)
    torch.testing.assert_close(loss, expected)
    gradients = torch.autograd.grad(loss, inputs)
    assert all(gradient.isfinite().all() for gradient in gradients) and not gradients[1][4:].any()


@pytest.mark.parametrize("draw", [None, everything(7)])
def test_neither_a_low_temperature_nor_low_precision_breaks_it(draw):
    users, items, pairs = random_problem()
    expected = slow_loss(users, items, pairs, 0.001)
    loss = softmax_loss(users.float(), items.float(), pairs, 0.001, draw=draw)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(softmax_loss(users.float(), items.float(), pairs, 0.001, draw=draw), loss)
    half = softmax_loss(users.bfloat16(), items.bfloat16(), pairs, 0.2, draw=draw)
    torch.testing.assert_close(half.double(), slow_loss(users, items, pairs, 0.2), rtol=0.1, atol=0.1)


def test_the_same_seed_draws_the_same_items():
    sampler = ItemSampler(torch.arange(1000), draws=50)
    torch.manual_seed(5)
    first, second = sampler.draw(), sampler.draw()
    torch.manual_seed(5)
    assert torch.equal(sampler.draw().items, first.items) and not torch.equal(first.items, second.items)
    own = [sampler.draw(torch.Generator().manual_seed(5)).items for _ in range(2)]
    assert torch.equal(*own)


@given(
    counts=st.lists(st.integers(0, 100), min_size=2, max_size=30),
    draws=st.integers(1, 40),
)
def test_probabilities_sum_to_the_number_of_draws_and_never_vanish(counts, draws):
    probability = inclusion_probabilities(torch.tensor(counts), draws)
    n = len(counts) - 1
    assert probability[0] == 0 and (probability[1:] > 0).all() and (probability <= 1).all()
    assert probability.sum().item() == pytest.approx(min(draws, n), rel=1e-5)
    assert (probability[1:] >= min(1, draws / (2 * n)) * (1 - 1e-6)).all()
    order = torch.tensor(counts[1:]).argsort()
    assert (probability[1:][order].diff() >= -1e-7).all()  # who is more frequent is not drawn less


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature):
    with pytest.raises(ConfigError, match="temperature of a softmax is .*, expected a number above 0"):
        softmax_loss(*random_problem(), temperature)


def test_shapes_that_do_not_fit_are_refused(unchecked_shapes):
    users, items, pairs = random_problem()
    with pytest.raises(ShapeError, match=r"\(4, 3\) and items of shape \(7, 2\) differ in width"):
        softmax_loss(users, items[:, :2], pairs, 0.2)
    with pytest.raises(ShapeError, match=r"offset has shape \(4, 6\), expected \(4, 7\) or \(1, 7\)"):
        softmax_loss(users, items, pairs, 0.2, torch.zeros(4, 6))
    with pytest.raises(ShapeError, match=rf"{len(pairs[0])} pairs came with weights of shape \(2,\)"):
        softmax_loss(users, items, pairs, 0.2, weight=torch.ones(2))
    with pytest.raises(ConfigError, match="0 items cannot stand for all"):
        ItemSampler(torch.ones(4, dtype=torch.long), 0)
