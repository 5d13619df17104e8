"""Which voxels of a map are an object and not noise, without a threshold set by hand."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.ndimage

from fslice._arrays import Array, check_finite, to_numpy
from fslice.postprocess.filters import check_cube, low_pass

_RESOLUTION = 15.0
"""What a map is low-passed to before it is searched for an object, in Angstrom at least."""

_PERIOD = 5
"""The same in pixels at least, for maps of large pixels."""

_FALSE_SHARE = 0.05
"""The share of noise that is allowed among the voxels above the threshold of what is sure."""

_FALSE_SHARE_NEAR = 0.25
"""The same for voxels that are connected with those that are sure."""

_INTERIOR_SHARE = 0.2
"""The least threshold, relative to the mean of the object's interior."""

_KEPT_PART = 0.1
"""Parts of the object that are at least so large, relative to the largest, are kept."""

_BINS = 4096


class Detected(NamedTuple):
    """An object in a map, by voxels.

    Parameters
    ----------
    inside : (D, D, D) boolean array
    density : (D, D, D) real array
        The low-passed map over its background, positive where the object is.
    sign : {1, -1}
        -1 where the object is darker than its surroundings: the contrast is inverted.
    """

    inside: np.ndarray
    density: np.ndarray
    sign: int


def detect_object(
    volume: Array, pixel_size: float, resolution: float | None = None
) -> Detected | None:
    """Return what stands out of the noise of a map, or None; see `mask_from_map`.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(32, 32, 32))
    >>> detect_object(noise, 4.0) is None
    True
    """
    size = check_cube("volume", volume)
    check_finite("volume", volume)
    if resolution is None:
        resolution = max(_RESOLUTION, _PERIOD * pixel_size)
    filtered = to_numpy(low_pass(volume, pixel_size, resolution, edge=1.0))
    sphere = distance_from_centre(size) < size / 2
    density = filtered - np.median(filtered[~sphere])
    cell = max(1.0, 3 / (4 * np.pi) * (resolution / pixel_size) ** 3)
    for sign in (1, -1):
        signed = sign * density
        thresholds = _thresholds(signed[sphere], cell)
        if thresholds is not None:
            near, sure = ((signed > threshold) & sphere for threshold in thresholds)
            return Detected(_parts(near, sure), signed, sign)
    return None


def _thresholds(values: np.ndarray, cell: float) -> tuple[float, float] | None:
    """Return the lowest thresholds above which some, and few, values are noise, or None."""
    highest = float(abs(values).max())
    if not highest > 0:
        return None
    edges = np.linspace(0, highest, _BINS + 1)
    above, below = (
        np.cumsum(np.histogram(side, edges)[0][::-1])[::-1] for side in (values, -values)
    )
    lowest = [
        np.flatnonzero(below + cell <= share * above) for share in (_FALSE_SHARE_NEAR, _FALSE_SHARE)
    ]
    if not len(lowest[1]):
        return None
    near, sure = (float(edges[found[0]]) for found in lowest)
    least = _INTERIOR_SHARE * _interior(values[values > sure])
    return max(near, least), max(sure, least)


def _interior(values: np.ndarray) -> float:
    """Return the mean of the upper of two classes, parted half-way between their means."""
    level = float(values.mean())
    for _ in range(20):
        level = (values[values <= level].mean() + values[values >= level].mean()) / 2
    return float(values[values >= level].mean())


def _parts(near: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Return the largest parts that hold voxels that are sure, with what is connected to them."""
    labels, count = scipy.ndimage.label(near)
    sizes = np.bincount(labels[sure], minlength=count + 1)
    return (sizes >= max(1, _KEPT_PART * sizes.max()))[labels] & near


def distance_from_centre(size: int, xp: Any = np) -> Array:
    """Return the distance of every voxel from voxel ``D // 2``, in pixels: (D, D, D).

    Examples
    --------
    >>> distance_from_centre(3)[1, 1]
    array([1., 0., 1.])
    """
    square = (xp.arange(size) - size // 2) ** 2
    return xp.sqrt(square[:, None, None] + square[:, None] + square)
