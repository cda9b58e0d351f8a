"""Shards on workers: in their order, each once, whoever dies on the way."""

import logging
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from recbole_sheaf.errors import ConfigError, WorkersGone
from recbole_sheaf.workers import in_order as module
from recbole_sheaf.workers.in_order import in_order
from recbole_sheaf.workers.pools import ProcessWorkers, ThisProcess, Workers
from recbole_sheaf.workers.threads import threads_limited
from tests.workers import jobs


class Died(Exception):
    """What a worker of these leaves when it dies."""


class ByHand(Workers):
    """Calls end when the test says so."""

    slots, ahead = 2, 1

    def __init__(self):
        self.started, self.gone = [], False

    def submit(self, call, *args):
        future = Future()
        self.started.append((args, future))
        return future

    def died(self, error):
        return isinstance(error, Died)

    def refuse_gone(self):
        if self.gone:
            raise WorkersGone("the cluster is gone")


def numbers_started(workers):
    return [args[0] for args, _ in workers.started]


@pytest.fixture(autouse=True)
def looks_often(monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 0.01)


def test_results_come_in_order_and_few_shards_are_taken_ahead():
    workers, taken = ByHand(), []
    shards = ((taken.append(number) or number,) for number in range(6))
    results = in_order(workers, jobs.doubled, shards)
    assert not workers.started  # a generator starts nothing before it is asked
    workers.submit = _ended_backwards(workers, workers.submit)
    assert next(results) == 0 and taken == [0, 1, 2]
    assert list(results) == [2, 4, 6, 8, 10] and taken == list(range(6))


def _ended_backwards(workers, submit):
    """Of three that run the last ends first, and the first when all have been started."""

    def started(call, *args):
        future = submit(call, *args)
        number = args[0]
        if number >= 2:
            future.set_result(call(*args))
            for (earlier,), other in workers.started:
                if not other.done():
                    other.set_result(call(earlier))
        return future

    return started


def test_a_shard_whose_worker_died_is_started_again_before_its_turn(caplog):
    workers = ByHand()
    submit, tries = workers.submit, {}

    def started(call, *args):
        future, number = submit(call, *args), args[0]
        tries[number] = tries.get(number, 0) + 1
        if number == 1 and tries[number] < 3:
            future.set_exception(Died("node lost"))
        elif number != 0 or tries.get(1) == 3:
            future.set_result(call(*args))
        if tries.get(1) == 3 and not workers.started[0][1].done():
            workers.started[0][1].set_result(0)  # the first ends once the second was started again, twice
        return future

    workers.submit = started
    with caplog.at_level(logging.WARNING):
        assert list(in_order(workers, jobs.doubled, ((n,) for n in range(4)))) == [0, 2, 4, 6]
    assert tries == {0: 1, 1: 3, 2: 1, 3: 1}
    assert [record.message for record in caplog.records] == [
        f"the worker of shard 1 died (Died: node lost); it is started again, try {n} of 3" for n in (2, 3)
    ]


def test_a_shard_that_ends_every_worker_is_refused_in_a_sentence():
    workers = ByHand()
    submit = workers.submit

    def started(call, *args):
        future = submit(call, *args)
        future.set_exception(Died("killed"))
        return future

    workers.submit = started
    with pytest.raises(WorkersGone, match=r"shard 0 died 2 times \(Died: killed\); give workers more memory") as error:
        list(in_order(workers, jobs.doubled, [(1,)], tries=2))
    assert numbers_started(workers) == [1, 1] and error.value.exit_code == 1


def test_workers_of_which_nothing_is_heard_are_asked_for():
    workers = ByHand()
    workers.gone = True
    with pytest.raises(WorkersGone, match="the cluster is gone"):
        list(in_order(workers, jobs.doubled, [(1,)]))


def test_what_a_call_refuses_is_raised_as_it_is_and_not_tried_again():
    given = []
    with ThisProcess() as workers, pytest.raises(ConfigError, match="number is 2"):
        given += in_order(workers, jobs.refuses, ((n,) for n in range(4)))
    workers = ByHand()
    submit = workers.submit
    workers.submit = lambda call, *args: _raised(submit(call, *args), ConfigError("no"))
    with pytest.raises(ConfigError, match="no"):
        list(in_order(workers, jobs.doubled, [(1,)]))
    assert len(workers.started) == 1


def _raised(future, error):
    future.set_exception(error)
    return future


def test_this_process_makes_one_result_at_a_time():
    made = []
    results = in_order(ThisProcess(), made.append, ((n,) for n in range(3)))
    next(results)
    assert made == [0]


def test_processes_read_what_is_shared_and_a_killed_one_is_replaced(tmp_path, caplog):
    arrays = {"values": np.arange(5.0), "nothing": np.zeros((0, 3))}
    with ProcessWorkers(2) as workers:
        shared = workers.share(arrays)
        folder = workers.folders[0]
        assert list(in_order(workers, jobs.total, ((shared, n) for n in range(3)))) == [
            (10.0 + n, (0, 3)) for n in range(3)
        ]
        found = list(in_order(workers, jobs.kills_itself_once, ((str(tmp_path), n) for n in range(4))))
        assert list(in_order(workers, jobs.threads_of_numpy, [(1,)])) == [{1}]
        with pytest.raises(ConfigError, match="^number is 2, expected another$"):
            list(in_order(workers, jobs.refuses, ((n,) for n in range(4))))
    assert [number for number, _ in found] == [0, 1, 2, 3] and "worker of shard 1 died" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0-0", "1-0", "1-1", "2-0", "3-0"]
    assert not Path(folder).exists()


def test_threads_are_those_before_when_the_work_is_done():
    import torch
    from threadpoolctl import threadpool_info

    before = [each["num_threads"] for each in threadpool_info()], torch.get_num_threads()
    with threads_limited(3):
        assert torch.get_num_threads() == 3
    with threads_limited(None):
        assert before == ([each["num_threads"] for each in threadpool_info()], torch.get_num_threads())
    assert before == ([each["num_threads"] for each in threadpool_info()], torch.get_num_threads())


def test_arrays_of_this_process_have_a_key_of_their_own():
    workers = ThisProcess()
    one, other = (workers.share({"a": np.zeros(1)}) for _ in range(2))
    assert one != other and hash(one) != hash(other) and one.open()["a"] is one.arrays["a"]
