"""Where jobs run: in this process, in worker processes, or on a Ray cluster; the results are the same.

A worker that dies takes its own job with it and no other; workers whose command has died end by themselves.
"""

import atexit
import itertools
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Optional

import numpy as np

from recbole_sheaf.environment import let_threads_sleep
from recbole_sheaf.errors import ConfigError, WorkersGone
from recbole_sheaf.extras import from_ray
from recbole_sheaf.reachable import refuse_unreachable
from recbole_sheaf.workers.shared import InFolder, InStore, Kept, Shared


class Workers:
    """A context in which ``submit`` starts a call and gives its future.

    Attributes:
        slots: calls that run at once.
        ahead: calls that may wait beside those, so that no worker does.
    """

    slots = 1
    ahead = 0

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """Ends the workers; calls still running are ended too when an error came."""

    def submit(self, call: Callable[..., Any], *args: Any) -> Future:
        """Start a call; its future holds what it gives or raises."""
        raise NotImplementedError

    def share(self, arrays: Mapping[str, np.ndarray]) -> Shared:
        """Arrays that calls read as their argument, once for all; they are gone when the context ends."""
        return Kept.of(arrays)

    def died(self, error: BaseException) -> bool:
        """Whether an error of a future says that its worker ended, and nothing of the call."""
        return False

    def own(self, error: BaseException) -> BaseException:
        """What a call raised, where its future wraps that."""
        return error

    def refuse_gone(self) -> None:
        """Ask whether the workers are still there, while nothing is heard of them.

        Raises:
            WorkersGone: if they are not.
        """


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
        self.slots = self.ahead = slots
        self.folders: list[str] = []

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
        while self.folders:
            shutil.rmtree(self.folders.pop(), ignore_errors=True)

    def submit(self, call: Callable[..., Any], *args: Any) -> Future:
        return self.pool.schedule(call, args=args)

    def share(self, arrays: Mapping[str, np.ndarray]) -> Shared:
        """Through files of a folder that this user alone may enter, which every worker maps into its memory."""
        self.folders.append(tempfile.mkdtemp(prefix="recbole-sheaf-"))
        return InFolder.of(arrays, Path(self.folders[-1]))

    def died(self, error: BaseException) -> bool:
        from pebble import ProcessExpired

        return isinstance(error, ProcessExpired)


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
        self.slots = self.ahead = max(1, int(ray.cluster_resources().get("CPU", 1)) // self.threads)
        largest = max((int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]), default=0)
        if largest < self.threads:
            self.__exit__(None, None, None)
            raise ConfigError(
                f"threads is {self.threads}, but no node of the Ray cluster has more than {largest} CPUs; give as many "
                "threads at most"
            )
        self.keys = itertools.count()
        self.calls: dict[Callable[..., Any], Any] = {}
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if kind is not None and issubclass(kind, WorkersGone):
            atexit.unregister(self.ray.shutdown)  # which waits a minute for the cluster, and then ends this process
        else:
            self.ray.shutdown()
        if self.folder is not None:
            shutil.rmtree(Path(self.folder).parent, ignore_errors=True)

    def submit(self, call: Callable[..., Any], *args: Any) -> Future:
        if call not in self.calls:
            self.calls[call] = self.ray.remote(num_cpus=self.threads, max_retries=0)(call)
        return self.calls[call].remote(*args).future()

    def share(self, arrays: Mapping[str, np.ndarray]) -> Shared:
        """Through the cluster's store of objects: each node holds them once, and a worker reads them there."""
        key = f"{self.ray.get_runtime_context().get_job_id()}-{next(self.keys)}"
        return InStore(key, [self.ray.put(dict(arrays))])

    def died(self, error: BaseException) -> bool:
        known = self.ray.exceptions
        return isinstance(error, known.RayError) and not isinstance(error, known.RayTaskError)

    def own(self, error: BaseException) -> BaseException:
        cause = getattr(error, "cause", None)
        return cause if isinstance(error, self.ray.exceptions.RayTaskError) and cause is not None else error

    def refuse_gone(self) -> None:
        address = self.address if "://" in self.address else self.ray.get_runtime_context().gcs_address
        try:
            refuse_unreachable("the Ray cluster", address, "start it and give the same command again")
        except ConfigError as error:
            raise WorkersGone(f"{error}, which goes on from what is finished") from error


def cannot_have_workers() -> bool:
    """Whether this process may start none: it is of Ray's, or ends with another that waits for no children of it."""
    ray: Any = sys.modules.get("ray")
    return multiprocessing.current_process().daemon or (ray is not None and bool(ray.is_initialized()))


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
