"""What workers on a Ray cluster make of its errors, and of a cluster that is gone or too small; without a cluster."""

import socket
from types import SimpleNamespace

import pytest

from recbole_sheaf.errors import ConfigError, WorkersGone
from recbole_sheaf.workers import pools
from recbole_sheaf.workers.pools import RayWorkers


class Died(Exception):
    """Ray's base of all errors."""


class Raised(Died):
    """Ray's wrapping of what a call raised."""


def fake_ray(cpus, **more):
    ended = []
    return SimpleNamespace(
        init=lambda **options: None,
        shutdown=lambda: ended.append(True),
        ended=ended,
        cluster_resources=lambda: {"CPU": float(sum(cpus))},
        nodes=lambda: (
            [{"Alive": True, "Resources": {"CPU": float(n)}} for n in cpus]
            + [{"Alive": False, "Resources": {"CPU": 64.0}}]
        ),
        exceptions=SimpleNamespace(RayError=Died, RayTaskError=Raised),
        **more,
    )


@pytest.fixture
def entered(monkeypatch):
    def enter(cpus, threads=1, **more):
        ray = fake_ray(cpus, **more)
        monkeypatch.setattr(pools, "from_ray", lambda name, what: ray)
        workers = RayWorkers("auto", threads)
        return workers.__enter__(), ray

    return enter


def test_a_cluster_has_as_many_slots_as_threads_fit(entered):
    assert entered([4, 2])[0].slots == 6 and entered([4, 2], threads=2)[0].slots == 3


def test_threads_that_no_living_node_has_are_refused_since_their_work_would_wait_for_ever(entered):
    with pytest.raises(ConfigError, match="threads is 3, but no node of the Ray cluster has more than 2 CPUs"):
        entered([2, 2], threads=3)


def test_an_error_of_the_call_is_no_death_of_its_worker(entered):
    workers, _ = entered([1])
    assert workers.died(Died()) and not workers.died(Raised()) and not workers.died(ValueError())
    raised, cause = Raised(), ConfigError("no")
    raised.cause = cause
    assert workers.own(raised) is cause and workers.own(cause) is cause


def test_a_cluster_that_is_gone_is_said_and_not_waited_for(entered):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        context = SimpleNamespace(gcs_address=address)
        workers, ray = entered([1], get_runtime_context=lambda: context)
        with pytest.raises(
            WorkersGone, match=f"the Ray cluster does not answer at {address} .* goes on from what"
        ) as e:
            workers.refuse_gone()
    workers.__exit__(WorkersGone, e.value, None)
    assert not ray.ended
    workers.__exit__(None, None, None)
    assert ray.ended == [True]


def test_a_call_is_given_to_ray_once(entered):
    made = []

    def remote(**options):
        def of(call):
            made.append((call, options))
            return SimpleNamespace(remote=lambda *args: SimpleNamespace(future=lambda: call(*args)))

        return of

    workers, _ = entered([2], threads=2, remote=remote)
    assert [workers.submit(abs, -n) for n in range(3)] == [0, 1, 2]
    assert made == [(abs, {"num_cpus": 2, "max_retries": 0})]
