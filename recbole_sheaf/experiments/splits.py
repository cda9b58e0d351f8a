"""A dataset, its split by ``split_seed``, and RecBole's loaders for one model on it."""

import contextlib
import functools
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from recbole.config import Config
from recbole.data import dataset as recbole_datasets
from recbole.data.dataset import Dataset
from recbole.data.utils import create_samplers, get_dataloader
from recbole.sampler import Sampler
from recbole.utils import ModelType, init_logger, init_seed

from recbole_sheaf.errors import ConfigError, DataError, SheafError
from recbole_sheaf.settings.config import ranks_listed_items

logger = logging.getLogger(__name__)

SPLIT_NAMES = ("train", "valid", "test")
# Beside those that RecBole lists as its dataset's, what its dataset and ours read.
DATA_SETTINGS = (
    *("dataset", "data_path", "encoding", "numerical_features", "discretization", "eval_args", "repeatable"),
    *("split", "split_seed", "repeated_interactions", "catalogue", "relations", "dislikes"),
)
CATALOGUE_SETTINGS = ("modalities", "text_modalities", "features_path")  # which items have content
SEEN_BEFORE_TEST = ("train", "valid")

_handlers: list[logging.Handler] = []  # of the root logger, that RecBole added for the model in progress


@dataclass(frozen=True)
class LoadedSplit:
    """A dataset and its training, validation and test parts."""

    dataset: Dataset
    parts: Sequence[Dataset]

    @property
    def sizes(self) -> dict[str, int]:
        """Interactions in each part."""
        return {name: len(part) for name, part in zip(SPLIT_NAMES, self.parts)}


def load_split(config: Config) -> LoadedSplit:
    """Load a dataset and split it by ``split_seed``.

    Raises:
        ConfigError: if the model is one that learns from a graph of knowledge.
        DataError: if a file of the dataset is no such table, or a part of the split is empty.
    """
    if config["MODEL_TYPE"] is ModelType.KNOWLEDGE:  # whose loaders and trainer are others
        raise ConfigError(
            f"{config['model']} learns from a graph of knowledge beside the interactions, and such models are not "
            "trained here; choose another model, or train it by RecBole's own run_recbole"
        )
    start_logger(config)
    init_seed(config["seed"], config["reproducibility"])
    with _recboles_refusals(config):
        dataset = _dataset(config)
        split = LoadedSplit(dataset, dataset.build())
    empty = [name for name, size in split.sizes.items() if not size]
    if empty:
        raise DataError(
            f"the {' and '.join(empty)} part of dataset '{config['dataset']}' is empty ({split.sizes}); "
            "check the .inter file, the filters and eval_args"
        )
    logging.getLogger(__name__).info("%s split into %s", config["dataset"], split.sizes)
    return split


@contextlib.contextmanager
def _recboles_refusals(config: Config) -> Iterator[None]:
    """A context that turns what RecBole raises where settings and data do not fit each other into a sentence."""
    try:
        yield
    except SheafError:
        raise
    except (ValueError, KeyError, NotImplementedError) as error:
        text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        reason = f"{text} is not there" if isinstance(error, KeyError) else text
        raise DataError(
            f"RecBole refuses dataset '{config['dataset']}' under these settings ({reason}); check the filters, "
            "load_col, eval_args and the columns of its files"
        ) from error


def _dataset(config: Config) -> Dataset:
    """RecBole's dataset for a model, read from its files.

    RecBole's ``create_dataset`` unpickles one that lies in ``checkpoint_dir``, whoever put it there and whatever has
    changed since.
    """
    by_kind = {ModelType.SEQUENTIAL: "SequentialDataset", ModelType.KNOWLEDGE: "KnowledgeBasedDataset"}
    name = f"{config['model']}Dataset"
    name = name if hasattr(recbole_datasets, name) else by_kind.get(config["MODEL_TYPE"], "Dataset")
    return getattr(recbole_datasets, name)(config)


def same_data(loaded: Config, wanted: Config) -> bool:
    """Whether two models read the very same interactions, so that one loaded split serves both."""
    kinds = [config["MODEL_TYPE"] in (ModelType.GENERAL, ModelType.TRADITIONAL) for config in (loaded, wanted)]
    keys = {*loaded.parameters["Dataset"], *DATA_SETTINGS} - {"LABEL_FIELD", "NEG_PREFIX"}
    keys |= {"seed"} if wanted["split_seed"] is None else set()  # which then draws the split too
    keys |= set(CATALOGUE_SETTINGS) if ranks_listed_items(wanted) else set()
    return all(kinds) and all(loaded[key] == wanted[key] for key in keys)


def loaders(config: Config, split: LoadedSplit) -> tuple[Any, Any, Any]:
    """RecBole's training, validation and test loaders for one model; samplers and batches start from ``seed``.

    At test the items that ``seen_at_test`` names are left out of the ranking: those a user had in training and in
    validation, as RecBole does, or in training alone, as much published work does.
    """
    with _recboles_refusals(config):
        samplers = list(create_samplers(config, split.dataset, split.parts))
    if _only_training_seen(config) and samplers[2] is not None:
        seen = [split.parts[0], split.parts[2]]
        samplers[2] = Sampler(["train", "test"], seen, config["test_neg_sample_args"]["distribution"])
        samplers[2] = samplers[2].set_phase("test")
    return tuple(
        get_dataloader(config, phase)(config, part, sampler, shuffle=phase == "train" and config["shuffle"])
        for phase, part, sampler in zip(SPLIT_NAMES, split.parts, samplers)
    )


def _only_training_seen(config: Config) -> bool:
    seen = config["seen_at_test"] or list(SEEN_BEFORE_TEST)
    if list(seen) not in (["train"], list(SEEN_BEFORE_TEST)):
        raise ConfigError(f"seen_at_test is {seen!r}, expected [train, valid] or [train]")
    return list(seen) == ["train"]


def refuse_long_lists(config: Config, dataset: Dataset) -> None:
    """Refuse lists longer than the catalogue, on which RecBole would fail in the first evaluation.

    Raises:
        ConfigError: naming the longest list and the number of items.
    """
    longest, items = max(config["topk"]), dataset.item_num - 1
    if longest > items:
        raise ConfigError(
            f"topk is {longest}, but dataset '{config['dataset']}' has {items} items; "
            f"set topk to at most {items}, for example topk=[{min(10, items)}]"
        )


def start_logger(config: Config) -> None:
    """Give each model its own log file; RecBole's logger keeps the first one otherwise.

    Only handlers that an earlier call brought are taken off. Where somebody else has given the root logger a handler,
    RecBole adds none, and its lines go there.
    """
    root = logging.getLogger()
    while _handlers:
        handler = _handlers.pop()
        root.removeHandler(handler)
        handler.close()
    before = root.handlers[:]
    init_logger(config)
    for handler in root.handlers:
        if handler not in before:
            handler.handleError = functools.partial(_give_up, handler)  # type: ignore[method-assign]
            _handlers.append(handler)


def _give_up(handler: logging.Handler, record: logging.LogRecord) -> None:
    """A log that cannot be written any more ends no training and prints no stack trace for each of its lines."""
    logging.getLogger().removeHandler(handler)
    logger.warning("%s cannot be written any more (%s); the run goes on", handler, sys.exc_info()[1])
