"""Settings of every row, and what was searched for them."""

import json
from collections.abc import Mapping
from typing import Any, Optional

import pandas as pd

from recbole_sheaf.report.document import Block, Cell, Paragraph, Table
from recbole_sheaf.report.material import Group, Material, Row
from recbole_sheaf.report.settings import TRAINING, as_text, model_settings, value_text
from recbole_sheaf.report.words import Words


def hyperparameters(group: Group, words: Words, material: Material) -> list[Block]:
    """A line per model: how it was trained, its own settings, and whether a search of the store found them."""
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
    studies = material.studies
    own = studies[(studies["model"] == row.model) & (studies["dataset"] == group.dataset)]
    if own.empty:
        return words("hyper.not_searched")
    for study in own.to_dict("records"):
        best = best_trial(study, material.trials)
        if best is not None and _agrees(parsed(best["parameters"]), row.config):
            return words("hyper.searched", trials=study["trials"], trial=best["trial"])
    return words("hyper.other", trials=int(own["trials"].max()))


def _agrees(parameters: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    return bool(parameters) and all(_same(value, config.get(key)) for key, value in parameters.items())


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
    smaller = str(study["valid_metric"]).lower() in ("rmse", "mae", "logloss")
    place = own["score"].idxmin() if smaller else own["score"].idxmax()
    return {str(key): value for key, value in own.loc[place].to_dict().items()}


def parsed(text: Any) -> dict[str, Any]:
    """A JSON object of the store; empty where it is none."""
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
