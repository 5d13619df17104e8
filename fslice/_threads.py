"""How many threads may work at a time."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_UNLIMITED = 1e9


def available_cpus() -> int:
    """Return how many processors this process may keep busy, at least one.

    The least of what the system has, what the process is bound to, and what its control groups
    (on Linux: those of a container or a batch job), read once, may use.

    Examples
    --------
    >>> available_cpus() >= 1
    True
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(bound or 1, math.ceil(_quota())))


@functools.cache
def _quota() -> float:
    """Return the least number of processors that a control group of this process allows."""
    quotas = [_UNLIMITED]
    for line in _groups():
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            group = _CGROUPS / path.lstrip("/")
            files = ["cpu.max"]
        elif "cpu" in controllers.split(","):
            group = _CGROUPS / "cpu" / path.lstrip("/")
            files = ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        while group != _CGROUPS.parent:
            quotas.append(_limit(*(group / name for name in files)))
            group = group.parent
    return min(quotas)


def _groups() -> list[str]:
    """Return a line for each hierarchy of groups: its number, its controllers, the group."""
    try:
        return Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []


def _limit(*files: Path) -> float:
    """Return the quota over the period that one file or two files hold."""
    try:
        quota, period = (float(word) for file in files for word in file.read_text().split())
    except (OSError, ValueError):  # no such file, or the word "max"
        return _UNLIMITED
    return quota / period if quota > 0 and period > 0 else _UNLIMITED
