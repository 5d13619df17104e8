"""How long a GPU takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any


def milliseconds(xp: Any, call: Callable[[], Any], repeats: int) -> float:
    """Return the median time of a call, from an idle device until it is idle again."""
    return timed(call, xp.cuda.Device().synchronize, repeats)


def timed(call: Callable[[], Any], wait: Callable[[], Any], repeats: int) -> float:
    """Return the median time of a call in milliseconds, each until `wait` returns."""
    call()  # compiles, and allocates what is kept
    wait()
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        wait()
        spent.append(time.perf_counter() - start)
    return 1e3 * median(spent)


def copied_per_second(xp: Any, size: int) -> float:
    """Return the bytes that a copy on the device reads and writes in a second."""
    given, room = xp.zeros(size, "uint8"), xp.empty(size, "uint8")
    return 2 * size / milliseconds(xp, lambda: xp.copyto(room, given), 7) * 1e3
