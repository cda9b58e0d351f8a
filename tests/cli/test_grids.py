"""The commands ``compare`` and ``tune``: exit codes, what they print, and refusals in one sentence."""

import pytest

from recbole_sheaf.cli import main
from recbole_sheaf.experiments import carry_out, compare, tuning
from recbole_sheaf.settings.settings_files import read_yaml
from recbole_sheaf.store.store import Store
from tests.experiments.test_compare import write_experiment


@pytest.fixture
def path(toy, workplace):
    return write_experiment(workplace, "grid", models=["BPR"], seeds=[1, 2])


def interrupted(*arguments, **named):
    raise KeyboardInterrupt


def test_compare_ends_with_0_and_says_where_the_results_are(path, capsys):
    assert main(["compare", str(path)]) == 0
    assert f"2 runs done, 0 finished before, 0 failed, of 2; see them with: recbole-sheaf results {path.parent}" in (
        capsys.readouterr().out
    )
    assert main(["compare", str(path), "--learning_rate=0.05"]) == 0
    assert "2 runs done, 0 finished before" in capsys.readouterr().out, "another setting is another run"
    assert main(["compare", str(path)]) == 0
    assert "0 runs done, 2 finished before" in capsys.readouterr().out


def test_compare_ends_with_1_where_a_job_failed(path, capsys, monkeypatch):
    train = carry_out.train

    def fails_for_seed_two(config, *arguments, **named):
        if config["seed"] == 2:
            raise ValueError("Training loss is nan")
        return train(config, *arguments, **named)

    monkeypatch.setattr(carry_out, "train", fails_for_seed_two)
    assert main(["compare", str(path)]) == 1
    told = capsys.readouterr()
    assert "1 run done, 0 finished before, 1 failed, of 2" in told.out
    assert "failed: BPR on toy, seed 2: ValueError: Training loss is nan" in told.err


def test_compare_ends_with_130_when_interrupted(path, capsys, monkeypatch):
    monkeypatch.setattr(compare, "run_grid", interrupted)
    assert main(["compare", str(path)]) == 130
    assert "the same command goes on from here" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["absent.yaml"], "there is no settings file absent.yaml"),
        (["grid.yaml", "--workers=0"], "--workers is 0, expected a whole number from 1"),
        (["grid.yaml", "--seed=3"], "--seed is an axis of the grid; write it under 'seeds:' in grid.yaml"),
        (["grid.yaml", "--learning_rat=3"], "'learning_rat' (did you mean 'learning_rate'"),
        (["grid.yaml", "epochs=3"], "write settings as --key=value"),
        (["wrong.yaml"], "wrong.yaml, line 2, key 'models.0': there is no model 'BPRR'"),
    ],
)
def test_compare_refuses_with_2(path, workplace, capsys, arguments, message):
    (workplace / "wrong.yaml").write_text("datasets: [toy]\nmodels: [BPRR]\nsettings: {data_path: data}\n")
    assert main(["compare", *arguments]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not list(workplace.glob("*.duckdb"))


SPACE = "search_space: {learning_rate: {choices: [0.01, 0.02]}}\nepochs: 1\nvalid_metric: Recall@10\n"


@pytest.fixture
def search(toy, workplace):
    (workplace / "space.yaml").write_text(SPACE)
    settings = [f"--data_path={toy}", f"--cache_dir={workplace / 'cache'}", "--config_files=space.yaml"]
    return ["tune", "--models=BPR,LightGCN", "--dataset=toy", "--trials=2", *settings]


def test_tune_ends_with_0_and_writes_the_best_of_each_model(search, workplace, capsys):
    assert main(search) == 0
    printed = capsys.readouterr().out
    for model in ("BPR", "LightGCN"):
        assert f"{model} on toy: tuned/toy/{model}.yaml" in printed
        assert read_yaml(workplace / "tuned" / "toy" / f"{model}.yaml")["learning_rate"] in (0.01, 0.02)
    trials = Store(workplace / "results.duckdb").rows(
        "SELECT model, count(*) AS n FROM trials JOIN studies USING (study) GROUP BY model"
    )
    assert dict(trials.itertuples(index=False)) == {"BPR": 2, "LightGCN": 2}


def test_tune_ends_with_1_where_a_trial_failed(search, capsys, monkeypatch):
    train = carry_out.train

    def fails(config, *arguments, **named):
        if config["model"] == "BPR":
            raise ValueError("Training loss is nan")
        return train(config, *arguments, **named)

    monkeypatch.setattr(carry_out, "train", fails)
    assert main(search) == 1
    told = capsys.readouterr()
    assert "BPR on toy: no trial was completed" in told.out and "LightGCN on toy: tuned" in told.out
    assert told.err.count("failed: BPR on toy, trial") == 2 and "ValueError: Training loss is nan" in told.err


def test_tune_ends_with_130_when_interrupted(search, capsys, monkeypatch):
    monkeypatch.setattr(tuning, "run_searches", interrupted)
    assert main(search) == 130
    assert "the same command goes on from here" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--trials=0"], "--trials, --workers and --threads are whole numbers from 1"),
        (["--models=BPRR"], "there is no model 'BPRR' (did you mean 'BPR'"),
        (["--models=BPR,BPR"], "BPR is named more than once"),
        (["--eval_step=0"], "eval_step is 0, but a search needs validation"),
        (["--config_files=absent.yaml"], "there is no settings file absent.yaml"),
        (["--search_space={learning_rat: {choices: [1]}}"], "'learning_rat' (did you mean 'learning_rate'"),
        (["--dataset=nowhere"], "--data_path"),
    ],
)
def test_tune_refuses_with_2(search, workplace, capsys, arguments, message):
    assert main([*search, *arguments]) == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert message in error and not list(workplace.glob("*.duckdb"))
