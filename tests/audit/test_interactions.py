"""What is said of a split's parts, against sets and loops over lists."""

from statistics import median

import numpy as np
import pytest

from recbole_sheaf.audit.findings import BROKEN, LOOK, OK, percent
from recbole_sheaf.audit.interactions import Interactions, Split, cold_items, cold_users, future, histories, repeats

N_USERS, N_ITEMS = 8, 12


def part(rng, n, times=True):
    users, items = rng.integers(1, N_USERS, n), rng.integers(1, N_ITEMS, n)
    return Interactions(users, items, rng.integers(0, 20, n).astype(float) if times else None)


@pytest.fixture(params=range(6))
def split(request):
    rng = np.random.default_rng(request.param)
    return Split(part(rng, 40), part(rng, 9), part(rng, 11), N_USERS, N_ITEMS)


def pairs(part):
    return list(zip(part.users.tolist(), part.items.tolist()))


def rows(part):
    return list(zip(part.users.tolist(), part.items.tolist(), part.times.tolist()))


def share(flags):
    return sum(flags) / len(flags)


def tokens(ids):
    return [f"t{number}" for number in ids]


def of(*parts):
    """A split of lists of pairs."""
    arrays = [Interactions(*np.array(each, np.int64).T) for each in parts]
    return Split(*arrays, N_USERS, N_ITEMS)


def test_repeats_are_shares_of_the_later_part(split):
    train, valid, test = map(pairs, (split.train, split.valid, split.test))
    found = repeats(split, True, False, tokens)
    assert found.numbers == pytest.approx(
        {
            "share_of_valid_in_train": share([pair in train for pair in valid]),
            "share_of_test_in_train": share([pair in train for pair in test]),
            "share_of_test_in_valid": share([pair in valid for pair in test]),
        }
    )
    again = {user for user, item in test if (user, item) in train + valid}
    again |= {user for user, item in valid if (user, item) in train}
    assert set(found.examples) <= {f"t{user}" for user in again} and len(found.examples) == min(3, len(again))


@pytest.mark.parametrize(
    "ready_made, dropped, verdict",
    [(True, True, BROKEN), (True, False, BROKEN), (False, False, BROKEN), (False, True, LOOK)],
)
def test_repeats_are_broken_unless_run_leaves_them_out_of_a_split_of_its_own(ready_made, dropped, verdict):
    split = of([(1, 1), (2, 2)], [(1, 2)], [(1, 3), (2, 2)])
    assert repeats(split, ready_made, dropped, tokens).verdict == verdict
    clean = of([(1, 1), (2, 2), (1, 1)], [(1, 2)], [(1, 3), (2, 1)])  # twice in one part is no leak
    assert repeats(clean, ready_made, dropped, tokens).verdict == OK


def test_future_is_what_training_has_after_the_test(split):
    train, test = rows(split.train), rows(split.test)
    times = {}
    for user, _, time in test:
        times.setdefault(user, []).append(time)
    every = [time for _, _, time in test]
    own, others = future(split)
    tested = [(user, time) for user, _, time in train if user in times]
    later = {user for user, time in tested if time > min(times[user])}
    assert own.numbers == pytest.approx(
        {
            "share_later_than_own_earliest_test": share([time > min(times[user]) for user, time in tested]),
            "share_later_than_own_median_test": share([time > median(times[user]) for user, time in tested]),
            "share_of_tested_users_with_later_ones": len(later) / len(times),
        }
    )
    assert others.numbers == pytest.approx(
        {
            "share_later_than_earliest_test": share([time > min(every) for _, _, time in train]),
            "share_later_than_median_test": share([time > median(every) for _, _, time in train]),
        }
    )
    assert (own.verdict, others.verdict) == (LOOK, LOOK)


def timed(train, test):
    parts = [Interactions(*(np.array(column) for column in zip(*each))) for each in (train, test)]
    return Split(parts[0], parts[1], parts[1], N_USERS, N_ITEMS)


def test_the_last_of_each_user_is_no_future_of_theirs_but_of_others():
    own, others = future(timed([(1, 1, 1.0), (2, 1, 11.0)], [(1, 2, 2.0), (2, 2, 12.0), (1, 3, 2.0)]))
    assert (own.verdict, others.verdict) == (OK, LOOK)
    own, others = future(timed([(1, 1, 1.0), (2, 1, 2.0)], [(1, 2, 2.0), (2, 2, 2.0)]))  # equal is not later
    assert (own.verdict, others.verdict) == (OK, OK) and others.numbers["share_later_than_earliest_test"] == 0


def test_without_times_it_cannot_be_told():
    (found,) = future(of([(1, 1)], [(1, 2)], [(1, 3)]))
    assert found.verdict == LOOK and "no times" in found.sentence and found.numbers == {}


@pytest.mark.parametrize("field", ["users", "items"])
def test_cold_ones_are_those_that_training_lacks(split, field):
    found = cold_users(split) if field == "users" else cold_items(split, False, True)
    known = set(getattr(split.train, field).tolist())
    for name in ("valid", "test"):
        ids = getattr(getattr(split, name), field).tolist()
        assert found.numbers[f"share_of_{name}_interactions"] == share([i not in known for i in ids])
        assert found.numbers[f"share_of_{name}_{field}"] == share([i not in known for i in set(ids)])


def test_cold_ones_weigh_as_much_as_can_be_done_about_them():
    half = of([(1, 1)], [(1, 1), (2, 2)], [(1, 1), (2, 2)])
    all_cold = of([(1, 1)], [(2, 2)], [(2, 2)])
    none = of([(1, 1), (2, 2)], [(2, 1)], [(1, 2)])
    assert [cold_users(each).verdict for each in (none, half, all_cold)] == [OK, LOOK, BROKEN]
    assert [cold_items(each, False, False).verdict for each in (none, half, all_cold)] == [OK, LOOK, BROKEN]
    assert cold_items(all_cold, False, True).verdict == LOOK and cold_items(all_cold, True, True).verdict == OK


def test_histories_count_those_without_any(split):
    users, items = histories(split)
    for found, field, n in ((users, "users", N_USERS), (items, "items", N_ITEMS)):
        lengths = sorted(getattr(split.train, field).tolist().count(number) for number in range(1, n))
        assert (found.numbers["least"], found.numbers["most"]) == (lengths[0], lengths[-1])
        assert found.numbers["median"] == median(lengths)
        assert found.numbers["with_0"] == lengths.count(0)
        assert found.numbers["with_2_to_4"] == sum(2 <= length <= 4 for length in lengths)
        assert sum(value for name, value in found.numbers.items() if name.startswith("with_")) == n - 1


def test_short_histories_are_worth_a_look():
    one_each = of([(user, user) for user in range(1, N_USERS)], [(1, 2)], [(1, 3)])
    assert [found.verdict for found in histories(one_each)] == [BROKEN, LOOK]
    one_has_two = of([(user, user) for user in range(1, N_USERS)] + [(1, 2)], [(1, 2)], [(1, 3)])
    assert histories(one_has_two)[0].verdict == LOOK
    long = of([(user, item) for user in range(1, N_USERS) for item in range(1, N_ITEMS)], [(1, 2)], [(1, 3)])
    assert [found.verdict for found in histories(long)] == [OK, OK]
    assert histories(long)[0].numbers["with_10_to_19"] == N_USERS - 1


def test_a_small_share_does_not_read_as_none():
    shown = {0: "0.0 %", 0.0001: "under 0.1 %", 0.0005: "0.1 %", 0.5: "50.0 %", 1: "100.0 %"}
    assert {share: percent(share) for share in shown} == shown
