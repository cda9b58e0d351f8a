"""What the item sheaf adds to the targets of the softmax, beside its definition in dense loops."""

import pytest
import torch

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.layers.item_sheaf import fit_item_sheaf
from recbole_sheaf.models import sheaf_targets as module
from recbole_sheaf.models.mmsheaf import AUTO_TARGETS
from recbole_sheaf.models.sheaf_targets import sheaf_targets
from recbole_sheaf.sheaf.item_signals import item_signals
from tests.models.test_contract import build


@pytest.fixture(scope="module")
def sheaf():
    """Of 30 users and 20 items; user 29 has no history."""
    generator = torch.Generator().manual_seed(0)
    users, items = torch.randint(1, 29, (200,), generator=generator), torch.randint(1, 20, (200,), generator=generator)
    return fit_item_sheaf(item_signals(users, items, n_users=30, n_items=20), ridge=2.0)


def dense_targets(sheaf, user, kept):
    """Shares of all items by the definition, an item after another."""
    history, scores = sheaf.histories(torch.tensor([user]))[0], sheaf.scores(torch.tensor([user]))[0]
    allowed = [i for i in range(1, len(scores)) if not history[i] and scores[i] > 0]
    best = sorted(allowed, key=lambda i: -scores[i])[:kept]
    mass = {i: float(scores[i]) ** 2 for i in best}
    return {i: m / sum(mass.values()) for i, m in mass.items()}


@pytest.mark.parametrize("kept", [3, 50])
@pytest.mark.parametrize("at_once", [1, 1 << 24])
def test_targets_are_the_squares_of_the_largest_scores_among_items_not_yet_chosen(sheaf, monkeypatch, kept, at_once):
    monkeypatch.setattr(module, "TARGETS", kept)
    monkeypatch.setattr(module, "SCORES_AT_ONCE", at_once)
    targets = sheaf_targets(sheaf, 2.0, 30)
    for user in range(30):
        there = targets.weights[user].nonzero().squeeze(1)
        found = dict(zip(targets.items[user, there].tolist(), targets.weights[user, there].tolist()))
        assert found == pytest.approx(dense_targets(sheaf, user, kept), rel=1e-4), user
    assert not targets.weights[29].any() and targets.weights[:29].any(1).sum() > 20


def test_a_prior_worth_some_interactions_goes_to_what_a_user_is_given(sheaf):
    targets, users = sheaf_targets(sheaf, 3.0, 30), torch.tensor([7, 29, 3])
    row, item = torch.tensor([0, 0, 1, 2]), torch.tensor([4, 9, 2, 8])
    rows, items, weights = targets.soften(users, row, item)
    assert rows[:4].equal(row) and items[:4].equal(item)
    torch.testing.assert_close(weights[:4], torch.tensor([2 / 5, 2 / 5, 1.0, 1 / 4]))  # user 29 is given nothing
    torch.testing.assert_close(torch.bincount(rows, weights), torch.tensor([2.0, 1.0, 1.0]))  # as many as interactions
    given = {i: float(w) for r, i, w in zip(rows[4:], items[4:].tolist(), weights[4:]) if r == 0}
    assert given == pytest.approx({i: 2 * 3 / 5 * share for i, share in dense_targets(sheaf, 7, 50).items()}, rel=1e-4)
    assert not (rows[4:] == 1).any()


def test_no_pair_is_named_twice(sheaf):
    targets, users = sheaf_targets(sheaf, 5.0, 30), torch.arange(1, 29)
    row, item = sheaf.histories(users).nonzero(as_tuple=True)
    rows, items, _ = targets.soften(users, row, item)
    assert len({*zip(rows.tolist(), items.tolist())}) == len(rows)


