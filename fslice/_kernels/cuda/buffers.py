"""Device memory that kernels work in, kept between calls."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Hashable, Iterator
from typing import Any

from fslice._arrays import Array, array_namespace


class Buffers:
    """Arrays of any content for the time of a call; at most `kept_bytes` lie idle.

    Kernels of one queue run one after the other. So a buffer may go to the next call on the same
    queue as soon as all kernels that use it are launched, long before they have run.
    """

    def __init__(self, kept_bytes: int = 1 << 30):
        self.kept_bytes = kept_bytes
        self._idle: list[tuple[Hashable, Array]] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def lent(self, queue: Hashable, size: int, dtype: Any, like: Array) -> Iterator[Array]:
        """Give an array of one axis on the device of another; it is taken back at the end."""
        buffer = self._take(queue, size, dtype)
        if buffer is None:
            buffer = array_namespace(like).empty(size, dtype)
        yield buffer[:size]
        self._keep(queue, buffer)

    def _take(self, queue: Hashable, size: int, dtype: Any) -> Array | None:
        """Return an idle buffer that is large enough, and not more than twice too large."""
        with self._lock:
            for number, (own, buffer) in enumerate(self._idle):
                if own == queue and buffer.dtype == dtype and size <= buffer.size <= 2 * size:
                    return self._idle.pop(number)[1]
        return None

    def _keep(self, queue: Hashable, buffer: Array) -> None:
        """Take a buffer back; the oldest ones are dropped where it is too much."""
        with self._lock:
            self._idle.append((queue, buffer))
            while sum(idle.nbytes for _, idle in self._idle) > self.kept_bytes:
                self._idle.pop(0)
