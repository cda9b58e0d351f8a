"""The order of a report: a first page, its contents, a page for each dataset, and appendices.

What has nothing to say is left out, heading and all.
"""

from collections.abc import Callable, Sequence
from typing import Optional

from recbole_sheaf.report.document import Block, Document, Paragraph, Section, Table
from recbole_sheaf.report.exported import Exported
from recbole_sheaf.report.pages import Page, pages_of
from recbole_sheaf.report.sections.ablations import ablations, variants
from recbole_sheaf.report.sections.beside import beside
from recbole_sheaf.report.sections.beyond import beyond, is_drawn
from recbole_sheaf.report.sections.commands import commands
from recbole_sheaf.report.sections.cost import cost
from recbole_sheaf.report.sections.curves import curves
from recbole_sheaf.report.sections.dataset import dataset
from recbole_sheaf.report.sections.environment import environment, failed_jobs, failures
from recbole_sheaf.report.sections.hyperparameters import hyperparameters
from recbole_sheaf.report.sections.item_sheaf import item_sheaf
from recbole_sheaf.report.sections.leaderboard import leaderboard
from recbole_sheaf.report.sections.overview import overview
from recbole_sheaf.report.sections.printed import printed
from recbole_sheaf.report.sections.protocol import compared, protocol
from recbole_sheaf.report.sections.searches import searches
from recbole_sheaf.report.sections.strata import strata
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import Group, Material


def assemble(material: Material, words: Words, exported: Optional[Exported] = None) -> Document:
    """A report in one language."""
    pages = pages_of(material.groups)
    if pages:
        first = Section("overview", words("title.overview"), overview(material, pages, words))
    else:
        first = Section("no-runs", words("title.no_runs"), [Paragraph(words("no_runs"))])
    sections = [first, *(section for page in pages for section in _page(page, words))]
    sections += _appendices(pages, material, words, exported)
    return Document(words.language, words("report.title", store=material.name), _lead(material, words), sections, 1)


def _lead(material: Material, words: Words) -> str:
    runs = [run for group in material.groups for run in group.runs]
    return words(
        "report.lead",
        runs=words.count(len({run.id for run in runs})),
        trials=words.count(len(material.trials)),
        failed=words.count(len(failed_jobs(material))),
    )


def _page(page: Page, words: Words) -> list[Section]:
    """A dataset: how its models were compared, the data, who is best, what is printed elsewhere, who is served."""
    main = page.main
    opening = [block for block in compared(main, words) if not isinstance(block, Table)]
    sections = [Section(main.name("group"), page.dataset, opening, own_page=True)]
    parts: list[tuple[str, Sequence[Block]]] = [
        ("leaderboard", leaderboard(main, words)),
        ("printed", printed(main, words)),
        ("strata", strata(main, words)),
        ("variants", variants(main, words)),
        ("ablations", ablations(main, words)),
        ("dataset", dataset(main, words)),
        ("beside", beside(page, words)),
    ]
    sections += [Section(main.name(name), words(f"title.{name}"), blocks, 3) for name, blocks in parts if blocks]
    for group in page.beside:
        title = words("title.board_of", experiment=group.experiment)
        sections.append(
            Section(group.name("leaderboard"), title, [*_what(group, words), *leaderboard(group, words)], 3)
        )
        if served := strata(group, words):
            title = words("title.strata_of", experiment=group.experiment)
            sections.append(Section(group.name("strata"), title, served, 3))
        further = [*variants(group, words), *ablations(group, words)]
        if further:
            title = words("title.changes_of", experiment=group.experiment)
            sections.append(Section(group.name("variants"), title, further, 3))
    return sections


def _what(group: Group, words: Words) -> Sequence[Block]:
    """The sentence on what an experiment compares."""
    return compared(group, words)[:1]


def _appendices(pages: Sequence[Page], material: Material, words: Words, exported: Optional[Exported]) -> list[Section]:
    groups = [group for page in pages for group in page.groups]
    drawn = [page.main for page in pages]
    covered = [next(filter(is_drawn, (page.main, *page.beside)), page.main) for page in pages]

    def of_parts(group: Group) -> list[Block]:
        if not any(group in page.parts for page in pages):
            return []
        changes = [*variants(group, words), *ablations(group, words)]
        return [*_what(group, words), *leaderboard(group, words), *changes]

    by_group: list[tuple[str, Callable[[Group], Sequence[Block]]]] = [
        ("parts", of_parts),
        ("protocol", lambda group: protocol(group, words)),
        ("hyperparameters", lambda group: hyperparameters(group, words, material)),
        ("curves", lambda group: curves(group, words)),
        ("cost", lambda group: cost(group, words, with_figures=group in drawn)),
        ("beyond", lambda group: beyond(group, words, with_figure=group in covered)),
        ("commands", lambda group: commands(group, words, material.name)),
    ]
    common: list[tuple[str, Sequence[Block]]] = [
        ("searches", searches(material, words)),
        ("item_sheaf", item_sheaf(exported, words)),
        ("environment", environment(material, words)),
        ("failures", failures(material, words)),
    ]
    sections = [section for name, blocks_of in by_group for section in _appendix(name, blocks_of, groups, words)]
    found = [
        Section(name.replace("_", "-"), words("title.appendix", what=words(f"title.{name}")), blocks)
        for name, blocks in common
        if blocks
    ]
    return [*sections, *found]


def _appendix(
    name: str, blocks_of: Callable[[Group], Sequence[Block]], groups: Sequence[Group], words: Words
) -> list[Section]:
    """A heading, and under it a section for each experiment that has something to say."""
    sections = []
    for group in groups:
        if blocks := blocks_of(group):
            title = words("title.group", dataset=group.dataset, experiment=group.experiment)
            sections.append(Section(group.name(name), title, blocks, level=3, listed=False))
    head = Section(f"appendix-{name}", words("title.appendix", what=words(f"title.{name}")), [])
    return [head, *sections] if sections else []
