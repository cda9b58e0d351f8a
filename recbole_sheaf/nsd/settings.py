"""Settings of node classification, the model's and the training's: ``properties/classification/<dataset>.yaml``."""

from dataclasses import dataclass, fields
from typing import Any, Optional

from recbole_sheaf.nsd.data import NodeClassification
from recbole_sheaf.nsd.diffusion_settings import DiffusionSettings
from recbole_sheaf.settings.config import properties_folder
from recbole_sheaf.settings.rules import CheckedSettings, refuse_unknown_keys, setting
from recbole_sheaf.settings.settings_files import read_yaml


@dataclass(frozen=True)
class TrainingSettings(CheckedSettings):
    """How one fold is trained.

    Attributes:
        learning_rate: of Adam.
        weight_decay: L2 penalty.
        sheaf_decay: L2 penalty on the sheaf learners; the same as ``weight_decay`` where None.
        max_epochs: at most so many epochs.
        patience: stop after so many epochs without improvement on validation.
        stop_on: ``loss`` or ``accuracy`` on validation chooses the epoch.
    """

    learning_rate: float = setting(0.01, above=0)
    weight_decay: float = setting(0.0005, low=0)
    sheaf_decay: Optional[float] = setting(None, kind=float, low=0, optional=True)
    max_epochs: int = setting(1500, low=1)
    patience: int = setting(200, low=0)
    stop_on: str = setting("loss", choices=("loss", "accuracy"))


@dataclass(frozen=True)
class Classification:
    """A model family with its settings on one dataset: what a row of a result file belongs to."""

    dataset: str
    seed: int
    diffusion: DiffusionSettings
    training: TrainingSettings


def classification_for(
    dataset: str, data: NodeClassification, seed: int, overrides: Optional[dict[str, Any]] = None
) -> Classification:
    """Settings of a dataset from its YAML file, with some of them replaced.

    Raises:
        ConfigError: if the dataset has no file, a setting is unknown, or breaks its rule.
    """
    settings = {**read_yaml(properties_folder() / "classification" / f"{dataset}.yaml"), **(overrides or {})}
    settings.update(input_dim=data.features.shape[1], output_dim=data.num_classes)
    kinds = (DiffusionSettings, TrainingSettings)
    refuse_unknown_keys(settings, [spec.name for kind in kinds for spec in fields(kind)], "node classification")
    model, training = DiffusionSettings.from_settings(settings), TrainingSettings.from_settings(settings)
    return Classification(dataset, seed, model, training)
