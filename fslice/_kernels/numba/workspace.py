"""What the compiled kernels work with: threads, a buffer for each, volumes to add into."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np

from fslice._kernels.interface import SliceGeometry, add_friedel_mates
from fslice._kernels.numba.buffer import RowBuffer, row_buffer
from fslice._kernels.numba.threads import divided, in_threads
from fslice._threads import available_cpus

_PIECES = 4  # for each thread, so that all end at about the same time


class PrivateVolumes:
    """Volumes of threads, kept between calls: new memory took as long as 50 projections.

    At most `kept_bytes` lie idle. `most_bytes` is what those of one call may take together.
    """

    def __init__(self, kept_bytes: int = 256 << 20, most_bytes: int = 4 << 30):
        self.kept_bytes, self.most_bytes = kept_bytes, most_bytes
        self._kept: list[np.ndarray] = []
        self._lock = threading.Lock()

    def take(self, like: np.ndarray) -> np.ndarray:
        """Return an array like another, of any content; it is the caller's until it is kept."""
        with self._lock:
            while self._kept:
                volume = self._kept.pop()
                if (volume.shape, volume.dtype) == (like.shape, like.dtype):
                    return volume
        return np.empty_like(like)

    def keep(self, volumes: Iterable[np.ndarray]) -> None:
        """Take volumes back, as many as may lie idle."""
        with self._lock:
            for volume in volumes:
                if sum(v.nbytes for v in self._kept) + volume.nbytes <= self.kept_bytes:
                    self._kept.append(volume)


@dataclass(frozen=True, eq=False)
class Workspace:
    """How the compiled kernels run."""

    plain: bool = False  # in plain loops, without instructions by hand
    threads: int | None = None  # default: as many as this process may use
    volumes: PrivateVolumes = field(default_factory=PrivateVolumes, repr=False)

    def thread_count(self) -> int:
        """Return how many threads work at a time."""
        return self.threads or min(numba.get_num_threads(), available_cpus())

    def row_buffer(self, geometry: SliceGeometry, dtype: Any) -> RowBuffer:
        """Allocate the buffer of one thread, for volumes of that type."""
        return row_buffer(geometry, dtype, self.plain)

    def for_each(
        self, run: Callable[..., None], length: int, geometry: SliceGeometry, dtype: Any
    ) -> None:
        """Call ``run(buffer, start, stop)`` in threads for consecutive parts of a length."""
        own = threading.local()

        def run_part(start: int, stop: int) -> None:
            if not hasattr(own, "buffer"):
                own.buffer = self.row_buffer(geometry, dtype)
            run(own.buffer, start, stop)

        threads = self.thread_count()
        in_threads(
            run_part, divided(length, threads if threads == 1 else _PIECES * threads), threads
        )

    def accumulated(
        self, run: Callable, n_views: int, geometry: SliceGeometry, dtype: Any
    ) -> np.ndarray:
        """Call ``run(volume, buffer, start, stop)`` in threads and return the sum, mates added.

        Every range of views has its own volume and they are summed in order, so that equal
        numbers of threads give equal bits.
        """
        total = np.zeros(geometry.volume_shape, dtype)
        threads = max(1, min(self.thread_count(), self.volumes.most_bytes // total.nbytes))
        ranges = divided(n_views, threads)
        private = {start: self.volumes.take(total) for start, _ in ranges[1:]}

        def run_range(start: int, stop: int) -> None:
            if start in private:
                private[start].fill(0)
            run(private.get(start, total), self.row_buffer(geometry, dtype), start, stop)

        def add_planes(low: int, high: int) -> None:
            for volume in private.values():
                total[low:high] += volume[low:high]

        in_threads(run_range, ranges, threads)
        if private:
            in_threads(add_planes, divided(len(total), threads), threads)
        self.volumes.keep(private.values())
        return add_friedel_mates(total)
