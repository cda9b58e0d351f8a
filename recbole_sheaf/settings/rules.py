"""What values a setting may take: one rule a setting, one sentence where a value breaks it.

A :class:`Rule` is given to a field of a settings dataclass by :func:`setting`, or stands in a table by the setting's
name, as RecBole's own do (:mod:`recbole_sheaf.settings.recbole_rules`).
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Optional, TypeVar, Union

from recbole_sheaf.errors import ConfigError, nearest, shown

Number = Union[int, float]
Choices = Union[str, float, list]
_KINDS: Mapping[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


@dataclass(frozen=True)
class Rule:
    """Which values a setting may take.

    Attributes:
        kind: ``int``, ``float`` (whole numbers serve too), ``bool``, ``str``, ``list`` or ``dict``.
        low, high: inclusive bounds.
        above, below: exclusive bounds.
        choices: the only texts allowed.
        form: a regular expression that a text must match as a whole, and ``such_as`` an example of one.
        words: texts allowed beside the kind.
        optional: whether ``~`` (None) is allowed.
        each: of every entry of a list, or value of a mapping.
        entries: of each key of a mapping; no other key is allowed.
        alone: whether one entry may stand without its list.
        any_case: whether choices are compared without case.
        instead: a rule of another kind, which a value of that kind has to keep.
        also: refuses what no rule of parts can say, given the name and the value.
    """

    kind: type
    low: Optional[Number] = None
    high: Optional[Number] = None
    above: Optional[Number] = None
    below: Optional[Number] = None
    choices: tuple[str, ...] = ()
    form: Optional[str] = None
    such_as: str = ""
    words: tuple[str, ...] = ()
    optional: bool = False
    each: Optional["Rule"] = None
    entries: Optional[Mapping[str, "Rule"]] = None
    alone: bool = False
    any_case: bool = False
    instead: Optional["Rule"] = None
    also: Optional[Callable[[str, Any], None]] = None

    def check(self, name: str, value: Any) -> None:
        """Refuse a value that breaks the rule.

        Raises:
            ConfigError: naming the setting, the value that arrived and the values allowed.
        """
        if (value is None and self.optional) or (isinstance(value, str) and value in self.words):
            return
        if self.instead is not None and isinstance(value, self.instead.kind):
            self.instead.check(name, value)
            return
        alone = self.alone and self.each is not None and self.each._allows(value)
        if not alone and not self._allows(value):
            raise ConfigError(f"{name} is {shown(value)}, expected {self}{self._near(value)}")
        self._check_inside(name, value)
        if self.also is not None:
            self.also(name, value)

    def _allows(self, value: Any) -> bool:
        if isinstance(value, bool) and self.kind is not bool:
            return False
        if isinstance(value, str):
            return self.kind is str and self._spells(value)
        if isinstance(value, (int, float)) and self.kind is not bool:
            return (self.kind is float or type(value) is self.kind) and self._within(value)
        return isinstance(value, self.kind)

    def _spells(self, text: str) -> bool:
        if self.choices:
            return (text.lower() if self.any_case else text) in self.choices
        return self.form is None or re.fullmatch(self.form, text) is not None

    def _within(self, value: Number) -> bool:
        return (
            (isinstance(value, int) or math.isfinite(value))
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def _check_inside(self, name: str, value: Any) -> None:
        if isinstance(value, dict):
            if self.entries is not None:
                refuse_unknown_keys(value, self.entries, name)
            for key, inner in value.items():
                rule = self.each if self.entries is None else self.entries[key]
                if rule is not None:
                    rule.check(f"{name}.{key}", inner)
        elif isinstance(value, list) and self.each is not None:
            for inner in value:
                self.each.check(f"an entry of {name}", inner)

    def _near(self, value: Any) -> str:
        return nearest(value, self.choices, count=1) if isinstance(value, str) and self.choices else ""

    def __str__(self) -> str:
        said = f"one of {', '.join(self.choices)}" if self.choices else self._kind() + self._bounds()
        more = [*self.words, *([str(self.instead)] if self.instead else []), *(["~ for none"] if self.optional else [])]
        return ", ".join([said, *more[:-1]]) + (f" or {more[-1]}" if more else "")

    def _kind(self) -> str:
        return (f"{replace(self.each, instead=None)} or " if self.alone and self.each else "") + self._own_kind()

    def _own_kind(self) -> str:
        if self.kind is list:
            return f"a list, each entry {self.each}" if self.each else "a list"
        if self.kind is dict:
            return "'key: value' lines" + (f" with keys among {', '.join(self.entries)}" if self.entries else "")
        return _KINDS[self.kind] + (f" such as {self.such_as}" if self.such_as else "")

    def _bounds(self) -> str:
        signs = ((">=", self.low), (">", self.above), ("<=", self.high), ("<", self.below))
        bounds = [f"{sign} {bound}" for sign, bound in signs if bound is not None]
        return f" {' and '.join(bounds)}" if bounds else ""


def setting(default: Any, kind: Optional[type] = None, **limits: Any) -> Any:
    """A field of a settings dataclass with its default and its rule; the kind is the default's unless given.

    A default that is a list or a mapping is copied for each instance.
    """
    rule = Rule(kind or type(default), **limits)
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata={"rule": rule})
    return field(default=default, metadata={"rule": rule})


def choices(default: Choices, high: Optional[float] = None) -> Any:
    """A setting that is a number >= 0, a list of them, or ``auto``: validation chooses among those."""
    each = Rule(float, low=0, high=high)
    return setting(default, kind=list, each=each, alone=True, words=("auto",), also=_refuse_no_choice)


def _refuse_no_choice(name: str, value: Any) -> None:
    """Refuse a list of nothing to choose among.

    Raises:
        ConfigError: naming the setting.
    """
    if value == []:
        raise ConfigError(f"{name} is [], so validation has nothing to choose among; give a number, a list or auto")


def rules_of(settings: type) -> dict[str, Rule]:
    """The rule of each field of a settings dataclass; one without a rule of its own has that of its default's kind."""
    plain = {spec.name: Rule(type(spec.default)) for spec in fields(settings) if type(spec.default) in _KINDS}
    return {**plain, **{spec.name: spec.metadata["rule"] for spec in fields(settings) if "rule" in spec.metadata}}


