"""What a report is made of, whatever it is written in: sections of paragraphs, tables, figures and listings.

All texts are plain. Whoever writes them down escapes them; nothing here is markup.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Union


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        value: by which the column is sorted; None sorts by the text.
        strong: the best of its column.
    """

    text: str
    value: Optional[float] = None
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        folded: opened by a click where the form has clicks.
        grid: stays a table on a narrow screen, where others become cards; for few and short columns.
    """

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    folded: bool = False
    grid: bool = False


@dataclass(frozen=True)
class Figure:
    """A drawing with what to see in it.

    Attributes:
        name: of its files, unique in the report.
        canvas: matplotlib's figure, for other forms than SVG.
        sees: a sentence from the same numbers as the drawing; it stands for the drawing where there is no sight.
    """

    name: str
    caption: str
    sees: str
    svg: str = field(repr=False)
    canvas: Any = field(repr=False)


@dataclass(frozen=True)
class Paragraph:
    """A few sentences."""

    text: str


@dataclass(frozen=True)
class Listing:
    """Lines to copy, such as a command or a part of an experiment file."""

    caption: str
    code: str


Block = Union[Paragraph, Table, Figure, Listing]


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it.

    Attributes:
        name: its anchor, unique in the report.
        own_page: whether it starts a page in print.
        listed: whether the contents name it.
    """

    name: str
    title: str
    blocks: Sequence[Block]
    level: int = 2
    own_page: bool = False
    listed: bool = True


@dataclass(frozen=True)
class Document:
    """A report in one language.

    Attributes:
        before_contents: how many sections stand before the contents.
    """

    language: str
    title: str
    lead: str
    sections: Sequence[Section]
    before_contents: int = 0

    @property
    def figures(self) -> list[Figure]:
        """The figures of all sections, in order."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Figure)]
