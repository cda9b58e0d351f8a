"""Nobody waits for minutes for a host that does not answer."""

import socket
import time

import pytest

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.experiments.mlflow_tracking import Tracking
from recbole_sheaf.reachable import SECONDS_VARIABLE, refuse_unreachable
from recbole_sheaf.workers.pools import RayWorkers


@pytest.fixture
def closed():
    """An address at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def silent(monkeypatch):
    """Every host takes packets and says nothing, however long one waits."""

    def connect(address, timeout):
        raise TimeoutError(f"timed out after {timeout:g} s")

    monkeypatch.setattr(socket, "create_connection", connect)


@pytest.mark.parametrize("scheme", ["", "http://", "ray://"])
def test_one_who_answers_passes(scheme):
    with socket.create_server(("127.0.0.1", 0)) as server:
        refuse_unreachable("it", f"{scheme}127.0.0.1:{server.getsockname()[1]}", "nothing")


def test_ray_and_mlflow_that_are_not_there_are_refused_at_once(closed):
    started = time.perf_counter()
    with pytest.raises(ConfigError, match=rf"a Ray cluster does not answer at {closed} .*'local' to start one"):
        RayWorkers(closed, 1).__enter__()
    with pytest.raises(ConfigError, match=rf"MLflow does not answer at http://{closed} .*log_mlflow to false"):
        Tracking(f"http://{closed}", "x").open()
    assert time.perf_counter() - started < 10


def test_the_wait_is_15_seconds_or_what_the_environment_says(silent, monkeypatch):
    with pytest.raises(ConfigError, match="timed out after 15 s"):
        refuse_unreachable("it", "10.0.0.1:1", "nothing")
    monkeypatch.setenv(SECONDS_VARIABLE, "0.5")
    with pytest.raises(ConfigError, match=r"timed out after 0.5 s\) within 0.5 s; nothing"):
        refuse_unreachable("it", "10.0.0.1:1", "nothing")
    for wrong in ("x", "0", "-1", "nan", "inf"):
        monkeypatch.setenv(SECONDS_VARIABLE, wrong)
        with pytest.raises(ConfigError, match=f"{SECONDS_VARIABLE} is '{wrong}', expected a number of seconds"):
            refuse_unreachable("it", "10.0.0.1:1", "nothing")


def test_what_a_proxy_reaches_is_left_to_the_proxy(silent, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    refuse_unreachable("it", "http://10.0.0.1:1", "nothing")
    monkeypatch.setenv("no_proxy", "10.0.0.1")
    with pytest.raises(ConfigError, match="timed out"):
        refuse_unreachable("it", "http://10.0.0.1:1", "nothing")


@pytest.mark.parametrize("address", ["host:port", "host:99999999", "no such host", "", ":1"])
def test_an_address_that_is_none_is_refused(address, monkeypatch):
    monkeypatch.setenv(SECONDS_VARIABLE, "2")
    with pytest.raises(ConfigError, match="it does not answer at"):
        refuse_unreachable("it", address, "nothing")
