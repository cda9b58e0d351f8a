"""A search spends the same budget on each model, on validation alone, and resumes with the trials it would have had."""

import pytest

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.experiments import training, tuning
from recbole_sheaf.experiments.runs import run_models
from recbole_sheaf.experiments.search_space import defaults_within, read_space
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.tuning import Budget, Search, run_searches, write_best
from recbole_sheaf.settings.settings_files import read_yaml
from recbole_sheaf.store.store import Store
from recbole_sheaf.workers.pools import ThisProcess

SPACE = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "reg_weight": {"choices": [0.0, 0.01]}}


def search(toy_settings, folder, trials=4, model="LightGCN", **changed):
    settings = {**toy_settings, "search_space": SPACE, "state": "ERROR", **changed}
    return Search(model, "toy", settings, Budget(trials), folder)


def searched(one, folder):
    errors = run_searches([one], Store(folder / "store.duckdb"), ThisProcess(), quiet=True)
    return [(trial.params, trial.value, trial.state.name) for trial in one.trials], errors


def test_a_search_keeps_its_budget_starts_from_the_defaults_and_never_tests(toy_settings, workplace, monkeypatch):
    def read_the_test_part(*arguments):
        raise AssertionError("a search read the test part")

    monkeypatch.setattr(training, "judge", read_the_test_part)
    one = search(toy_settings, workplace / "a", learning_rate=0.01, reg_weight=0.01)
    trials, errors = searched(one, workplace)
    assert errors == {} and len(trials) == 4 and one.is_over()
    assert trials[0][0] == {"learning_rate": 0.01, "reg_weight": 0.01}
    rows = Store(workplace / "store.duckdb").rows("SELECT trial, score, state FROM trials ORDER BY trial")
    assert list(rows["trial"]) == [0, 1, 2, 3]
    budgets = Store(workplace / "store.duckdb").rows("SELECT model, trials, epochs, settings->>'loss' FROM studies")
    assert budgets.values.tolist() == [["LightGCN", 4, 2, "bpr"]], "its loss stands in it, though nobody gave one"
    assert searched(search(toy_settings, workplace / "a", learning_rate=0.01, reg_weight=0.01), workplace)[0] == trials


def test_a_search_cut_short_ends_with_the_trials_of_an_undisturbed_one(toy_settings, workplace, monkeypatch):
    undisturbed, _ = searched(search(toy_settings, workplace / "a", trials=5), workplace)
    run_trial = tuning.run_trial
    started = []

    def interrupted(job, folder, place):
        started.append(place.number)
        if started.count(2) == 1 and place.number == 2:
            raise KeyboardInterrupt
        return run_trial(job, folder, place)

    monkeypatch.setattr(tuning, "run_trial", interrupted)
    with pytest.raises(KeyboardInterrupt):
        searched(search(toy_settings, workplace / "b", trials=5), workplace)
    resumed, _ = searched(search(toy_settings, workplace / "b", trials=5), workplace)
    assert started == [0, 1, 2, 2, 3, 4]
    assert resumed == undisturbed


def test_unequal_budgets_are_refused(toy_settings, workplace):
    searched(search(toy_settings, workplace / "a", trials=2), workplace)
    more = search(toy_settings, workplace / "a", trials=3, model="NGCF", message_dropout=0.0)
    with pytest.raises(ConfigError, match="NGCF on toy asks for 3 trials .* holds a search of LightGCN with 2 trials"):
        searched(more, workplace)


