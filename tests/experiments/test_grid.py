"""Experiment files: which setting wins, which line is to blame, and what paths count from."""

import pytest

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.experiments.grid import read_experiment


@pytest.fixture
def experiment(toy, workplace):
    """Writes an experiment file into a folder of its own beside the data, and reads it."""

    def read(text, **overrides):
        path = workplace / "study" / "grid.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return read_experiment(path, overrides)

    return read


HEAD = """\
datasets: {toy: {data_path: ../data}}
models: [LightGCN]
"""


def by_label(found, key):
    return {(job.label, job.ablation): job.settings.get(key) for job in found.runs}


def test_every_cell_once_in_the_order_of_the_file(experiment):
    found = experiment(
        "datasets: {toy: {data_path: ../data}}\n"
        "models: {MMSheaf: , control: {model: MMSheaf, restriction_map: identity}, BPR: }\n"
        "ablations: {real: , image: {modalities: [image]}}\n"
        "seeds: [3, 1]\nthreads: 2\nworkers: 4\n"
    )
    cells = [(job.dataset, job.label, job.model, job.ablation, job.seed) for job in found.runs]
    expected = [
        ("toy", label, model, ablation, seed)
        for label, model in (("MMSheaf", "MMSheaf"), ("control", "MMSheaf"), ("BPR", "BPR"))
        for ablation in ("real", "image")
        for seed in (3, 1)
    ]
    assert cells == expected
    assert {job.threads for job in found.runs} == {2} and found.workers == 4
    assert (found.name, found.store.name) == ("grid", "grid.duckdb")
    assert str(found.runs[-1]) == "BPR on toy, image, seed 1"


def test_defaults_of_a_command_give_way_to_the_file(toy, workplace):
    path = workplace / "grid.yaml"
    path.write_text("settings: {state: INFO}\ndatasets: {toy: {data_path: data}}\nmodels: [BPR]\n")
    (run,) = read_experiment(path, {}, {"state": "WARNING", "show_progress": False}).runs
    assert (run.settings["state"], run.settings["show_progress"]) == ("INFO", False)


@pytest.mark.parametrize("strongest", range(5))
def test_precedence_shared_dataset_model_ablation_command_line(experiment, strongest):
    lines = [f"learning_rate: 0.{n + 1}" if n <= strongest else "reg_weight: 0.5" for n in range(4)]
    shared, dataset, model, ablation = lines
    found = experiment(
        f"settings: {{{shared}}}\ndatasets: {{toy: {{data_path: ../data, {dataset}}}}}\n"
        f"models: {{LightGCN: {{{model}}}}}\nablations: {{odd: {{{ablation}}}}}\n",
        **({"learning_rate": 0.5} if strongest == 4 else {}),
    )
    assert by_label(found, "learning_rate") == {("LightGCN", "odd"): (strongest + 1) / 10}


def test_a_key_reaches_the_models_that_have_it(experiment):
    found = experiment(HEAD.replace("[LightGCN]", "[LightGCN, Pop]") + "settings: {n_layers: 3, epochs: 4}\n")
    assert by_label(found, "n_layers") == {("LightGCN", "real"): 3, ("Pop", "real"): None}
    assert by_label(found, "epochs") == {("LightGCN", "real"): 4, ("Pop", "real"): 4}


def test_a_settings_file_lies_beneath_the_entry_that_names_it(experiment, workplace):
    (workplace / "study").mkdir()
    (workplace / "study" / "tuned.yaml").write_text("n_layers: 3\nlearning_rate: 1e-4\n")
    found = experiment(
        "datasets: {toy: {data_path: ../data}}\nmodels: {LightGCN: {settings_file: tuned.yaml, learning_rate: 0.01}}\n"
        "settings: {n_layers: 1}\n"
    )
    assert by_label(found, "n_layers") == {("LightGCN", "real"): 3}
    assert by_label(found, "learning_rate") == {("LightGCN", "real"): 0.01}


def test_paths_count_from_the_file(experiment, workplace, monkeypatch):
    (workplace / "elsewhere").mkdir()
    monkeypatch.chdir(workplace / "elsewhere")
    found = experiment(HEAD + "store: kept/all.duckdb\nsettings: {cache_dir: ../cache}\n")
    assert found.store == workplace / "study" / "kept" / "all.duckdb"
    assert by_label(found, "cache_dir") == {("LightGCN", "real"): str(workplace / "study" / "../cache")}


