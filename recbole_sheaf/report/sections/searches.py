"""Searches for hyperparameters: the space, the budget, what was found, and how soon."""

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import pandas as pd
from matplotlib.axes import Axes

from recbole_sheaf.evaluation.best import bigger_is_better
from recbole_sheaf.files.plain_text import one_line
from recbole_sheaf.report.document import Block, Cell, Figure, Paragraph, Table
from recbole_sheaf.report.drawing import MOST_SERIES, Series, drawn, lines
from recbole_sheaf.report.sections.hyperparameters import best_trial, fixed_settings, parsed
from recbole_sheaf.report.settings import TRAINING, as_text
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import Material

MOST_TRIALS = 400  # lines of a table that a page bears


def searches(material: Material, words: Words) -> list[Block]:
    """The section on searches: a line for each, its trials below, and the best score by trial."""
    if material.studies.empty:
        return []
    studies = _named(material.studies.to_dict("records"))
    blocks: list[Block] = [Paragraph(words("searches.what")), Paragraph(_equal(material, words))]
    blocks.append(_table(material, words, studies))
    for number, dataset in enumerate(sorted({str(study["dataset"]) for study in studies}), start=1):
        own = [study for study in studies if study["dataset"] == dataset]
        if figure := _figure(material, words, dataset, number, own):
            blocks.append(figure)
    return [*blocks, _trials(material, words, studies)]


def _named(studies: list[dict[Any, Any]]) -> list[dict[Any, Any]]:
    """The searches with a ``name``: the model, and where it was searched several times, what tells them apart."""
    named = []
    for study in studies:
        model = one_line(str(study["model"]))
        twins = [other for other in studies if (other["model"], other["dataset"]) == (study["model"], study["dataset"])]
        differ = as_text(_apart(study, twins))
        named.append({**study, "name": f"{model}, {differ}" if differ else model})
    return named


