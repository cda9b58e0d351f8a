"""A wrong environment is refused at import in one sentence."""

import pytest

from recbole_sheaf import environment
from recbole_sheaf.errors import EnvironmentMismatch


def test_the_tested_set_passes():
    environment.check_environment()


def test_a_wrong_release_is_named_with_the_reason_and_the_remedy(monkeypatch):
    installed = environment.metadata.version
    monkeypatch.setattr(environment.metadata, "version", lambda name: "3.0.1" if name == "pandas" else installed(name))
    with pytest.raises(EnvironmentMismatch) as error:
        environment.check_environment()
    assert "pandas 3.0.1 is installed, pandas>=1.5,<3 is needed (fillna(inplace=True) does nothing" in str(error.value)
    assert "pip install -c constraints.txt" in str(error.value)
    assert isinstance(error.value, ImportError)


def test_an_absent_package_is_named(monkeypatch):
    def version(name):
        raise environment.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(environment.metadata, "version", version)
    with pytest.raises(EnvironmentMismatch, match="recbole is not installed, recbole==1.2.1 is needed"):
        environment.check_environment()
