"""What workers of the tests are asked to do, in a module that they can import."""

import os
import signal
import time
from pathlib import Path

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.workers.threads import threads_limited


def doubled(number):
    return 2 * number


def refuses(number):
    if number == 2:
        raise ConfigError(f"number is {number}, expected another")
    return number


def kills_itself_once(folder, number):
    """The second shard's worker dies when it is first asked; each try leaves a file."""
    tries = len(list(Path(folder).glob(f"{number}-*")))
    (Path(folder) / f"{number}-{tries}").touch()
    if number == 1 and not tries:
        os.kill(os.getpid(), signal.SIGKILL)
    return number, os.getpid()


def said_where(folder, number, seconds):
    """Says on which process and node it runs, and takes its time."""
    import ray

    node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
    (Path(folder) / f"{number} {node} {time.time_ns()}").touch()
    time.sleep(seconds)
    return number


def total(shared, number):
    arrays = shared.open()
    assert not any(array.flags.writeable for array in arrays.values() if array.size)
    return float(arrays["values"].sum()) + number, arrays["nothing"].shape


def threads_of_numpy(threads):
    import numpy as np  # noqa: F401
    from threadpoolctl import threadpool_info

    with threads_limited(threads):
        return {each["num_threads"] for each in threadpool_info()}