REFUSED = {
    "malformed YAML": (HEAD + "seeds: [1, 2\nname: x\n", r"grid.yaml, line 4, column \d+: not readable as YAML"),
    "a control character": (HEAD + "name: a\x00b\n", r"grid.yaml, .*not readable as YAML"),
    "an object to build": (HEAD + "name: !!python/object:os.system {}\n", r"line 3, .*not readable as YAML"),
    "no mapping": ("- toy\n", "holds list, expected 'key: value' lines"),
    "nothing": ("", "holds nothing, expected"),
    "a duplicate key": (HEAD + "seeds: [1]\nseeds: [2]\n", r"line 3, key 'seeds': stands here and again on line 4"),
    "a duplicate key inside": (
        HEAD + "settings:\n  epochs: 1\n  epochs: 2\n",
        r"line 4, key 'epochs': stands here and again on line 5",
    ),
    "an unknown key": (HEAD + "seed: 1\n", r"line 3, key 'seed': no key of an experiment \(did you mean 'seeds'"),
    "no models": ("datasets: [toy]\n", "models is missing or empty; name at least one"),
    "no datasets": ("models: [BPR]\n", "datasets is missing or empty; name at least one"),
    "empty datasets": ("datasets: []\nmodels: [BPR]\n", r"line 1, key 'datasets': datasets is missing or empty"),
    "an unknown model": (
        "datasets: [toy]\nmodels:\n  - BPR\n  - LigthGCN\n",
        r"line 4, key 'models.1': .*did you mean 'LightGCN'",
    ),
    "an unknown model under a label": (
        "datasets: [toy]\nmodels:\n  control: {model: MMShef}\n",
        r"line 3, key 'models.control.*': .*did you mean 'MMSheaf'",
    ),
    "a model that is no name": ("datasets: [toy]\nmodels: [BPR, 3]\n", r"key 'models.1': 3 is no name"),
    "a model named twice": ("datasets: [toy]\nmodels: [BPR, BPR]\n", r"key 'models.1': 'BPR' is named more than once"),
    "models of no form": ("datasets: [toy]\nmodels: 3\n", r"key 'models': 3 is neither a list of names nor"),
    "an entry of no form": (
        "datasets: [toy]\nmodels:\n  BPR: 3\n",
        r"line 3, key 'models.BPR': 3 is no mapping; write 'setting: value' lines",
    ),
    "an unknown setting": (
        HEAD + "settings:\n  n_layer: 3\n",
        r"line 4, key 'settings.n_layer': none of LightGCN has this setting \(did you mean 'n_layers'",
    ),
    "an unknown setting of a model": (
        "datasets: {toy: {data_path: ../data}}\nmodels:\n  LightGCN:\n    n_layer: 3\n",
        r"line 4, key 'models.LightGCN.n_layer': .*did you mean 'n_layers'",
    ),
    "an unknown setting of an ablation": (
        HEAD + "ablations:\n  odd:\n    featurs: noise\n",
        r"line 5, key 'ablations.odd.featurs': .*did you mean 'features'",
    ),
    "an unknown metric": (
        HEAD + "settings:\n  metrics: [Recal]\n",
        r"line 4, key 'settings.metrics': metrics has no 'Recal' \(did you mean 'Recall'",
    ),
    "a bad value": (
        HEAD + "settings:\n  learning_rate: -1\n",
        r"line 4, key 'settings.learning_rate': learning_rate is -1, expected a number > 0",
    ),
    "a bad value of a model": (
        "datasets: {toy: {data_path: ../data}}\nmodels:\n  MMSheaf:\n    restriction_map: round\n",
        r"line 4, key 'models.MMSheaf.restriction_map': restriction_map is 'round', expected one of",
    ),
    "a bad value of an ablation": (
        HEAD + "ablations:\n  odd: {missing_share: 2}\n",
        r"line 4, key 'ablations.odd.missing_share': missing_share is 2, expected a number",
    ),
    "a bad seed": (HEAD + "seeds:\n  - 1\n  - one\n", r"line 5, key 'seeds.1': 'one' is no seed; write whole numbers"),
    "a seed below 0": (HEAD + "seeds: -1\n", r"line 3, key 'seeds.*': -1 is no seed"),
    "a name that leaves its folder": (
        HEAD + "name: ../../x\n",
        r"key 'name': '../../x' is no name; write up to",
    ),
    "a seed twice": (HEAD + "seeds: [1, 2, 1]\n", r"line 3, key 'seeds.2': seed 1 is named more than once"),
    "no seeds": (HEAD + "seeds: []\n", r"line 3, key 'seeds': .*at least one"),
    "a seed among the settings": (HEAD + "settings:\n  seed: 3\n", r"line 4, key 'settings.seed': .*'seeds:'"),
    "a model among the settings": (HEAD + "settings: {model: BPR}\n", r"line 3, key 'settings.model': .*'models:'"),
    "no workers": (HEAD + "workers: 0\n", r"line 3, key 'workers': 0 is not allowed; write a whole number from 1"),
    "threads in words": (HEAD + "threads: two\n", r"line 3, key 'threads': 'two' is not allowed"),
    "an absent dataset": (
        "models: [BPR]\ndatasets:\n  missing: {data_path: ../data}\n",
        r"line 3, key 'datasets.missing': .*missing",
    ),
    "an absent settings file": (
        "datasets: [toy]\nmodels:\n  BPR:\n    settings_file: absent.yaml\n",
        r"line 4, key 'models.BPR.settings_file': there is no settings file .*absent.yaml",
    ),
}


@pytest.mark.parametrize("text, message", REFUSED.values(), ids=REFUSED)
def test_a_refusal_names_the_line_and_the_key(experiment, text, message):
    with pytest.raises((ConfigError), match=message) as refused:
        experiment(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"n_layer": 3}, "'n_layer' .did you mean 'n_layers'"),
        ({"seed": 3}, "seed=... .*'seeds:'"),
        ({"dataset": "x"}, "dataset=... .*'datasets:'"),
    ],
)
def test_the_command_line_is_refused_by_name(experiment, overrides, message):
    with pytest.raises(ConfigError, match=message):
        experiment(HEAD, **overrides)


def test_an_absent_file_is_refused(workplace):
    for path in (workplace / "absent.yaml", workplace):
        with pytest.raises(ConfigError, match="there is no settings file|expected a regular file"):
            read_experiment(path)
