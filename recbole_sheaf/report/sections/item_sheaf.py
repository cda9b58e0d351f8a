"""The learnt item sheaf of an export: signs and lengths of its maps, shares of the parts of scores, worked examples."""

from collections.abc import Sequence
from typing import Optional

import numpy as np
from matplotlib.axes import Axes

from recbole_sheaf.embeddings import Embeddings, Explanation, explain, top_lists
from recbole_sheaf.embeddings.similarity import CoefficientRows
from recbole_sheaf.report.document import Block, Cell, Paragraph, Table
from recbole_sheaf.report.drawing import bars, drawn
from recbole_sheaf.report.exported import Exported
from recbole_sheaf.report.words import Words

EXAMPLES, LOUDEST = 3, 5
SAMPLED_ITEMS, SAMPLED_USERS = 400, 40  # spread evenly over the tables
BINS = 60
SHORTEST_HISTORY, LONGEST_HISTORY = 5, 60  # of a user who makes an example


def item_sheaf(exported: Optional[Exported], words: Words) -> list[Block]:
    """The section on the item sheaf; nothing where no export was given, a sentence where its model has no maps."""
    if exported is None:
        return []
    embeddings = exported.embeddings
    model = str(embeddings.metadata.get("model", ""))
    if embeddings.coefficients is None and embeddings.width == embeddings.item_vectors.shape[1]:
        return [Paragraph(words("sheaf.no_maps", model=model))]
    dataset = str(embeddings.metadata.get("dataset", ""))
    explained = [explain(embeddings, user, item) for user, item in _firsts(embeddings, SAMPLED_USERS)]
    return [
        Paragraph(words("sheaf.what", model=model, dataset=dataset)),
        Paragraph(words("sheaf.family")),
        *_maps(embeddings, words),
        *_parts(explained, words),
        *(block for each in _examples(explained) for block in _example(exported, each, words)),
    ]


def _spread(n: int, count: int) -> np.ndarray:
    """The places of so many of n rows, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, count)).astype(np.int64))


def _firsts(embeddings: Embeddings, count: int) -> list[tuple[str, str]]:
    """Users, and the first item of each one's list."""
    rows = _spread(len(embeddings.users), count)
    found = []
    for lists in top_lists(embeddings, rows, 1):
        found += [(str(embeddings.users[u]), str(embeddings.items[i])) for u, i in zip(lists.rows, lists.items[:, 0])]
    return found


def _maps(embeddings: Embeddings, words: Words) -> list[Block]:
    """Signs and sizes of coefficients into some items, and how long the maps into an item are together."""
    said = CoefficientRows(embeddings)
    everyone = np.arange(len(embeddings.items))
    columns = said.between(everyone, _spread(len(embeddings.items), SAMPLED_ITEMS)).T
    values = np.concatenate(columns)
    values = values[values != 0]
    if not len(values):
        return [Paragraph(words("sheaf.all_zero"))]
    lengths = np.array([float(np.linalg.norm(column)) for column in columns])
    low, high = np.quantile(values, [0.005, 0.995])
    counts, edges = np.histogram(values[(values >= low) & (values <= high)], bins=BINS)

    def draw(axes: Axes) -> None:
        bars(axes, edges.tolist(), (counts / len(values)).tolist(), words("axis.coefficient"), words("axis.share"))

    negative = values < 0
    weight = float(np.abs(values[negative]).sum() / np.abs(values).sum())
    quarters = np.quantile(lengths, [0.25, 0.5, 0.75])
    sees = words(
        "sheaf.sees",
        negative=words.percent(float(negative.mean())),
        weight=words.percent(weight),
        low=words.short(float(quarters[0])),
        middle=words.short(float(quarters[1])),
        high=words.short(float(quarters[2])),
    )
    return [drawn("item-sheaf", words("sheaf.figure"), sees, words, draw)]


def _parts(explained: Sequence[Explanation], words: Words) -> list[Block]:
    """How much of the scores each stalk and the item sheaf make, over the first items of some users' lists."""
    names = list(dict.fromkeys(name for each in explained for name in each.parts))
    sizes = {name: float(np.mean([abs(each.parts.get(name, 0.0)) for each in explained])) for name in names}
    total = sum(sizes.values())
    if not total:
        return []
    rows = [
        [Cell(_part(name, words)), words.cell(sizes[name]), Cell(words.percent(sizes[name] / total), sizes[name])]
        for name in names
    ]
    heads = [words("head.part"), words("head.size"), words("head.of_all")]
    return [Table(words("sheaf.parts", users=len(explained)), heads, rows)]


def _part(name: str, words: Words) -> str:
    known = {"id": "part.id", "item sheaf": "part.item_sheaf", "mean of rare items": "part.rare"}
    known["item popularity"] = "part.popularity"
    return words(known[name]) if name in known else name


def _examples(explained: Sequence[Explanation]) -> list[Explanation]:
    """Users with histories that a reader can look through, spread over those that were explained."""
    fit = [each for each in explained if SHORTEST_HISTORY <= len(each.contributions) <= LONGEST_HISTORY]
    fit = fit or list(explained)
    return [fit[place] for place in _spread(len(fit), EXAMPLES)] if fit else []


def _example(exported: Exported, each: Explanation, words: Words) -> list[Block]:
    parts = words.listed([f"{_part(name, words)} {words.signed(value, 2)}" for name, value in each.parts.items()], 9)
    said = words(
        "sheaf.example",
        user=each.user,
        item=exported.title(each.item),
        score=words.number(each.score, 2),
        parts=parts,
        against=sum(value < 0 for _, value in each.contributions),
        items=len(each.contributions),
    )
    rows = [
        [Cell(exported.title(item)), Cell(words.signed(value, 3), value)]
        for item, value in each.contributions[:LOUDEST]
    ]
    heads = [words("head.history_item"), words("head.says")]
    table = Table(words("sheaf.loudest", item=exported.title(each.item)), heads, rows)
    return [Paragraph(said), *([table] if rows else [])]
