"""Settings files that do not change are parsed once, since an attack goes in by the door some hundred times."""

import copy

import pytest
import yaml

_parsed = {}
_load = yaml.load


def _once(stream, Loader):  # noqa: N803, PyYAML's own name
    if not isinstance(stream, str) or len(stream) < 200:
        return _load(stream, Loader=Loader)
    if stream not in _parsed:
        _parsed[stream] = _load(stream, Loader=Loader)
    return copy.deepcopy(_parsed[stream])


@pytest.fixture
def yaml_once(monkeypatch):
    """Parse each of RecBole's files and ours once in a session."""
    monkeypatch.setattr(yaml, "load", _once)
