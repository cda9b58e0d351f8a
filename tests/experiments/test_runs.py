"""Runs side by side: one split, the same numbers alone or in company, twice, and from a checkpoint elsewhere."""

import json
import pickle
import shutil
import subprocess
import sys

import pytest
import torch

from recbole_sheaf.errors import ConfigError, DataError, FeatureError
from recbole_sheaf.experiments import carry_out as running
from recbole_sheaf.experiments.carry_out import split_of
from recbole_sheaf.experiments.checkpoints import evaluate_checkpoint
from recbole_sheaf.experiments.runs import run_models
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.sinks import JsonLines
from recbole_sheaf.files.checkpoint_file import SUFFIX
from recbole_sheaf.store.records import RunResult


def test_a_model_gives_the_same_numbers_alone_in_company_and_twice(toy_settings):
    (alone,) = run_models(["MMSheaf"], "toy", overrides=toy_settings)
    company = run_models(["BPR", "MMSheaf", "ItemKNN"], "toy", overrides={**toy_settings, "k": 5})
    again = next(result for result in company if result.model == "MMSheaf")
    assert again.train_loss == alone.train_loss
    assert (again.valid, again.test) == (alone.valid, alone.test)
    assert again.split == alone.split


@pytest.mark.slow
@pytest.mark.parametrize("model", ["MMSheaf", "MMGCN", "LightGCN"])
def test_two_threads_give_the_same_bits_twice(workplace, model):
    """On a dataset large enough that PyTorch and DGL do share the work among threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        settings = {"epochs": 2, "show_progress": False, "state": "warning", "cache_dir": str(workplace / "cache")}
        one, two = (run_models([model], "ml-100k", overrides=settings)[0] for _ in range(2))
    finally:
        torch.set_num_threads(threads)
    assert one.train_loss == two.train_loss
    assert (one.valid, one.test) == (two.valid, two.test)


def test_another_seed_gives_other_numbers_on_the_same_split(toy_settings):
    one, two = (run_models(["BPR"], "toy", overrides={**toy_settings, "seed": seed})[0] for seed in (1, 2))
    assert one.train_loss != two.train_loss
    assert pairs_held_out(toy_settings, seed=1) == pairs_held_out(toy_settings, seed=2)


def test_without_a_split_seed_the_seed_draws_the_split(toy_settings):
    """And a split that was loaded for one seed does not serve another."""
    free = {**toy_settings, "split_seed": None}
    first = pairs_held_out(free, seed=1)
    assert pairs_held_out(free, seed=2) != first
    assert pairs_held_out(free, seed=1) == first


def pairs_held_out(settings, seed):
    """The test part of the split that a run with this seed is given."""
    (config,) = resolve_configs(["BPR"], "toy", [], {**settings, "seed": seed})
    part = split_of(config).parts[2].inter_feat
    return set(zip(part["user_id"].tolist(), part["item_id"].tolist()))


def test_the_result_file_holds_one_object_per_run(toy_settings, workplace):
    path = workplace / "out" / "runs.json"
    results = run_models(["Pop", "MMGCN"], "toy", overrides=toy_settings, result_file=path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["model"] for row in rows] == ["Pop", "MMGCN"]
    row = rows[1]
    assert row["test"] == results[1].test and row["test"]["recall@20"] > 0
    assert row["split"] == {"train": 300, "valid": 30, "test": 30, "users": 30, "items": 60}
    assert row["config"]["learning_rate"] == 0.001 and row["config"]["model"] == "MMGCN"
    assert row["modalities"] == {"image": 1.0, "text": pytest.approx(54 / 60)}
    assert row["seconds_per_epoch"] > 0 and row["epochs"] == 2 and row["peak_memory_mib"] > 0
    assert row["parameters"] > 0 and row["versions"]["recbole"] == "1.2.1"
    assert row["message_passing"] in ("dgl", "torch") and rows[0]["message_passing"] is None


def test_a_refused_run_leaves_an_older_result_file_alone(toy_settings, workplace):
    path = workplace / "runs.json"
    path.write_text("kept\n")
    with pytest.raises(ConfigError):
        run_models(["MMSheaf"], "toy", overrides={**toy_settings, "stalk_dim": 3}, result_file=path)
    with pytest.raises(FeatureError):
        run_models(["MMSheaf"], "toy", overrides={**toy_settings, "modalities": ["sound"]}, result_file=path)
    assert path.read_text() == "kept\n"


@pytest.mark.parametrize("seen", [["train", "valid"], ["train"]])
def test_a_checkpoint_is_judged_as_its_run_was(toy_settings, seen):
    results = run_models(["MMSheaf", "Pop", "BPR"], "toy", overrides={**toy_settings, "seen_at_test": seen})
    for result in results:
        found = evaluate_checkpoint(result.checkpoint)
        assert (found["test"], found["valid"], found["seen_at_test"]) == (result.test, result.valid, seen)
        assert "novelty@20" in found["test"]


def test_a_checkpoint_moves_to_where_the_data_lie(toy_settings, workplace):
    (result,) = run_models(["MMSheaf"], "toy", overrides=toy_settings)
    shutil.move(toy_settings["data_path"], workplace / "elsewhere")
    with pytest.raises(DataError, match="dataset 'toy' is not in"):
        evaluate_checkpoint(result.checkpoint)
    try:
        assert evaluate_checkpoint(result.checkpoint, str(workplace / "elsewhere"))["test"] == result.test
    finally:
        shutil.move(workplace / "elsewhere", toy_settings["data_path"])


def test_runs_that_were_stopped_go_on_with_the_same_numbers(toy_settings, workplace, monkeypatch):
    """Stopped in the second epoch of the second model: the first is not trained again, the second from there on."""
    settings, models = {**toy_settings, "epochs": 4}, ["BPR", "MMSheaf"]
    undisturbed = run_models(models, "toy", overrides={**settings, "checkpoint_dir": "one"})
    settings["checkpoint_dir"] = "two"
    train, trained = running.train, []

    def watched(config, split, folder, listener, test, **named):
        def until_one(epoch):
            trained.append((config["model"], epoch.number))
            listener(epoch)
            if trained.count(("MMSheaf", 1)) == 1 and epoch.number == 1:
                raise KeyboardInterrupt

        return train(config, split, folder, until_one if config["model"] == "MMSheaf" else listener, test, **named)

    monkeypatch.setattr(running, "train", watched)
    path = workplace / "runs.json"
    with pytest.raises(KeyboardInterrupt):
        run_models(models, "toy", overrides=settings, result_file=path)
    assert [json.loads(line)["model"] for line in path.read_text().splitlines()] == ["BPR"]

    def counted(config, *others, **named):
        trained.append(config["model"])
        return train(config, *others, **named)

    monkeypatch.setattr(running, "train", counted)
    resumed = run_models(models, "toy", overrides=settings, result_file=path)
    assert trained == [("MMSheaf", 0), ("MMSheaf", 1), "MMSheaf"]
    for one, other in zip(undisturbed, resumed):
        assert (one.train_loss, one.valid, one.test) == (other.train_loss, other.valid, other.test)
    assert [json.loads(line)["test"] for line in path.read_text().splitlines()] == [one.test for one in undisturbed]
    assert sorted(found.suffix for found in (workplace / "two").iterdir()) == [SUFFIX, SUFFIX], "no state is left"


def test_a_second_command_on_a_result_file_loses_no_line(workplace):
    path = workplace / "runs.json"
    path.write_text("of last week\n")
    one, two = JsonLines(path), JsonLines(path)
    result = RunResult("BPR", "toy", 1, 1, {}, 0, 1, {}, {}, 0.0, 0.0, 1, "cpu", None, {}, "", {})
    for sink in (one, two, one):
        sink.result(None, running.Outcome("complete", result, [], None, None, 0.0))
    assert len(path.read_text().splitlines()) == 3 and "of last week" not in path.read_text()


def test_a_pruned_run_has_no_result():
    pruned = running.Outcome("pruned", None, [], None, None, 0.0)
    with pytest.raises(ValueError, match="pruned after 0 epochs has no result"):
        pruned.completed  # noqa: B018


class Payload:
    def __reduce__(self):
        return (open, ("touched", "w"))


def test_a_pickled_dataset_is_not_read(toy_settings, workplace):
    """RecBole would unpickle what lies in checkpoint_dir, whoever put it there."""
    (workplace / "saved").mkdir()
    (workplace / "saved" / "toy-Dataset.pth").write_bytes(pickle.dumps(Payload()))
    run_models(["BPR"], "toy", overrides={**toy_settings, "checkpoint_dir": "saved"})
    assert not (workplace / "touched").exists()
    with pytest.raises(ConfigError, match="dataset_save_path names a pickle, which is not read"):
        run_models(["BPR"], "toy", overrides={**toy_settings, "dataset_save_path": "saved/toy-Dataset.pth"})


@pytest.mark.slow  # in this process: test_a_checkpoint_is_judged_as_its_run_was
def test_a_checkpoint_gives_the_same_result_in_another_process(toy_settings, workplace):
    (result,) = run_models(["MMSheaf"], "toy", overrides=toy_settings)
    script = "import sys; from recbole_sheaf.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "evaluate", result.checkpoint, "--json"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(printed.splitlines()[-1])
    assert found["test"] == result.test and found["valid"] == result.valid


def test_a_key_reaches_the_models_that_know_it(toy_settings):
    configs = resolve_configs(["Pop", "LightGCN", "MMSheaf"], "toy", (), {**toy_settings, "n_layers": 4})
    assert [config["n_layers"] for config in configs] == [None, 4, 4]


def test_files_win_over_the_protocol_and_overrides_over_files(toy_settings, workplace):
    (workplace / "mine.yaml").write_text("topk: [3, 10]\nstopping_step: 2\n")
    (config,) = resolve_configs(["BPR"], "toy", ["mine.yaml"], {**toy_settings, "stopping_step": 5})
    assert config["topk"] == [3, 10] and config["stopping_step"] == 5


def test_a_file_can_set_keys_of_one_model(toy_settings, workplace):
    (workplace / "mine.yaml").write_text(
        "learning_rate: 0.01\nmodel_settings:\n  BPR: {learning_rate: 0.02}\n  LightGCN: {n_layers: 4}\n"
    )
    configs = resolve_configs(["BPR", "LightGCN"], "toy", ["mine.yaml"], toy_settings)
    assert [config["learning_rate"] for config in configs] == [0.02, 0.01]
    assert configs[1]["n_layers"] == 4 and configs[0]["n_layers"] is None
    configs = resolve_configs(["BPR"], "toy", ["mine.yaml"], {**toy_settings, "learning_rate": 0.03})
    assert configs[0]["learning_rate"] == 0.03


@pytest.mark.parametrize(
    "text, message",
    [
        ("model_settings: {BPR: {n_layer: 4}}", "no setting of BPR \\(in mine.yaml\\) has the name 'n_layer'"),
        ("model_settings: {BPRR: {epochs: 4}}", "there is no model 'BPRR'"),
        ("model_settings: [BPR]", "model_settings in mine.yaml is"),
        ("model_settings: {BPR: {epochs: -4}}", "epochs is -4"),
    ],
)
def test_settings_of_one_model_are_checked(toy_settings, workplace, text, message):
    (workplace / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        resolve_configs(["BPR"], "toy", ["mine.yaml"], toy_settings)


@pytest.mark.parametrize(
    "models, settings, message",
    [
        (["MMShef"], {}, "there is no model 'MMShef' \\(did you mean 'MMSheaf'"),
        (["lightgcn"], {}, "did you mean 'LightGCN'"),
        (["BPR", "BPR"], {}, "BPR is named more than once"),
        (["BPR", "Pop"], {"n_layers": 2}, "no setting of BPR, Pop has the name 'n_layers'"),
        (["BPR"], {"learning_rat": 2}, "'learning_rat' \\(did you mean 'learning_rate'"),
        (["MMSheaf"], {"epochs": -3}, "epochs is -3"),
        (["MMSheaf"], {"embedding_size": 10}, "no multiple of stalk_dim"),
        (["BPR"], {"metrics": ["Recal"]}, "metrics has no 'Recal' .did you mean 'Recall'"),
        (["BPR"], {"topk": [10, 61]}, "topk is 61, but dataset 'toy' has 60 items"),
        (["MMGCN"], {"modalities": []}, "MMGCN needs a modality"),
    ],
)
def test_settings_are_refused_in_one_sentence(toy_settings, models, settings, message):
    with pytest.raises(ConfigError, match=message) as error:
        run_models(models, "toy", overrides={**toy_settings, **settings})
    assert "\n" not in str(error.value)


def test_an_empty_part_of_the_split_is_refused(toy_settings):
    everything = {"split": {"RS": [1.0, 0.0, 0.0]}}
    with pytest.raises(ConfigError, match="expected three shares above 0"):
        run_models(["BPR"], "toy", overrides={**toy_settings, "eval_args": everything})


def test_a_result_path_that_cannot_be_written_is_refused_first(toy_settings, workplace):
    with pytest.raises(ConfigError, match="cannot be written"):
        run_models(["BPR"], "toy", overrides=toy_settings, result_file=workplace)


def test_mmrec_folder_keeps_its_own_split(shared_data, workplace):
    settings = {"data_path": str(shared_data), "cache_dir": str(workplace / "cache"), "show_progress": False}
    (result,) = run_models(["Pop"], "tiktok", overrides=settings)
    assert result.split == {"train": 59541, "valid": 3051, "test": 6130, "users": 9308, "items": 6710}
    assert result.test["recall@20"] > 0.05
