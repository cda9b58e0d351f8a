"""Reads YAML settings that may come from a stranger: safe, bounded, and ``1e-3`` is a number.

A file is read up to a size, nested up to a depth, and with its aliases written out it holds so many values at most; no
tag builds an object, and a key that stands twice in one mapping is refused.
"""

import copy
import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

import yaml

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.files.regular_files import open_regular

MOST_BYTES = 2**18
MOST_VALUES = 20_000
DEEPEST = 40

# A number with an exponent but no dot or no sign, which YAML 1.1 reads as text.
_EXPONENT = re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$")


try:
    from yaml import CSafeLoader as _SafeLoader  # an order of magnitude faster
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]


class SettingsLoader(_SafeLoader):
    """A YAML loader that builds no Python objects and reads ``1e-3`` as a number.

    RecBole changes ``yaml.FullLoader`` for the whole process, and that loader builds Python objects from tags.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  # as PyYAML has it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


SettingsLoader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))


class NotYaml(ConfigError):
    """A text that is not YAML, as against one that is refused for what it holds."""


class Document(NamedTuple):
    """A YAML document: what it says, and its nodes, which know their lines; both None where it is empty."""

    content: Any
    node: Optional[yaml.Node]


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of settings as a dict.

    Raises:
        ConfigError: if the file is absent, no text in UTF-8, too large, no YAML, or no mapping of names to values.
    """
    return copy.deepcopy(_mapping(_content(read_text(path), str(path)), path))


def keys_of_yaml(path: Path) -> frozenset[str]:
    """Names of the settings in a YAML file, of which no copy is made; it raises what :func:`read_yaml` does."""
    return frozenset(_mapping(_content(read_text(path), str(path)), path))


@functools.lru_cache(maxsize=64)
def _content(text: str, name: str) -> Any:
    """The parsed YAML of a text, kept: a run reads the defaults some sixty times, a third of what its start costs."""
    return parse(text, name).content


def read_text(path: Path) -> str:
    """The text of a settings file; only regular files are read, and none larger than ``MOST_BYTES``.

    Raises:
        ConfigError: saying what is wrong with the file.
    """
    if not os.path.exists(path):
        raise ConfigError(f"there is no settings file {str(path)[:200]}; give the path of a YAML file")
    with open_regular(path, ConfigError) as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise ConfigError(f"{path} is larger than {MOST_BYTES} bytes, which no settings are; give a YAML file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no UTF-8 text (at byte {error.start}); save it as UTF-8") from error


def parse(text: str, name: str) -> Document:
    """A YAML text as its content and its nodes.

    Raises:
        NotYaml: naming the text and the line where it cannot be read.
        ConfigError: if it is nested too deep, too large, or has a key twice.
    """
    try:
        _refuse_bombs(text, name)
        loader = SettingsLoader(text)
        node = loader.get_single_node()
        if node is not None:
            _refuse_repeated_keys(node, name)
        return Document(None if node is None else loader.construct_document(node), node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise NotYaml(f"{name}{where}: not readable as YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise NotYaml(f"{name}, line {line}: not readable as YAML: {error.reason}") from error
    except (ValueError, OverflowError) as error:
        if isinstance(error, ConfigError):
            raise
        raise NotYaml(f"{name}: not readable as YAML: {error}") from error


def _mapping(content: Any, path: Path) -> dict[str, Any]:
    if content is not None and not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}, expected 'key: value' lines")
    for key in content or {}:
        if not isinstance(key, str):
            raise ConfigError(f"{path} has the key {key!r}, expected the name of a setting")
    return content or {}


def _refuse_bombs(text: str, name: str) -> None:
    """Count values and depth as aliases would write them out, in one pass over the events, building nothing."""
    sizes: dict[str, tuple[int, int]] = {}
    open_nodes: list[list[Any]] = []  # anchor, values, depth of each collection that has begun
    for event in yaml.parse(text, Loader=SettingsLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append([event.anchor, 1, 1])
            if len(open_nodes) > DEEPEST:
                raise ConfigError(f"{name} is nested deeper than {DEEPEST} levels, which no settings are")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, values, depth = open_nodes.pop()
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in [begun[0] for begun in open_nodes]:
                raise ConfigError(f"{name} has the alias *{event.anchor} inside of &{event.anchor} itself; remove it")
            anchor, (values, depth) = None, sizes.get(event.anchor or "", (1, 1))
        elif isinstance(event, yaml.ScalarEvent):
            anchor, values, depth = event.anchor, 1, 1
        else:
            continue
        if values > MOST_VALUES or depth > DEEPEST:
            raise ConfigError(f"{name} holds more than {MOST_VALUES} values once its aliases are written out")
        if anchor is not None:
            sizes[anchor] = values, depth
        if open_nodes:
            open_nodes[-1][1] += values
            open_nodes[-1][2] = max(open_nodes[-1][2], depth + 1)


def _refuse_repeated_keys(node: yaml.Node, name: str) -> None:
    for mapping in _mappings(node):
        lines: dict[tuple[str, str], int] = {}
        for key, _ in mapping.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            known, line = (key.tag, key.value), key.start_mark.line + 1
            if known in lines:
                where = f"{name}, line {lines[known]}, key '{key.value}'"
                raise ConfigError(f"{where}: stands here and again on line {line}; give it once")
            lines[known] = line


def _mappings(node: yaml.Node) -> Iterator[yaml.MappingNode]:
    """Every mapping of a document, an aliased one once."""
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if id(node) in seen or isinstance(node, yaml.ScalarNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield node
            waiting += [child for pair in node.value for child in pair]
        else:
            waiting += node.value
