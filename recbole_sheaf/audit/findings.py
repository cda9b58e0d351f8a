"""A finding: numbers, what they mean in one sentence, and a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

OK, LOOK, BROKEN = VERDICTS = ("ok", "look", "broken")  # from the best to the worst


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: of what was looked at, such as ``cold items``.
        verdict: ``ok``, ``look`` (see whether you meant this) or ``broken`` (no figure from here is worth much).
        sentence: what was found and what to do.
        numbers: by name; those whose name begins with ``share`` lie between 0 and 1.
        modality: whose content it is about.
        examples: tokens of users or items to begin with.
    """

    name: str
    verdict: str
    sentence: str
    numbers: Mapping[str, Union[int, float]]
    modality: str = ""
    examples: Sequence[str] = ()

    @property
    def title(self) -> str:
        """Its name, and the modality where it has one."""
        return f"{self.name}: {self.modality}" if self.modality else self.name


@dataclass(frozen=True)
class Audit:
    """All findings on a dataset as it is split; ``sizes`` are users, items and the interactions of each part."""

    dataset: str
    sizes: Mapping[str, int]
    findings: Sequence[Finding]

    @property
    def verdict(self) -> str:
        """The worst of all."""
        return max((finding.verdict for finding in self.findings), key=VERDICTS.index, default=OK)

    @property
    def summary(self) -> str:
        """The verdict, and how often each was given."""
        given = [finding.verdict for finding in self.findings]
        return f"{self.verdict} ({', '.join(f'{given.count(verdict)} {verdict}' for verdict in VERDICTS)})"

    def to_json(self) -> dict[str, Any]:
        """What ``json`` writes."""
        findings = [{**vars(finding), "examples": list(finding.examples)} for finding in self.findings]
        return {"dataset": self.dataset, "verdict": self.verdict, "sizes": self.sizes, "findings": findings}


def percent(share: float) -> str:
    """A share as a sentence has it; one that is not 0 does not read as 0."""
    return f"{100 * share:.1f} %" if share >= 0.0005 or not share else "under 0.1 %"
