"""How many processors this process may use: its affinity and its control group's share of time."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

_one_thread: ContextVar[bool] = ContextVar("one_thread", default=False)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Have the block compute in this thread alone, because others like it run beside it.

    What is computed then has the same bits on machines with few processors and with many.

    Examples
    --------
    >>> with one_thread():
    ...     available_cpus()
    1
    """
    token = _one_thread.set(True)
    try:
        yield
    finally:
        _one_thread.reset(token)


def available_cpus() -> int:
    """Return the number of threads that can run at once, which a container may limit.

    ``os.cpu_count`` counts the machine's processors, whatever this process may use of them.
    Inside of `one_thread` it is 1.

    Examples
    --------
    >>> 1 <= available_cpus() <= os.cpu_count()
    True
    """
    if _one_thread.get():
        return 1
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _own_quota()
    return max(1, min(allowed, math.ceil(quota))) if quota < math.inf else allowed


@functools.cache
def _own_quota() -> float:
    return cgroup_cpus(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))


def cgroup_cpus(root: Path, membership: Path) -> float:
    """Return the processors that Linux control groups leave this process, infinity if all.

    Parameters
    ----------
    root : Path
        Where the control groups are mounted.
    membership : Path
        The file that names this process's group, ``/proc/self/cgroup``.
    """
    return min((_quota(folder) for folder in _folders(root, membership)), default=math.inf)


def _folders(root: Path, membership: Path) -> Iterator[Path]:
    """Yield the folder of the process's group and those above it, of version 2 or 1."""
    for line in _read(membership).splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" or "cpu" in controllers.split(","):
            top = root if number == "0" else root / "cpu"
            # In a container the path may be that of the host, of which only the top is mounted.
            own = top / path.lstrip("/")
            yield from (own, *(folder for folder in own.parents if folder.is_relative_to(top)))


def _quota(folder: Path) -> float:
    """Return the time that a group may run over the period in which it may."""
    version_2 = _read(folder / "cpu.max").split()
    version_1 = [_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    quota, period = version_2 if len(version_2) == 2 else version_1
    if quota in ("", "max", "-1") or not period:
        return math.inf
    return int(quota) / int(period)


def _read(path: Path) -> str:
    """Return a file's text, nothing if there is no such file."""
    try:
        return path.read_text()
    except OSError:
        return ""
