"""MMSheaf's diffusion against its definition, dense and slow, with maps far from the identity at which they start."""

import pytest
import torch
from recbole.data.interaction import Interaction
from torch.nn.functional import normalize

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.models.item_graph import ItemSheafGraph
from recbole_sheaf.models.mmsheaf import StalkEmbeddings
from recbole_sheaf.models.node_content import node_content
from recbole_sheaf.settings.vocabulary import RESTRICTION_MAPS
from recbole_sheaf.sheaf.item_signals import content_coordinates
from tests.models.dense import UNEQUAL_DEGREES, dense_delta, item_matrix, perturb
from tests.models.test_contract import build

SMALL = {"stalk_dim": 2, "map_features": 3, "n_layers": 2, "item_graph_neighbours": 3, **UNEQUAL_DEGREES}


def moved(settings, name="MMSheaf"):
    """A model with each parameter away from its start, and what its nodes hold."""
    model = perturb(build(name, settings)[0], 0.3)
    return model, model.stalks().detach()


def dense_diffusion(model, x, family, beta, step_size, n_layers, h):
    """Mean over the steps of (I - eta Delta)^l x, one row per node."""
    step = torch.eye(len(x) * x.shape[1], dtype=x.dtype) - step_size * dense_delta(
        model.graph, model.maps, family, beta, h
    )
    powers = [torch.linalg.matrix_power(step, power) @ x.flatten(0, 1) for power in range(n_layers + 1)]
    return (sum(powers) / len(powers)).view(len(x), -1)


@pytest.mark.parametrize("source", ["content", "signal"])
@pytest.mark.parametrize("family", RESTRICTION_MAPS)
def test_diffusion_is_its_definition(toy_settings, family, source):
    chosen = {"restriction_map": family, "map_source": source, "map_mix": 0.6, "step_size": 0.7, "item_graph_layers": 2}
    model, x = moved({**toy_settings, **SMALL, **chosen})
    h = x.flatten(1) if source == "signal" else model.content
    nodes = dense_diffusion(model, x, family, 0.6, 0.7, 2, h)
    features = list(model.modalities.values())
    similar = torch.linalg.matrix_power(item_matrix(features, 3, model.item_graph.trust), 2)
    users, items = model._diffuse(x)
    torch.testing.assert_close(users, nodes[: model.n_users])
    undiffused = x[model.n_users :].flatten(1)
    torch.testing.assert_close(items, nodes[model.n_users :] + similar @ undiffused)
    if family != "identity":
        control = dense_diffusion(model, x, "identity", 0.6, 0.7, 2, h)
        assert (nodes - control).abs().max() > 0.05


