"""Taking turns: every contestant is measured once before any is measured again."""

from __future__ import annotations

import datetime
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fslice._threads import available_cpus

PAUSE = 0.3
"""Seconds between calls: OpenMP threads spin for up to 0.2 s after their work is done."""


AWAKE = 0.2
"""Seconds of calls that are not measured: cores that were idle need time to speed up."""

LONG = 0.5
"""Least seconds of a sample: a call is repeated until then."""


def sample(call: Callable[[], Any]) -> tuple[float, float]:
    """Return the mean wall time and processor time of a call, in seconds."""
    time.sleep(PAUSE)
    _repeat(call, AWAKE)
    wall, busy = time.perf_counter(), time.process_time()
    calls = _repeat(call, LONG)
    return (time.perf_counter() - wall) / calls, (time.process_time() - busy) / calls


def _repeat(call: Callable[[], Any], seconds: float) -> int:
    """Call until so many seconds have gone, once at least; return how often."""
    start, calls = time.perf_counter(), 0
    while calls == 0 or time.perf_counter() - start < seconds:
        call()
        calls += 1
    return calls


def in_turns(calls: Mapping[Any, Callable[[], Any]], repeats: int) -> dict[Any, list]:
    """Sample all in turn, `repeats` times over; return the (wall, processor) seconds of a call."""
    samples: dict[Any, list] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            samples[name].append(sample(call))
    return samples


def peak() -> int:
    """Return the most memory that this process has held, in bytes.

    On Linux not by `getrusage`, whose figure a process inherits from the one that starts it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def machine() -> dict[str, Any]:
    """Describe where and when this was measured."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": models[0] if models else platform.processor(),
        "cores": available_cpus(),
        "load before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
    }
