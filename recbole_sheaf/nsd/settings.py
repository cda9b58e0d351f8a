"""Settings of node classification, the model's and the training's: ``properties/classification/<dataset>.yaml``."""

from dataclasses import dataclass, fields
from typing import Any, Optional

from recbole_sheaf.config import nearest, properties_folder, read_yaml
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.nsd.data import NodeClassification
from recbole_sheaf.nsd.diffusion_settings import DiffusionSettings


@dataclass(frozen=True)
class TrainingSettings:
    """How one fold is trained.

    Attributes:
        learning_rate: of Adam.
        weight_decay: L2 penalty.
        sheaf_decay: L2 penalty on the sheaf learners; the same as ``weight_decay`` where None.
        max_epochs: at most so many epochs.
        patience: stop after so many epochs without improvement on validation.
        stop_on: ``loss`` or ``accuracy`` on validation chooses the epoch.
    """

    learning_rate: float = 0.01
    weight_decay: float = 0.0005
    sheaf_decay: Optional[float] = None
    max_epochs: int = 1500
    patience: int = 200
    stop_on: str = "loss"

    def __post_init__(self):
        if self.stop_on not in ("loss", "accuracy"):
            raise ConfigError(f"stop_on {self.stop_on!r} is unknown; choose loss or accuracy")
        if not self.learning_rate > 0 or self.max_epochs < 1:
            raise ConfigError(
                f"learning_rate {self.learning_rate} must be positive and max_epochs {self.max_epochs} at least 1"
            )


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
        ConfigError: if the dataset has no file, or a setting is unknown.
    """
    settings = {**read_yaml(properties_folder() / "classification" / f"{dataset}.yaml"), **(overrides or {})}
    settings.update(input_dim=data.features.shape[1], output_dim=data.num_classes)
    diffusion, settings = _take(DiffusionSettings, settings)
    training, settings = _take(TrainingSettings, settings)
    if settings:
        names = [field.name for kind in (DiffusionSettings, TrainingSettings) for field in fields(kind)]
        listed = ", ".join(f"'{name}'{nearest(name, names)}" for name in settings)
        raise ConfigError(f"no setting of node classification has the name {listed}; check the spelling")
    return Classification(dataset, seed, diffusion, training)


def _take(kind: type, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A dataclass from the settings that are its fields, and the settings that are left."""
    names = {field.name for field in fields(kind)}
    taken = {name: value for name, value in settings.items() if name in names}
    return kind(**taken), {name: value for name, value in settings.items() if name not in names}
