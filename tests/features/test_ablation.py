"""Ablations: what each takes away, what it leaves, and on what its draws depend."""

import itertools
import logging
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_sheaf.errors import ConfigError, FeatureError
from recbole_sheaf.features import FeatureAblation, ModalityFeatures, ablate, load_modalities, write_features
from recbole_sheaf.settings.config import properties_folder
from recbole_sheaf.settings.settings_files import read_yaml
from recbole_sheaf.settings.vocabulary import FEATURE_KINDS

KINDS = st.sampled_from(FEATURE_KINDS)
REPLACING = ("shuffled", "noise", "constant")


@st.composite
def problems(draw):
    """Features of up to 30 items, some without a row, and the ids that RecBole might give them."""
    n, dim, seed = draw(st.integers(1, 30)), draw(st.integers(1, 4)), draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    tokens = [str(token) for token in rng.choice(1000, n, replace=False)]
    has_row = {token: rng.random() < 0.8 for token in tokens}
    rows = {token: rng.standard_normal(dim).astype(np.float32) for token in tokens if has_row[token]}
    return in_item_order(rows, tokens, dim)


def in_item_order(rows, tokens, dim, name="x"):
    token2id = {"[PAD]": 0, **{token: item for item, token in enumerate(tokens, 1)}}
    matrix, present = torch.zeros(len(token2id), dim), torch.zeros(len(token2id), dtype=torch.bool)
    for token, row in rows.items():
        matrix[token2id[token]], present[token2id[token]] = torch.from_numpy(row), True
    return ModalityFeatures(name, matrix, present), token2id


def many(n=4000, name="x", seed=0):
    """Rows with moments of their own in every coordinate, the last of which never varies."""
    matrix = torch.randn(n + 1, 3, generator=torch.Generator().manual_seed(seed)) * torch.tensor([1.0, 5.0, 0.0])
    matrix = (matrix + torch.tensor([3.0, -1.0, 7.0])) * (torch.arange(n + 1) > 0).unsqueeze(1)
    return ModalityFeatures(name, matrix, torch.arange(n + 1) > 0), {str(item): item for item in range(1, n + 1)}


def row_counts(features):
    return Counter(map(tuple, features.matrix[features.present].tolist()))


@given(problems())
def test_real_and_complete_are_the_features_themselves(problem):
    features, token2id = problem
    assert ablate(features, FeatureAblation(seed=5), token2id) is features


@settings(deadline=None)  # the first call imports
@given(problems(), st.sampled_from(REPLACING), st.integers(0, 2**32 - 1))
def test_replacing_rows_leaves_who_has_one(problem, kind, seed):
    features, token2id = problem
    found = ablate(features, FeatureAblation(kind, seed=seed), token2id)
    assert torch.equal(found.present, features.present)
    assert (found.name, found.matrix.shape) == (features.name, features.matrix.shape)
    assert torch.isfinite(found.matrix).all()


@given(problems(), st.integers(0, 9))
def test_shuffling_keeps_the_rows(problem, seed):
    features, token2id = problem
    assert row_counts(ablate(features, FeatureAblation("shuffled", seed=seed), token2id)) == row_counts(features)


def test_shuffling_moves_nearly_every_row():
    features, token2id = many()
    found = ablate(features, FeatureAblation("shuffled"), token2id)
    assert (found.matrix == features.matrix).all(dim=1)[1:].sum() < 10  # of 4000; one is expected to stay


def test_noise_has_the_moments_of_each_coordinate_and_nothing_else():
    features, token2id = many()
    found = ablate(features, FeatureAblation("noise"), token2id)
    new, old = found.matrix[1:], features.matrix[1:]
    torch.testing.assert_close(new.mean(dim=0), old.mean(dim=0), atol=0.3, rtol=0)
    torch.testing.assert_close(new.std(dim=0), old.std(dim=0), atol=1e-4, rtol=0.05)
    torch.testing.assert_close(new[:, 2], old[:, 2])  # a coordinate that never varies stays
    assert torch.corrcoef(torch.stack([new[:, 1], old[:, 1]]))[0, 1].abs() < 0.06
    kurtosis = ((new[:, 1] - new[:, 1].mean()) / new[:, 1].std()).pow(4).mean()
    assert abs(kurtosis - 3) < 0.5  # Gaussian


