"""Node classification with Neural Sheaf Diffusion, by the protocol of its paper, for learnt and for identity maps.

Ten given folds; each is trained on its training nodes until the validation loss (or accuracy) has not improved for
``patience`` epochs. The test nodes are read once, at the best validation epoch (Bodnar et al. 2022,
https://arxiv.org/abs/2202.04579, section 6). Settings come from ``properties/classification/<dataset>.yaml``.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from recbole_sheaf.environment import ending_on_sigterm
from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.nsd.data import NodeClassification
from recbole_sheaf.nsd.discrete_diffusion import NeuralSheafDiffusion
from recbole_sheaf.nsd.results import FoldResult, append_row, finished_folds
from recbole_sheaf.nsd.settings import Classification, TrainingSettings
from recbole_sheaf.nsd.sparse_features import SparseFeatures


def run_folds(
    task: Classification, data: NodeClassification, folds: Iterable[int], result_file: Optional[Path] = None
) -> list[FoldResult]:
    """Train and test the folds, showing progress.

    With a result file, each fold appends one JSON row when it is done, and folds that have a row with the same dataset,
    seed and settings are not run again.
    """
    done = {} if result_file is None else finished_folds(task, Path(result_file))
    features = SparseFeatures(data.features)
    results = []
    with ending_on_sigterm():
        for fold in tqdm(list(folds), desc=f"{task.dataset} {task.diffusion.restriction_map}", unit="fold"):
            result = done.get(fold)
            if result is None:
                result = train_fold(task, data, features, fold)
                if result_file is not None:
                    append_row(task, result, Path(result_file))
            results.append(result)
    return results


def train_fold(task: Classification, data: NodeClassification, features: SparseFeatures, fold: int) -> FoldResult:
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
    best: Optional[_Best] = None
    for epoch in range(training.max_epochs):
        _step(model, optimizer, data, x, data.train_masks[fold])
        current = _validate(model, data, x, fold, epoch)
        if best is None or current.score(training.stop_on) > best.score(training.stop_on):
            best = current
        elif epoch - best.epoch >= training.patience:
            break
    if best is None:
        raise ConfigError(f"max_epochs is {training.max_epochs}, and nothing is trained; give one epoch at least")
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
