"""Taking turns: every contestant is called once before any is called again."""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PAUSE = 0.3
"""Seconds between calls: OpenMP threads spin for up to 0.2 s after their work is done."""


def once(call: Callable[[], Any]) -> tuple[float, float]:
    """Return the wall time and the processor time of one call, in seconds."""
    time.sleep(PAUSE)
    wall, busy = time.perf_counter(), time.process_time()
    result = call()
    seconds = time.perf_counter() - wall, time.process_time() - busy
    del result  # freed outside
    return seconds


def in_turns(calls: Mapping[Any, Callable[[], Any]], repeats: int) -> dict[Any, list]:
    """Call all in turn, `repeats` times over; return the (wall, processor) seconds of each."""
    samples: dict[Any, list] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            samples[name].append(once(call))
    return samples


def machine() -> dict[str, Any]:
    """Describe where and when this was measured."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "load before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
    }
