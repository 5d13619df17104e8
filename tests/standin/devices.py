"""The devices, streams and events of the CuPy-like library.

Copies on a stream of their own are carried out as late as CUDA may carry them out: when somebody
waits for them. So a buffer that is filled again too early, or read before its copy has arrived,
gives wrong numbers here too. One that is overwritten while it may still be read is an error.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

COUNT = 3
"""Devices of the machine."""
_now = threading.local()
_ticks = itertools.count(1)
_pinned: dict[int, memoryview] = {}
_last_use: dict[int, int] = {}
"""When an array was last used by what is computed, by the address of its memory; of arrays that
copies are sent to."""


def current() -> int:
    """Return the number of the device on which this thread computes."""
    return getattr(_now, "device", 0)


class Device:
    """``cupy.cuda.Device``: also a context, in which it is the current one."""

    def __init__(self, device: Any = None) -> None:
        self.id = current() if device is None else int(device)
        self._before: list[int] = []

    def __int__(self) -> int:
        return self.id

    def __enter__(self) -> Device:
        self._before.append(current())
        _now.device = self.id
        return self

    def __exit__(self, *exception: Any) -> None:
        _now.device = self._before.pop()

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def synchronize(self) -> None:
        """Nothing is computed later than it is asked for."""

    @property
    def mem_info(self) -> tuple[int, int]:
        """Free bytes and all bytes."""
        return 1 << 33, 1 << 34


class Event:
    """A moment of a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._length = stream, stream._enqueued
        self.tick = next(_ticks) if stream.is_null else 0

    def synchronize(self) -> None:
        """Have the host wait for it."""
        self._stream._run(self._length)


class Stream:
    """``cupy.cuda.Stream``: what is enqueued on a stream of its own waits until it must be done."""

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        if not null and not non_blocking:
            raise ValueError("a blocking stream would wait for all that the default one computes")
        self.is_null = null
        self._waiting: list[Callable[[], None]] = []
        self._enqueued = self._done = 0
        self.seen = 0  # the moment of the default stream that this one has waited for

    def record(self, event: Any = None) -> Event:
        return Event(self)

    def wait_event(self, event: Event) -> None:
        event.synchronize()
        self.seen = max(self.seen, event.tick)

    def synchronize(self) -> None:
        self._run(self._enqueued)

    def _enqueue(self, work: Callable[[], None]) -> None:
        self._waiting.append(work)
        self._enqueued += 1

    def _run(self, until: int) -> None:
        while self._done < until:
            self._waiting.pop(0)()
            self._done += 1


_default = Stream(null=True)


def get_current_stream() -> Any:
    """Return the stream on which this thread computes: the default one, or an external one."""
    return getattr(_now, "stream", _default)


class ExternalStream(Stream):
    """``cupy.cuda.ExternalStream``: a stream of another library, by its address."""

    def __init__(self, ptr: int) -> None:
        super().__init__(null=True)
        self.ptr = ptr

    def __enter__(self) -> ExternalStream:
        self._before = get_current_stream()
        _now.stream = self
        return self

    def __exit__(self, *exception: Any) -> None:
        _now.stream = self._before


def alloc_pinned_memory(size: int) -> memoryview:
    """Return memory of the host that a device can copy from by itself."""
    memory = memoryview(bytearray(size))
    _pinned[np.frombuffer(memory, np.uint8).ctypes.data] = memory
    return memory


def send(host: np.ndarray, device: np.ndarray, stream: Stream) -> None:
    """Copy to memory of the device when the stream comes to it."""
    if _root(host).ctypes.data not in _pinned:
        raise ValueError("set: memory that is not pinned is copied at once, not on a stream")
    root = _root(device).ctypes.data
    if _last_use.setdefault(root, 0) > stream.seen:
        raise RuntimeError("set: the array may still be read: the stream has to wait for that")
    stream._enqueue(lambda: np.copyto(device, host, casting="no"))


def use(host: np.ndarray) -> None:
    """Note that what is computed uses an array."""
    if _last_use and (root := _root(host).ctypes.data) in _last_use:
        _last_use[root] = next(_ticks)


def _root(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class OutOfMemoryError(MemoryError):
    """``cupy.cuda.memory.OutOfMemoryError``."""


_limit: list[int] = []


@contextlib.contextmanager
def memory_for(size: int) -> Iterator[None]:
    """Have every array of more bytes be refused inside the block."""
    _limit.append(size)
    try:
        yield
    finally:
        _limit.pop()


def allocate(size: int) -> None:
    """Raise if there is no memory for an array."""
    if _limit and size > _limit[-1]:
        raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes")


class Runtime:
    """``cupy.cuda.runtime``."""

    @staticmethod
    def driverGetVersion() -> int:
        return 13000

    @staticmethod
    def runtimeGetVersion() -> int:
        return 12090

    @staticmethod
    def getDeviceCount() -> int:
        return COUNT

    @staticmethod
    def getDeviceProperties(number: int) -> dict[str, Any]:
        return {"name": b"stand-in", "totalGlobalMem": 1 << 34}


class Nvrtc:
    """``cupy.cuda.nvrtc``."""

    @staticmethod
    def getVersion() -> tuple[int, int]:
        return 12, 9
