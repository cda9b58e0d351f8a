"""The kept page of the report and its tables, brought up to date: ``python docs/report_page.py STORE ...``.

Runs of these stores that have a place in the experiment ``defaults`` go into ``results/defaults.csv``, a new one in
the place of an old one. Where the stores know each user's metrics, ``report/defaults-*-differences.csv`` are made, too.
Then ``report/report.md`` is made anew from all tables and these stores. What only stores that are no more could give it
(intervals, strata, curves) is kept, experiment by experiment, while the figures beside it stay the same; drawings are
left out. Without stores the page follows the tables alone.
"""

import argparse
import csv
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.evaluation.marks import SEEDS_FOR_A_MARK
from recbole_sheaf.report.assembling import assemble
from recbole_sheaf.report.rendering import as_markdown
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import Group, Material, read_material
from recbole_sheaf.store.results import comparisons_with, scores_of
from recbole_sheaf.store.store import Store

WORDS = Words("en")
OURS = "MMSheaf"
FIRST, OTHERS, DATA = (WORDS(f"title.{name}") for name in ("overview", "beside", "dataset"))
ENVIRONMENT = WORDS("title.appendix", what=WORDS("title.environment"))  # tables know nothing of it
SIGNIFICANT = WORDS("first.significant")
Place = tuple[str, str]  # the headings of a section: its page or appendix, and its own
Owner = tuple[str, str]  # dataset and experiment


def add_rows(file: Path, stores: Sequence[Store], places: Mapping[tuple[Any, ...], Any], experiment: str) -> int:
    """Put the runs that have a place in an experiment into its table; gives how many lines are new or others."""
    with file.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        heads, rows = list(reader.fieldnames or ()), list(reader)
    old = {(row["dataset"], row["model"], int(row["seed"])): row for row in rows}
    new = {}
    for store in stores:
        for run in store.rows("SELECT * FROM entries JOIN runs USING (run, dataset, seed)").to_dict("records"):
            if (experiment, run["label"], run["dataset"], run["ablation"], run["seed"]) in places:
                new[run["dataset"], run["label"], run["seed"]] = _row(run)
    changed = sum(old.get(place) != row for place, row in new.items())
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, heads, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for _, row in sorted({**old, **new}.items()))
    return changed


def _row(run: Mapping[str, Any]) -> dict[str, str]:
    valid, test = scores_of(run["valid"]), scores_of(run["test"])
    chosen = " ".join(f"{name}={value:g}" for name, value in scores_of(run["chosen"]).items())
    row = {"dataset": run["dataset"], "model": run["label"], "seed": run["seed"], "valid recall@20": valid["recall@20"]}
    row |= {name: test[name] for name in ("recall@20", "ndcg@20")}
    row |= {"best epoch": run["best_epoch"], "epochs": run["epochs"], "s/epoch": round(run["seconds_per_epoch"], 2)}
    row |= {"peak MiB": round(run["peak_memory_mib"], 1), "parameters": run["parameters"], "chosen": chosen}
    return {name: str(value) for name, value in {**row, "run": run["run"]}.items()}


def write_differences(store: Store, material: Material, experiment: str, folder: Path) -> list[Path]:
    """Our model beside the others with seeds enough, for each dataset of an experiment whose users the store knows."""
    written = []
    for group in material.groups:
        labels = [row.label for row in group.models if row.seeds >= SEEDS_FOR_A_MARK and _has_users(group, row.label)]
        if group.experiment == experiment and OURS in labels and len(labels) > 1:
            filters = {
                "experiment": [experiment],
                "dataset": [group.dataset],
                "label": labels,
                "ablation": [group.base],
            }
            path = folder / f"{experiment}-{group.dataset}-differences.csv"
            comparisons_with(store, filters, OURS, []).to_csv(path, index=False, lineterminator="\n")
            written.append(path)
    return written


def _has_users(group: Group, label: str) -> bool:
    return (label, group.base) in group.per_user(group.metrics[0])


def sections(page: str) -> dict[Place, str]:
    """The sections of a page by their headings, each with its own; the lines before them stand under no heading."""
    found: dict[Place, str] = {}
    above, place = "", ("", "")
    for part in re.split(r"^(?=##+ )", page, flags=re.MULTILINE):
        if heading := re.match(r"(##+) (.+)\n", part):
            above = heading[2] if len(heading[1]) == 2 else above
            place = (above, "" if len(heading[1]) == 2 else heading[2])
        found[place] = part
    return found


def owners(page: Mapping[Place, str]) -> dict[Place, Owner]:
    """The experiment that a section is about; what is about several has none."""
    mains = {}
    for (above, own), text in page.items():
        if not own and (named := re.search(r"^The experiment (.+?) on .+? compares ", text, re.MULTILINE)):
            mains[above] = named[1]
    found = {}
    for above, own in page:
        if above in mains and own != DATA:
            named = re.fullmatch(r"Experiment (.+?)(?:: (?:who is served|what each change gives))?", own)
            found[above, own] = (above, named[1] if named else mains[above])
        elif named := re.fullmatch(r"(.+?): experiment (.+)", own):
            found[above, own] = (named[1], named[2])
    return found