def _apart(study: Mapping[str, Any], twins: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Settings in which searches of one model differ: its own, or else those of training."""
    for settings in (fixed_settings, _training):
        own, all_of_them = settings(study), [settings(twin) for twin in twins]
        differ = {key: value for key, value in own.items() if any(one.get(key) != value for one in all_of_them)}
        if any(one != own for one in all_of_them):
            return differ
    return {}


def _training(study: Mapping[str, Any]) -> dict[str, Any]:
    settings = parsed(study["settings"])
    return {key: settings[key] for key in (*TRAINING, "eval_step") if key in settings}


def _equal(material: Material, words: Words) -> str:
    searched = material.studies[material.studies["trials"] > 1]
    unequal = [
        dataset for dataset, own in searched.groupby("dataset") if len(own[["trials", "epochs"]].drop_duplicates()) > 1
    ]
    return words("searches.unequal", datasets=words.listed(map(str, unequal))) if unequal else words("searches.equal")


def space_text(space: Mapping[str, Any], words: Words) -> str:
    """Distributions as Optuna prints them, in mathematical notation."""
    return "; ".join(f"{name} ∈ {_set_text(str(values), words)}" for name, values in space.items())


def _set_text(text: str, words: Words) -> str:
    kind, _, inside = one_line(text).rstrip(")").partition("(")
    if kind == "CategoricalDistribution":
        return "{" + inside.partition("=")[2].strip("()").rstrip(",") + "}"
    given = dict(part.split("=", 1) for part in inside.split(", ") if "=" in part)
    if not {"low", "high"} <= given.keys():
        return one_line(text)
    log = f" ({words('searches.log')})" if given.get("log") == "True" else ""
    return f"[{given['low']}; {given['high']}]{log}"


def _table(material: Material, words: Words, studies: list[dict[Any, Any]]) -> Table:
    names = (
        *("class", "dataset", "metric", "trials", "states", "limit", "time"),
        *("fixed", "space", "best", "found_values"),
    )
    rows = []
    for study in studies:
        own = material.trials[material.trials["study"] == study["study"]]
        best = best_trial(study, material.trials)
        states = own["state"].value_counts()
        spent = float(own["seconds"].sum())
        rows.append(
            [
                Cell(str(study["name"])),
                Cell(one_line(str(study["dataset"]))),
                Cell(one_line(str(study["valid_metric"]))),
                Cell(words.count(study["trials"]), study["trials"]),
                Cell(", ".join(f"{words.state(str(state))} {count}" for state, count in states.items())),
                Cell(words.count(study["epochs"]), study["epochs"]),
                Cell(words.seconds(spent), spent),
                Cell(as_text({**_training(study), **fixed_settings(study)})),
                Cell(space_text(parsed(study["search_space"]), words) or words("searches.no_space")),
                words.cell(float(best["score"]) if best else None),
                Cell(as_text(parsed(best["parameters"])) if best else ""),
            ]
        )
    return Table(words("searches.table"), [words(f"head.{name}") for name in names], rows)


def _figure(
    material: Material, words: Words, dataset: str, number: int, studies: list[dict[Any, Any]]
) -> Optional[Figure]:
    found = [(str(study["name"]), _best_so_far(material.trials, study)) for study in studies]
    several = [(label, best) for label, best in found if len(best) > 1]
    bigger = bigger_is_better(str(studies[0]["valid_metric"]))
    shown = sorted(several, key=lambda pair: pair[1].iloc[-1], reverse=bigger)[:MOST_SERIES]
    if not shown:
        return None

    def draw(axes: Axes) -> None:
        series = [Series(label, [float(n) + 1 for n in best.index], list(best)) for label, best in shown]
        lines(axes, series, words("axis.trial"), words("axis.best_so_far"), counted=True)

    late = [label for label, best in shown if best.iloc[-1] > best.iloc[max(0, int(len(best) * 0.8) - 1)]]
    sees = words("searches.sees_late", labels=words.listed(late)) if late else words("searches.sees_flat")
    gains = {label: best.iloc[-1] - best.iloc[0] for label, best in shown}
    label = max(gains, key=lambda name: gains[name])
    sees += " " + words("searches.gain", label=label, gain=words.signed(gains[label]))
    if len(shown) < len(several):
        sees += " " + words("searches.drawn", shown=len(shown), n=len(several))
    return drawn(f"searches-{number}", words("searches.figure", dataset=one_line(dataset)), sees, words, draw)


def _best_so_far(trials: pd.DataFrame, study: Mapping[str, Any]) -> pd.Series:
    own = trials[(trials["study"] == study["study"]) & (trials["state"] == "complete") & trials["score"].notna()]
    scores = own.set_index("trial")["score"].sort_index()
    return scores.cummax() if bigger_is_better(str(study["valid_metric"])) else scores.cummin()


def _trials(material: Material, words: Words, studies: Sequence[Mapping[str, Any]]) -> Table:
    names_of = {study["study"]: (str(study["name"]), one_line(str(study["dataset"]))) for study in studies}
    shown = material.trials.head(MOST_TRIALS)
    rows = [
        [
            *map(Cell, names_of.get(trial["study"], (one_line(str(trial["study"])), ""))),
            Cell(words.count(trial["trial"]), trial["trial"]),
            Cell(words.state(str(trial["state"]))),
            words.cell(float(trial["score"]) if pd.notna(trial["score"]) else None),
            Cell(words.count(trial["epochs"]), trial["epochs"]),
            Cell(words.seconds(trial["seconds"]), trial["seconds"]),
            Cell(as_text(parsed(trial["parameters"]))),
        ]
        for trial in shown.to_dict("records")
    ]
    names = ("class", "dataset", "trial", "state", "score", "epochs", "time", "found_values")
    left = len(material.trials) - len(shown)
    note = words("searches.left", n=left) if left else ""
    return Table(words("searches.trials"), [words(f"head.{name}") for name in names], rows, note, folded=True)
