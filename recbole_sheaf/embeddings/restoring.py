"""The one place where this room gets a trained model from a checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from recbole_sheaf.errors import ConfigError, first_line
from recbole_sheaf.experiments import checkpoints
from recbole_sheaf.experiments.splits import LoadedSplit, load_split
from recbole_sheaf.experiments.training import prepare


@dataclass(frozen=True)
class Restored:
    """A model with the weights of its checkpoint, in evaluation mode, and what it was trained on."""

    config: Any
    split: LoadedSplit
    model: Any


def restore(path: Union[str, Path], data_path: Optional[str] = None) -> Restored:
    """Rebuild the split and the model of a checkpoint.

    Raises:
        ConfigError: if the file is no checkpoint, or its weights do not fit the dataset that is there.
        DataError: if the dataset is not there.
    """
    state = checkpoints._read(Path(path))
    config = checkpoints._resolved(state["config"], data_path)
    split = load_split(config)
    model = prepare(config, split).model
    try:
        model.load_state_dict(state["state_dict"])
    except RuntimeError as error:
        raise ConfigError(
            f"{path} does not fit dataset '{config['dataset']}' in {config['data_path']} ({first_line(error)}); give "
            "the data that the model was trained on, --data_path says where they lie"
        ) from error
    model.load_other_parameter(state.get("other_parameter"))
    return Restored(config, split, model.eval())
