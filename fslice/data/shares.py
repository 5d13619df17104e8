"""Shares of the images of a data set, worked on by an executor, and the sum of what they give."""

from __future__ import annotations

import contextlib
import math
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from fslice._arrays import Array
from fslice._devices import map_arrays
from fslice._threads import one_thread
from fslice.data.dataset import Dataset
from fslice.data.devices import DeviceExecutor
from fslice.data.tree import SumTree

LEAST_SHARES = 8
IMAGES_PER_PIXEL = 20
"""Images of a share, for each pixel of the side of the box: its work then grows as its sum does."""
_MOST_IN_FLIGHT = 64
_ROOT_LEVELS = 3
"""At most ``2**_ROOT_LEVELS`` sums of a part come to the client; workers add what is below."""
_SALVAGE_SECONDS = 10.0


@dataclass(frozen=True)
class Share:
    """Some images of a data set. Pickled it takes along these, and what is known of them."""

    dataset: Dataset
    rows: Array
    travelled: bool = False

    def __reduce__(self) -> tuple:
        return Share, (self.dataset.portion(self.rows), np.arange(len(self.rows)), True)

    def notes(self) -> list[tuple[Array, Any]]:
        """Return what the images have noted while they were read elsewhere, and of which rows."""
        images = self.dataset.images
        if not self.travelled or not hasattr(images, "notes"):
            return []
        return [(self.dataset.numbers(self.rows), images.notes(self.rows))]


@dataclass
class Partial:
    """A sum over shares, with what their images have noted."""

    total: Any
    notes: list[tuple[Array, Any]] = field(default_factory=list)

    def __add__(self, other: Partial) -> Partial:
        return Partial(self.total + other.total, self.notes + other.notes)

    def __sizeof__(self) -> int:
        """Return the bytes of its arrays: an engine plans its transfers by them."""
        return nbytes(self.total) + sum(nbytes(note) for note in self.notes)


def nbytes(value: Any) -> int:
    """Return the bytes of the arrays inside of a value.

    Examples
    --------
    >>> nbytes({"a": np.zeros(3), "b": (np.zeros(1, "f4"), 2.0)})
    28
    """
    found: list[int] = []

    def count(array: Array) -> Array:
        found.append(int(array.nbytes))
        return array

    map_arrays(value, count)
    return sum(found)


class Part(NamedTuple):
    """Images whose sum is wanted by itself, such as a half set: their shares and their tree."""

    shares: list[Share]
    tree: SumTree


class SumStore(Protocol):
    """Keeps partial sums; see `fslice.posterior.partial_sums.PartialSums`."""

    def load(self, dataset: Dataset, parts: Sequence[Part], settings: tuple) -> None:
        """Put the sums that an earlier run has kept into the trees of the same parts."""

    def save(self, parts: Sequence[Part]) -> None:
        """Keep the sums of all trees."""

    def due(self) -> bool:
        """Return whether it is time to save."""


def parts_of(dataset: Dataset, row_sets: Sequence[Array], most: int | None = None) -> list[Part]:
    """Return the shares of some sets of images, which depend on their number and size alone.

    Of at most so many images; by default of as many as pay for a sum of the size of a map.
    """
    parts, most = [], most or IMAGES_PER_PIXEL * dataset.size
    for rows in row_sets:
        count = max(LEAST_SHARES, math.ceil(len(rows) / most))
        pieces = np.array_split(rows, min(count, len(rows)))
        shares = [Share(dataset, piece) for piece in pieces]
        parts.append(Part(shares, SumTree(len(shares))))
    return parts


def sums_of_shares(
    executor: Any,
    work: Callable[[Dataset, Array], Any],
    dataset: Dataset,
    row_sets: Sequence[Array],
    *,
    progress: Callable[[int], object] | None = None,
    store: SumStore | None = None,
    settings: tuple = (),
    most: int | None = None,
) -> list[Any]:
    """Return the sums of a function of images, for each set of rows, by an executor.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Or what has ``submit``; or ``submit_sum``, as `fslice.data.cluster.ClusterExecutor` has.
    work : callable
        Takes a data set and rows of it, and returns something that adds.
    dataset : Dataset
    row_sets : sequence of (k,) int64 arrays
    progress, store
        As in `fslice.data.passes.sum_over`.
    settings : tuple, optional
        On which the sums depend besides the images, for the store.
    most : int, optional
        Images of a share.
    """
    parts = parts_of(dataset, row_sets, most)
    if store is not None:
        store.load(dataset, parts, settings)
        _tell_loaded(parts, progress)
    run = _Run(executor, work, parts, progress or (lambda seen: None))
    try:
        for _ in run.arrivals():
            if store is not None and store.due():
                store.save(parts)
    except BaseException:
        run.stop()
        if store is not None:
            store.save(parts)
        raise
    if store is not None and store.due():
        store.save(parts)
    return [_with_notes(dataset, part.tree.total) for part in parts]


