"""The rule of marks, whatever table shows them."""

import numpy as np
import pandas as pd
import pytest

from recbole_sheaf.errors import DataError
from recbole_sheaf.evaluation.marks import marked_tests, rule_of_marks

USERS = np.arange(40)
MODELS = {name: pd.Series(0.2 + 0.1 * np.sin(USERS) + gap) for name, gap in (("a", 0), ("b", 0.1), ("c", -0.1))}


@pytest.mark.parametrize(
    "seeds, marks",
    [
        ({"a": 5, "b": 5, "c": 5}, {"b": "▲", "c": "▼"}),
        ({"a": 9, "b": 5, "c": 4}, {"b": "▲"}),
        ({"a": 4, "b": 5, "c": 5}, {}),
        ({"a": 5, "b": 4, "c": 4}, {}),
    ],
)
def test_both_models_of_a_mark_have_five_seeds(seeds, marks):
    found = marked_tests(MODELS, seeds, "a", random_state=0)
    assert dict(zip(found["model"], found["mark"])) == marks


def test_differences_that_chance_explains_have_no_mark():
    noise = pd.Series(np.where(USERS % 2, 0.1, -0.1))
    found = marked_tests({"a": MODELS["a"], "b": MODELS["a"] + noise}, {"a": 5, "b": 5}, "a", random_state=0)
    assert list(found["mark"]) == [""] and found["permutation_p_holm"][0] > 0.5


@pytest.mark.parametrize("others, mark", [("b", "▲"), ("bcd", "")])
def test_a_mark_is_by_the_p_that_is_adjusted_for_all_that_are_compared(others, mark):
    """Nine of ten users gain: p is 22 of 1,024 flips, .021, and times three no longer below .05."""
    gains = pd.Series([1.0] * 9 + [-1.0])
    models = {"a": gains * 0, **dict.fromkeys(others, gains)}
    found = marked_tests(models, dict.fromkeys(models, 5), "a", random_state=0)
    assert found["permutation_p"].tolist() == pytest.approx([22 / 1024] * len(others))
    assert set(found["mark"]) == {mark}


def test_users_of_a_model_with_few_seeds_are_those_of_the_others_too():
    with pytest.raises(DataError, match="1 users are only in b"):
        marked_tests({"a": MODELS["a"], "b": pd.Series(0.1, index=range(41))}, {"a": 5, "b": 1}, "a", random_state=0)


def test_many_models_leave_room_for_a_mark_after_holm():
    """With a number of draws fixed at 1,999 the smallest adjusted p of sixty models were .06."""
    models = {"a": MODELS["a"], **{f"m{n}": MODELS["b"] for n in range(60)}}
    found = marked_tests(models, dict.fromkeys(models, 5), "a", random_state=0)
    assert set(found["mark"]) == {"▲"}


def test_the_rule_says_which_models_have_no_mark():
    assert "b, c." in rule_of_marks({"a": 5, "d": 5, "b": 1, "c": 4}, "a")
    assert "since a has fewer" in rule_of_marks({"a": 4, "d": 5}, "a")
    assert "since only a has them" in rule_of_marks({"a": 5, "d": 4}, "a")
