"""Masks: a soft sphere, and the mask that a map itself suggests."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import scipy.ndimage

from fslice._arrays import (
    Array,
    array_namespace,
    check_finite,
    check_shape,
    check_size,
    to_numpy,
)
from fslice.postprocess.detection import detect_object, distance_from_centre
from fslice.postprocess.filters import check_cube, cosine_fall
from fslice.postprocess.shell_sums import bounding_box


def soft_spherical_mask(
    size: int, radius: float, edge: float = 5.0, dtype: Any = "float64", *, xp: Any = np
) -> Array:
    """Return a spherical mask with a cosine edge.

    Parameters
    ----------
    size : int
        Box D.
    radius : float
        In pixels about pixel ``D // 2``; inside it the mask is 1.
    edge : float, optional
        Width in pixels of the fall to 0.
    dtype : {"float64", "float32"}, optional
    xp : module, optional
        Array library of the result.

    Returns
    -------
    (D, D, D) real array

    Raises
    ------
    ValueError
        A length is negative or not finite, or `edge` is 0.

    Examples
    --------
    >>> soft_spherical_mask(9, radius=2, edge=2)[4, 4, 4:]
    array([1. , 1. , 1. , 0.5, 0. ])
    """
    _check_widths(radius=radius)
    if not 0 < edge < math.inf:
        raise ValueError(f"edge: expected finite pixels above 0, got {edge}")
    distance = distance_from_centre(check_size("size", size), xp)
    return cosine_fall((distance - radius) / edge).astype(dtype)


def mask_from_map(
    volume: Array,
    pixel_size: float,
    *,
    resolution: float | None = None,
    extend: float = 3.0,
    edge: float = 6.0,
) -> Array:
    """Return a soft mask about the object in a map, without a threshold set by hand.

    Parameters
    ----------
    volume : (D, D, D) real array
        Unmasked; the sum of two half maps, or one map of all images.
    pixel_size : float
        In Angstrom.
    resolution : float, optional
        What the map is low-passed to first, in Angstrom. Default: 15, but 5 pixels at least.
    extend : float, optional
        How far the mask is 1 about the object, in pixels.
    edge : float, optional
        Width of the fall from 1 to 0, in pixels: a cosine.

    Returns
    -------
    (D, D, D) real array
        From 0 to 1, in the library and the precision of `volume`. Components and distances are
        found on the host, whatever the library.

    Warns
    -----
    UserWarning
        No object stands out of the noise: the mask is then the sphere that fits the box. Or the
        object is darker than its surroundings: the mask is about it, the contrast is inverted.

    Raises
    ------
    ValueError
        A shape is not as above, a value is not finite, or a length is out of its range.

    Notes
    -----
    Noise is as often above the background, the median of the corners of the box, as below, and
    objects are above it. So ``#(v < -t) / #(v > t)`` estimates which share of the voxels above a
    threshold t is noise. Above the lowest t with at most 5 % the object is sure, one resolved cell
    counted as noise in any case, so that a few voxels prove nothing; what is connected with it
    above the lowest t with at most 25 % belongs to it. Where there is little noise, 20 % of the
    mean density of the interior is the least threshold. Of the connected parts inside the sphere
    that fits the box, the largest and those of at least a tenth of its size are the object.

    Examples
    --------
    >>> from fslice.simulation import phantom
    >>> truth = phantom(64, 4.0).volume(64, 4.0)
    >>> mask = mask_from_map(truth, 4.0)
    >>> bool(0.02 < mask.mean() < 0.25), bool(((mask >= 0) & (mask <= 1)).all())
    (True, True)
    >>> float((truth * mask).sum() / truth.sum()) > 0.99
    True
    """
    _check_widths(extend=extend, edge=edge)
    found = detect_object(volume, pixel_size, resolution)
    xp, size = array_namespace(volume), len(volume)
    if found is None:
        warnings.warn(
            "no object stands out of the noise: the mask is the sphere that fits the box",
            stacklevel=2,
        )
        width = min(max(edge, 1), size / 4)
        return soft_spherical_mask(size, size / 2 - width, width, volume.dtype, xp=xp)
    if found.sign < 0:
        warnings.warn(
            "the object in the map is darker than its surroundings: is the contrast inverted?",
            stacklevel=2,
        )
    return xp.asarray(_widened(found.inside, extend, edge, volume.dtype))


def _widened(inside: np.ndarray, extend: float, edge: float, dtype: Any) -> np.ndarray:
    """Return 1 up to a distance from what is inside, then a cosine down to 0."""
    reach = math.ceil(extend + edge)
    near = tuple(
        slice(max(0, side.start - reach), side.stop + reach) for side in bounding_box(inside)
    )
    away = scipy.ndimage.distance_transform_edt(~inside[near])
    fall = (away - extend) / edge if edge else np.where(away > extend, 1.0, 0.0)
    mask = np.zeros(inside.shape, dtype)
    mask[near] = cosine_fall(fall)
    return mask


def cut_share(
    volume: Array, mask: Array, pixel_size: float, *, resolution: float | None = None
) -> float:
    """Return which share of the density of the object in a map a mask removes.

    Parameters
    ----------
    volume : (D, D, D) real array
    mask : (D, D, D) real array
        From 0 to 1.
    pixel_size : float
        In Angstrom.
    resolution : float, optional
        As in `mask_from_map`.

    Returns
    -------
    float
        From 0 to 1; NaN where no object stands out of the noise.

    Raises
    ------
    ValueError
        A shape or a value is not as above.

    Examples
    --------
    >>> from fslice.simulation import phantom
    >>> truth = phantom(48, 4.0).volume(48, 4.0)
    >>> wide, half = np.ones_like(truth), np.ones_like(truth)
    >>> half[:, :, :24] = 0
    >>> cut_share(truth, wide, 4.0), round(cut_share(truth, half, 4.0), 1)
    (0.0, 0.5)
    """
    check_mask(mask, volume)
    found = detect_object(volume, pixel_size, resolution)
    if found is None:
        return math.nan
    density = found.density[found.inside].astype(np.float64)
    return float(density @ (1 - to_numpy(mask)[found.inside].astype(np.float64)) / density.sum())


def check_mask(mask: Array, volume: Array) -> None:
    """Raise unless a mask is real, of the volume's shape, and from 0 to 1.

    Examples
    --------
    >>> check_mask(np.full((2, 2, 2), 1.5), np.zeros((2, 2, 2)))
    Traceback (most recent call last):
    ...
    ValueError: mask: expected values from 0 to 1, got 1.5 to 1.5
    """
    check_cube("mask", mask)
    array_namespace(mask, volume)
    check_shape("mask", mask, volume.shape)
    check_finite("mask", mask)
    low, high = float(mask.min()), float(mask.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"mask: expected values from 0 to 1, got {low:g} to {high:g}")


def _check_widths(**widths: float) -> None:
    for name, width in widths.items():
        if not 0 <= width < math.inf:
            raise ValueError(f"{name}: expected finite pixels of at least 0, got {width}")
