"""A dataset as a run would load and split it, looked at from all sides."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
from recbole.config import Config

from recbole_sheaf.audit.content import content_findings
from recbole_sheaf.audit.findings import LOOK, OK, Audit, Finding
from recbole_sheaf.audit.interactions import (
    Interactions,
    Split,
    cold_items,
    cold_users,
    future,
    histories,
    repeats,
)
from recbole_sheaf.data import cached_knn_arcs
from recbole_sheaf.errors import NoContent
from recbole_sheaf.experiments.settings import load_times, resolve_configs
from recbole_sheaf.experiments.splits import LoadedSplit, load_split
from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.models.multimodal import read_modalities
from recbole_sheaf.settings.config import cache_folder

MODEL = "MMSheaf"  # whose settings of data and content are read; it is not built
QUIET = {"show_progress": False, "state": "WARNING", "log_to_file": False}


def audit_dataset(
    dataset: str, config_files: Sequence[str] = (), settings: Optional[Mapping[str, Any]] = None
) -> Audit:
    """What to know of a dataset, split by these settings, before anything is trained on it.

    Args:
        dataset: name of the dataset folder inside ``data_path``.
        config_files: YAML files of settings, as ``run`` takes them.
        settings: those of ``run``, which win over the files.

    Raises:
        ConfigError, DataError, FeatureError: in one sentence, as a run raises them.

    Seconds to a minute for a million interactions and some thousand items; see :func:`.content_findings`.
    """
    given = {**QUIET, **(settings or {})}
    config, every = (
        resolve_configs([MODEL], dataset, config_files, {**given, **more})[0]
        for more in ({}, {"repeated_interactions": "keep"})
    )
    if every["rm_dup_inter"] is None:  # else times would decide which of a pair stays
        load_times(every)
    whole = load_split(every)
    with_repeats, dropped = _split(whole), config["repeated_interactions"] == "drop"
    repeated = repeats(with_repeats, config["benchmark_filename"] is not None, dropped, _tokens(whole, "uid_field"))
    loaded = load_split(config) if dropped and _has_repeats(with_repeats) else whole
    split = with_repeats if loaded is whole else _split(loaded)
    modalities, of_content = _content(config, loaded)
    meant = config["split"] == "cold_items"
    findings = [
        repeated,
        *future(with_repeats),
        cold_users(split),
        cold_items(split, meant, bool(modalities)),
        *histories(split),
        *of_content,
    ]
    neighbours = functools.partial(cached_knn_arcs, cache_dir=cache_folder(config))
    for features in modalities.values():
        findings += content_findings(features, neighbours, split, _tokens(loaded, "iid_field"))
    return Audit(dataset, _sizes(loaded), findings)


def _split(loaded: LoadedSplit) -> Split:
    train, valid, test = map(_interactions, loaded.parts)
    return Split(train, valid, test, loaded.dataset.user_num, loaded.dataset.item_num)


def _interactions(part: Any) -> Interactions:
    columns = part.inter_feat
    times = None
    if part.time_field in columns:
        times = columns[part.time_field].numpy().astype(np.float64)
        times = times[:, 0] if times.ndim == 2 else times  # a value and its bucket
    return Interactions(columns[part.uid_field].numpy(), columns[part.iid_field].numpy(), times)


def _has_repeats(split: Split) -> bool:
    pairs = np.concatenate([split.pairs(part) for part in (split.train, split.valid, split.test)])
    return len(np.unique(pairs)) < len(pairs)


def _tokens(loaded: LoadedSplit, field: str) -> Any:
    dataset = loaded.dataset
    return lambda ids: [str(token) for token in dataset.id2token(getattr(dataset, field), ids)]


def _sizes(loaded: LoadedSplit) -> dict[str, int]:
    return {"users": loaded.dataset.user_num - 1, "items": loaded.dataset.item_num - 1, **loaded.sizes}


def _content(config: Config, loaded: LoadedSplit) -> tuple[dict[str, ModalityFeatures], list[Finding]]:
    """The modalities, and what is to be said where there are none."""
    try:
        modalities = read_modalities(config, loaded.dataset)
    except NoContent:
        said = "There is none; bring vectors or name columns in text_modalities, or take models that need no content."
        return {}, [Finding("content", LOOK, said, {})]
    said = "It is left out, as modalities: [] asks; nothing to do."
    return modalities, [] if modalities else [Finding("content", OK, said, {})]
