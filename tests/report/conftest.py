"""One store for all tests that read it, and the documents made of it."""

import pytest

from recbole_sheaf.report.assembling import assemble
from recbole_sheaf.report.words import LANGUAGES, Words
from recbole_sheaf.store.material import read_material
from tests.report.stores import full
from tests.store.planted import held_open


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """To be read alone."""
    with held_open(full(tmp_path_factory.mktemp("report") / "store.duckdb")) as store:
        yield store


@pytest.fixture(scope="session")
def material(store):
    return read_material(store, {})


@pytest.fixture(scope="session")
def group(material):
    return material.groups[0]


@pytest.fixture(scope="session")
def documents(material):
    return {language: assemble(material, Words(language)) for language in LANGUAGES}