def test_gradients_of_the_diffusion_are_those_of_its_definition(toy_settings):
    """In the default family, to the signal and to all that is learnt of the maps."""
    model, x = moved({**toy_settings, **SMALL, "restriction_map": "factored", "map_mix": 0.6})
    x.requires_grad_()
    inputs = [x, *model.maps.parameters()]
    probe = torch.randn(len(x), x[0].numel(), generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    similar = item_matrix(list(model.modalities.values()), 3, model.item_graph.trust.detach())
    nodes = dense_diffusion(model, x, "factored", 0.6, 1.0, 2, model.content)
    expected = torch.cat([nodes[: model.n_users], nodes[model.n_users :] + similar @ x[model.n_users :].flatten(1)])
    wanted, got = (torch.autograd.grad((y * probe).sum(), inputs) for y in (expected, torch.cat(model._diffuse(x))))
    assert all(gradient.any() for gradient in wanted)
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("source", ["content", "signal"])
def test_identities_alone_diffuse_along_maps_of_their_own(toy_settings, source):
    """Without a modality there is no item graph, and only the signal to learn maps from."""
    settings = {**toy_settings, **SMALL, "modalities": [], "map_source": source}
    settings["restriction_map"] = "factored" if source == "signal" else "identity"
    model, x = moved(settings)
    nodes = dense_diffusion(model, x, settings["restriction_map"], 0.5, 1.0, 2, x.flatten(1))
    torch.testing.assert_close(torch.cat(model._diffuse(x)), nodes)


def test_maps_are_learnt_from_the_nodes_content(toy_settings):
    model, _ = moved({**toy_settings, **SMALL, "restriction_map": "factored"})
    content = node_content(model.graph, model.modalities.values(), model.n_users, 3)
    torch.testing.assert_close(model.content, content.double())
    assert content.shape == (model.graph.num_nodes, 6)


def test_stalks_are_identity_preference_and_projected_content(toy_settings):
    """Of nodes that have everything: a free identity, and per modality a user's preference or an item's content."""
    model, x = moved({**toy_settings, **SMALL})
    assert x.shape == (model.graph.num_nodes, 6, 4)
    linked = model.graph.in_degrees > 0
    for m, (features, weight) in enumerate(zip(model.modalities.values(), model.stalks.project)):
        stalk = x[:, 2 * m + 2 : 2 * m + 4].flatten(1)
        items = stalk[model.n_users :]
        full = linked[model.n_users :] & features.present
        rows = normalize(features.matrix).double()
        torch.testing.assert_close(items[full], torch.stack([row @ weight for row in rows[full]]))
        assert not items[~features.present].any()
        preference = model.stalks.preference[:, 8 * m : 8 * m + 8]
        torch.testing.assert_close(stalk[: model.n_users][linked[: model.n_users]], preference[linked[: model.n_users]])
    everything = linked.clone()
    for features in model.modalities.values():
        everything[model.n_users :] &= features.present
    torch.testing.assert_close(x[:, :2].flatten(1)[everything], model.stalks.id_embedding[everything])


def everyone(model):
    return Interaction({"user_id": torch.arange(model.n_users)})


def histories(model):
    """X, ones at the training interactions."""
    half = model.graph.num_arcs // 2
    X = torch.zeros(model.n_users, model.n_items, dtype=torch.float64)
    X[model.graph.src[:half], model.graph.dst[:half] - model.n_users] = 1.0
    return X


def transport_of(model, X, settings):
    """B of the item sheaf by its definition: ridge regression of each item on all others, one by one."""
    rows = [(features.matrix, features.present) for features in model.modalities.values()]
    C = content_coordinates(rows, [settings["item_sheaf_content"] / len(rows)] * len(rows)).double()
    near = [(settings["item_sheaf_neighbourhoods"] / len(rows)) ** 0.5 * neighbourhood_rows(*row, 2) for row in rows]
    signals = torch.cat([X * X.sum(1, keepdim=True).clamp(min=1).pow(-0.25), *near, C.T])  # w^(1/2) = |x|^(-1/4)
    p = settings["item_sheaf_dropout"]
    ridge = settings["item_sheaf_ridge"] + p / (1 - p) * signals.square().sum(0)
    B = torch.zeros(model.n_items, model.n_items, dtype=torch.float64)
    for i in range(model.n_items):
        others = torch.arange(model.n_items) != i
        A = signals[:, others]
        B[others, i] = torch.linalg.solve(A.T @ A + torch.diag(ridge[others]), A.T @ signals[:, i])
    return with_cold_columns(X, B, C, settings["item_sheaf_cold_ridge"] * settings["item_sheaf_content"])


def neighbourhood_rows(matrix, present, k):
    """Of each item with content a row: 1 there, and shares of its k nearest by the cosine, which sum to 1."""
    rows = []
    items = present.nonzero().flatten().tolist()
    unit = normalize(matrix).double()
    for i in items:
        row = torch.zeros(len(matrix), dtype=torch.float64)
        others = sorted((j for j in items if j != i), key=lambda j: (-round(float(unit[i] @ unit[j]), 6), j))[:k]
        cosines = torch.stack([unit[i] @ unit[j] for j in others]).clamp(min=0)
        if cosines.sum() > 0:
            row[others] = cosines / cosines.sum()
            row[i] = 1.0
        rows.append(row)
    return torch.stack(rows)


def with_cold_columns(X, B, C, ridge):
    """B with the columns of items that nobody chose: content regressed on warm items' content, after a step along B."""
    warm, B = X.sum(0) > 0, B.clone()
    cold = [i for i in range(1, len(C)) if not warm[i] and C[i].any()]
    A = C[warm].T
    for i in cold:
        maps = torch.linalg.solve(A.T @ A + ridge * torch.eye(A.shape[1], dtype=A.dtype), A.T @ C[i])
        B[:, i] = (torch.eye(len(C), dtype=A.dtype) + B)[:, warm] @ maps
    if cold:
        rare = warm & (X.sum(0) <= 10)
        B[:, cold] *= ((X @ B)[:, rare].square().mean() / (X @ B)[:, cold].square().mean()).sqrt()
    return B


ITEM_SHEAF = {
    "item_sheaf_content": 2.0,
    "item_sheaf_neighbourhoods": 1.3,
    "item_sheaf_nearest": 2,
    "item_sheaf_dropout": 0.3,
    "item_sheaf_ridge": 1.5,
    "item_sheaf_cold_ridge": 0.4,
}


def test_a_score_is_the_stalks_cosine_over_the_temperature_plus_the_weighed_item_sheaf(toy_settings):
    """And a quarter of the popularity that the logits of training gain, twice ln(1 + degree)."""
    own = {**ITEM_SHEAF, "item_sheaf_weight": 3.0, "item_sheaf_rarity": 0.0, "item_sheaf_user_power": 0.0}
    popular = {"softmax_popularity": 2.0, "popularity_kept": 0.25}
    model = perturb(build("MMSheaf", {**toy_settings, **own, **popular, "softmax_temperature": 0.4})[0], 0.3).eval()
    users, items = (normalize(y, dim=1) for y in model._diffuse(model.stalks()))
    X = histories(model)
    B = transport_of(model, X, own)
    expected = users @ items.T / 0.4 + 3 * X @ B + 0.5 * torch.log(1 + X.sum(0))
    assert (X @ B).abs().max() > 0.1
    scores = model.full_sort_predict(everyone(model)).view(expected.shape).double()
    torch.testing.assert_close(scores, expected.double(), atol=1e-5, rtol=1e-5)


def test_a_rare_items_score_is_its_sheafs_at_the_spread_and_the_height_of_the_stalks(toy_settings):
    """By the definition, from all scores: means and deviations over items weighed by rho = 2 / (2 + degree).

    A user's stalks grow as the length of the history to the power .7, as if the sheaf's scores shrank by it.
    """
    own = {**ITEM_SHEAF, "item_sheaf_weight": 3.0, "item_sheaf_user_power": 0.7}
    settings = {**toy_settings, **own, "softmax_temperature": 0.4, "item_sheaf_rarity": 2.0}
    settings["eval_args"] = {"split": {"RS": [0.25, 0.35, 0.4]}, "group_by": None}  # some items remain without training
    model = perturb(build("MMSheaf", settings)[0], 0.3).eval()
    users, items = (normalize(y, dim=1) for y in model._diffuse(model.stalks()))
    stalks = users @ items.T / 0.4
    X = histories(model)
    B = transport_of(model, X, own)
    sheaf, degree = X @ B, X.sum(0)
    rho = 2 / (2 + degree)
    rho[0] = 0
    assert (degree[1:] == 0).any() and len(degree.unique()) > 3
    active = X.sum(1) > 0

    shrink = X.sum(1, keepdim=True).clamp(min=1) ** -0.7
    shrink = shrink / shrink[active].mean()

    def mean_and_spread(scores):
        mean = (scores * rho).sum(1, keepdim=True) / rho.sum()
        return mean, (((scores - mean) ** 2 * rho).sum(1) / rho.sum()).sqrt()[active].mean()

    mean, spread = mean_and_spread(stalks)
    stretch = spread / mean_and_spread(shrink * sheaf)[1]
    expected = ((1 - rho) * stalks + rho * mean) / shrink + (3 + rho * stretch) * sheaf + 0.5 * torch.log(1 + degree)
    scores = model.full_sort_predict(everyone(model)).view(expected.shape).double()
    torch.testing.assert_close(scores, expected.double(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kept", [2**27, 0])
def test_predict_agrees_with_full_sort_predict_for_users_in_any_order(toy_settings, kept, monkeypatch):
    monkeypatch.setattr("recbole_sheaf.models.mmsheaf.SHEAF_SCORES_KEPT", kept)
    model = build("MMSheaf", toy_settings)[0].eval()
    everyones = model.full_sort_predict(everyone(model)).view(model.n_users, -1)
    some = torch.tensor([7, 2, 9])
    torch.testing.assert_close(
        model.full_sort_predict(Interaction({"user_id": some})).view(3, -1), everyones[some], atol=1e-5, rtol=1e-5
    )
    items = torch.tensor([4, 1, 1, 6])
    users = torch.tensor([7, 2, 9, 2])
    pairs = Interaction({"user_id": users, "item_id": items})
    torch.testing.assert_close(model.predict(pairs), everyones[users, items], atol=1e-5, rtol=1e-5)
    assert model.item_sheaf_scores(users)[range(4), items].abs().max() > 0.01


def test_identity_maps_between_items_give_other_scores(toy_settings):
    scores = []
    for name in ("learnt", "identity"):
        model = build("MMSheaf", {**toy_settings, "item_sheaf_map": name})[0].eval()
        scores.append(model.item_sheaf_scores(torch.arange(model.n_users)))
    assert (scores[0] - scores[1]).abs().max() > 0.1


@pytest.mark.parametrize("neighbours, content", [(0, 5.0), (5, 0.0)])
def test_the_exported_pieces_are_the_score(toy_settings, neighbours, content):
    """A dense vector of each user and item, and a sparse signed one of each item that meets a user's history.

    In full with content, some items being cold: their vectors are as exact as others.
    """
    settings = {**toy_settings, "item_sheaf_neighbours": neighbours, "item_sheaf_content": content}
    settings.update(item_sheaf_rarity=3.0, item_sheaf_user_power=0.5)
    settings["eval_args"] = {"split": {"RS": [0.25, 0.35, 0.4]}, "group_by": None}
    model = build("MMSheaf", settings)[0]
    assert (model.item_sheaf.cold_items is not None) == (content > 0)
    model = perturb(model, 0.1).float().eval()
    users, items = model.ranked_embeddings()
    near, values = model.item_sheaf.item_vectors(neighbours or model.n_items)
    B = torch.zeros(model.n_items, model.n_items)
    for i in range(model.n_items):
        B[near[i][near[i] >= 0], i] = values[i][near[i] >= 0]
    assert (B > 0).any() and (neighbours or (B < 0).any())
    histories = model.item_sheaf.histories(torch.arange(model.n_users))
    expected = users @ items.T + histories @ B * model.weighed.item_weights
    assert model.weighed.item_weights.unique().numel() > 2
    torch.testing.assert_close(model.full_sort_predict(everyone(model)).view(expected.shape), expected)


def test_a_sheaf_that_says_nothing_takes_over_no_item(toy_settings):
    """Its maps are zero by an endless ridge: rho would silence the stalks in favour of zeros."""
    silent = {"item_sheaf_ridge": 1e30, "item_sheaf_content": 0.0, "item_sheaf_neighbourhoods": 0.0}
    model = build("MMSheaf", {**toy_settings, **silent, "item_sheaf_weight": 8.0, "item_sheaf_rarity": 3.0})[0].eval()
    assert not model.weighed.rarity.any() and model.full_sort_predict(everyone(model)).isfinite().all()
    assert model.weighed.item_weights.eq(8).all()


def test_an_item_sheaf_of_weight_zero_is_not_there(toy_settings):
    model = build("MMSheaf", {**toy_settings, "item_sheaf_weight": 0.0, "popularity_kept": 0.0})[0].eval()
    users, items = (normalize(y) for y in model.forward())
    assert model.item_sheaf is None
    torch.testing.assert_close(
        model.full_sort_predict(everyone(model)), (users @ items.T / model.temperature).flatten()
    )
    with pytest.raises(ConfigError, match="item_sheaf_weight is 0"):
        model.item_sheaf_scores(torch.tensor([1]))


def test_scores_of_the_item_sheaf_are_the_same_kept_or_not(toy_settings, monkeypatch):
    model = build("MMSheaf", toy_settings)[0].eval()
    kept = model.full_sort_predict(everyone(model))
    monkeypatch.setattr("recbole_sheaf.models.mmsheaf.SHEAF_SCORES_KEPT", 0)
    torch.testing.assert_close(model.full_sort_predict(everyone(model)), kept)


def test_an_item_nobody_chose_has_no_identity(toy_settings):
    model = build("MMSheaf", toy_settings)[0]
    settings = model.settings_class(embedding_size=4, stalk_dim=2)
    chosen = torch.ones(model.n_items, dtype=torch.bool)
    chosen[3] = False
    stalks = StalkEmbeddings(model.modalities, model.n_users, model.n_items, chosen, settings).eval()
    identity = stalks()[:, :2].flatten(1)
    torch.testing.assert_close(
        identity, stalks.id_embedding * (torch.arange(len(identity)) != model.n_users + 3)[:, None]
    )
    assert stalks()[model.n_users + 3, 2:].any()  # its content is there


def test_training_compares_users_with_items_of_which_a_share_lacks_the_id_stalk(toy_settings, monkeypatch):
    model, batch, _ = build("MMSheaf", {**toy_settings, "stalk_dropout": 0.15, "feature_dropout": 0.0})
    seen = []
    ranking_loss = model.ranking_loss
    monkeypatch.setattr(
        model,
        "ranking_loss",
        lambda users, items, *more, **named: seen.extend([users, items]) or ranking_loss(users, items, *more, **named),
    )
    model.train().calculate_loss(batch)
    users, items = model.forward()
    width = model.stalks.id_embedding.shape[1]
    torch.testing.assert_close(seen[0], users)
    torch.testing.assert_close(seen[1][:, width:], items[:, width:])
    here = (seen[1][:, :width] == items[:, :width]).all(1)
    assert not seen[1][~here, :width].any() and 0 < (~here).float().mean() < 0.4
    seen.clear()
    model.eval().calculate_loss(batch)
    torch.testing.assert_close(seen[1], items)


def test_the_only_stalk_is_never_dropped(toy_settings):
    model, _, _ = build("MMSheaf", {**toy_settings, "modalities": []})
    assert model.stalk_dropout == 0


@pytest.mark.parametrize("arcs", ["item_sheaf", "identity"])
def test_stalks_of_items_diffuse_along_the_item_sheaf(toy_settings, arcs):
    """Learnt maps or the identity, in the diffusion alone: what scores is the learnt item sheaf either way."""
    settings = {**toy_settings, **SMALL, "item_graph_arcs": arcs}
    model, x = moved(settings)
    sheaf = model.closed_form.fit("learnt" if arcs == "item_sheaf" else "identity")
    graph = ItemSheafGraph(sheaf, 3, 1)
    items = x[model.n_users :].flatten(1)
    plain, _ = moved({**toy_settings, **SMALL, "item_graph_neighbours": 0})
    walked = model._diffuse(x)[1] - plain._diffuse(x)[1]
    torch.testing.assert_close(walked, graph(items), rtol=1e-5, atol=1e-6)
    assert model.item_sheaf.ridge_loss > 0  # learnt
    assert model.content_graph is None and not any("trust" in name for name, _ in model.named_parameters())


def test_the_graph_along_the_item_sheaf_follows_the_form_that_validation_chose(toy_settings):
    model, _ = moved({**toy_settings, **SMALL, "item_graph_arcs": "item_sheaf"})
    first = model.item_graph
    assert model.item_graph is first
    model.closed_form.take(model.closed_form.forms[-1])
    assert model.item_graph is not first and (model.item_graph.weights != first.weights).any()


def test_no_item_sheaf_is_nothing_to_diffuse_along(toy_settings):
    with pytest.raises(ConfigError, match="item_graph_arcs is identity, but item_sheaf_weight is 0"):
        build("MMSheaf", {**toy_settings, "item_graph_arcs": "identity", "item_sheaf_weight": 0.0})


@pytest.mark.parametrize("given", ["auto", 10, 0])
def test_items_receive_of_their_neighbours_where_validation_took_a_large_ridge(toy_settings, monkeypatch, given):
    """With `auto`; a number is obeyed whatever the form. Without an item sheaf nobody says they tell nothing."""
    monkeypatch.setattr("recbole_sheaf.models.mmsheaf.co_choice_lift", lambda *_: 2.0)
    model, x = moved({**toy_settings, "item_graph_neighbours": given})
    items = x[model.n_users :].flatten(1)
    plain = moved({**toy_settings, "item_graph_neighbours": 0})[0]._diffuse(x)[1]
    for form in model.closed_form.forms:
        model.closed_form.take(form)
        receives = {"auto": form.ridge >= 50, 10: True, 0: False}[given]
        expected = plain + model.content_graph(items) if receives else plain
        torch.testing.assert_close(model._diffuse(x)[1], expected)
        assert (model.item_graph is not None) == receives
        assert model.chosen.get("item_graph_neighbours") == (10.0 * receives if given == "auto" else None)
    alone = build("MMSheaf", {**toy_settings, "item_graph_neighbours": given, "item_sheaf_weight": 0.0})[0]
    assert (alone.item_graph is not None) == (given != 0)


@pytest.mark.parametrize(("lifts", "graph"), [((1.0, 1.19), False), ((1.0, 1.2), True), ((3.0,), True)])
def test_auto_takes_an_item_graph_where_content_foretells_what_is_chosen_together(
    toy_settings, monkeypatch, lifts, graph
):
    """By the training interactions, each pair once, of any modality."""
    asked, given = [], iter(lifts)
    monkeypatch.setattr(
        "recbole_sheaf.models.mmsheaf.co_choice_lift", lambda *arguments: asked.append(arguments) or next(given)
    )
    model, _ = moved({**toy_settings, "item_sheaf_ridge": 100.0})
    assert (model.item_graph is not None) == graph == (model.item_graph is not None)
    assert len(asked) == len(lifts)  # once, up to the first that is enough
    src, dst, users, items, n_users, n_items = asked[0]
    inter = model.closed_form._dataset.inter_feat
    assert sorted(zip(users, items)) == sorted(zip(inter["user_id"].tolist(), inter["item_id"].tolist()))
    assert (n_users, n_items) == (model.n_users, model.n_items)
    arcs = model.content_graph.graphs[0]
    assert (src == arcs.src.numpy()).all() and (dst == arcs.dst.numpy()).all()
