"""The one pass over images: it reads, checks, transforms and whitens them, and sums a function.

Everything that is learned from images is a sum over them: normal equations, a bound and its
gradient, the noise's spectrum, the misfit of each image. Such a sum is a function of a batch
that `sum_over` calls; sums of shares of the images add up to the sum over all.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from fslice._arrays import Array, check_size
from fslice._threads import available_cpus
from fslice.data.ahead import one_ahead
from fslice.data.cache import SpectraCache
from fslice.data.dataset import Dataset
from fslice.data.image_ctf import as_taken, ctf_of
from fslice.data.plain import as_fold
from fslice.data.shares import SumStore, sums_of_shares
from fslice.data.spectra import half_spectra, uploaded_pixels
from fslice.operators.ctf import CTF

BATCH_BYTES = 1 << 27
"""Half spectra of a batch take no more: enough images to have neighbours in viewing direction."""


class Batch(NamedTuple):
    """Some images of a data set, and their views, as a `Projector` takes them."""

    rows: Array
    """(n,) int64: which images of the data set, or of that of which it is a portion."""
    images_ft: Array | None
    """(n, D, D//2 + 1) complex: half spectra over the noise's deviation; None if not read."""
    rotations: Array
    """(v, 3, 3): v = n times the order of the symmetry."""
    shifts: Array | None
    ctf: CTF | Array | None
    """Of the n images, over the noise's deviation."""
    image_of: Array | None
    """(v,) int64: the image of each view; None where each has one."""


class Fold(Protocol):
    """A sum that is kept in place, where adding up returned values would cost too much.

    A fold may have a `share_size`: images of a share, at most, where an executor works on them.
    """

    def start(self, dataset: Dataset) -> Any:
        """Return the sum of nothing."""

    def add(self, total: Any, batch: Batch) -> Any:
        """Return the total with a batch added; it may be changed in place."""

    def finish(self, total: Any, dataset: Dataset, rows: Array) -> Any:
        """Return the sum over all rows, something that adds."""


def sum_over(
    dataset: Dataset,
    function: Callable[[Batch], Any] | Fold,
    *,
    rows: Array | None = None,
    images: bool = True,
    batch_size: int | None = None,
    cache: SpectraCache | None = None,
    executor: Any = None,
    progress: Callable[[int], object] | None = None,
    store: SumStore | None = None,
) -> Any:
    """Sum a function of batches over the images of a data set.

    Parameters
    ----------
    dataset : Dataset
    function : callable or Fold
        Takes a `Batch` and returns something that adds, such as an array or normal equations.
    rows : (k,) int64 array, optional
        Which images, in ascending order; default all.
    images : bool, optional
        Whether pixels are read; functions of poses and CTFs alone do not need them.
    batch_size : int, optional
        Images at a time. Default: 128 MB of half spectra.
    cache : SpectraCache, optional
        Keeps the half spectra for the next pass.
    executor : concurrent.futures.Executor, or what has its ``submit``, optional
        Works on shares of the images, each in one thread, whose sums are added in a tree of a
        fixed shape: the bits of the result do not depend on how many workers there are, or which
        is done first. Threads, processes, an engine's own such as Dask's
        ``Client.get_executor()``; `fslice.data.cluster.ClusterExecutor` for many machines,
        `fslice.data.devices.DeviceExecutor` for several GPUs.
    progress : callable, optional
        Called after each batch, or each share, with the number of images that it had.
    store : SumStore, optional
        Keeps what an executor has summed, for a run that goes on after this one has failed.

    Returns
    -------
    The sum.

    Raises
    ------
    ValueError
        There is no image, or a pixel is NaN or infinite: the first is named.
    MemoryError
        There is no room for one image at a time.
    OSError
        An executor was lost, with its scheduler or its workers.

    Notes
    -----
    Where the memory, of the host or of a GPU, does not hold a batch, all is summed again in
    batches of half as many images, and the cache is given up.

    Examples
    --------
    >>> import fslice
    >>> from fslice.data.poses import Poses
    >>> rng = np.random.default_rng(0)
    >>> images = rng.normal(size=(20, 8, 8))
    >>> dataset = Dataset(images, Poses(fslice.random_rotations(20, rng)))
    >>> total = sum_over(dataset, lambda batch: batch.images_ft.sum(0))
    >>> np.allclose(fslice.irfft2(total), images.sum(0))
    True
    """
    row_sets = [np.arange(len(dataset)) if rows is None else rows]
    return sums_over(
        dataset, function, row_sets, images=images, batch_size=batch_size, cache=cache,
        executor=executor, progress=progress, store=store,
    )[0]  # fmt: skip


def sums_over(
    dataset: Dataset,
    function: Callable[[Batch], Any] | Fold,
    row_sets: Sequence[Array],
    *,
    images: bool = True,
    batch_size: int | None = None,
    cache: SpectraCache | None = None,
    executor: Any = None,
    progress: Callable[[int], object] | None = None,
    store: SumStore | None = None,
) -> list[Any]:
    """Sum a function of batches over several sets of images, such as half sets.

    An executor works on all of them at once.

    Parameters
    ----------
    dataset, function, images, batch_size, cache, executor, progress, store
        As in `sum_over`.
    row_sets : sequence of (k,) int64 arrays
        Which images, in ascending order.

    Returns
    -------
    list
        The sum over each set.
    """
    if not all(map(len, row_sets)):
        raise ValueError("dataset: expected at least one image, got none")
    step, fold = _batch_size(dataset, batch_size), as_fold(function)
    if executor is None:
        return [_share(fold, images, step, cache, dataset, rows, progress) for rows in row_sets]
    work = partial(_share, fold, images, step, cache)
    return sums_of_shares(
        executor, work, dataset, row_sets, progress=progress, store=store,
        settings=(fold, images, step), most=getattr(fold, "share_size", None),
    )  # fmt: skip


def _share(
    fold: Fold,
    images: bool,
    step: int,
    cache: SpectraCache | None,
    dataset: Dataset,
    rows: np.ndarray,
    progress: Callable[[int], object] | None = None,
) -> Any:
    """Return the sum over some images, in smaller batches where the memory is too small."""
    tell = _once_each(progress)
    while True:
        try:
            total = _folded(dataset, fold, _prepared(dataset, rows, step, images, cache), tell)
            break
        except MemoryError:
            if step == 1:
                raise
        # not in the clause above: there the exception still holds all that was computed
        step = min(step, len(rows)) // 2 or 1
        if cache is not None:
            cache.give_up()
    return fold.finish(total, dataset, rows)


def _prepared(
    dataset: Dataset, rows: np.ndarray, step: int, images: bool, cache: SpectraCache | None
) -> Iterator[Batch]:
    """Return the batches, on a processor with more than one core a batch ahead."""
    batches = _batches(dataset, rows, step, images, cache)
    ahead = images and dataset.xp is np and available_cpus() > 1
    return one_ahead(batches) if ahead else batches


def _folded(
    dataset: Dataset, fold: Fold, batches: Iterator[Batch], tell: Callable[[int], object]
) -> Any:
    total, seen = fold.start(dataset), 0
    for batch in batches:
        total = fold.add(total, batch)
        seen += len(batch.rows)
        tell(seen)
    return total


def _once_each(progress: Callable[[int], object] | None) -> Callable[[int], object]:
    """Return what is told how many images were seen, and reports those that are new."""
    told = 0

    def tell(seen: int) -> None:
        nonlocal told
        if progress is not None and seen > told:
            progress(seen - told)
        told = max(told, seen)

    return tell


def _batches(
    dataset: Dataset, rows: np.ndarray, step: int, images: bool, cache: SpectraCache | None
) -> Generator[Batch]:
    """Yield all images, batch by batch, each batch in the order of its viewing directions."""
    parts = [rows[start : start + step] for start in range(0, len(rows), step)]
    with contextlib.closing(uploaded_pixels(dataset, parts, cache)) as pixels:
        for chosen in parts:
            here = dataset.xp.asarray(chosen)
            order = dataset.poses[here].viewing_order()
            here = here[order]
            spectra = half_spectra(dataset, chosen, order, cache, pixels) if images else None
            yield make_batch(dataset, here, spectra)


def make_batch(dataset: Dataset, rows: Array, spectra: Array | None = None) -> Batch:
    """Return the batch of some images, from their half spectra if these are needed."""
    ctf, whitening = ctf_of(dataset, rows), dataset.whitening(rows)
    if spectra is not None:
        spectra = as_taken(spectra, dataset, rows)
    if spectra is not None and whitening is not None:
        spectra = spectra * whitening
    poses = dataset.poses[rows]
    mates = poses.equivalent(dataset.symmetry)
    image_of = None
    if dataset.order > 1:
        image_of = dataset.xp.tile(dataset.xp.arange(len(rows)), dataset.order)
    return Batch(dataset.numbers(rows), spectra, mates.rotations, mates.shifts, ctf, image_of)


def _batch_size(dataset: Dataset, given: int | None) -> int:
    if given is not None:
        return check_size("batch_size", given)
    pixels = math.prod(dataset.images.shape[1:])
    return max(64, BATCH_BYTES // (pixels * dataset.dtype.itemsize))
