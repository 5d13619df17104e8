"""Images on their way from files or host memory to a GPU, read and copied while it computes."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import numpy as np

from fslice._arrays import Array
from fslice.data.ahead import one_ahead
from fslice.data.dataset import Dataset

_SLOTS = 2
"""Buffers on each side: one is filled while the other is emptied."""


class Staging:
    """Page-locked buffers on the host and as many on the device, and a stream that copies.

    A copy from page-locked memory, on a stream of its own, runs beside what the device computes.
    The host waits only to fill a buffer whose last copy has not been sent; a copy waits for what
    last read its buffer on the device, and what is computed next waits for the copy.

    Parameters
    ----------
    xp : module
        CuPy, or what has its streams, events and page-locked memory.
    shape : tuple of int
        Of the largest array that is sent.
    dtype : dtype
    """

    def __init__(self, xp: Any, shape: tuple[int, ...], dtype: Any) -> None:
        self.xp, dtype = xp, np.dtype(dtype)
        size = math.prod(shape)
        self.host = [
            np.ndarray(shape, dtype, xp.cuda.alloc_pinned_memory(size * dtype.itemsize))
            for _ in range(_SLOTS)
        ]
        self.device = [xp.empty(shape, dtype) for _ in range(_SLOTS)]
        self.stream = xp.cuda.Stream(non_blocking=True)
        self.sent: list[Any] = [None] * _SLOTS
        self.read: list[Any] = [xp.cuda.get_current_stream().record()] * _SLOTS

    def send(self, slot: int, pixels: np.ndarray) -> None:
        """Begin to copy pixels to the device; they are the caller's again at return."""
        if self.sent[slot] is not None:
            self.sent[slot].synchronize()
        host = self.host[slot][: len(pixels)]
        np.copyto(host, pixels)
        self.stream.wait_event(self.read[slot])
        self.device[slot][: len(pixels)].set(host, self.stream)
        self.sent[slot] = self.stream.record()

    def receive(self, slot: int, count: int) -> Array:
        """Return what was sent; what is computed from here on waits until it has arrived."""
        self.xp.cuda.get_current_stream().wait_event(self.sent[slot])
        return self.device[slot][:count]

    def release(self, slot: int) -> None:
        """Let the buffer be overwritten once all that reads it by now has been computed."""
        self.read[slot] = self.xp.cuda.get_current_stream().record()


def uploaded(dataset: Dataset, parts: Sequence[np.ndarray]) -> Iterator[Array]:
    """Yield the pixels of some images after others, on the device, in the precision of the set.

    Parameters
    ----------
    dataset : Dataset
        Its images on the host or in a file, its poses on a device.
    parts : sequence of (k,) int64 arrays
        Which images, in ascending order; the next part is read while one is worked on.

    Yields
    ------
    (k, D, D) real array
        Good until the next one is taken.
    """
    if not parts:
        return
    xp, images = dataset.xp, dataset.images
    largest = max(len(part) for part in parts)
    staging = Staging(xp, (largest, *images.shape[1:]), np.dtype(images.dtype).newbyteorder("="))
    device = xp.cuda.Device()  # each thread has its own

    def sent() -> Generator[int]:
        for index, part in enumerate(parts):
            with device:
                staging.send(index % _SLOTS, images[as_slice(part)])
            yield index

    for index in one_ahead(sent()):
        pixels = staging.receive(index % _SLOTS, len(parts[index]))
        yield pixels.astype(dataset.dtype, copy=False)
        staging.release(index % _SLOTS)


def as_slice(rows: np.ndarray) -> slice | np.ndarray:
    """Return ascending rows as a slice if they are consecutive: maps then need no copy.

    Examples
    --------
    >>> as_slice(np.array([3, 4, 5])), as_slice(np.array([3, 5]))
    (slice(3, 6, None), array([3, 5]))
    """
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows
