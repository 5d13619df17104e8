"""A map as a solid body: its isosurface, seen along a direction and lit from one side."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.ndimage

from fslice._arrays import Array, check_finite, check_size, to_numpy
from fslice.geometry import check_rotations
from fslice.plot.style import checked

_LIGHT = np.array([-0.4, 0.5, 0.77])
"""Towards the light, (x, y, z): from above, on the left, in front."""
_AMBIENT, _FAR = 0.25, 0.55
"""Brightness of what faces away from the light; of the farthest points, relative to the nearest."""


def surface_image(
    volume: Array, level: float, rotation: Array | None = None, *, sampling: int = 2
) -> np.ndarray:
    """Return the picture of an isosurface, brighter where it is near and faces the light.

    Parameters
    ----------
    volume : (D, D, D) real array
        In the order [z, y, x].
    level : float
        The body is where the volume is above it; see `level_of_share`.
    rotation : (3, 3) real array, optional
        Image to volume coordinates, as for projections: the beam, (0, 0, 1) of the image, comes
        towards the reader, x goes right and y up. Default: the volume's own axes.
    sampling : int, optional
        Pixels of the picture, and steps in depth, for each voxel.

    Returns
    -------
    (sampling D, sampling D) float64 array
        From 0 to 1, NaN where there is no surface; row 0 is the lowest y, as
        ``imshow(..., origin="lower")`` takes it.

    Raises
    ------
    ValueError
        A shape is not as above, a value is not finite, or `rotation` is no rotation.
    TypeError
        An array is not real.

    Notes
    -----
    Rays are followed along z, from the reader into the picture, to the first crossing of the
    level, which is interpolated linearly; the volume is interpolated linearly too. The normal is
    that of the depth over the picture, and the brightness is Lambert's, less with depth.

    Examples
    --------
    A ball of radius 4 covers ``pi 4^2`` of 16^2 voxels, in four pixels each:

    >>> x = np.arange(16) - 8
    >>> ball = 4.0 - np.sqrt(sum(k**2 for k in np.ix_(x, x, x)))
    >>> picture = surface_image(ball, 0.0)
    >>> int(np.isfinite(picture).sum()), bool(np.nanmax(picture) <= 1)
    (193, True)
    """
    values = checked("volume", volume)
    check_finite("volume", values)
    check_size("sampling", sampling)
    matrix = np.eye(3) if rotation is None else np.asarray(to_numpy(rotation), np.float64)
    check_rotations("rotation", matrix)
    depth = _depth(_turned(values, matrix, sampling), level)
    return _shaded(depth)


def level_of_share(volume: Array, share: float) -> float:
    """Return the level above which a share of all voxels lies.

    Parameters
    ----------
    volume : (D, D, D) real array
    share : float
        Between 0 and 1: the body's volume over that of the box.

    Returns
    -------
    float

    Examples
    --------
    >>> level_of_share(np.arange(1000.0).reshape(10, 10, 10), 0.1)
    899.1
    """
    if not 0 < share < 1:
        raise ValueError(f"share: expected a value between 0 and 1, got {share}")
    return float(np.quantile(checked("volume", volume), 1 - share))


def draw_surfaces(
    panels: Any, volume: Array, level: float, rotations: dict[str, Array], **options: Any
) -> None:
    """Draw an isosurface from several sides, each on axes of its own.

    Parameters
    ----------
    panels : sequence of matplotlib.axes.Axes
    volume, level
        As in `surface_image`.
    rotations : dict of (3, 3) real arrays
        By the titles of the axes.
    **options
        As in `surface_image`.
    """
    for axes, (title, rotation) in zip(panels, rotations.items(), strict=True):
        axes.imshow(
            surface_image(volume, level, rotation, **options), cmap="bone", vmin=0, vmax=1.05,
            origin="lower", interpolation="bilinear",
        )  # fmt: skip
        axes.set_title(title)
        axes.set_axis_off()


def _turned(volume: np.ndarray, rotation: np.ndarray, sampling: int) -> np.ndarray:
    """Return the volume on the picture's grid, finer and turned; less than all outside the box."""
    size, centre = len(volume), len(volume) // 2
    # a point of the picture's array [z, y, x] lies at R (x, y, z) in the volume
    matrix = rotation[::-1, ::-1] / sampling
    offset = centre - matrix @ np.full(3, sampling * centre)
    return scipy.ndimage.affine_transform(
        volume.astype(np.float32), matrix, offset, (sampling * size,) * 3, order=1,
        mode="constant", cval=float(volume.min()),
    )  # fmt: skip


def _depth(volume: np.ndarray, level: float) -> np.ndarray:
    """Return the height z at which each ray from above meets the level, NaN where none does."""
    above = volume > level
    first = len(volume) - 1 - np.argmax(above[::-1], axis=0)
    here = np.take_along_axis(volume, first[None], 0)[0]
    before = np.take_along_axis(volume, np.minimum(first + 1, len(volume) - 1)[None], 0)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.clip((here - level) / (here - before), 0, 1)
    height = first + np.where(np.isfinite(step), step, 0)
    return np.where(above.any(0), height, np.nan)


def _shaded(depth: np.ndarray) -> np.ndarray:
    """Return the brightness of a surface from its height over the picture."""
    if not np.isfinite(depth).any():
        return depth
    low, high = np.nanmin(depth), np.nanmax(depth)
    slope_y, slope_x = np.gradient(np.where(np.isfinite(depth), depth, low))
    light = _LIGHT / math.sqrt(float(_LIGHT @ _LIGHT))
    facing = (light[2] - slope_x * light[0] - slope_y * light[1]) / np.sqrt(
        1 + slope_x**2 + slope_y**2
    )
    near = _FAR + (1 - _FAR) * (depth - low) / max(high - low, 1)
    return near * (_AMBIENT + (1 - _AMBIENT) * np.clip(facing, 0, 1))
