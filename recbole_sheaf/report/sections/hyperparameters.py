"""Settings of every row, and what was searched for them."""

import json
from collections.abc import Mapping
from typing import Any, Optional

import pandas as pd

from recbole_sheaf.evaluation.best import bigger_is_better
from recbole_sheaf.files.plain_text import one_line
from recbole_sheaf.report.document import Block, Cell, Paragraph, Table
from recbole_sheaf.report.settings import TRAINING, as_text, changed_settings, model_settings, value_text
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import Group, Material, Row

# A search and the runs with what it found may end, batch and be judged otherwise.
JUDGING = {"epochs", "stopping_step", "train_batch_size", "eval_step", "metrics", "topk", "seen_at_test"}


def hyperparameters(group: Group, words: Words, material: Material) -> list[Block]:
    """The section on settings: a line per model, how it was trained, its own settings, whether a search found them."""
    heads = [words("head.model"), words("head.class"), *TRAINING, words("head.own"), words("head.found")]
    rows = [_line(group, row, words, material) for row in group.models]
    return [Paragraph(words("hyper.what")), Table(words("hyper.table"), heads, rows)]


def _line(group: Group, row: Row, words: Words, material: Material) -> list[Cell]:
    training = [_setting(row.config.get(key)) for key in TRAINING]
    own = as_text(model_settings(row.model, row.config)) or words("hyper.none")
    return [Cell(row.label), Cell(row.model), *training, Cell(own), Cell(_found(group, row, words, material))]


def _setting(value: Any) -> Cell:
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    return Cell("" if value is None else value_text(value), number)


def _found(group: Group, row: Row, words: Words, material: Material) -> str:
    of_data = material.studies[material.studies["dataset"] == group.dataset]
    of_model = of_data[of_data["model"] == row.model].to_dict("records")
    own = [study for study in of_model if _agrees(fixed_settings(study), row.config)]
    if not own:
        return words("hyper.not_searched")
    searched = [study for study in own if _space(study)]
    if not searched:
        return words("searches.no_space")
    changed = changed_settings(row.model, group.dataset, row.config).keys() - JUDGING
    alike = [study for study in searched if changed <= _space(study) | fixed_settings(study).keys()]
    for study in alike:
        best = best_trial(study, material.trials)
        if best is not None and _is_of(best, row):
            return words("hyper.searched", trials=study["trials"], trial=best["trial"])
    for study in alike:
        tried = material.trials[material.trials["study"] == study["study"]].to_dict("records")
        if same := [trial for trial in tried if _is_of(trial, row)]:
            return words("hyper.tried", trials=study["trials"], trial=same[0]["trial"])
    return words("hyper.other", trials=max(int(study["trials"]) for study in searched))


def _space(study: Mapping[Any, Any]) -> set[str]:
    """Which settings a search tried values of."""
    return set(parsed(study["search_space"]))


def _is_of(trial: Mapping[Any, Any], row: Row) -> bool:
    """Whether a row was trained with what a trial tried."""
    tried = parsed(trial["parameters"])
    return bool(tried) and _agrees(tried, row.config)


def fixed_settings(study: Mapping[str, Any]) -> dict[str, Any]:
    """What all trials of a search share of their model's own settings, and its loss."""
    settings = parsed(study["settings"])
    loss = {"loss": settings["loss"]} if "loss" in settings else {}
    return {**loss, **model_settings(one_line(str(study["model"])), settings)}


def _agrees(parameters: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    return all(_same(value, config.get(key)) for key, value in parameters.items())


def _same(one: Any, other: Any) -> bool:
    try:
        return abs(float(one) - float(other)) <= 1e-9 * max(1.0, abs(float(one)))
    except (TypeError, ValueError):
        return bool(one == other)


def best_trial(study: Mapping[str, Any], trials: pd.DataFrame) -> Optional[dict[str, Any]]:
    """The complete trial with the best validation score; None before the first."""
    own = trials[(trials["study"] == study["study"]) & (trials["state"] == "complete") & trials["score"].notna()]
    if own.empty:
        return None
    place = own["score"].idxmax() if bigger_is_better(str(study["valid_metric"])) else own["score"].idxmin()
    return {str(key): value for key, value in own.loc[place].to_dict().items()}


def parsed(text: Any) -> dict[str, Any]:
    """A JSON object of the store; empty where it is none."""
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