def tables(text: str) -> dict[str, list[dict[str, str]]]:
    """The tables of a section by their captions, a dictionary for each line, without marks of significance."""
    found = {}
    for caption, table in re.findall(r"^\*\*(.+)\*\*\n\n((?:\|.*\n?)+)", text, re.MULTILINE):
        lines = [re.sub(r"\s?[▲▼]|\*\*", "", line).strip("| ").split(" | ") for line in table.splitlines()]
        found[caption] = [dict(zip(lines[0], line)) for line in lines[2:]]
    return found


def says_more(kept: str, made: str) -> bool:
    """Whether a kept section says all that the new one says, and has tables with further columns or cells filled."""
    old, new = tables(kept), tables(made)
    if not new.keys() <= old.keys():
        return False
    for caption, lines in new.items():
        if len(lines) != len(old[caption]):
            return False
        for one, other in zip(old[caption], lines):
            if any(one.get(head) != value for head, value in other.items() if value):
                return False
    return _filled(old) > _filled(new)


def _filled(of: Mapping[str, Sequence[Mapping[str, str]]]) -> int:
    return sum(bool(value.strip()) for lines in of.values() for line in lines for value in line.values())


def merged(kept: str, made: str) -> str:
    """The new page, with what the kept one alone knows of experiments whose figures are the same.

    Raises:
        SystemExit: if the kept first page knows what is significant on a dataset, and the new one does not.
    """
    old, new = sections(kept), sections(made)
    _refuse_lost_marks(old, new)
    of_old, of_new = owners(old), owners(new)
    staying = set()
    for owner in {*of_old.values()} & {*of_new.values()}:
        boards = [_board(page, found, owner) for page, found in ((old, of_old), (new, of_new))]
        if says_more(*boards):
            staying.add(owner)
    result: dict[Place, str] = {}
    for place, text in new.items():
        owner, title = of_new.get(place), place[1] or place[0]
        own = place in old and title not in (FIRST, OTHERS)
        if own and owner is None:
            own = title == ENVIRONMENT or says_more(old[place], text)
        elif own:
            own = owner in staying and of_old.get(place) == owner
        result[place] = old[place] if own else text
    lost = [place for place in old if place not in new and (place not in of_old or of_old[place] in staying)]
    before = dict(zip(list(old)[1:], old))
    order = list(result)
    for place in lost:
        previous: Optional[Place] = before[place]
        while previous not in order:
            previous = before[previous]
        order.insert(order.index(previous) + 1, place)
    return "".join({**old, **result}[place] for place in order)


def _board(page: Mapping[Place, str], found: Mapping[Place, Owner], owner: Owner) -> str:
    """What a page says of the scores and the protocol of an experiment, and nothing else."""
    captions = (WORDS("board.table"), WORDS("protocol.table"))
    own = [text for place, text in page.items() if found.get(place) == owner]
    return "\n".join(
        table[0]
        for text in own
        for caption in captions
        for table in re.finditer(rf"^\*\*{re.escape(caption)}\*\*\n\n(?:\|.*\n?)+", text, re.MULTILINE)
    )


def _refuse_lost_marks(old: Mapping[Place, str], new: Mapping[Place, str]) -> None:
    known = [
        {line["dataset"] for line in tables(page.get((FIRST, ""), "")).get(SIGNIFICANT, [])} for page in (old, new)
    ]
    if lost := sorted(known[0] - known[1]):
        raise SystemExit(
            f"the kept page knows what is significant on {', '.join(lost)}, and no store that was given does; name the "
            "store of these runs too"
        )


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Tables first, then the page."""
    from runs import DEFAULTS, FOLDER, TODAY, declared_cells, write_runs
    from searches import write_searches

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("stores", type=Path, nargs="*", help="DuckDB files of 'recbole-sheaf compare'")
    sources = [Store(path) for path in parser.parse_args(argv).stores]
    changed = add_rows(TODAY, sources, declared_cells(), DEFAULTS)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "report.duckdb")
        write_runs(store, sources)
        write_searches(store)
        material = read_material(store, {})
        written = write_differences(store, material, DEFAULTS, FOLDER)
        made = re.sub(r"^!\[.*\n\n", "", as_markdown(assemble(material, WORDS)), flags=re.MULTILINE)
    page = FOLDER / "report.md"
    page.write_text(merged(page.read_text(encoding="utf-8"), made), encoding="utf-8")
    print(f"rows changed in {TODAY.name}: {changed}; written: {', '.join(path.name for path in [*written, page])}")


if __name__ == "__main__":
    main()
