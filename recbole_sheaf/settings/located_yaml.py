"""A YAML file that remembers on which line each key stands, so that a refusal can point there."""

from pathlib import Path
from typing import Any, Union

import yaml

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.settings.settings_files import parse, read_text

Keys = tuple[Union[str, int], ...]


class LocatedYaml:
    """The content of a YAML file and the line of every key in it.

    Attributes:
        path: of the file.
        content: the file's mapping.
        lines: line (from 1) of each key path, such as ``("models", "LightGCN", "n_layers")``; list entries by index.

    Raises:
        ConfigError: if the file is absent, is not YAML, is no mapping, or names a key twice in one mapping.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.lines: dict[Keys, int] = {}
        self.content, node = parse(read_text(self.path), str(path))
        if not isinstance(node, yaml.MappingNode):
            kind = type(self.content).__name__ if node is not None else "nothing"
            raise ConfigError(f"{path} holds {kind}, expected 'key: value' lines")
        self._locate(node, ())

    def refuse(self, keys: Keys, problem: str) -> ConfigError:
        """A ConfigError that names the file and the line of a key, for the caller to raise."""
        known = next((keys[:n] for n in range(len(keys), 0, -1) if keys[:n] in self.lines), None)
        where = f", line {self.lines[known]}, key '{'.'.join(map(str, keys))}'" if known else ""
        return ConfigError(f"{self.path}{where}: {problem}")

    def _locate(self, node: yaml.Node, keys: Keys) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:  # keys merged by `<<` come first, the mapping's own win
                inner = (*keys, str(key.value))
                self.lines[inner] = key.start_mark.line + 1
                self._locate(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                place = (*keys, index)
                self.lines[place] = value.start_mark.line + 1
                self._locate(value, place)

    def at(self, *keys: Union[str, int], default: Any = None) -> Any:
        """The value at a key path, ``default`` where there is none or it is empty."""
        value: Any = self.content
        for key in keys:
            inside = isinstance(value, dict) and key in value
            if not inside and not (isinstance(value, list) and isinstance(key, int) and key < len(value)):
                return default
            value = value[key]
        return default if value is None else value
