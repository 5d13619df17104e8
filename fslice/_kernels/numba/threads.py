"""Work in threads: the compiled kernels release the interpreter lock."""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np

_MOST = 256  # helpers, of all calls that run at a time


class Helpers:
    """Threads that wait for the next call: starting one takes as long as ten projections.

    They are started when they are first needed, and anew in a process that was forked.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process, self._pool = 0, ThreadPoolExecutor(_MOST)

    def share(
        self, run: Callable[[int, int], None], intervals: Iterable[tuple[int, int]], threads: int
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

        helping = self._start(work, min(threads, len(left)) - 1)
        work()
        wait([future for future in helping if not future.cancel()])  # but for those still waiting
        if failures:
            raise failures[0]

    def _start(self, work: Callable[[], None], count: int) -> list[Future]:
        """Have helpers work; at the end of the interpreter there are none."""
        if count < 1:
            return []
        with self._lock:
            if self._process != os.getpid():
                self._process, self._pool = os.getpid(), ThreadPoolExecutor(_MOST)
        try:
            return [self._pool.submit(work) for _ in range(count)]
        except RuntimeError:
            return []


def divided(length: int, parts: int) -> list[tuple[int, int]]:
    """Return as many consecutive intervals of about equal length, none empty."""
    edges = np.linspace(0, length, max(1, min(parts, length)) + 1).astype(int).tolist()
    return list(itertools.pairwise(edges))
