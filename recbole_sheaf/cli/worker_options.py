"""Options of commands whose work goes to several processes, or to a Ray cluster."""

import argparse
from typing import Any, Optional

from recbole_sheaf.errors import ConfigError


def add_worker_options(options: argparse.ArgumentParser) -> None:
    """``--workers``, ``--ray-address`` and ``--threads``; :func:`workers_of` reads them."""
    options.add_argument("--workers", type=int, metavar="N", help="work in N processes, and go on after a stop")
    options.add_argument("--ray-address", help="work on a Ray cluster: its address, 'auto', or 'local' to start one")
    options.add_argument("--threads", type=int, metavar="N", help="of each worker (default: 1)")


def workers_of(options: argparse.Namespace) -> tuple[Any, Optional[int]]:
    """The workers that are asked for, and the threads of each; None and None where nothing is said of them.

    Raises:
        ConfigError: for numbers below 1, or threads of no workers.
    """
    from recbole_sheaf.workers.pools import ProcessWorkers, RayWorkers, ThisProcess

    for name in ("workers", "threads"):
        count = getattr(options, name)
        if count is not None and count < 1:
            raise ConfigError(f"--{name} is {count}, expected a whole number from 1")
    threads = options.threads or 1
    if options.ray_address:
        if options.workers is not None:
            raise ConfigError("--workers is given beside --ray-address, whose cluster says how many; leave one out")
        return RayWorkers(options.ray_address, threads), threads
    if options.workers is None:
        if options.threads is not None:
            raise ConfigError("--threads is of workers, of which none are asked for; give --workers=N too")
        return None, None
    return (ProcessWorkers(options.workers) if options.workers > 1 else ThisProcess()), threads
