"""Which experiments make the page of a dataset, and which stand behind, among the parts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from recbole_sheaf.store.material import Group


@dataclass(frozen=True)
class Page:
    """A dataset of a report.

    Attributes:
        main: of the experiments that compare classes of models there the one that does so on most datasets, of these
            the one with most classes; the first page shows it.
        beside: further experiments that compare classes.
        parts: those in which every row trains one class: its parts, its content, its settings.
    """

    dataset: str
    main: Group
    beside: Sequence[Group]
    parts: Sequence[Group]

    @property
    def groups(self) -> list[Group]:
        """All experiments on the dataset, the main one first."""
        return [self.main, *self.beside, *self.parts]


def pages_of(groups: Sequence[Group]) -> list[Page]:
    """A page for each dataset, in the order of the groups.

    The first page is one table over all datasets, and says most where one experiment fills its columns.
    """
    compared = Counter(group.experiment for group in groups if _classes(group) > 1)  # on how many datasets
    pages = []
    for dataset in dict.fromkeys(group.dataset for group in groups):
        own = [group for group in groups if group.dataset == dataset]
        main = max(own, key=lambda group: (_classes(group) > 1, compared[group.experiment], *_breadth(group)))
        others = [group for group in own if group is not main]
        beside = [group for group in others if _classes(group) > 1]
        pages.append(Page(dataset, main, beside, [group for group in others if _classes(group) < 2]))
    return pages


def _classes(group: Group) -> int:
    return len({row.model for row in group.models})


def _breadth(group: Group) -> tuple[int, int, int]:
    return _classes(group), len(group.models), len(group.runs)
