"""Where the runs were made, and which of them failed."""

from collections.abc import Iterable

import pandas as pd

from recbole_sheaf.files.plain_text import one_line
from recbole_sheaf.report.document import Block, Cell, Paragraph, Table
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import Material

MOST_FAILURES = 100
LONGEST_ERROR = 300


def environment(material: Material, words: Words) -> list[Block]:
    """The section on devices, kernels and releases; several where runs differ, nothing where there is no run."""
    runs = [run for group in material.groups for run in group.runs]
    if not runs:
        return []
    lines = [
        [Cell(words("environment.device")), Cell(_kinds(run.device for run in runs))],
        [Cell(words("environment.kernels")), Cell(_kinds(run.message_passing or "RecBole" for run in runs))],
    ]
    names = list(dict.fromkeys(name for run in runs for name in run.versions))
    lines += [[Cell(name), Cell(_kinds(run.versions.get(name, "?") for run in runs))] for name in names]
    mixed = [name for name in names if len({run.versions.get(name) for run in runs}) > 1]
    said = words("environment.mixed", names=words.listed(mixed)) if mixed else words("environment.same")
    heads = [words("head.what"), words("head.value")]
    return [Paragraph(said), Table(words("environment.table"), heads, lines)]


def _kinds(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values)))


def failures(material: Material, words: Words) -> list[Block]:
    """Runs that ended with an error, the same job's once; what was finished later is no failure."""
    left = _left(material)
    if left.empty:
        return []
    rows = [
        [Cell(one_line(str(line["experiment"]))), Cell(one_line(str(line["job"]))), Cell(_cut(str(line["error"])))]
        for line in left.head(MOST_FAILURES).to_dict("records")
    ]
    heads = [words("head.experiment"), words("head.run"), words("head.error")]
    more = len(left) - len(rows)
    table = Table(words("failures.table"), heads, rows, words("failures.more", n=more) if more else "")
    return [Paragraph(words("failures.what", n=len(left))), table]


def failed_jobs(material: Material) -> list[str]:
    """Runs that ended with an error and were not finished later, by their names."""
    return [one_line(str(job)) for job in _left(material)["job"]]


def _left(material: Material) -> pd.DataFrame:
    last = material.failures.drop_duplicates("job", keep="last")
    finished = {run.id for group in material.groups for run in group.runs}
    return last[~last["run"].isin(finished)]


def _cut(error: str) -> str:
    text = one_line(error)
    return text if len(text) <= LONGEST_ERROR else f"{text[:LONGEST_ERROR]}…"
