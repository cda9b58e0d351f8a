"""How to make the rows again: an experiment file, and the command that reads it."""

from typing import Any

import yaml

from recbole_sheaf.report.document import Block, Listing, Paragraph
from recbole_sheaf.report.settings import changed_settings, differing
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import Group, Row


def commands(group: Group, words: Words, store: str) -> list[Block]:
    """An experiment file with an entry for each row, its settings those that differ from the defaults."""
    entries = {row.label: _entry(group, row) for row in group.models}
    shared = _shared(list(entries.values()))
    models = {
        label: {key: value for key, value in entry.items() if key not in shared or key == "model"} or None
        for label, entry in entries.items()
    }
    seeds = sorted({run.seed for run in group.runs})
    file: dict[str, Any] = {
        "name": group.experiment,
        "store": store,
        "datasets": [group.dataset],
        "models": {label: _short(label, entry) for label, entry in models.items()},
    }
    if group.ablated:
        file["ablations"] = _ablations(group)
    file["seeds"] = seeds
    if shared:
        file["settings"] = shared
    text = yaml.safe_dump(_plain(file), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
    blocks: list[Block] = [Paragraph(words("commands.what"))]
    if odd := [row.label for row in group.rows if [run.seed for run in row.runs] != seeds]:
        blocks.append(Paragraph(words("commands.seeds", labels=words.listed(list(dict.fromkeys(odd))))))
    return [
        *blocks,
        Listing("experiment.yaml", text),
        Listing(words("commands.run"), "recbole-sheaf compare experiment.yaml"),
    ]


def _entry(group: Group, row: Row) -> dict[str, Any]:
    return {"model": row.model, **changed_settings(row.model, group.dataset, row.config)}


def _short(label: str, entry: Any) -> Any:
    """As people write it: a label that is the model's name needs no ``model``."""
    kept = {key: value for key, value in (entry or {}).items() if (key, value) != ("model", label)}
    return kept or None


def _shared(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The settings that every row has alike."""
    if len(entries) < 2:
        return {}
    first = entries[0]
    return {
        key: value
        for key, value in first.items()
        if key != "model" and all(key in entry and entry[key] == value for entry in entries)
    }


def _ablations(group: Group) -> dict[str, Any]:
    found: dict[str, Any] = {group.base: None}
    for row in group.ablated:
        base = group.row(row.label, group.base)
        changed = differing(row.config, base.config) if base else {}
        if changed or row.ablation not in found:
            found[row.ablation] = changed or None
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
