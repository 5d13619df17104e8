"""Workers of a Dask cluster: started on this machine, or found at a scheduler, and checked."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fslice.data.cluster import dask_distributed, on_every_worker

_ALLOWED_FAILURES = 20
"""Workers that may die of one share before it is given up, where the scheduler is our own."""
_CONNECT_SECONDS = 20
_CLOSE_SECONDS = 5
_LOGGERS = (
    *("distributed", "distributed.client", "distributed.nanny", "tornado", "tornado.application"),
    "asyncio",
)
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_SETTINGS: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": _ALLOWED_FAILURES,
    "distributed.worker.profile.enabled": False,
    # Ctrl-C reaches all processes of a terminal: it is for the client
    "distributed.worker.preload": ["import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"],
    # without MALLOC_TRIM_THRESHOLD_, by which memory goes back to the system at once: to have it
    # cleared again for each batch took 3 s of the 17 s in which 40,000 images were summed
    "distributed.nanny.pre-spawn-environ": dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1
    ),
    "distributed.admin.large-graph-warning-threshold": "1 TiB",  # poses and CTF of many images
}


@contextlib.contextmanager
def local_workers(count: int) -> Iterator[Any]:
    """Start processes of one thread each on this machine; yield a Dask client of theirs.

    Parameters
    ----------
    count : int

    Raises
    ------
    ImportError
        Dask is not installed.
    """
    distributed = dask_distributed()
    import dask.config

    with (
        _quiet(),
        dask.config.set(_SETTINGS),
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
        contextlib.ExitStack() as stack,
    ):
        cluster = distributed.LocalCluster(
            n_workers=count, threads_per_worker=1, processes=True, dashboard_address=":0",
            memory_limit=0, local_directory=scratch, silence_logs=logging.CRITICAL,
        )  # fmt: skip
        stack.callback(_closed, cluster)
        client = distributed.Client(cluster)
        stack.callback(client.close, timeout=_CLOSE_SECONDS)
        yield client


def _closed(cluster: Any) -> None:
    """Close a cluster of our own; kill what does not end, such as a worker that is restarted."""
    pids = [nanny.pid for nanny in cluster.workers.values()]

    def close() -> None:
        with contextlib.suppress(TimeoutError):  # of one that is busy: it is killed below
            cluster.close(timeout=_CLOSE_SECONDS)

    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(3 * _CLOSE_SECONDS)
    if closing.is_alive():
        for pid in filter(None, pids):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def workers_of(address: str) -> Iterator[Any]:
    """Connect to a scheduler; yield a Dask client.

    Parameters
    ----------
    address : str
        Such as ``tcp://10.0.0.1:8786``; or the path of a scheduler file.

    Raises
    ------
    ImportError
        Dask is not installed.
    OSError
        There is no scheduler, or it has no worker.
    """
    distributed = dask_distributed()
    import dask.config

    with _quiet(), dask.config.set(_SETTINGS), contextlib.ExitStack() as stack:
        where = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
        try:
            client = distributed.Client(
                **where, timeout=_CONNECT_SECONDS, direct_to_workers=True, set_as_default=False
            )
        except (OSError, ValueError) as error:
            raise OSError(f"scheduler {address}: cannot be reached: {error}") from error
        stack.callback(client.close, timeout=_CLOSE_SECONDS)
        if not worker_table(client):
            raise OSError(
                f"scheduler {address}: expected at least one worker, got none: start some with "
                "dask worker"
            )
        yield client


def worker_table(client: Any) -> dict[str, Any]:
    """Return what the scheduler knows of each worker, by its address."""
    return client.scheduler_info(n_workers=-1)["workers"]


def check_files(client: Any, paths: Iterable[str | os.PathLike[str]]) -> None:
    """Raise unless every worker can read files and finds them as long as this process does.

    Parameters
    ----------
    client : distributed.Client
    paths : iterable of path

    Raises
    ------
    OSError
        The message names file and worker.
    ImportError
        A worker has no fslice.
    """
    sizes = {os.path.abspath(path): os.path.getsize(path) for path in paths}
    try:
        found = on_every_worker(client, _first_problem, sizes)
    except ImportError as error:
        raise ImportError(f"workers: {error}: expected fslice where they run") from error
    for worker, problem in found.items():
        if problem is not None:
            code, path, reason = problem
            raise OSError(code, f"{reason}, on worker {worker}", path)


def _first_problem(sizes: dict[str, int]) -> tuple[int, str, str] | None:
    for path, size in sizes.items():
        try:
            with open(path, "rb"):
                here = os.path.getsize(path)
        except OSError as error:
            return error.errno or 0, path, os.strerror(error.errno or 0)
        if here != size:
            return 0, path, f"expected {size} bytes, got {here}"
    return None


def memory_limits(client: Any) -> dict[str, int]:
    """Return the bytes that each thread of each worker may take, for workers with a limit."""
    return {
        address: worker["memory_limit"] // worker["nthreads"]
        for address, worker in worker_table(client).items()
        if worker["memory_limit"]
    }


def free_memory() -> int:
    """Return the bytes that processes on this machine may still take."""
    dask_distributed()
    import psutil
    from distributed.system import MEMORY_LIMIT

    return min(psutil.virtual_memory().available, MEMORY_LIMIT)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Have the engine log nothing: what fails is raised here, in one line."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
