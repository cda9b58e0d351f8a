"""Node classification with Neural Sheaf Diffusion, by the protocol of its paper, for learnt and for identity maps.

Ten given folds; each is trained on its training nodes until the validation loss (or accuracy) has not improved for
``patience`` epochs. The test nodes are read once, at the best validation epoch (Bodnar et al. 2022,
https://arxiv.org/abs/2202.04579, section 6). Settings come from ``properties/classification/<dataset>.yaml``.
"""

import json
import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Optional

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from recbole_sheaf.config import nearest, properties_folder, read_yaml
from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.experiments.node_classification_data import NodeClassification
from recbole_sheaf.layers.diffusion_settings import DiffusionSettings
from recbole_sheaf.layers.neural_sheaf_diffusion import NeuralSheafDiffusion
from recbole_sheaf.layers.sparse_features import SparseFeatures


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
class FoldResult:
    """One row of results."""

    fold: int
    test_accuracy: float
    val_accuracy: float
    val_loss: float
    best_epoch: int
    num_epochs: int
    seconds: float


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


def run_folds(
    task: Classification, data: NodeClassification, folds: Iterable[int], result_file: Optional[Path] = None
) -> list[FoldResult]:
    """Train and test the folds, showing progress.

    With a result file, each fold appends one JSON row when it is done, and folds that have a row with the same dataset,
    seed and settings are not run again.
    """
    done = {} if result_file is None else _finished(task, Path(result_file))
    features = SparseFeatures(data.features)
    results = []
    for fold in tqdm(list(folds), desc=f"{task.dataset} {task.diffusion.restriction_map}", unit="fold"):
        result = done.get(fold)
        if result is None:
            result = train_fold(task, data, features, fold)
            if result_file is not None:
                _append(task, result, Path(result_file))
        results.append(result)
    return results


def train_fold(
    task: Classification, data: NodeClassification, features: SparseFeatures, fold: int
) -> FoldResult:
    """Train on one fold; the caller's random state is left as it was.

    Raises:
        DataError: if the dataset has no such fold.
    """
    if not 0 <= fold < len(data.train_masks):
        raise DataError(f"{task.dataset} has {len(data.train_masks)} folds, there is no fold {fold}")
    start = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed + 1000 * fold)
        model = NeuralSheafDiffusion(data.graph, task.diffusion)
        best, num_epochs = _fit(model, task.training, data, features, fold)
    test = data.test_masks[fold]
    test_accuracy = accuracy(best.log_probs, data, test)
    seconds = time.perf_counter() - start
    return FoldResult(fold, test_accuracy, best.val_accuracy, best.val_loss, best.epoch, num_epochs, seconds)


@dataclass(frozen=True)
class _Best:
    """The best epoch so far, with everything the model said about the nodes then."""

    epoch: int
    val_loss: float
    val_accuracy: float
    log_probs: Float[Tensor, "n classes"]

    def score(self, stop_on: str) -> float:
        return -self.val_loss if stop_on == "loss" else self.val_accuracy


def _fit(
    model: NeuralSheafDiffusion, training: TrainingSettings, data: NodeClassification, x: SparseFeatures, fold: int
) -> tuple[_Best, int]:
    """Train until validation stops improving; the best epoch and the number of epochs run."""
    optimizer = make_optimizer(model, training)
    best = None
    for epoch in range(training.max_epochs):
        _step(model, optimizer, data, x, data.train_masks[fold])
        current = _validate(model, data, x, fold, epoch)
        if best is None or current.score(training.stop_on) > best.score(training.stop_on):
            best = current
        elif epoch - best.epoch >= training.patience:
            break
    return best, epoch + 1


def make_optimizer(model: NeuralSheafDiffusion, training: TrainingSettings) -> torch.optim.Optimizer:
    """Adam with a penalty of its own for the sheaf learners."""
    sheaf = model.sheaf_parameters()
    own = {id(parameter) for parameter in sheaf}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in own]
    decay = training.weight_decay if training.sheaf_decay is None else training.sheaf_decay
    groups = [{"params": rest, "weight_decay": training.weight_decay}, {"params": sheaf, "weight_decay": decay}]
    return torch.optim.Adam([group for group in groups if group["params"]], lr=training.learning_rate)


def _step(
    model: NeuralSheafDiffusion,
    optimizer: torch.optim.Optimizer,
    data: NodeClassification,
    x: SparseFeatures,
    mask: Bool[Tensor, " n"],
) -> None:
    model.train()
    optimizer.zero_grad()
    F.nll_loss(model(x)[mask], data.labels[mask]).backward()
    optimizer.step()


def _validate(model: NeuralSheafDiffusion, data: NodeClassification, x: SparseFeatures, fold: int, epoch: int) -> _Best:
    model.eval()
    mask = data.val_masks[fold]
    with torch.no_grad():
        log_probs = model(x)
    loss = F.nll_loss(log_probs[mask], data.labels[mask])
    return _Best(epoch, float(loss), accuracy(log_probs, data, mask), log_probs)


def accuracy(log_probs: Float[Tensor, "n classes"], data: NodeClassification, mask: Bool[Tensor, " n"]) -> float:
    """Share of the masked nodes whose most probable class is theirs."""
    return float((log_probs[mask].argmax(1) == data.labels[mask]).float().mean())


def summary(task: Classification, results: list[FoldResult]) -> str:
    """One line: mean and standard deviation over the folds, in percent."""
    test, validation = ([100 * getattr(r, name) for r in results] for name in ("test_accuracy", "val_accuracy"))
    return (
        f"{task.dataset}, {task.diffusion.restriction_map} maps, {len(results)} folds: test accuracy "
        f"{_mean(test):.2f} +- {_deviation(test):.2f}, validation {_mean(validation):.2f} +- "
        f"{_deviation(validation):.2f}, {sum(r.seconds for r in results):.0f} s"
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _deviation(values: list[float]) -> float:
    """Standard deviation over the folds themselves, as in the paper: divided by their number."""
    return math.sqrt(_mean([(value - _mean(values)) ** 2 for value in values]))


def _take(kind: type, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A dataclass from the settings that are its fields, and the settings that are left."""
    names = {field.name for field in fields(kind)}
    taken = {name: value for name, value in settings.items() if name in names}
    return kind(**taken), {name: value for name, value in settings.items() if name not in names}


def _row(task: Classification, result: FoldResult) -> dict[str, Any]:
    settings = {**asdict(task.diffusion), **asdict(task.training)}
    return {"dataset": task.dataset, "seed": task.seed, **asdict(result), "settings": settings}


def _append(task: Classification, result: FoldResult, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(_row(task, result)) + "\n")


def _finished(task: Classification, path: Path) -> dict[int, FoldResult]:
    """Results of the same task in a result file, by fold."""
    if not path.is_file():
        return {}
    names = [field.name for field in fields(FoldResult)]
    done = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            result = FoldResult(**{name: row[name] for name in names})
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise DataError(f"{path}, line {number} is no row of results: {error}; move the file away") from error
        if _row(task, result) == row:
            done[result.fold] = result
    return done
