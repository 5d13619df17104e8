"""Device memory that kernels work in, kept between calls."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

from fslice._arrays import Array, array_namespace

Value = TypeVar("Value")


class Tables:
    """Small constant arrays on devices, the `most` used last."""

    def __init__(self, most: int = 64):
        self.most = most
        self._kept: dict[Hashable, Any] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return what belongs to a key, made at the first time."""
        with self._lock:
            value = self._kept.pop(key) if key in self._kept else make()
            self._kept[key] = value
            while len(self._kept) > self.most:
                del self._kept[next(iter(self._kept))]
            return value


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
            buffer = self._new(size, dtype, like)
        yield buffer[:size]
        self._keep(queue, buffer)

    def _new(self, size: int, dtype: Any, like: Array) -> Array:
        """Return a new buffer, with what lies idle given back where memory does not suffice."""
        xp = array_namespace(like)
        try:
            return xp.empty(size, dtype)
        except MemoryError:
            self.clear()
            return xp.empty(size, dtype)

    def clear(self) -> None:
        """Give back what lies idle."""
        with self._lock:
            self._idle.clear()

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
