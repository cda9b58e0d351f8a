"""The lock is whole and agrees with ``setup.cfg``, whose every upper bound gives its reason."""

import configparser
import re
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from recbole_sheaf.environment import BOUNDS, PYTHONS
from tests.conftest import REPOSITORY

SETUP = configparser.ConfigParser()
SETUP.read(REPOSITORY / "setup.cfg")
NEEDED, EXTRAS = SETUP["options"]["install_requires"], SETUP["options.extras_require"]
HASHED = ["run", *EXTRAS]  # what trains and evaluates, and what an extra needs beside that
APART = re.compile(r"torch$|torchvision$|triton$|nvidia-|cuda-")  # PyTorch, and what a build of it brings
VERSIONS = [f"3.{minor}" for minor in range(PYTHONS[0][1], PYTHONS[1][1] + 1)]

pythons = pytest.mark.parametrize("python", VERSIONS)
files = pytest.mark.parametrize("file", HASHED)


def wanted(text, python):
    """What a list of ``setup.cfg`` asks for on a Python."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [one for one in map(Requirement, filter(None, lines)) if holds(one, python)]


def holds(requirement, python):
    machine = {"sys_platform": "linux", "platform_machine": "x86_64", "extra": ""}
    here = {**machine, "python_version": python, "python_full_version": f"{python}.9"}
    return requirement.marker is None or requirement.marker.evaluate(here)


def pins(name, python):
    """Name and release of what a file of the lock holds for a Python."""
    text = (REPOSITORY / name).read_text().replace("\\\n", " ")
    lines = (re.sub(r"--hash=\S+", "", line).partition("#")[0].strip() for line in text.splitlines())
    there = [one for one in map(Requirement, filter(None, lines)) if holds(one, python)]
    pinned = {canonicalize_name(one.name): str(one.specifier) for one in there}
    assert len(there) == len(pinned), "a package twice"
    assert all(re.fullmatch(r"==[^,*]+", specifier) for specifier in pinned.values())
    return {name: specifier.removeprefix("==") for name, specifier in pinned.items()}


@pythons
@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_what_setup_asks_for_stands_in_the_whole_tree(python, extra):
    pinned = pins("constraints.txt", python)
    for one in wanted(EXTRAS[extra] if extra else NEEDED, python):
        assert one.specifier.contains(pinned[canonicalize_name(one.name)]), one


@pythons
@files
def test_each_file_has_what_it_is_for_at_the_releases_of_the_whole_tree(file, python):
    run, pinned = pins("requirements/run.txt", python), pins(f"requirements/{file}.txt", python)
    assert pinned.items() <= pins("constraints.txt", python).items()
    asked = {canonicalize_name(one.name) for one in wanted(NEEDED if file == "run" else EXTRAS[file], python)}
    assert asked - {"torch", "torchvision"} <= set(run | pinned)
    assert not [name for name in pinned if APART.match(name)]


@pythons
def test_what_runs_has_recbole_everywhere_and_dgl_where_it_has_wheels(python):
    pinned = pins("requirements/run.txt", python)
    assert pinned["recbole"] == "1.2.1", "beyond Python 3.11 setup.cfg cannot ask for it"
    assert ("dgl" in pinned) == (python == "3.11")
    assert not {"ray", "hyperopt", "thop", "tensorboard"} & set(pinned)


@files
def test_every_release_has_its_hashes_and_no_address(file):
    text = (REPOSITORY / "requirements" / f"{file}.txt").read_text()
    releases = text.replace("\\\n", " ").splitlines()
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}( |$)", release) for release in releases)
    assert "://" not in text and "index" not in text


def test_the_lock_wants_nothing_that_it_lacks():
    """By the metadata of what is installed here: pip takes the lock without asking what else a package needs."""
    python = f"3.{sys.version_info.minor}"
    pinned = pins("requirements/run.txt", python) | pins("requirements/test.txt", python)
    checked = 0
    for name in pinned:
        if name == "recbole":  # its list is longer than what it imports: library_mends
            continue
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        needs = {canonicalize_name(one.name) for one in map(Requirement, requires) if holds(one, python)}
        absent = [one for one in needs - set(pinned) if not APART.match(one)]
        assert not absent, f"{name} needs {absent}"
        checked += 1
    assert checked > 40


def test_every_upper_bound_gives_its_reason():
    lines = (REPOSITORY / "setup.cfg").read_text().splitlines()
    bounds = [at for at, line in enumerate(lines) if re.match(r"\s*[\w.-]+( = )?[<>=,0-9.]*(<|==)[0-9]", line)]
    assert [re.split(r"[ <>=\[]", lines[at].strip())[0] for at in bounds] == ["python_requires", "dgl", "recbole"]
    assert all(lines[at - 1].lstrip().startswith("#") for at in bounds)


def test_the_check_of_the_environment_has_the_bounds_of_setup():
    specifier = SpecifierSet(SETUP["options"]["python_requires"].partition("#")[0])
    assert [version for version in (f"3.{minor}" for minor in range(8, 18)) if version in specifier] == VERSIONS
    asked = {one.name: one.specifier for one in wanted(NEEDED, "3.11")}
    assert {bound.distribution: SpecifierSet(bound.versions) for bound in BOUNDS}.items() <= asked.items()
