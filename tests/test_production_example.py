"""``examples/production/compose.yaml``: its commands are ours, its images are pinned, and it keeps no password."""

import importlib
import re
import shlex

import pytest
import yaml

from tests.conftest import REPOSITORY

FILE = REPOSITORY / "examples" / "production" / "compose.yaml"
EXAMPLE = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES = EXAMPLE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("recbole-sheaf")}


def command_of(service):
    """What our command is given, whether through a shell or not."""
    words = service["command"]
    if "entrypoint" in service:
        assert service["entrypoint"] == ["sh", "-c"]
        (line,) = words
        words = shlex.split(line.partition("recbole-sheaf ")[2])
    return words


def mounts(service):
    """Folders of a container, and whether they may be written to."""
    found = (volume.split(":") for volume in service.get("volumes", ()))
    return {target: "ro" not in mode for _, target, *mode in found}


@pytest.mark.parametrize("name", OURS)
def test_commands_are_ours(name):
    command, *rest = command_of(SERVICES[name])
    options = importlib.import_module(f"recbole_sheaf.cli.{command}").parser().parse_args(rest)
    source = str(options.source if command == "serve" else options.checkpoint)
    assert {source.rpartition("/")[0]} <= set(mounts(SERVICES[name])), "what it reads is in a folder that is mounted"
    assert not mounts(SERVICES[name])[source.rpartition("/")[0]]


def test_it_serves_to_the_proxy_alone_and_looks_for_newer_exports():
    _, *rest = command_of(SERVICES["serve"])
    options = importlib.import_module("recbole_sheaf.cli.serve").parser().parse_args(rest)
    assert options.host == "0.0.0.0" and options.workers > 1 and options.watch
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert list(published) == ["proxy"] and all(port.startswith("127.0.0.1:") for port in published["proxy"])
    rules = EXAMPLE["configs"]["proxy"]["content"]
    assert f"proxy_pass http://serve:{options.port};" in rules and "location = /metrics { return 404; }" in rules
    assert "$" not in rules.replace("$$", ""), "compose would put a variable of its own there"
    assert int(re.search(r"proxy_read_timeout (\d+)s", rules)[1]) > options.timeout
    assert int(SERVICES["serve"]["stop_grace_period"].removesuffix("s")) > 10


def test_vectors_go_to_the_database_of_the_example():
    _, *rest = command_of(SERVICES["load"])
    options = importlib.import_module("recbole_sheaf.cli.export").parser().parse_args(rest)
    user, host, database = re.fullmatch(r"postgresql://(\w+)@(\w+)/(\w+)", options.to).groups()
    settings = SERVICES[host]["environment"]
    assert (settings["POSTGRES_USER"], settings["POSTGRES_DB"]) == (user, database)
    assert SERVICES[host]["image"].startswith("pgvector/pgvector:")
    installed = (REPOSITORY / "Dockerfile").read_text()
    assert all(f"-r {extra}.txt" in installed for extra in ("serve", "postgres"))


def test_images_are_pinned():
    for name, service in SERVICES.items():
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*", service["image"]), name
        assert name not in OURS or (FILE.parent / service["build"]["context"] / "Dockerfile").is_file()


def test_what_stays_up_is_looked_after():
    staying = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert staying == {"db", "serve", "proxy"}
    for name in staying:
        assert SERVICES[name]["restart"] == "unless-stopped" and SERVICES[name]["healthcheck"]["test"][0] == "CMD", name
    for service in SERVICES.values():
        for other, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"} and "healthcheck" in SERVICES[other]


def test_passwords_are_files_that_are_not_committed():
    assert not re.search(r"PASSWORD: |PASSWORD=[^\"]|://\w+:\w+@", FILE.read_text())
    ignored = (REPOSITORY / ".gitignore").read_text().splitlines()
    for secret in EXAMPLE["secrets"].values():
        assert list(secret) == ["file"]
        assert f"/{(FILE.parent / secret['file']).relative_to(REPOSITORY).parent}/" in ignored
    for service in SERVICES.values():
        assert set(service.get("secrets", ())) <= set(EXAMPLE["secrets"])


def test_names_that_are_used_are_there():
    for service in SERVICES.values():
        assert set(service["networks"]) <= set(EXAMPLE["networks"])
        named = {volume.partition(":")[0] for volume in service.get("volumes", ()) if not volume.startswith(".")}
        assert named <= set(EXAMPLE["volumes"])
        assert {config["source"] for config in service.get("configs", ())} <= set(EXAMPLE["configs"])
