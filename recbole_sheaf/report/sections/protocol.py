"""What was compared and how."""

from collections.abc import Mapping, Sequence
from typing import Any

from recbole_sheaf.report.document import Block, Cell, Paragraph, Table
from recbole_sheaf.report.settings import value_text
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import Group, Run

_SIZES = ("users", "items", "train", "valid", "test")
_EARLY = "stopping_step"


def compared(group: Group, words: Words) -> list[Block]:
    """The section on the protocol: models, seeds, split, selection, and whether all were treated alike."""
    seeds = [row.seeds for row in group.rows]
    first = words(
        "protocol.what",
        experiment=group.experiment,
        dataset=group.dataset,
        models=words.listed([row.label for row in group.models], 40),
        runs=words.count(len(group.runs)),
        seeds=words.span(min(seeds), max(seeds)),
    )
    return [Paragraph(first), Paragraph(_how(group, words)), _settings(group, words), Paragraph(_alike(group, words))]


def protocol(group: Group, words: Words) -> list[Block]:
    """The table of the protocol alone, for the appendix."""
    return [block for block in compared(group, words) if isinstance(block, Table)]


def ranking(runs: Sequence[Run], words: Words) -> str:
    """Which items are ranked for a user."""
    modes = {value_text(_mode(run)) for run in runs}
    return words("protocol.full") if modes == {"full"} else words("protocol.modes", modes=words.listed(sorted(modes)))


def masked(runs: Sequence[Run], words: Words) -> str:
    """Which parts' items are left out of the lists at test; several where runs differ."""
    return "; ".join(sorted({_seen(run, words) for run in runs}))


def _how(group: Group, words: Words) -> str:
    return " ".join(
        [
            ranking(group.runs, words),
            words("protocol.seen", seen=masked(group.runs, words)),
            words("protocol.chosen", metric=group.chosen_by),
            words("protocol.seeds_note"),
        ]
    )


def _seen(run: Run, words: Words) -> str:
    parts = run.config.get("seen_at_test")
    if not isinstance(parts, list):
        return value_text(parts)
    return words.listed([words(f"size.{part}") if part in _SIZES else value_text(part) for part in parts])


def _mode(run: Run) -> Any:
    mode = _evaluation(run).get("mode")
    return next(iter(set(mode.values()))) if isinstance(mode, Mapping) and len(set(mode.values())) == 1 else mode


def _evaluation(run: Run) -> Mapping[str, Any]:
    given = run.config.get("eval_args")
    return given if isinstance(given, Mapping) else {}


def _has_own_split(run: Run) -> bool:
    """Whether the dataset came in parts, so that nothing here split it whatever ``eval_args`` says."""
    return bool(run.config.get("benchmark_filename"))


def _split(run: Run, words: Words) -> str:
    if _has_own_split(run):
        return words("protocol.own_split")
    return ", ".join(value_text(_evaluation(run).get(key)) for key in ("split", "order", "group_by"))


def _settings(group: Group, words: Words) -> Table:
    """A line per setting of the protocol; several values where rows differ."""
    lines = {
        words("protocol.sizes"): [
            ", ".join(f"{words(f'size.{name}')} {words.count(run.split[name])}" for name in _SIZES if name in run.split)
            for run in group.runs
        ],
        words("protocol.split"): [_split(run, words) for run in group.runs],
        words("protocol.split_seed"): [
            "" if _has_own_split(run) else value_text(run.config.get("split_seed")) for run in group.runs
        ],
        words("protocol.metric"): [run.chosen_by for run in group.runs],
        words("protocol.epochs"): [value_text(run.config.get("epochs")) for run in group.runs],
        words("protocol.patience"): [value_text(run.config.get(_EARLY)) for run in group.runs],
    }
    rows = [[Cell(name), Cell("; ".join(sorted(set(values))))] for name, values in lines.items()]
    return Table(words("protocol.table"), [words("head.setting"), words("head.value")], rows)


def _alike(group: Group, words: Words) -> str:
    """Whether the rows trained under one rule of when to end."""
    rules: dict[str, list[str]] = {}
    for row in group.models:
        rule = f"epochs = {value_text(row.config.get('epochs'))}, {_EARLY} = {value_text(row.config.get(_EARLY))}"
        rules.setdefault(rule, []).append(row.label)
    if len(rules) == 1:
        return words("protocol.alike", rule=next(iter(rules)))
    parts = "; ".join(f"{rule}: {words.listed(labels)}" for rule, labels in rules.items())
    return words("protocol.unlike", rules=parts)