Settings = TypeVar("Settings", bound="CheckedSettings")


@dataclass(frozen=True)
class CheckedSettings:
    """Base of settings dataclasses: every field is held against its rule.

    Raises:
        ConfigError: at the making, for a value that breaks its rule.
    """

    def __post_init__(self) -> None:
        for name, rule in rules_of(type(self)).items():
            rule.check(name, getattr(self, name))

    @classmethod
    def from_settings(cls: type[Settings], settings: Mapping[str, Any]) -> Settings:
        """An instance made of those settings that are its fields; a field that is not there has its default."""
        return cls(**{spec.name: settings[spec.name] for spec in fields(cls) if spec.name in settings})


def check_values(settings: Mapping[str, Any], rules: Mapping[str, Rule]) -> None:
    """Hold settings against the rules of those that have one.

    Raises:
        ConfigError: for the first that breaks its own.
    """
    for key, value in settings.items():
        if key in rules:
            rules[key].check(key, value)


def refuse_unknown_keys(settings: Iterable[Any], known: Iterable[str], what: str) -> None:
    """Refuse keys that nothing reads.

    Raises:
        ConfigError: naming each unknown key, the nearest known ones and what was asked to read them.
    """
    known = sorted(known)
    unknown = [key for key in settings if key not in known]
    if unknown:
        listed = "; ".join(f"'{key}'{nearest(str(key), known)}" for key in unknown)
        raise ConfigError(f"no setting of {what} has the name {listed}; check the spelling")
