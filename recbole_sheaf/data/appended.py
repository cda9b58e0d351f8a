"""A day's interactions behind those that a model was trained on, with the parts of a split that nothing leaks between.

What a part held stays apart from training as long as it must: validation chose the epoch and the weights of a score and
goes on choosing, so its interactions never train; a test was read, so its interactions train from then on, and the next
test is of the day's own. No update has seen what it is validated or tested on, however many came before it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool

from recbole_sheaf.data.mmrec_folder import SPLITS
from recbole_sheaf.data.raw_interactions import ITEM, PART, RATING, TIME, USER
from recbole_sheaf.errors import DataError, shown

TRAIN, VALID, TEST = SPLITS


@dataclass(frozen=True)
class Appended:
    """Old and new interactions with the part of each, and lines on what became of the new ones."""

    table: pd.DataFrame
    said: list[str]


def appended(old: pd.DataFrame, new: pd.DataFrame, *, repeats: bool, seed: int) -> Appended:
    """A day's interactions behind the old ones.

    Of the new ones a share as large as that of validation among the old ones is drawn for validation, and as many for
    the test, whose old interactions then train. The first new interaction of a user or an item that training does not
    know trains. Where too few are left for a test of their own, all new ones train and the parts stay as they were.

    Args:
        old: users, items, perhaps ratings and times, as text, and the ``part`` of each.
        new: the same without parts.
        repeats: keep pairs of user and item that are there already.
        seed: of the draw.

    Raises:
        DataError: if no new interaction is left.

    Time and memory O(rows).
    """
    said = []
    columns = [name for name in (USER, ITEM, RATING, TIME) if name in old and name in new]
    if lost := [name for name in (RATING, TIME) if (name in old) is not (name in new)]:
        said.append(f"{' and '.join(lost)}: in the old or in the new interactions alone, and left out")
    if not repeats:
        new = _without_repeats(old, new, said)
    if TIME in columns:
        before = int((pd.to_numeric(new[TIME]) < pd.to_numeric(old[TIME]).max()).sum())
        if before:
            said.append(f"{before:,} new interactions are earlier than the last old one, and are taken like all others")
    parts = _parts(old, new, seed)
    if (parts == TEST).any():
        old = old.assign(**{PART: old[PART].replace({TEST: TRAIN})})
    said.append(_said(parts))
    table = pd.concat([old[[*columns, PART]], new[columns].assign(**{PART: parts})], ignore_index=True)
    return Appended(table, said)


def _parts(old: pd.DataFrame, new: pd.DataFrame, seed: int) -> np.ndarray:
    parts = np.full(len(new), TRAIN, dtype=object)
    free = np.random.default_rng(seed).permutation(np.flatnonzero(_known_otherwise(old, new)))
    held_out = min(round((old[PART] == VALID).mean() * len(new)), len(free) // 2)
    parts[free[:held_out]], parts[free[held_out : 2 * held_out]] = VALID, TEST
    return parts


def _without_repeats(old: pd.DataFrame, new: pd.DataFrame, said: list[str]) -> pd.DataFrame:
    pair = [USER, ITEM]
    there = pd.concat([old[pair], new[pair]], ignore_index=True).duplicated().to_numpy()[len(old) :]
    if there.all():
        first = " and ".join(map(shown, new[pair].iloc[0].tolist()))
        raise DataError(
            f"each of the {len(new):,} interactions is one that the model was trained or judged on (first: {first}); "
            "give the log of a later day"
        )
    if there.any():
        said.append(f"{int(there.sum()):,} of {len(new):,} new interactions repeat a user and an item and are left out")
    return new[~there]


def _known_otherwise(old: pd.DataFrame, new: pd.DataFrame) -> Bool[np.ndarray, " rows"]:
    """Which of the new interactions are neither the first of a user nor of an item that training does not know."""
    trained = old[old[PART] != VALID]
    known = [new[name].isin(trained[name]) | new[name].duplicated() for name in (USER, ITEM)]
    return (known[0] & known[1]).to_numpy()


def _said(parts: np.ndarray) -> str:
    train, valid, test = (int((parts == part).sum()) for part in (TRAIN, VALID, TEST))
    if not test:
        return f"{train:,} new interactions train; too few for a test of their own, so that the test is the old one"
    return (
        f"{len(parts):,} new interactions: {train:,} train, {valid:,} join validation, {test:,} are the test, and "
        "the old test trains"
    )
