"""The half spectra of images: read, checked, transformed, and kept where there is room."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator

import numpy as np

from fslice._arrays import Array, check_finite, complex_dtype, is_array
from fslice.data.cache import SpectraCache
from fslice.data.dataset import Dataset
from fslice.data.upload import as_slice, uploaded
from fslice.fourier import transform

_TOGETHER = 1 << 19  # pixels transformed together: more than fits the cache took twice as long


def uploaded_pixels(
    dataset: Dataset, parts: list[np.ndarray], cache: SpectraCache | None
) -> Generator[Array]:
    """Yield the pixels of all parts that are not cached, if they are to be uploaded to a device."""
    if _is_uploaded(dataset):
        missing = [
            part for part in parts if cache is None or cache.get(_key(dataset, part)) is None
        ]
        yield from uploaded(dataset, missing)


def _is_uploaded(dataset: Dataset) -> bool:
    """Return whether poses are on a device, and images are not."""
    on_device = is_array(dataset.images) and not isinstance(dataset.images, np.ndarray)
    return dataset.xp is not np and not on_device


def half_spectra(
    dataset: Dataset,
    rows: np.ndarray,
    order: Array,
    cache: SpectraCache | None,
    pixels: Iterator[Array],
) -> Array:
    """Return the half spectra of images, in an order, from the cache if they are there.

    Parameters
    ----------
    dataset : Dataset
    rows : (k,) int64 array
        Which images, in ascending order.
    order : (k,) int64 array
        Of the spectra, among these, in the library of the poses.
    cache : SpectraCache or None
    pixels : iterator
        Gives the pixels where they are uploaded; `uploaded_pixels` of all rows that are asked for.

    Raises
    ------
    ValueError
        A pixel is NaN or infinite: the image is named.
    """
    kept = None if cache is None else cache.get(_key(dataset, rows))
    if kept is not None:
        return kept
    spectra = _transformed(dataset, rows, order, pixels)
    if cache is not None:
        cache.put(_key(dataset, rows), spectra, share=len(rows) / len(dataset))
    return spectra


def _key(dataset: Dataset, rows: np.ndarray) -> tuple:
    """Return what tells batches apart; those on several devices too."""
    device = getattr(dataset.poses.rotations, "device", None)
    return int(rows[0]), int(rows[-1]), len(rows), getattr(device, "id", None)


def _transformed(
    dataset: Dataset, rows: np.ndarray, order: Array, pixels: Iterator[Array]
) -> Array:
    """Read, check and transform images: they are read in their order, and put into the other."""
    xp, size, sides = dataset.xp, dataset.size, dataset.poses.dimension - 1
    shape = (len(rows), *[size] * (sides - 1), size // 2 + 1)
    spectra = xp.empty(shape, complex_dtype(dataset.dtype))
    place = xp.argsort(order)
    together = max(1, _TOGETHER // math.prod(shape[1:])) if xp is np else len(rows)
    for start in range(0, len(rows), together):
        part = slice(start, start + together)
        if _is_uploaded(dataset):
            given = next(pixels)
        else:
            given = xp.asarray(dataset.images[as_slice(rows[part])], dtype=dataset.dtype)
        spectra[place[part]] = transform(given, sides)
    # the zero frequency is the sum of an image: one bad pixel spoils it
    sums = spectra.reshape(len(rows), -1)[:, 0]
    if not bool(xp.isfinite(sums.real).all()):
        _name_bad_pixel(dataset, rows)
    return spectra


def _name_bad_pixel(dataset: Dataset, rows: np.ndarray) -> None:
    """Raise on the first image with a pixel that is not finite, by its place in the set."""
    for row in rows:
        image = dataset.images[int(row)]
        if np.dtype(image.dtype).kind == "f":
            check_finite(f"image {int(dataset.numbers(row))}", image)
    raise ValueError(f"images: expected values whose sum {dataset.dtype} can hold")
