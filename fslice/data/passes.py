"""The one pass over images: it reads, checks, transforms and whitens them, and sums a function.

Everything that is learned from images is a sum over them: normal equations, a bound and its
gradient, the noise's spectrum, the misfit of each image. Such a sum is a function of a batch
that `sum_over` calls; sums of shares of the images add up to the sum over all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Protocol

import numpy as np

from fslice._arrays import Array, check_finite, check_size, complex_dtype
from fslice._threads import available_cpus
from fslice.data.ahead import one_ahead
from fslice.data.cache import SpectraCache
from fslice.data.dataset import Dataset
from fslice.fourier import transform
from fslice.operators.ctf import CTF

BATCH_BYTES = 1 << 27
"""Half spectra of a batch take no more: enough images to have neighbours in viewing direction."""
_TOGETHER = 1 << 19  # pixels transformed together: more than fits the cache took twice as long
_SHARES = 16
"""Shares of the images where an executor works on them: fixed, so that sums have the same bits
for any number of workers."""
_SMALLEST_CTF = 1e-2
"""Images that were multiplied by their CTF are divided by it where it is not smaller."""


class Batch(NamedTuple):
    """Some images of a data set, and their views, as a `Projector` takes them."""

    rows: Array
    """(n,) int64: which images of the data set."""
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
    """A sum that is kept in place, where adding up returned values would cost too much."""

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
        Works on shares of the images, whose sums are added in a fixed order: the bits of the
        result do not depend on how many workers there are.
    progress : callable, optional
        Called after each batch with the number of images that it had.

    Returns
    -------
    The sum.

    Raises
    ------
    ValueError
        There is no image, or a pixel is NaN or infinite: the first is named.

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
    if rows is None:
        rows = np.arange(len(dataset))
    if not len(rows):
        raise ValueError("dataset: expected at least one image, got none")
    step = _batch_size(dataset, batch_size)
    options = (dataset, _as_fold(function), images, step, cache)
    if executor is None:
        return _share(*options, rows, progress)
    return _shared_out(executor, options, rows, progress)


def _share(
    dataset: Dataset,
    fold: Fold,
    images: bool,
    step: int,
    cache: SpectraCache | None,
    rows: np.ndarray,
    progress: Callable[[int], object] | None = None,
) -> Any:
    """Return the sum over some images."""
    total = fold.start(dataset)
    batches: Any = _batches(dataset, rows, step, images, cache)
    if images and dataset.xp is np and available_cpus() > 1:
        batches = one_ahead(batches)
    for batch in batches:
        total = fold.add(total, batch)
        if progress is not None:
            progress(len(batch.rows))
    return fold.finish(total, dataset, rows)


def _shared_out(executor: Any, options: tuple, rows: np.ndarray, progress: Any) -> Any:
    """Return the sum over shares that an executor works on, added as a balanced tree."""
    shares = np.array_split(rows, min(_SHARES, len(rows)))
    futures = [executor.submit(_share, *options, share) for share in shares]
    sums = []
    for share, future in zip(shares, futures, strict=True):
        sums.append(future.result())
        if progress is not None:
            progress(len(share))
    while len(sums) > 1:
        pairs = [sum_ + other for sum_, other in zip(sums[::2], sums[1::2], strict=False)]
        sums = pairs + sums[len(sums) & ~1 :]
    return sums[0]


def _batches(
    dataset: Dataset, rows: np.ndarray, step: int, images: bool, cache: SpectraCache | None
) -> Generator[Batch]:
    """Yield all images, batch by batch, each batch in the order of its viewing directions."""
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        here = dataset.xp.asarray(chosen)
        order = dataset.poses[here].viewing_order()
        here = here[order]
        spectra = _spectra(dataset, chosen, order, cache) if images else None
        yield make_batch(dataset, here, spectra)


def make_batch(dataset: Dataset, rows: Array, spectra: Array | None = None) -> Batch:
    """Return the batch of some images, from their half spectra if these are needed."""
    ctf, whitening = dataset.ctf_of(rows), dataset.whitening(rows)
    if spectra is not None:
        spectra = dataset.without_odd_phases(spectra, rows)
    if spectra is not None and dataset.ctf_applied == "premultiplied":
        spectra = _without_ctf(spectra, dataset, rows)
    if spectra is not None and whitening is not None:
        spectra = spectra * whitening
    poses = dataset.poses[rows]
    mates = poses.equivalent(dataset.symmetry)
    image_of = None
    if dataset.order > 1:
        image_of = dataset.xp.tile(dataset.xp.arange(len(rows)), dataset.order)
    return Batch(rows, spectra, mates.rotations, mates.shifts, ctf, image_of)


def _spectra(dataset: Dataset, rows: np.ndarray, order: Array, cache: SpectraCache | None) -> Array:
    """Return the half spectra of images, in an order, from the cache if they are there."""
    key = (int(rows[0]), int(rows[-1]), len(rows))
    kept = None if cache is None else cache.get(key)
    if kept is not None:
        return kept
    spectra = _transformed(dataset, rows, order)
    if cache is not None:
        cache.put(key, spectra, share=len(rows) / len(dataset))
    return spectra


def _transformed(dataset: Dataset, rows: np.ndarray, order: Array) -> Array:
    """Read, check and transform images: they are read in their order, and put into the other."""
    xp, size, sides = dataset.xp, dataset.size, dataset.poses.dimension - 1
    shape = (len(rows), *[size] * (sides - 1), size // 2 + 1)
    spectra = xp.empty(shape, complex_dtype(dataset.dtype))
    place = xp.argsort(order)
    together = max(1, _TOGETHER // math.prod(shape[1:])) if xp is np else len(rows)
    for start in range(0, len(rows), together):
        part = slice(start, start + together)
        pixels = xp.asarray(dataset.images[_as_slice(rows[part])], dtype=dataset.dtype)
        spectra[place[part]] = transform(pixels, sides)
    # the zero frequency is the sum of an image: one bad pixel spoils it
    sums = spectra.reshape(len(rows), -1)[:, 0]
    if not bool(xp.isfinite(sums.real).all()):
        _name_bad_pixel(dataset, rows)
    return spectra


def _as_slice(rows: np.ndarray) -> slice | np.ndarray:
    """Return ascending rows as a slice if they are consecutive: maps then need no copy."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows


