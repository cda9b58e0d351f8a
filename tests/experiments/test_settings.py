"""Settings that one wants and another needs: resolved so that the run does what was asked, or refused."""

import pytest

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.experiments.settings import resolve_configs, settings_by_model
from recbole_sheaf.experiments.splits import load_split


@pytest.fixture
def dated(workplace):
    """Four users whose items are the later the larger their number, listed in no order."""
    lines = [f"u{user}\ti{item}\t5\t{item}" for item in (3, 9, 0, 7, 1, 8, 2, 6, 4, 5) for user in range(4)]
    folder = workplace / "data" / "dated"
    folder.mkdir(parents=True)
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    (folder / "dated.inter").write_text(header + "\n".join(lines) + "\n")
    return {"data_path": str(workplace / "data"), "state": "WARNING", "topk": [3], "valid_metric": "Recall@3"}


def test_ordered_by_time_loads_the_time_and_tests_the_latest(dated):
    (config,) = resolve_configs(["Pop"], "dated", [], {**dated, "eval_args": {"order": "TO"}})
    assert config["load_col"]["inter"] == ["user_id", "item_id", "timestamp"]
    split = load_split(config)
    tokens = split.dataset.field2id_token["item_id"]
    valid, test = (tokens[part.inter_feat["item_id"].numpy()].tolist() for part in split.parts[1:])
    assert valid == 4 * ["i8"] and test == 4 * ["i9"]


def test_at_random_loads_no_more_than_before(dated):
    (config,) = resolve_configs(["Pop"], "dated", [], dated)
    assert config["load_col"]["inter"] == ["user_id", "item_id"]


def test_a_model_that_rates_is_judged_by_ratings(dated):
    (ranks, rates) = (resolve_configs([model], "ml-100k", [], {})[0] for model in ("BPR", "FM"))
    assert ranks["valid_metric"] == "Recall@20" and rates["valid_metric"] == "AUC"
    assert list(rates["metrics"]) == ["AUC", "LogLoss"] and rates["eval_args"]["mode"]["test"] == "labeled"


@pytest.mark.parametrize(
    "model, settings, message",
    [
        ("BPR", {"eval_args": {"mode": "labeled"}}, "eval_args.mode is labeled, which ranks nothing"),
        ("BPR", {"train_neg_sample_args": None}, "samples no items, but BPR learns from pairs"),
        ("BPR", {"load_col": {"user": ["user_id"]}}, "without the columns of inter"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(dated, model, settings, message):
    with pytest.raises(ConfigError, match=message):
        resolve_configs([model], "dated", [], {**dated, **settings})


def test_the_softmax_learns_without_sampled_pairs(dated):
    resolve_configs(["BPR"], "dated", [], {**dated, "train_neg_sample_args": None, "loss": "softmax"})


def test_defaults_of_a_command_give_way_to_files_and_files_to_the_command_line(workplace):
    (workplace / "own.yaml").write_text("state: INFO\nmodel_settings: {BPR: {state: ERROR}}\n")
    defaults = {"state": "WARNING", "show_progress": False}

    def state(files, **overrides):
        found = settings_by_model(["BPR", "LightGCN"], "toy", files, overrides, defaults)
        assert not any(own["show_progress"] for own in found.values())
        return [own["state"] for own in found.values()]

    assert state([]) == ["WARNING", "WARNING"]
    assert state(["own.yaml"]) == ["ERROR", "INFO"]
    assert state(["own.yaml"], state="CRITICAL") == ["CRITICAL", "CRITICAL"]
