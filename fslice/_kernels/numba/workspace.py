"""What the compiled kernels work with: threads, a buffer for each, volumes to add into."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np

from fslice._kernels.interface import SliceGeometry
from fslice._kernels.numba.buffer import CACHED_BYTES, RowBuffer, kernel, row_buffer
from fslice._kernels.numba.threads import Helpers, divided
from fslice._threads import available_cpus

_ANYWHERE = 1e6
_PIECES = 4  # for each thread, so that all end at about the same time


class PrivateVolumes:
    """Volumes of zeros for threads, kept between calls: new memory took as long as 50 projections.

    At most `kept_bytes` lie idle. `most_bytes` is what those of one call may take together.
    """

    def __init__(self, kept_bytes: int = 256 << 20, most_bytes: int = 4 << 30):
        self.kept_bytes, self.most_bytes = kept_bytes, most_bytes
        self._kept: list[np.ndarray] = []
        self._lock = threading.Lock()

    def take(self, like: np.ndarray) -> np.ndarray:
        """Return zeros like another array; they are the caller's until they are kept."""
        with self._lock:
            while self._kept:
                volume = self._kept.pop()
                if (volume.shape, volume.dtype) == (like.shape, like.dtype):
                    return volume
        return np.zeros_like(like)

    def keep(self, volumes: Iterable[np.ndarray]) -> None:
        """Take volumes back, which are zero again, as many as may lie idle."""
        with self._lock:
            for volume in volumes:
                if sum(v.nbytes for v in self._kept) + volume.nbytes <= self.kept_bytes:
                    self._kept.append(volume)


class SpareBuffers:
    """Row buffers of threads, some 20 kB each, kept between calls that are alike."""

    def __init__(self) -> None:
        self._kind: Any = None
        self._kept: list[RowBuffer] = []
        self._lock = threading.Lock()

    def take(self, *kind: Any) -> RowBuffer:
        """Return a buffer of a kind, the arguments of `row_buffer`; its content is any."""
        with self._lock:
            if self._kind == kind and self._kept:
                return self._kept.pop()
        return row_buffer(*kind)

    def keep(self, buffers: Iterable[RowBuffer], *kind: Any) -> None:
        """Take buffers back; those of another kind are dropped."""
        with self._lock:
            if self._kind != kind:
                self._kind, self._kept = kind, []
            self._kept.extend(buffers)


@dataclass(frozen=True, eq=False)
class Workspace:
    """How the compiled kernels run."""

    plain: bool = False  # in plain loops, without instructions by hand
    threads: int | None = None  # default: as many as this process may use
    volumes: PrivateVolumes = field(default_factory=PrivateVolumes, repr=False)
    buffers: SpareBuffers = field(default_factory=SpareBuffers, repr=False)
    helpers: Helpers = field(default_factory=Helpers, repr=False)

    def thread_count(self) -> int:
        """Return how many threads work at a time."""
        return self.threads or min(numba.get_num_threads(), available_cpus())

    @contextlib.contextmanager
    def row_buffers(self, geometry: SliceGeometry, dtype: Any) -> Iterator[Callable[[], RowBuffer]]:
        """Give a function that returns the buffer of the thread in which it is called."""
        kind, own, taken = (geometry, np.dtype(dtype), self.plain), threading.local(), []

        def of_this_thread() -> RowBuffer:
            if not hasattr(own, "buffer"):
                own.buffer = self.buffers.take(*kind)
                taken.append(own.buffer)
            return own.buffer

        yield of_this_thread
        self.buffers.keep(taken, *kind)

    def for_each(
        self, run: Callable[..., None], length: int, geometry: SliceGeometry, dtype: Any
    ) -> None:
        """Call ``run(buffer, start, stop)`` in threads for consecutive parts of a length."""
        threads = self.thread_count()
        parts = divided(length, threads if threads == 1 else _PIECES * threads)
        with self.row_buffers(geometry, dtype) as buffer:
            self.helpers.share(lambda start, stop: run(buffer(), start, stop), parts, threads)

    def accumulated(
        self, run: Callable[..., None], rotations: np.ndarray, geometry: SliceGeometry, dtype: Any
    ) -> np.ndarray:
        """Call ``run(volume, buffer, start, stop)`` in threads and return the sum, mates added.

        Every range of views has its own volume and they are summed in order, so that equal
        numbers of threads give equal bits.
        """
        total = np.zeros(geometry.volume_shape, dtype)
        threads = max(1, min(self.thread_count(), self.volumes.most_bytes // total.nbytes))
        ranges = divided(len(rotations), threads)
        reach = _reach(rotations, geometry)
        private = {start: self.volumes.take(total) for start, _ in ranges[1:]}

        def run_range(start: int, stop: int) -> None:
            run(private.get(start, total), buffer(), start, stop)

        def add_planes(low: int, high: int) -> None:
            for volume in private.values():
                _move_planes(volume, total, reach, low, high)

        def touch_planes(low: int, high: int) -> None:
            total[low:high, :, 0] = 0

        planes = divided(len(total), threads)
        if total.nbytes > CACHED_BYTES:  # the system clears new memory: not all for one thread
            self.helpers.share(touch_planes, planes, threads)
        with self.row_buffers(geometry, dtype) as buffer:
            self.helpers.share(run_range, ranges, threads)
        if private:
            self.helpers.share(add_planes, planes, threads)
        self.volumes.keep(private.values())
        _add_friedel_mates(total)
        return total


def _reach(rotations: np.ndarray, geometry: SliceGeometry) -> float:
    """Return how far from the origin samples may be added, whatever the matrices are."""
    x, y = rotations[:, :, 0].astype(float), rotations[:, :, 1].astype(float)
    xx, yy, xy = (x * x).sum(1), (y * y).sum(1), (x * y).sum(1)
    stretch = np.sqrt(((xx + yy) / 2 + np.hypot((xx - yy) / 2, xy)).max(initial=0))
    reach = float(stretch * geometry.max_radius * geometry.scale + len(geometry.taps))
    return reach if reach < _ANYWHERE else _ANYWHERE  # and if it is not a number


@kernel
def _move_planes(volume, total, reach, low, high):
    """Add planes to those of `total` and clear them, as far out as samples were added."""
    nz, ny, nh = total.shape
    for z in range(low, high):
        for y in range(ny):
            left = reach**2 - min(z, nz - z) ** 2 - min(y, ny - y) ** 2
            if left >= 0:
                for x in range(min(nh, int(math.sqrt(left)) + 1)):
                    total[z, y, x] += volume[z, y, x]
                    volume[z, y, x] = 0


@kernel
def _add_friedel_mates(volume):
    """Do what `fslice._kernels.interface.add_friedel_mates` says."""
    nz, ny, _ = volume.shape
    for z in range(nz // 2 + 1):
        mate_z = (nz - z) % nz
        for y in range(ny):
            mate_y = (ny - y) % ny
            if z < mate_z or (z == mate_z and y <= mate_y):
                one, other = volume[z, y, 0], volume[mate_z, mate_y, 0]
                volume[z, y, 0] = one + np.conjugate(other)
                volume[mate_z, mate_y, 0] = other + np.conjugate(one)