def test_a_failing_trial_counts_and_is_told(toy_settings, workplace, monkeypatch):
    run_trial = tuning.run_trial

    def fails_once(job, folder, place):
        if place.number == 1:
            raise ValueError("Training loss is nan")
        return run_trial(job, folder, place)

    monkeypatch.setattr(tuning, "run_trial", fails_once)
    trials, errors = searched(search(toy_settings, workplace / "a", trials=3), workplace)
    assert [state for _, _, state in trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    ((name, error),) = errors.items()
    assert "trial 1" in name and error == "ValueError: Training loss is nan"


def test_a_laggard_is_pruned(toy_settings, workplace):
    """After two good trials, one whose learning rate moves nothing lies below the median of the others."""
    space = {"learning_rate": {"low": 1e-9, "high": 0.1, "log": True}}
    settings = {"search_space": space, "epochs": 12, "stopping_step": 20}
    one = search(toy_settings, workplace / "a", **settings)
    states = []
    for number, rate in enumerate((0.05, 0.04, 1e-9)):
        one.study.enqueue_trial({"learning_rate": rate})
        one.study.ask(one.space)
        outcome = tuning.run_trial(
            one.run_of(number, {"learning_rate": rate}), one.trial_folder(number), one.place(number)
        )
        one.tell(number, outcome)
        states.append((outcome.state, outcome.epochs))
    assert states[:2] == [("complete", 12)] * 2
    assert states[2][0] == "pruned" and states[2][1] < 12
    assert one.trials[2].state.name == "PRUNED"


def test_the_best_is_a_file_that_run_takes(toy_settings, workplace):
    one = search(toy_settings, workplace / "a")
    trials, _ = searched(one, workplace)
    path = write_best(one, workplace / "tuned" / "LightGCN.yaml")
    best = max((trial for trial in trials if trial[2] == "COMPLETE"), key=lambda trial: trial[1])
    assert read_yaml(path) == {"loss": "bpr", **best[0]}
    assert "the best of 4 trials of at most 2 epochs" in path.read_text()
    (result,) = run_models(["LightGCN"], "toy", [str(path)], toy_settings)
    assert result.valid["recall@10"] == best[1]


def test_a_model_without_a_space_takes_one_trial(toy_settings, workplace):
    del toy_settings["embedding_size"]
    one = Search("Pop", "toy", {**toy_settings, "state": "ERROR"}, Budget(7), workplace / "a")
    trials, _ = searched(one, workplace)
    assert len(trials) == 1 and trials[0][2] == "COMPLETE"


@pytest.mark.parametrize(
    "space, message",
    [
        ({"learning_rat": {"low": 1, "high": 2}}, "'learning_rat' .did you mean 'learning_rate'"),
        ({"learning_rate": {"low": 0.0, "high": 1.0, "log": True}}, "low above 0 where log is true"),
        ({"learning_rate": {"low": 2.0, "high": 1.0}}, "search_space has learning_rate"),
        ({"n_layers": {"choices": []}}, "search_space has n_layers"),
        ({"n_layers": [1, 2]}, "search_space has n_layers"),
        ([1], "search_space is .1., expected"),
        ({"n_layers": {"choices": [1, -1]}}, "n_layers is -1, expected a whole number >= 0"),
        ({"learning_rate": {"low": -1.0, "high": 1.0}}, "learning_rate is -1.0, expected a number > 0"),
    ],
)
def test_a_malformed_space_is_refused(toy_settings, space, message):
    with pytest.raises(ConfigError, match=message):
        (config,) = resolve_configs(["LightGCN"], "toy", [], {**toy_settings, "search_space": space})
        read_space(config)


@pytest.mark.parametrize("model", ["LightGCN", "FREEDOM", "BPR", "MMSheaf"])
def test_under_the_softmax_its_temperature_is_searched_for_every_model_alike(toy_settings, model):
    spaces = {}
    for loss in ("bpr", "softmax"):
        (config,) = resolve_configs([model], "toy", [], {**toy_settings, "loss": loss})
        spaces[loss] = read_space(config)
    assert set(spaces["softmax"]) == {*spaces["bpr"], "softmax_temperature"}
    assert spaces["softmax"]["softmax_temperature"].choices == (0.1, 0.15, 0.17, 0.2, 0.3)
    assert spaces["softmax"]["learning_rate"].high == 0.03
    (config,) = resolve_configs([model], "toy", [], {**toy_settings, "loss": "softmax", "softmax_search_space": {}})
    assert read_space(config) == spaces["bpr"]


def test_only_defaults_inside_the_space_are_taken(toy_settings):
    (config,) = resolve_configs(["LightGCN"], "toy", [], {**toy_settings, "search_space": SPACE})
    settings = {"learning_rate": 0.5, "reg_weight": 0.01}
    assert defaults_within(read_space(config), settings) == {"reg_weight": 0.01}


def test_a_search_killed_before_its_first_trial_was_asked_for_goes_on(toy_settings, workplace):
    """The defaults were enqueued and nothing more: with a budget of one they are that one."""
    one = search(toy_settings, workplace / "a", trials=1)
    one.study.enqueue_trial(one.defaults)
    trials, errors = searched(search(toy_settings, workplace / "a", trials=1), workplace)
    ((params, _, _),) = trials
    assert one.defaults and {key: params[key] for key in one.defaults} == one.defaults and errors == {}