def _tell_loaded(parts: Sequence[Part], progress: Any) -> None:
    for part in parts:
        loaded = [leaf for node in part.tree.sums for leaf in part.tree.leaves_of(node)]
        if progress is not None and loaded:
            progress(sum(len(part.shares[leaf].rows) for leaf in loaded))


def _with_notes(dataset: Dataset, found: Partial) -> Any:
    for rows, notes in found.notes:
        dataset.images.add_notes(rows, notes)
    return found.total


class _Run:
    """One pass over shares: submits them, a few more than are worked on, and adds what arrives."""

    def __init__(
        self, executor: Any, work: Any, parts: list[Part], progress: Callable[[int], object]
    ) -> None:
        self.progress, self.done = progress, queue.SimpleQueue[Any]()
        self.pending: dict[int, Any] = {}
        self._adds = hasattr(executor, "submit_sum")
        self._in_flight = _MOST_IN_FLIGHT
        if self._adds:
            self._submit = partial(executor.submit_sum, work, seen=self._seen)
        else:
            self._submit = partial(_submit_share, executor, work)
            self._in_flight = 2 * getattr(executor, "_max_workers", _MOST_IN_FLIGHT // 2)
        self.units = [
            (part, node) for part in parts for node in part.tree.missing(self._height(part.tree))
        ]

    def arrivals(self) -> Any:
        """Add sums to their trees as they arrive; yield after each."""
        left = iter(range(len(self.units)))
        self._start(left)
        while self.pending:
            kind, value = self.done.get()
            if kind == "seen":
                self.progress(value)
                continue
            self._put(value, self.pending.pop(value))
            self._start(left)
            yield

    def stop(self) -> None:
        """Cancel what is not done, and add what is."""
        done = {number: future for number, future in self.pending.items() if future.done()}
        for number in self.pending.keys() - done.keys():
            self.pending[number].cancel()
        for number, future in done.items():
            with contextlib.suppress(Exception):
                self._put(number, future, timeout=_SALVAGE_SECONDS)
        self.pending.clear()

    def _height(self, tree: SumTree) -> int:
        """Return the level up to which workers add sums."""
        return max(0, tree.root[0] - _ROOT_LEVELS) if self._adds else 0

    def _start(self, left: Any) -> None:
        while self._adds or len(self.pending) < self._in_flight:
            number = next(left, None)
            if number is None:
                return
            part, node = self.units[number]
            future = self._submit([part.shares[leaf] for leaf in part.tree.leaves_of(node)])
            self.pending[number] = future
            future.add_done_callback(partial(self._tell_done, number))

    def _tell_done(self, number: int, _: Any) -> None:
        self.done.put(("done", number))

    def _seen(self, images: int) -> None:
        """Take note, from any thread, of a share that workers have summed."""
        self.done.put(("seen", images))

    def _put(self, number: int, future: Any, timeout: float | None = None) -> None:
        part, node = self.units[number]
        try:
            found = future.result(timeout)
        except CancelledError as error:
            raise OSError("executor: it is gone, and with it the sums of images") from error
        part.tree.put(node, found)
        if not self._adds:
            self.progress(sum(len(part.shares[leaf].rows) for leaf in part.tree.leaves_of(node)))


def _submit_share(executor: Any, work: Any, shares: list[Share]) -> Any:
    (share,) = shares
    if isinstance(executor, ThreadPoolExecutor | DeviceExecutor):  # nothing travels
        return executor.submit(_sum_rows, work, share.dataset, share.rows)
    return executor.submit(sum_share, work, share)


def _sum_rows(work: Any, dataset: Dataset, rows: Array) -> Partial:
    with one_thread():
        return Partial(work(dataset, rows))


def sum_share(work: Callable[[Dataset, Array], Any], share: Share) -> Partial:
    """Return the sum over a share, by one thread, so that it has the same bits everywhere."""
    with one_thread():
        total = work(share.dataset, share.rows)
    return Partial(total, share.notes())


def for_functions(executor: Any) -> Any:
    """Return an executor if it takes functions that hold arrays, such as a map; None for others.

    Several GPUs do not take a function whose map lies on one of them.
    """
    return None if isinstance(executor, DeviceExecutor) else executor
