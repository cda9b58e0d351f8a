"""Shards of one piece of work on workers: what they give comes in their order, whoever made it and when."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any

from recbole_sheaf.errors import WorkersGone, first_line
from recbole_sheaf.workers.pools import Workers

logger = logging.getLogger(__name__)

TRIES = 3
SECONDS_BETWEEN_LOOKS = 5.0  # at workers of which nothing is heard


@dataclass
class _Running:
    number: int
    shard: tuple
    future: Future
    tries: int = 1


def in_order(workers: Workers, call: Callable[..., Any], shards: Iterable[tuple], tries: int = TRIES) -> Iterator[Any]:
    """What ``call`` gives for each shard, in the order of the shards, each once.

    A shard whose worker dies, with its node or alone, is started again elsewhere, and the log says so.

    Args:
        workers: where calls run; entered already.
        call: a function of a module, as workers import it.
        shards: the arguments of each call; taken as there is room.
        tries: how often a shard is started.

    Raises:
        WorkersGone: if the workers of a shard died as often as that, or the cluster is gone.
        Exception: what a call raises.

    Memory that of ``workers.slots + workers.ahead`` shards and what they give.
    """
    running: deque[_Running] = deque()
    waiting = enumerate(shards)
    while True:
        while len(running) < workers.slots + workers.ahead and (following := next(waiting, None)) is not None:
            number, shard = following
            running.append(_Running(number, shard, workers.submit(call, *shard)))
        if not running:
            return
        _until_first(workers, call, running, tries)
        yield running.popleft().future.result()


def _until_first(workers: Workers, call: Callable[..., Any], running: deque[_Running], tries: int) -> None:
    """Wait for the first of those that run, and start again what died meanwhile."""
    while True:
        for each in running:
            error = each.future.exception() if each.future.done() else None
            if error is not None and workers.died(error):
                _start_again(workers, call, each, error, tries)
        first = running[0].future
        if first.done():
            error = first.exception()
            if error is None:
                return
            if not workers.died(error):
                raise workers.own(error)
        unfinished = [each.future for each in running if not each.future.done()]
        if not wait(unfinished, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED).done:
            workers.refuse_gone()


def _start_again(workers: Workers, call: Callable[..., Any], dead: _Running, error: BaseException, tries: int) -> None:
    workers.refuse_gone()
    reason = f"{type(error).__name__}: {first_line(error)}"[:200]
    if dead.tries >= tries:
        raise WorkersGone(
            f"the worker of shard {dead.number} died {tries} times ({reason}); give workers more memory, or take fewer "
            "of them, and give the same command again, which goes on from what is finished"
        )
    dead.tries += 1
    logger.warning(
        "the worker of shard %d died (%s); it is started again, try %d of %d", dead.number, reason, dead.tries, tries
    )
    dead.future = workers.submit(call, *dead.shard)
