"""Volumes that threads add into: one each, summed in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numba
import numpy as np

from fslice._kernels.interface import SliceGeometry as Lattice
from fslice._kernels.interface import add_friedel_mates
from fslice._kernels.numba.threads import divided, in_threads

_MOST_BYTES = 4 << 30  # what private copies of the volume may take together
_KEPT_BYTES = 256 << 20
_kept: deque[np.ndarray] = deque()
"""Private volumes of the last call: asking for their memory anew took as long as 50 projections."""


def accumulated(run: Callable, n_images: int, lattice: Lattice, dtype: Any) -> np.ndarray:
    """Call ``run(volume, start, stop)`` in threads and return the sum, mates added.

    Every range of images has its own volume and they are summed in order, so that equal
    numbers of threads give equal bits.
    """
    total = np.zeros(lattice.volume_shape, dtype)
    threads = max(1, min(numba.get_num_threads(), _MOST_BYTES // total.nbytes))
    ranges = divided(n_images, threads)
    private = {start: _take(total) for start, _ in ranges[1:]}

    def run_range(start: int, stop: int) -> None:
        if start in private:
            private[start].fill(0)
        run(private.get(start, total), start, stop)

    def add_planes(low: int, high: int) -> None:
        for volume in private.values():
            total[low:high] += volume[low:high]

    in_threads(run_range, ranges, threads)
    if private:
        in_threads(add_planes, divided(len(total), threads), threads)
    _keep(private.values())
    return add_friedel_mates(total)


def _take(like: np.ndarray) -> np.ndarray:
    """Return an array like another, of any content."""
    try:
        volume = _kept.pop()
    except IndexError:
        return np.empty_like(like)
    return volume if (volume.shape, volume.dtype) == (like.shape, like.dtype) else _take(like)


def _keep(volumes: Iterable[np.ndarray]) -> None:
    for volume in volumes:
        if (len(_kept) + 1) * volume.nbytes <= _KEPT_BYTES:
            _kept.append(volume)