@given(problems())
def test_constant_is_the_mean_row_for_all_who_have_one(problem):
    features, token2id = problem
    found = ablate(features, FeatureAblation("constant"), token2id).matrix[features.present]
    expected = features.matrix[features.present].mean(dim=0).expand_as(found)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("scale, length", [(1.0, 5.0), (1e-30, 5e-30), (0.0, 1.0)])
def test_constant_keeps_a_direction_where_the_mean_vanishes(scale, length):
    rows = {"a": [3.0, 4.0], "b": [-3.0, -4.0]}
    rows = {token: scale * np.array(row, np.float32) for token, row in rows.items()}
    found = ablate(*_with(in_item_order(rows, ["a", "b", "c"], 2), FeatureAblation("constant")))
    assert found.present.tolist() == [False, True, True, False]
    expected = torch.full((2, 2), length / 2**0.5)
    torch.testing.assert_close(found.matrix[1:3], expected, rtol=1e-6, atol=0.0)


def _with(problem, ablation):
    features, token2id = problem
    return features, ablation, token2id


@given(problems(), st.floats(0, 1, exclude_max=True), st.integers(0, 9))
def test_a_share_of_the_rows_goes_and_the_others_are_untouched(problem, share, seed):
    features, token2id = problem
    found = ablate(features, FeatureAblation(missing_share=share, seed=seed), token2id)
    before, after = int(features.present.sum()), int(found.present.sum())
    assert after == before - min(round(share * before), max(before - 1, 0))  # one row always stays
    assert not (found.present & ~features.present).any()
    assert torch.equal(found.matrix[found.present], features.matrix[found.present])
    assert not found.matrix[~found.present].any()


@given(problems(), KINDS, st.floats(0, 0.99), st.floats(0, 0.99))
def test_less_is_removed_within_more_whatever_the_kind(problem, kind, one, two):
    features, token2id = problem
    less = ablate(features, FeatureAblation(kind, min(one, two)), token2id)
    more = ablate(features, FeatureAblation("real", max(one, two)), token2id)
    assert not (more.present & ~less.present).any()


@given(problems(), st.floats(0, 0.99))
def test_rows_are_removed_before_the_others_are_replaced(problem, share):
    features, token2id = problem
    left = ablate(features, FeatureAblation("real", share), token2id)
    for kind in REPLACING:
        both = ablate(features, FeatureAblation(kind, share), token2id)
        assert torch.equal(both.matrix, ablate(left, FeatureAblation(kind), token2id).matrix)


@settings(deadline=None)
@given(problems(), KINDS, st.floats(0, 0.99), st.randoms(use_true_random=False))
def test_internal_ids_do_not_matter(problem, kind, share, random):
    """The same items under other ids lose and get the same rows, to the last bit."""
    features, token2id = problem
    tokens = [token for token in token2id if token != "[PAD]"]
    rows = {token: features.matrix[token2id[token]].numpy() for token in tokens if features.present[token2id[token]]}
    random.shuffle(tokens)
    other, other_ids = in_item_order(rows, tokens, features.dim)
    ablation = FeatureAblation(kind, share)
    one, two = ablate(features, ablation, token2id), ablate(other, ablation, other_ids)
    here, there = [token2id[token] for token in tokens], [other_ids[token] for token in tokens]
    assert torch.equal(one.matrix[here], two.matrix[there])
    assert torch.equal(one.present[here], two.present[there])


@pytest.mark.parametrize("settings", [dict(kind="shuffled"), dict(kind="noise"), dict(missing_share=0.5)], ids=str)
def test_draws_depend_on_seed_and_name_alone(settings):
    features, token2id = many(50)
    renamed, _ = many(50, name="y")
    one = ablate(features, FeatureAblation(**settings), token2id)
    torch.manual_seed(99), np.random.seed(99)
    again = ablate(features, FeatureAblation(**settings), token2id)
    assert again.digest == one.digest
    assert not torch.equal(ablate(features, FeatureAblation(**settings, seed=1), token2id).matrix, one.matrix)
    assert not torch.equal(ablate(renamed, FeatureAblation(**settings), token2id).matrix, one.matrix)