def test_mmsheaf_trains_on_them_and_a_worth_of_zero_is_the_loss_of_interactions(toy_settings):
    losses = {}
    for worth in (0, 0.4, "auto"):
        model, batch, _ = build(
            "MMSheaf", {**toy_settings, "item_sheaf_targets": worth, "stalk_dropout": 0.0, "feature_dropout": 0.0}
        )
        losses[worth] = model.eval().calculate_loss(batch)
        plain = model.ranking_loss(*model.forward(), model.triples(batch))
        if worth == 0:
            torch.testing.assert_close(losses[worth], plain)
            assert model.targets is None
        else:
            softened = model.ranking_loss(*model.forward(), model.triples(batch), targets=model.targets)
            torch.testing.assert_close(losses[worth], softened)
            assert abs(losses[worth] - plain) > 1e-4
    assert model.targets.worth == AUTO_TARGETS


def test_the_loss_is_the_cross_entropy_with_histories_and_what_the_item_sheaf_gives(toy_settings):
    """Users one by one from the equation: q = (1 of the history + mu t) / (d + mu), each user weighed by d."""
    worth, temperature = 2.0, 0.5
    model, batch, _ = build(
        "MMSheaf",
        {
            **toy_settings,
            "item_sheaf_targets": worth,
            "softmax_temperature": temperature,
            "softmax_popularity": 0.0,
            "stalk_dropout": 0.0,
            "feature_dropout": 0.0,
        },
    )
    user_all, item_all = model.eval().forward()
    losses, sizes = [], []
    for user in batch["user_id"].unique().tolist():
        history = model.item_sheaf.histories(torch.tensor([user]))[0]
        prior = torch.zeros(model.n_items)
        for item, share in dense_targets(model.item_sheaf, user, 50).items():
            prior[item] = share
        mu = worth if prior.any() else 0.0
        q = (history + mu * prior) / (history.sum() + mu)
        logits = torch.cosine_similarity(user_all[user].unsqueeze(0), item_all[1:]) / temperature
        losses.append(-(q[1:] * logits.log_softmax(0)).sum() * history.sum())
        sizes.append(history.sum())
    expected = torch.stack(losses).sum() / torch.stack(sizes).sum()
    torch.testing.assert_close(model.calculate_loss(batch), expected, rtol=1e-4, atol=1e-5)


def test_auto_adds_nothing_where_items_are_sampled_or_there_is_no_softmax(toy_settings):
    for others in ({"softmax_items": 3}, {"loss": "bpr"}, {"item_sheaf_weight": 0}):
        assert build("MMSheaf", {**toy_settings, **others})[0].targets is None


@pytest.mark.parametrize("short", ["users", "items"])
def test_auto_adds_nothing_where_users_or_items_have_many_interactions(toy_settings, monkeypatch, short):
    counts = {}

    def noted(lengths):
        counts[len(lengths)] = lengths
        return len(lengths) == counted[short]

    model, _, _ = build("MMSheaf", toy_settings)
    counted = {"users": model.n_users, "items": model.n_items}
    assert model.targets is not None and counted["users"] != counted["items"]
    monkeypatch.setattr("recbole_sheaf.models.mmsheaf.short_histories", noted)
    assert build("MMSheaf", toy_settings)[0].targets is None
    assert torch.equal(counts[counted["users"]], model.graph.in_degrees[: model.n_users])


def test_targets_without_a_softmax_or_an_item_sheaf_is_refused(toy_settings):
    with pytest.raises(ConfigError, match="item_sheaf_targets is 0.5, but item_sheaf_weight is 0"):
        build("MMSheaf", {**toy_settings, "item_sheaf_targets": 0.5, "item_sheaf_weight": 0})
    with pytest.raises(ConfigError, match="item_sheaf_targets is 0.5, but loss is bpr"):
        build("MMSheaf", {**toy_settings, "item_sheaf_targets": 0.5, "loss": "bpr"})


def test_another_form_of_the_item_sheaf_gives_other_targets(toy_settings):
    model, _, _ = build("MMSheaf", {**toy_settings, "item_sheaf_ridge": "auto"})
    before = model.targets
    assert model.targets is before
    model.closed_form.number.add_(1)
    assert model.targets is not before and not model.targets.weights.equal(before.weights)
