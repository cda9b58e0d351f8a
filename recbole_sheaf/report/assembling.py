"""The order of a report: an overview, a chapter for each group, then what concerns all of them."""

from collections.abc import Sequence
from typing import Optional

from recbole_sheaf.report.document import Block, Document, Paragraph, Section
from recbole_sheaf.report.exported import Exported
from recbole_sheaf.report.sections.ablations import ablations, variants
from recbole_sheaf.report.sections.beyond import beyond
from recbole_sheaf.report.sections.commands import commands
from recbole_sheaf.report.sections.cost import cost
from recbole_sheaf.report.sections.curves import curves
from recbole_sheaf.report.sections.dataset import dataset
from recbole_sheaf.report.sections.environment import environment, failures
from recbole_sheaf.report.sections.hyperparameters import hyperparameters
from recbole_sheaf.report.sections.item_sheaf import item_sheaf
from recbole_sheaf.report.sections.leaderboard import leaderboard
from recbole_sheaf.report.sections.protocol import compared
from recbole_sheaf.report.sections.searches import searches
from recbole_sheaf.report.sections.strata import strata
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import Group, Material


def assemble(material: Material, words: Words, exported: Optional[Exported] = None) -> Document:
    """A report in one language."""
    sections: list[Section] = []
    for group in material.groups:
        sections += _chapter(group, words, material)
    if not material.groups:
        sections.append(Section("no-runs", words("title.no_runs"), [Paragraph(words("no_runs"))]))
    common: list[tuple[str, Sequence[Block]]] = [
        ("searches", searches(material, words)),
        ("item_sheaf", item_sheaf(exported, words)),
        ("environment", environment(material, words)),
        ("failures", failures(material, words)),
    ]
    sections += [Section(name.replace("_", "-"), words(f"title.{name}"), blocks) for name, blocks in common]
    return Document(words.language, words("report.title", store=material.name), _lead(material, words), sections)


def _lead(material: Material, words: Words) -> str:
    runs = [run for group in material.groups for run in group.runs]
    return words(
        "report.lead",
        datasets=words.listed(list(dict.fromkeys(group.dataset for group in material.groups))),
        runs=words.count(len({run.id for run in runs})),
        trials=words.count(len(material.trials)),
    )


def _chapter(group: Group, words: Words, material: Material) -> list[Section]:
    title = words("title.group", dataset=group.dataset, experiment=group.experiment)
    sections = [Section(group.name("group"), title, compared(group, words))]
    parts: list[tuple[str, Sequence[Block]]] = [
        ("dataset", dataset(group, words)),
        ("leaderboard", leaderboard(group, words)),
        ("hyperparameters", hyperparameters(group, words, material)),
        ("curves", curves(group, words)),
        ("cost", cost(group, words)),
        ("strata", strata(group, words)),
        ("variants", variants(group, words)),
        ("ablations", ablations(group, words)),
        ("beyond", beyond(group, words)),
        ("commands", commands(group, words, material.name)),
    ]
    return sections + [Section(group.name(name), words(f"title.{name}"), blocks, level=3) for name, blocks in parts]
