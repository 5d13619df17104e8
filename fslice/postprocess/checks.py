"""Checks of what goes into a result and of what comes out, each with its sentence."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from fslice._arrays import Array, check_size, to_numpy
from fslice.postprocess.filters import check_cube
from fslice.postprocess.masks import check_mask

_BATCH = 1024


def map_sign(volume: Array, mask: Array) -> int:
    """Return whether the object in a map is brighter or darker than its surroundings.

    Parameters
    ----------
    volume : (D, D, D) real array
    mask : (D, D, D) real array
        From 0 to 1, about the object.

    Returns
    -------
    {1, -1}
        -1 where the mean inside the mask is below that outside: the contrast is inverted. A
        mask that leaves nothing outside is compared with zero.

    Raises
    ------
    ValueError
        A shape is not as above, or the mask is not from 0 to 1.

    Examples
    --------
    >>> from fslice.postprocess.masks import soft_spherical_mask
    >>> mask = soft_spherical_mask(16, 4, 2)
    >>> map_sign(mask - 0.9, mask), map_sign(0.9 - mask, mask)
    (1, -1)
    """
    check_cube("volume", volume)
    check_mask(mask, volume)
    weight, whole = float(mask.sum(dtype=np.float64)), float(volume.sum(dtype=np.float64))
    inside, left = float((volume * mask).sum(dtype=np.float64)), mask.size - weight
    within = inside / weight if weight else 0.0
    beyond = (whole - inside) / left if left else 0.0
    return 1 if within >= beyond else -1


def sign_warning(volume: Array, mask: Array) -> str | None:
    """Return a sentence where the contrast of a map is inverted; see `map_sign`.

    Examples
    --------
    >>> from fslice.postprocess.masks import soft_spherical_mask
    >>> mask = soft_spherical_mask(16, 4, 2)
    >>> sign_warning(mask, mask) is None
    True
    >>> sign_warning(-mask, mask)
    'the density inside the mask is negative: the contrast of the images is inverted'
    """
    if map_sign(volume, mask) > 0:
        return None
    return "the density inside the mask is negative: the contrast of the images is inverted"


def duplicate_images(images: Any, *, batch_size: int = _BATCH) -> np.ndarray:
    """Return for every image the first one that has the same pixels.

    Parameters
    ----------
    images : (n, D, D) array, or a stack in a file
        Read `batch_size` images at a time.
    batch_size : int, optional

    Returns
    -------
    (n,) int64 array
        ``i`` itself for images that were not there before. Images with one number are the same
        and belong into one half set.

    Raises
    ------
    ValueError
        `batch_size` is below 1.

    Notes
    -----
    Images are compared by 128 bits of BLAKE2 over their pixels: two that differ are taken for
    one with a chance below 1e-20 in a set of a billion.

    Examples
    --------
    >>> images = np.random.default_rng(0).normal(size=(5, 8, 8))
    >>> images[3] = images[1]
    >>> duplicate_images(images)
    array([0, 1, 2, 1, 4])
    """
    step, seen = check_size("batch_size", batch_size), dict[bytes, int]()
    first = np.empty(len(images), np.int64)
    for start in range(0, len(images), step):
        for index, image in enumerate(to_numpy(images[start : start + step]), start):
            key = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
            first[index] = seen.setdefault(key, index)
    return first


def duplicates_warning(first: np.ndarray, half_set: np.ndarray | None = None) -> str | None:
    """Return a sentence that counts images that are there twice, or None.

    Parameters
    ----------
    first : (n,) integer array
        As from `duplicate_images`.
    half_set : (n,) integer array, optional
        Of the images: those whose copy is in the other half are counted as well.

    Returns
    -------
    str or None

    Examples
    --------
    >>> duplicates_warning(np.array([0, 1, 0, 1]), np.array([1, 1, 2, 1]))
    '2 of 4 images are copies of others, 1 of them in the other half set: half maps share them'
    >>> duplicates_warning(np.arange(3)) is None
    True
    """
    copies = first != np.arange(len(first))
    count = int(copies.sum())
    if not count:
        return None
    words = f"{count} of {len(first)} images are copies of others"
    across = 0 if half_set is None else int((half_set[first] != half_set)[copies].sum())
    if across:
        words += f", {across} of them in the other half set: half maps share them"
    return words
