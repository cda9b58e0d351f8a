"""Ablations of content reach every model that reads content, in the same way, and no other model."""

from pathlib import Path

import pytest

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.experiments.runs import run_models
from recbole_sheaf.plugin.registration import MODELS
from recbole_sheaf.settings.config import known_keys
from tests.conftest import WITHOUT_CONTENT, content_of

ABLATIONS = [{"features": kind} for kind in ("shuffled", "noise", "constant")] + [{"missing_share": 0.5}]


def run(name, settings):
    """A run of one epoch, with a graph of nearest items in content wherever the model can have one."""
    graph = {"item_graph_neighbours": 5} if "item_graph_neighbours" in known_keys(name, "toy") else {}
    settings = {"eval_step": 0, **content_of(name), **graph, **settings, "epochs": 1}
    (result,) = run_models([name], "toy", overrides=settings)
    return result


# All read their content in one way: a sheaf, a closed form, a baseline of one loss and one with graphs of its own.
ALWAYS = ("MMSheaf", "ItemSheaf", "VBPR", "LATTICE")
READERS = [
    pytest.param(name, marks=() if name in ALWAYS else pytest.mark.slow)
    for name in sorted(set(MODELS) - set(WITHOUT_CONTENT))
]


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("name", READERS)
def test_every_ablation_changes_what_a_model_learns_and_no_cache_confuses_them(toy_settings, name):
    knn = Path(toy_settings["cache_dir"]) / "knn"
    real = run(name, toy_settings)
    losses, entries = [real.train_loss], [len(list(knn.glob("*.npz")))]
    for ablation in ABLATIONS:
        result = run(name, {**toy_settings, **ablation})
        assert result.train_loss not in losses, ablation
        losses.append(result.train_loss)
        entries.append(len(list(knn.glob("*.npz"))))
        left = 1 - ablation.get("missing_share", 0.0)
        assert result.modalities == {key: pytest.approx(left * share) for key, share in real.modalities.items()}
    assert entries == [entries[0] * (i + 1) for i in range(len(entries))]  # as many new graphs for each
    assert run(name, toy_settings).train_loss == real.train_loss
    assert len(list(knn.glob("*.npz"))) == entries[-1]


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("name", READERS)
def test_draws_belong_to_ablation_seed(toy_settings, name):
    ablation = {**toy_settings, "features": "shuffled", "missing_share": 0.3}
    one, again, other = (run(name, {**ablation, "ablation_seed": seed}).train_loss for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_a_model_seed_leaves_the_ablated_content_alone(toy_settings):
    """The graphs of nearest items are kept by content: the second seed finds those of the first."""
    ablation = {**toy_settings, "features": "noise", "missing_share": 0.3}
    one = run("MMSheaf", {**ablation, "seed": 1})
    kept = sorted(Path(toy_settings["cache_dir"]).glob("knn/*.npz"))
    two = run("MMSheaf", {**ablation, "seed": 2})
    assert kept and sorted(Path(toy_settings["cache_dir"]).glob("knn/*.npz")) == kept
    assert one.modalities == two.modalities and one.train_loss != two.train_loss


@pytest.mark.parametrize("name", ["BPR", "LightGCN", *WITHOUT_CONTENT])
def test_a_model_without_content_accepts_the_switch_and_stays_as_it_is(toy_settings, name):
    ablation = {"features": "noise", "missing_share": 0.5, "ablation_seed": 1}
    one, two = run(name, toy_settings), run(name, {**toy_settings, **ablation})
    assert one.train_loss == two.train_loss and one.test == two.test
    assert one.modalities == two.modalities == {}


@pytest.mark.parametrize("name", ["BPR", *sorted(MODELS)])
def test_a_wrong_value_is_refused_before_any_data_are_read(toy_settings, workplace, name):
    (workplace / "data" / "toy" / "toy.inter").write_text("no table\n")
    with pytest.raises(ConfigError, match="features is 'shufled', .* \\(did you mean 'shuffled'\\?\\)"):
        run(name, {**toy_settings, "features": "shufled"})
    with pytest.raises(ConfigError, match="missing_share is 1.0, expected a number >= 0 and < 1"):
        run(name, {**toy_settings, "missing_share": 1.0})
