"""Work in threads: the compiled kernels release the interpreter lock."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable
from threading import Thread

import numpy as np


def in_threads(
    run: Callable[[int, int], None], intervals: Iterable[tuple[int, int]], threads: int
) -> None:
    """Call ``run(start, stop)`` for every interval; each thread takes the next that is left.

    This thread is one of them. What `run` raises is raised here, once all have stopped.
    """
    left = deque(intervals)
    failures: list[BaseException] = []

    def work() -> None:
        while left and not failures:
            try:
                interval = left.popleft()
            except IndexError:  # another thread took the last one
                return
            try:
                run(*interval)
            except BaseException as failure:
                failures.append(failure)

    helpers = [Thread(target=work) for _ in range(min(threads, len(left)) - 1)]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]


def divided(length: int, parts: int) -> list[tuple[int, int]]:
    """Return as many consecutive intervals of about equal length, none empty."""
    edges = np.linspace(0, length, max(1, min(parts, length)) + 1).astype(int).tolist()
    return list(itertools.pairwise(edges))
