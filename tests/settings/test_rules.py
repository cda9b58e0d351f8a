"""Rules: each says what it allows, allows it, and refuses all else in a sentence with the value in it."""

from dataclasses import dataclass
from typing import Optional

import pytest

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.layers.message_passing import KERNELS
from recbole_sheaf.settings import vocabulary
from recbole_sheaf.settings.rules import CheckedSettings, Rule, setting

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "rule, said, allowed, refused",
    [
        (Rule(int, low=1), "a whole number >= 1", [1, 7], [0, 1.0, True, "1", None, NAN, [1]]),
        (
            Rule(float, above=0, high=1),
            "a number > 0 and <= 1",
            [1, 0.5],
            [0, 1.1, NAN, INF, True, "0.5", None],
        ),
        (Rule(float, low=0, below=1), "a number >= 0 and < 1", [0, 0.99], [1, -0.1, -INF]),
        (Rule(float), "a number", [0, -2.5], [INF, NAN, False, "x"]),
        (Rule(bool), "true or false", [True, False], [0, 1, "yes", None]),
        (Rule(str), "a text", ["", "a"], [1, None, ["a"]]),
        (Rule(str, optional=True), "a text or ~ for none", ["a", None], [1]),
        (Rule(str, choices=("a", "b")), "one of a, b", ["a", "b"], ["c", "A", 1, None]),
        (Rule(str, choices=("adam",), any_case=True), "one of adam", ["Adam", "ADAM"], ["sgd"]),
        (Rule(str, form=r"\d+", such_as="12"), "a text such as 12", ["0", "12"], ["", "1x", 12]),
        (Rule(int, low=1, words=("auto", "all")), "a whole number >= 1, auto or all", [3, "auto", "all"], ["al", 0]),
        (Rule(list, each=Rule(int)), "a list, each entry a whole number", [[], [1, 2]], [1, None, (1,)]),
        (Rule(list, each=Rule(int), alone=True), "a whole number or a list, each entry", [1, [1]], ["x", 1.5, None]),
        (Rule(dict), "'key: value' lines", [{}, {"a": 1}], [[], "a", None]),
        (
            Rule(int, instead=Rule(list, each=Rule(str))),
            "a whole number or a list, each entry a text",
            [1, ["a"]],
            ["a"],
        ),
        (
            Rule(list, each=Rule(int, instead=Rule(dict)), alone=True),
            "a whole number or a list, each entry a whole number or 'key: value' lines",
            [1, [1], [{"a": 1}]],
            ["x", {"a": 1}],
        ),
        (Rule(dict, entries={"a": Rule(int)}), "'key: value' lines with keys among a", [{}, {"a": 1}], [1]),
    ],
)
def test_a_rule_allows_what_it_says_and_nothing_else(rule, said, allowed, refused):
    assert str(rule).startswith(said)
    for value in allowed:
        rule.check("x", value)
    for value in refused:
        with pytest.raises(ConfigError) as error:
            rule.check("x", value)
        assert str(error.value).startswith(f"x is {value!r}, expected {rule}")


@pytest.mark.parametrize(
    "rule, value, message",
    [
        (Rule(list, each=Rule(int, low=1)), [3, 0], "an entry of x is 0, expected a whole number >= 1"),
        (Rule(list, each=Rule(list, each=Rule(int))), [["a"]], "an entry of an entry of x is 'a', expected a whole"),
        (Rule(dict, each=Rule(int)), {"a": "b"}, "x.a is 'b', expected a whole number"),
        (
            Rule(dict, entries={"size": Rule(int)}),
            {"sise": 1},
            "of x has the name 'sise' (did you mean 'size'",
        ),
        (Rule(dict, entries={"size": Rule(int)}), {3: 1}, "no setting of x has the name '3'"),
        (Rule(str, choices=("diagonal", "wide")), "diagnoal", "one of diagonal, wide (did you mean 'diagonal'?)"),
        (Rule(int), "a" * 200, "..., expected a whole number"),
        (Rule(float, high=1), 10**400, "..., expected a number <= 1"),
    ],
)
def test_what_is_wrong_inside_is_named(rule, value, message):
    with pytest.raises(ConfigError) as error:
        rule.check("x", value)
    assert message in str(error.value) and len(str(error.value)) < 200


@dataclass(frozen=True)
class Sample(CheckedSettings):
    width: int = setting(4, low=1)
    names: list = setting(["a"], each=Rule(str))
    until: Optional[float] = setting(None, kind=float, low=0, optional=True)
    plain: bool = True


def test_settings_are_checked_as_they_are_made():
    assert Sample(width=2, until=0.5) == Sample(2, ["a"], 0.5, True)
    for wrong in ({"width": 0}, {"names": [1]}, {"until": -1}, {"plain": "yes"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Sample(**wrong)


def test_a_default_that_is_a_list_is_nobody_elses():
    Sample().names.append("b")
    assert Sample().names == ["a"]


def test_settings_are_taken_from_among_others():
    assert Sample.from_settings({"width": 3, "other": 1}) == Sample(width=3)


def test_the_backends_that_settings_name_are_those_there_are():
    assert vocabulary.BACKENDS == ("auto", *KERNELS)
    assert set(vocabulary.NODE_CLASSIFICATION_MAPS) < set(vocabulary.RESTRICTION_MAPS)
