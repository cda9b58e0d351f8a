"""What the data are."""

from recbole_sheaf.report.document import Block, Cell, Paragraph, Table
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import Group

PARTS = ("train", "valid", "test")


def dataset(group: Group, words: Words) -> list[Block]:
    """The section on the data: sizes, density and how many items each modality reaches, as the runs were given them."""
    split = next((run.split for run in group.runs if run.ablation == group.base), {})
    sizes = {name: float(split[name]) for name in ("users", "items", *PARTS) if name in split}
    lines = [[Cell(words(f"size.{name}")), Cell(words.count(value), value)] for name, value in sizes.items()]
    interactions = sum(sizes.get(name, 0.0) for name in PARTS)
    users, items = sizes.get("users", 0.0), sizes.get("items", 0.0)
    if users and items and interactions:
        density = interactions / users / items
        lines.append([Cell(words("size.interactions")), Cell(words.count(interactions), interactions)])
        lines.append([Cell(words("size.density")), Cell(words.percent(density, 3), density)])
        lines.append([Cell(words("size.per_user")), words.cell(interactions / users, 1)])
        lines.append([Cell(words("size.per_item")), words.cell(interactions / items, 1)])
    lines += [
        [Cell(words("size.modality", name=name)), Cell(words.percent(share), share)]
        for name, share in _modalities(group).items()
    ]
    heads = [words("head.what"), words("head.value")]
    return [Paragraph(words("dataset.what", dataset=group.dataset)), Table(words("dataset.table"), heads, lines)]


def _modalities(group: Group) -> dict[str, float]:
    """Share of items with a vector, by modality, where nothing was taken away."""
    found: dict[str, float] = {}
    for row in group.models:
        for name, share in row.runs[0].modalities.items():
            found.setdefault(str(name), float(share))
    return found
