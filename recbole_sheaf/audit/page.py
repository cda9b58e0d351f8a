"""An audit as one page that needs nothing beside itself, by the templates of the report."""

from typing import Union

from recbole_sheaf.audit.findings import BROKEN, VERDICTS, Audit, Finding
from recbole_sheaf.report.document import Block, Cell, Document, Paragraph, Section, Table
from recbole_sheaf.report.rendering import as_html
from recbole_sheaf.report.words import Words

WORDS = Words("en")


def audit_page(audit: Audit) -> str:
    """HTML: the verdicts first, then the numbers of each finding."""
    sizes = ", ".join(f"{name}: {WORDS.count(size)}" for name, size in audit.sizes.items())
    sections = [Section("verdicts", "Verdicts", [_verdicts(audit)])]
    sections += [
        Section(f"finding-{number}", finding.title, _blocks(finding), level=3)
        for number, finding in enumerate(audit.findings, start=1)
    ]
    lead = f"Verdict: {audit.summary}. {sizes}. Nothing was trained; training alone is learnt from."
    return as_html(Document("en", f"Audit of {audit.dataset}", lead, sections))


def _verdicts(audit: Audit) -> Table:
    worst_first = sorted(audit.findings, key=lambda finding: -VERDICTS.index(finding.verdict))
    rows = [
        [Cell(finding.verdict, strong=finding.verdict == BROKEN), Cell(finding.title), Cell(finding.sentence)]
        for finding in worst_first
    ]
    note = "ok: nothing to do. look: see whether you meant this. broken: figures from these data are worth little."
    return Table("What was looked at, the worst first", ["verdict", "what", "what was found"], rows, note)


def _blocks(finding: Finding) -> list[Block]:
    blocks: list[Block] = [Paragraph(f"{finding.verdict}. {finding.sentence}")]
    if finding.examples:
        blocks.append(Paragraph(f"Such as: {', '.join(finding.examples)}."))
    if finding.numbers:
        rows = [[Cell(name.replace("_", " ")), _number(name, value)] for name, value in finding.numbers.items()]
        blocks.append(Table(f"{finding.title} in numbers", ["what", "value"], rows))
    return blocks


def _number(name: str, value: Union[int, float]) -> Cell:
    if name.startswith("share"):
        return Cell(WORDS.percent(value), float(value))
    return WORDS.mean_count(value) if value == int(value) else WORDS.cell(value, 3)