def test_draws_leave_the_generators_of_a_run_alone():
    features, token2id = many(50)
    torch.manual_seed(7), np.random.seed(7)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(7), np.random.seed(7)
    ablate(features, FeatureAblation("noise", 0.5), token2id)
    assert (torch.rand(1), np.random.rand()) == expected


def test_no_two_ablations_share_a_digest():
    features, token2id = many(50)
    ablations = [FeatureAblation(*each) for each in itertools.product(FEATURE_KINDS, (0.0, 0.3, 0.5), (1, 2))]
    digests = {ablate(features, ablation, token2id).digest for ablation in ablations}
    alike = 2  # real and complete, and constant and complete, draw nothing: any seed gives the same
    assert len(digests) == len(ablations) - alike


def test_values_at_the_end_of_float32_stay_finite():
    rows = {str(item): np.full(2, sign * 3.4e38, np.float32) for item, sign in enumerate([1, -1] * 20)}
    features, token2id = in_item_order(rows, list(rows), 2)
    for kind in REPLACING:
        assert torch.isfinite(ablate(features, FeatureAblation(kind), token2id).matrix).all()


def test_what_was_done_is_logged(caplog):
    features, token2id = many(10)
    with caplog.at_level(logging.INFO):
        ablate(features, FeatureAblation("noise", 0.3, seed=4), token2id)
    assert "modality 'x': removed 3 of 10 rows, the 7 others are noise (ablation_seed 4)" in caplog.text


def test_an_item_without_a_token_is_refused():
    features, token2id = many(10)
    del token2id["3"]
    with pytest.raises(FeatureError, match="has rows of 10 items, but token2id names 9 of them; give the token2id by"):
        ablate(features, FeatureAblation("noise"), token2id)


@pytest.mark.parametrize(
    "values, message",
    [
        (dict(kind="shufled"), "features is 'shufled', expected one of real, .* \\(did you mean 'shuffled'\\?\\)"),
        (dict(kind=None), "features is None, expected one of real, shuffled, noise, constant$"),
        (dict(missing_share=1.0), "missing_share is 1.0, expected a number >= 0 and < 1"),
        (dict(missing_share=-0.1), "missing_share is -0.1, expected"),
        (dict(missing_share=float("nan")), "missing_share is nan, expected"),
        (dict(missing_share="half"), "missing_share is 'half', expected"),
        (dict(missing_share=True), "missing_share is True, expected"),
        (dict(seed=-1), "ablation_seed is -1, expected a whole number >= 0 and <= 4294967295"),
        (dict(seed=1.5), "ablation_seed is 1.5, expected a whole number"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_a_value_out_of_range_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        FeatureAblation(**values)


def test_the_defaults_are_those_of_the_yaml():
    written = read_yaml(properties_folder() / "overall.yaml")
    keys = ("features", "missing_share", "ablation_seed")
    assert FeatureAblation(*(written[key] for key in keys)) == FeatureAblation()


# Through the one door by which models get content.

TOKENS = [str(item) for item in range(40)]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("audio", "image", "text"):
        write_features(tmp_path / "toy" / "features" / f"{name}.npz", TOKENS[3:], rng.standard_normal((37, 3)))
    return tmp_path / "toy"


def load(folder, modalities, ablation):
    return load_modalities(
        folder=folder,
        dataset_name="toy",
        token2id={"[PAD]": 0, **{token: item for item, token in enumerate(TOKENS, 1)}},
        n_items=41,
        modalities=modalities,
        text_modalities={},
        feature_dim_text=4,
        cache_dir=folder.parent / "cache",
        ablation=ablation,
    )


@pytest.mark.parametrize("ablation", [FeatureAblation(kind, 0.5) for kind in FEATURE_KINDS], ids=str)
def test_a_modality_is_ablated_alone_as_in_any_company_and_order(folder, ablation):
    everyone = load(folder, "auto", ablation)
    assert list(everyone) == ["audio", "image", "text"]
    for count in (1, 2, 3):
        for names in itertools.permutations(everyone, count):
            loaded = load(folder, list(names), ablation)
            assert list(loaded) == list(names)
            assert all(loaded[name].digest == everyone[name].digest for name in names)


def test_modalities_lose_other_rows(folder):
    present = [tuple(each.present.tolist()) for each in load(folder, "auto", FeatureAblation("real", 0.5)).values()]
    assert len(set(present)) == 3
    assert {sum(each) for each in present} == {37 - 18}
