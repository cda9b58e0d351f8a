"""What is amiss between the parts of a split, and how long histories are.

Users and items are RecBole's numbers, of which 0 is padding. Only training is learnt from, so users and items without
training interactions are *cold*, and what comes later than a test interaction is its *future*.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Int64

from recbole_sheaf.audit.findings import BROKEN, LOOK, OK, Finding, percent

MANY_REPEATS = 0.01  # of a part's interactions, from which on its figures are of what was seen in training
SOME_FUTURE = 0.01  # of the same user
SOME_OF_OTHERS = 0.05
SOME_COLD, MOST = 0.05, 0.5
QUANTILES = (0, 10, 25, 50, 75, 90, 100)
STRATA = (0, 1, 2, 5, 10, 20, 50, 100)  # where each begins

Tokens = Callable[[Int[np.ndarray, " ids"]], Any]


@dataclass(frozen=True)
class Interactions:
    """Those of one part of a split; without ``times`` where the dataset has none."""

    users: Int[np.ndarray, " n"]
    items: Int[np.ndarray, " n"]
    times: Optional[Float[np.ndarray, " n"]] = None


@dataclass(frozen=True)
class Split:
    """The three parts, and the numbers of users and items, padding included."""

    train: Interactions
    valid: Interactions
    test: Interactions
    n_users: int
    n_items: int

    def pairs(self, part: Interactions) -> Int64[np.ndarray, " n"]:
        """A number for each pair of a user and an item."""
        return part.users.astype(np.int64) * self.n_items + part.items


def repeats(split: Split, ready_made: bool, dropped: bool, tokens: Tokens) -> Finding:
    """Pairs of a user and an item that come again in a later part.

    A model that ranks leaves out what a user had, so it can only miss them; one that does not finds them by heart.

    Args:
        split: with every interaction, repeated or not.
        ready_made: whether the split came with the dataset.
        dropped: whether training leaves repeated interactions out, as ``repeated_interactions: drop`` does.
        tokens: of users' numbers.

    Time O(n log n).
    """
    train, valid, test = (split.pairs(part) for part in (split.train, split.valid, split.test))
    again_in_valid = np.isin(valid, train)
    again_in_test = np.isin(test, train)
    of_valid_in_test = np.isin(test, valid)
    shares = {
        "share_of_valid_in_train": float(again_in_valid.mean()),
        "share_of_test_in_train": float(again_in_test.mean()),
        "share_of_test_in_valid": float(of_valid_in_test.mean()),
    }
    worst = max(shares.values())
    if not worst:
        return Finding("repeated pairs", OK, "No pair of a user and an item is in two parts.", shares)
    first = split.test.users[again_in_test | of_valid_in_test], split.valid.users[again_in_valid]
    broken = worst >= MANY_REPEATS and (ready_made or not dropped)
    said = (
        f"Pairs of training come again as {percent(shares['share_of_test_in_train'])} of test and "
        f"{percent(shares['share_of_valid_in_train'])} of validation, those of validation as "
        f"{percent(shares['share_of_test_in_valid'])} of test; "
    )
    if ready_made:
        said += "take them out of the files, for figures of others on them are not comparable"
        said += " (run leaves them out)." if dropped else "."
    elif dropped:
        said += "run keeps the first of each, so that nothing is to be done unless you judge by other programs."
    else:
        said += "set repeated_interactions: drop, or they are ranked among what was left out as seen."
    examples = tokens(np.unique(np.concatenate(first))[:3])
    return Finding("repeated pairs", BROKEN if broken else LOOK, said, shares, examples=examples)


def future(split: Split) -> list[Finding]:
    """How much of training is later than what is to be foretold: of the same user, and of everybody.

    RecBole's times are float32, in which seconds of today less than two minutes apart may be equal; equal times are not
    later. So the shares are never too large.
    """
    train, test = split.train.times, split.test.times
    if train is None or test is None:
        said = "There are no times, so whether training knows the future cannot be told; ask how the split was made."
        return [Finding("future in training", LOOK, said, {})]
    by_user = pd.Series(test, dtype=float).groupby(split.test.users)
    earliest, median = (each.reindex(split.train.users).to_numpy() for each in (by_user.min(), by_user.median()))
    tested = ~np.isnan(earliest)
    own = {
        "share_later_than_own_earliest_test": _share(train[tested] > earliest[tested]),
        "share_later_than_own_median_test": _share(train[tested] > median[tested]),
        "share_of_tested_users_with_later_ones": len(np.unique(split.train.users[train > earliest])) / len(by_user),
    }
    everybody = {
        "share_later_than_earliest_test": _share(train > test.min()),
        "share_later_than_median_test": _share(train > np.median(test)),
    }
    return [_own_future(own), _others_future(everybody)]


def _own_future(shares: dict[str, float]) -> Finding:
    share, name = shares["share_later_than_own_earliest_test"], "future of the same user"
    said = f"{percent(share)} of the training interactions of tested users are later than the user's first in test"
    if share <= SOME_FUTURE:
        return Finding(name, OK, f"{said}: what a user does next is foretold from what came before.", shares)
    said += "; to foretell what comes next, split by time within users: split: time, or leave_one_out."
    return Finding(name, LOOK, said, shares)


def _others_future(shares: dict[str, float]) -> Finding:
    share, name = shares["share_later_than_median_test"], "future of all users"
    said = f"{percent(share)} of all training interactions are later than the median of test"
    if share <= SOME_OF_OTHERS:
        return Finding(name, OK, f"{said}: trends to come stay unknown to training.", shares)
    said += (
        ", so a model may know trends to come; to judge as on the day itself, split everybody at one time "
        "(eval_args.order: TO, group_by: none)."
    )
    return Finding(name, LOOK, said, shares)


def cold_users(split: Split) -> Finding:
    """Users of validation and test without training interactions."""
    numbers = _cold(split, "users", split.n_users)
    share, said = _worst(numbers), _cold_said(numbers, "users")
    if share <= SOME_COLD:
        return Finding("cold users", OK, f"{said}; nothing to do.", numbers)
    said += "; no model knows them, so leave them out, or split within users: split: random, time or leave_one_out."
    return Finding("cold users", BROKEN if share > MOST else LOOK, said, numbers)


def cold_items(split: Split, meant: bool, has_content: bool) -> Finding:
    """Items of validation and test without training interactions.

    Args:
        meant: whether the split holds items out on purpose.
        has_content: whether there is any by which a model could place them.
    """
    numbers = _cold(split, "items", split.n_items)
    share, said = _worst(numbers), _cold_said(numbers, "items")
    if meant and has_content:
        said += ", as split: cold_items asks; read the metrics among cold items."
        return Finding("cold items", OK, said, numbers)
    if share <= SOME_COLD:
        return Finding("cold items", OK, f"{said}; nothing to do.", numbers)
    if has_content:
        said += "; only a model that places items by content finds them, so read the metrics among cold items too."
        return Finding("cold items", LOOK, said, numbers)
    said += "; there is no content, so no model finds them: bring some, or leave these items out."
    return Finding("cold items", BROKEN if share > MOST else LOOK, said, numbers)


def _cold(split: Split, field: str, n: int) -> dict[str, float]:
    known = np.bincount(getattr(split.train, field), minlength=n) > 0
    numbers = {}
    for name, part in (("valid", split.valid), ("test", split.test)):
        ids = getattr(part, field)
        numbers[f"share_of_{name}_interactions"] = _share(~known[ids])
        numbers[f"share_of_{name}_{field}"] = _share(~known[np.unique(ids)])
    return numbers


def _worst(numbers: dict[str, float]) -> float:
    return max(numbers["share_of_valid_interactions"], numbers["share_of_test_interactions"])


def _cold_said(numbers: dict[str, float], field: str) -> str:
    valid, test = (percent(numbers[f"share_of_{part}_interactions"]) for part in ("valid", "test"))
    return f"{valid} of validation and {test} of test are of {field} without training interactions"


def histories(split: Split) -> list[Finding]:
    """Users and items by how many training interactions they have, those that have none too."""
    users = np.bincount(split.train.users, minlength=split.n_users)[1:]
    items = np.bincount(split.train.items, minlength=split.n_items)[1:]
    return [_of_users(users), _of_items(items)]


def _of_users(lengths: Int[np.ndarray, " users"]) -> Finding:
    numbers, median = _lengths(lengths), np.median(lengths)
    said = f"Half of the users have {median:g} training interactions or fewer"
    if lengths.max() < 2:
        said = "No user has two training interactions, so nothing tells which items go together; gather more"
        return Finding("histories of users", BROKEN, f"{said}.", numbers)
    if median < 2:
        said += "; read the strata of short histories, and think of a least length (user_inter_num_interval)"
        return Finding("histories of users", LOOK, f"{said}.", numbers)
    return Finding("histories of users", OK, f"{said}; nothing to do.", numbers)


def _of_items(lengths: Int[np.ndarray, " items"]) -> Finding:
    numbers, share = _lengths(lengths), _share(lengths < 2)
    said = f"{percent(share)} of the items have fewer than two training interactions"
    if share <= MOST:
        return Finding("histories of items", OK, f"{said}; nothing to do.", numbers)
    said += "; most of the catalogue is known by content alone: read the strata of rare items."
    return Finding("histories of items", LOOK, said, numbers)


def _lengths(lengths: Int[np.ndarray, " n"]) -> dict[str, float]:
    """Quantiles, and how many are in each stratum."""
    names = {0: "least", 50: "median", 100: "most"}
    numbers = {names.get(q, f"quantile_{q}"): float(np.percentile(lengths, q)) for q in QUANTILES}
    for first, beyond in zip(STRATA, (*STRATA[1:], None)):
        last = beyond - 1 if beyond else None
        name = f"with_{first}" if last == first else f"with_{first}_to_{last}" if last else f"with_{first}_and_more"
        numbers[name] = int(((lengths >= first) & (lengths <= (last if beyond else lengths.max()))).sum())
    return numbers


def _share(mask: Any) -> float:
    return float(np.mean(mask)) if len(mask) else 0.0