def _name_bad_pixel(dataset: Dataset, rows: np.ndarray) -> None:
    """Raise on the first image with a pixel that is not finite, by its place in the set."""
    for row in rows:
        image = dataset.images[int(row)]
        if np.dtype(image.dtype).kind == "f":
            check_finite(f"image {int(row)}", image)
    raise ValueError(f"images: expected values whose sum {dataset.dtype} can hold")


def _without_ctf(spectra: Array, dataset: Dataset, rows: Array) -> Array:
    """Divide images by the CTF that they were multiplied by, except where it is almost zero.

    There they hold nothing but rounding errors, and the CTF lets nothing of the model through.
    """
    ctf: Any = dataset.ctf
    values = ctf[rows].evaluate(dataset.size, dataset.dtype) if isinstance(ctf, CTF) else ctf[rows]
    large = abs(values) >= _SMALLEST_CTF
    return spectra * (large / dataset.xp.where(large, values, 1))


def _batch_size(dataset: Dataset, given: int | None) -> int:
    if given is not None:
        return check_size("batch_size", given)
    pixels = math.prod(dataset.images.shape[1:])
    return max(64, BATCH_BYTES // (pixels * dataset.dtype.itemsize))


class _Plain:
    """A function whose values are added as they come."""

    def __init__(self, function: Callable[[Batch], Any]) -> None:
        self.function = function

    def start(self, dataset: Dataset) -> Any:
        """Return nothing yet."""
        return None

    def add(self, total: Any, batch: Batch) -> Any:
        """Add the function of a batch."""
        value = self.function(batch)
        return value if total is None else total + value

    def finish(self, total: Any, dataset: Dataset, rows: Array) -> Any:
        """Return the sum."""
        return total


def _as_fold(function: Any) -> Fold:
    return function if hasattr(function, "finish") else _Plain(function)
