"""A day's interactions behind the old ones: who trains, who is held out, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from recbole_sheaf.data.appended import PART, appended
from recbole_sheaf.errors import DataError


def table(pairs, part=None, **columns):
    made = pd.DataFrame(pairs, columns=["user_id", "item_id"]).assign(**columns)
    return made if part is None else made.assign(part=part)


@pytest.fixture
def old():
    """100 interactions of 10 users, a fifth in validation, a tenth in test."""
    pairs = [(f"u{user}", f"i{item}") for user in range(10) for item in range(10)]
    return table(pairs, (["train"] * 7 + ["valid"] * 2 + ["test"]) * 10)


def test_shares_and_who_trains(old):
    """A fifth of 50 is 10 for validation, 10 for the test; the old test trains, the old validation never does."""
    new = table([(f"u{user}", f"i{item}") for user in range(10) for item in range(10, 15)])
    made = appended(old, new, repeats=False, seed=1).table
    parts = made[PART].to_numpy()
    assert (parts[:100] == old[PART].replace({"test": "train"})).all()
    assert {part: (parts[100:] == part).sum() for part in ("train", "valid", "test")} == {
        "train": 30,
        "valid": 10,
        "test": 10,
    }
    assert made[["user_id", "item_id"]].equals(pd.concat([old, new], ignore_index=True)[["user_id", "item_id"]])


def test_what_training_would_not_know_trains(old):
    """The first of each new user and of each new item; i8 has been validated on alone, and so is new to training."""
    new = table([("x", "i0"), ("x", "i1"), ("u0", "n"), ("u1", "n"), ("u2", "i8"), ("u3", "i8")] * 1)
    old = old[(old["item_id"] != "i8") | (old["user_id"] == "u9")]
    for seed in range(30):
        parts = appended(old, new, repeats=False, seed=seed).table[PART].to_numpy()[-6:]
        assert (parts[[0, 2, 4]] == "train").all()


def test_another_seed_draws_others(old):
    new = table([(f"u{user}", f"i{item}") for user in range(10) for item in range(10, 20)])
    one, same, other = (appended(old, new, repeats=False, seed=seed).table[PART] for seed in (1, 1, 2))
    assert one.equals(same) and not one.equals(other)


def test_validation_takes_no_more_than_the_test(old):
    """A fifth of 20 is 4, but three of them alone are of users and items that training knows: one each."""
    new = table([("u0", "i50"), ("u1", "i50"), ("u2", "i50"), ("u3", "i50"), *((f"x{n}", f"n{n}") for n in range(16))])
    parts = appended(old, new, repeats=False, seed=1).table[PART].to_numpy()[100:]
    assert ((parts == "valid").sum(), (parts == "test").sum()) == (1, 1)


def test_a_small_day_trains_whole_and_the_test_stays(old):
    made = appended(old, table([("u0", "i70"), ("u1", "i70")]), repeats=False, seed=1)
    assert made.table[PART].tolist() == [*old[PART], "train", "train"] and "too few" in made.said[-1]


def test_repeats_are_left_out_and_counted_or_kept(old):
    new = table([("u0", "i0"), ("u0", "i50"), ("u0", "i50")])
    made = appended(old, new, repeats=False, seed=1)
    assert len(made.table) == 101 and made.said[0].startswith("2 of 3 new interactions repeat")
    assert len(appended(old, new, repeats=True, seed=1).table) == 103


def test_nothing_new_is_refused(old):
    with pytest.raises(DataError, match="each of the 2 interactions is one .* 'u1' and 'i1'.* later day"):
        appended(old, table([("u1", "i1"), ("u2", "i9")]), repeats=False, seed=1)


def test_times_before_the_end_are_taken_and_counted(old):
    old = old.assign(timestamp=np.arange(100).astype(str))
    new = table([("u0", "i50"), ("u0", "i51"), ("u0", "i52")], timestamp=["98.5", "99", "1000"])
    made = appended(old, new, repeats=False, seed=1)
    assert made.said[0].startswith("1 new interactions are earlier")
    assert made.table["timestamp"].tolist() == [*old["timestamp"], "98.5", "99", "1000"]


def test_a_column_of_one_side_is_left_out_and_said(old):
    made = appended(old, table([("u0", "i50")], timestamp=["1"]), repeats=False, seed=1)
    assert list(made.table) == ["user_id", "item_id", "part"] and made.said[0].startswith("timestamp: in the old or")
