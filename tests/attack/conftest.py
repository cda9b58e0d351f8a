"""What an attack may cost: a bounded amount of memory; settings files that do not change are parsed once."""

import copy
import resource

import pytest
import yaml

MOST_GROWTH = 1 << 30  # bytes, of this process over all rows or examples of a module
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


@pytest.fixture(scope="module", autouse=True)
def bounded_memory():
    """No input takes a gibibyte."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_GROWTH
