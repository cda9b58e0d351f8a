"""Where jobs run: in this process, in worker processes, or on a Ray cluster; the results are the same.

A worker that dies takes its own job with it and no other; workers whose command has died end by themselves.
"""

import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
from concurrent.futures import Future
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Optional

from recbole_sheaf.environment import let_threads_sleep
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.experiments.reachable import refuse_unreachable
from recbole_sheaf.extras import from_ray


class Workers:
    """A context in which ``submit`` starts a call and gives its future.

    Attributes:
        slots: calls that run at once.
    """

    slots = 1

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """Ends the workers; calls still running are ended too when an error came."""

    def submit(self, call: Callable[..., Any], *args: Any) -> Future:
        """Start a call; its future holds what it gives or raises."""
        raise NotImplementedError


class ThisProcess(Workers):
    """Runs each call at once, here."""

    def submit(self, call: Callable[..., Any], *args: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(call(*args))
        except Exception as error:  # as a worker process would hand it over: reported by job, never passed over
            future.set_exception(error)
        return future


class ProcessWorkers(Workers):
    """``slots`` processes, each with its own PyTorch; a dead one is replaced."""

    def __init__(self, slots: int) -> None:
        self.slots = slots

    def __enter__(self) -> "ProcessWorkers":
        from pebble import ProcessPool

        context = multiprocessing.get_context("spawn")  # a fork would share the threads of a running PyTorch
        self.pool = ProcessPool(self.slots, initializer=_end_with_parent, context=context)
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        (self.pool.close if kind is None else self.pool.stop)()
        self.pool.join()

    def submit(self, call: Callable[..., Any], *args: Any) -> Future:
        return self.pool.schedule(call, args=args)


class RayWorkers(Workers):
    """Workers of a Ray cluster, ``threads`` CPUs each; the cluster must see the same files."""

    def __init__(self, address: str, threads: int) -> None:
        self.address, self.threads = address, threads

    def __enter__(self) -> "RayWorkers":
        advice = "give the address of a Ray cluster, 'auto' for the one of this machine, or 'local' to start one"
        if self.address not in ("auto", "local"):
            refuse_unreachable("a Ray cluster", self.address, advice)
        ray: Any = from_ray("ray", "a Ray cluster")
        started = _private_ray() if self.address == "local" else {"address": self.address}
        self.folder = started.get("_temp_dir")
        try:
            ray.init(log_to_driver=False, **started)
        except ConnectionError as error:
            raise ConfigError(f"no Ray cluster answers at '{self.address}' ({error}); {advice}") from error
        self.ray = ray
        self.slots = max(1, int(ray.cluster_resources().get("CPU", 1)) // self.threads)
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.ray.shutdown()
        if self.folder is not None:
            shutil.rmtree(Path(self.folder).parent, ignore_errors=True)

    def submit(self, call: Callable[..., Any], *args: Any) -> Future:
        remote = self.ray.remote(num_cpus=self.threads, max_retries=0)(call)
        return remote.remote(*args).future()


def _private_ray() -> dict[str, Any]:
    """How to start a Ray of our own that others cannot reach: on the loopback alone, in a folder of this user's.

    Ray takes 127.0.0.1 for the machine's address, and listens to the network, unless it is told as on Windows that no
    machine is to join; and it makes its folder writable by everyone, so that lies in one that none but us may enter.
    """
    from ray._private import ray_constants

    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"  # for the processes it starts
    ray_constants.ENABLE_RAY_CLUSTER = False  # for this one, which may have imported it
    folder = tempfile.mkdtemp(prefix="rs-")  # a short name: paths of sockets end at 107 characters
    return {"include_dashboard": False, "_temp_dir": os.path.join(folder, "ray")}


def _end_with_parent() -> None:
    """Prepare a worker process: no command line for RecBole to read, and an end when its parent has ended."""
    let_threads_sleep()
    sys.argv = sys.argv[:1]
    process = multiprocessing.parent_process()
    if process is None:
        return

    def watch() -> None:
        wait([process.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
