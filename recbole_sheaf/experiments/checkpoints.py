"""Judges a checkpoint again, in a process that did not train it, as the run that wrote it was judged."""

import pickle
from pathlib import Path
from typing import Any, Optional, Union

import torch
from recbole.config import Config

from recbole_sheaf.config import known_keys
from recbole_sheaf.errors import ConfigError, first_line
from recbole_sheaf.experiments.identity import NOT_IDENTITY
from recbole_sheaf.experiments.judging import judge
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.experiments.training import plain_settings, prepare

KEPT = ("data_path", "cache_dir", "features_path")  # of what says where things lie, what an evaluation needs


def evaluate_checkpoint(path: Union[str, Path], data_path: Optional[str] = None) -> dict[str, Any]:
    """Rebuild the split and the model of a checkpoint, and give its validation and test metrics.

    Args:
        path: of a checkpoint that a run wrote.
        data_path: where the datasets lie, if not where they lay when the run was made.

    Returns:
        model, dataset, seed, split_seed, seen_at_test, valid and test: the figures of the run, to the last digit.

    Raises:
        ConfigError: if the file is absent or is not a checkpoint of RecBole.
        DataError: if the dataset is not there.
    """
    state = _read(Path(path))
    config = _resolved(state["config"], data_path)
    split = load_split(config)
    prepared = prepare(config, split)
    trainer = prepared.trainer
    trainer.saved_model_file = str(path)
    trainer.eval_collector.data_collect(prepared.train_data)
    valid = trainer.evaluate(prepared.valid_data, show_progress=config["show_progress"])
    return {
        **{key: config[key] for key in ("model", "dataset", "seed", "split_seed", "seen_at_test")},
        "valid": {name: float(value) for name, value in valid.items()},
        "test": judge(trainer, prepared.test_data, config, split).scores,
    }


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"there is no checkpoint {path}; runs name theirs in --result_file and on the screen")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ConfigError(f"{path} is no checkpoint that can be read safely ({first_line(error)})") from error
    if not isinstance(state, dict) or not isinstance(state.get("config"), Config) or "state_dict" not in state:
        raise ConfigError(f"{path} is no checkpoint of a run; give a .pth file that 'run' or 'compare' wrote")
    return state


def _resolved(saved: Config, data_path: Optional[str]) -> Config:
    """The settings of the run, checked like any others; what only says where things lay or what was shown is left."""
    model, dataset, settings = saved["model"], saved["dataset"], saved.final_config_dict
    known = known_keys(model, dataset)
    kept = {key: settings[key] for key in settings if key in known and (key not in NOT_IDENTITY or key in KEPT)}
    own = {**plain_settings(kept), "show_progress": False, "state": "WARNING"}
    own["data_path"] = data_path or str(Path(settings["data_path"]).parent)  # RecBole appends the dataset's name
    if dataset == "ml-100k" and data_path is None:
        del own["data_path"]  # RecBole's own copy, wherever it is installed
    return resolve_configs([model], dataset, [], {key: own[key] for key in own if key not in ("model", "dataset")})[0]
