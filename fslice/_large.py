"""Array code on large volumes: what a cache holds at a time, and two things at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from fslice._arrays import Array
from fslice._threads import available_cpus

T = TypeVar("T")
_CACHED_BYTES = 1 << 19


def cached_parts(volume: Array) -> list[Any]:
    """Return indices of the parts of a volume, each of which a processor's cache holds.

    What is done to it in several steps, part by part, reads and writes memory once. A device's
    array, and one of fewer than three axes, is one part.

    Examples
    --------
    >>> cached_parts(np.zeros((4, 128, 129), np.complex64))
    [slice(0, 3, None), slice(3, 4, None)]
    """
    if not isinstance(volume, np.ndarray) or volume.ndim < 3:
        return [...]
    planes = max(1, _CACHED_BYTES * len(volume) // max(volume.nbytes, 1))
    return [slice(z, min(z + planes, len(volume))) for z in range(0, len(volume), planes)]


def at_once(first: Callable[[], T], second: Callable[[], T], like: Array) -> tuple[T, T]:
    """Return what two functions return, called at the same time where arrays are NumPy's.

    Elementwise arithmetic of NumPy keeps one processor busy; a device is kept busy by one thread.

    Parameters
    ----------
    first, second : callable
        Independent of each other.
    like : array
        Of the library in which they work.

    Examples
    --------
    >>> at_once(lambda: 1, lambda: 2, like=np.zeros(1))
    (1, 2)
    """
    if not isinstance(like, np.ndarray) or available_cpus() == 1:
        return first(), second()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(second)
        return first(), other.result()
