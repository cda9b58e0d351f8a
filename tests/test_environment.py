"""A wrong environment is refused at import in one sentence."""

import os
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from recbole_sheaf import environment
from recbole_sheaf.errors import EnvironmentMismatch
from tests.conftest import REPOSITORY


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


@pytest.mark.parametrize(
    "before, given, expected",
    [
        ("", {}, "10000"),
        ("", {"GOMP_SPINCOUNT": "7"}, "7"),
        ("", {"OMP_WAIT_POLICY": "active"}, "None"),
        ("import sys, types; sys.modules['torch'] = types.ModuleType('torch'); ", {}, "None"),
    ],
)
def test_threads_wait_asleep_unless_the_user_says_otherwise(before, given, expected):
    code = (
        f"{before}import os; from recbole_sheaf.environment import let_threads_sleep; "
        "let_threads_sleep(); print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    kept = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, env={**kept, **given}, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == expected


@pytest.mark.parametrize("python", ["3.9", "3.10", "3.11"])
def test_every_package_is_pinned_to_one_release(python):
    lines = [line.partition("#")[0].strip() for line in (REPOSITORY / "constraints.txt").read_text().splitlines()]
    pins = [Requirement(line) for line in lines if line]
    there = [pin.name for pin in pins if pin.marker is None or pin.marker.evaluate({"python_version": python})]
    assert sorted(there) == sorted(set(there)) and len(there) > 40
