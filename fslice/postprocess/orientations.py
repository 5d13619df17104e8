"""Which views a set of images has, and what they leave unseen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fslice._arrays import Array, array_namespace, check_real, check_shape, check_size, to_numpy
from fslice.postprocess.healpix import bin_count, bin_directions, bin_of

_VIEWS = 64
"""Bins along a side of the sphere into which views are sorted: 49152 bins of 0.9 degrees."""

_FREQUENCIES = 16
"""The same for directions in Fourier space: 3072 bins."""

_ROWS = 64
"""How many directions in Fourier space are compared with all views at a time."""


@dataclass(frozen=True, eq=False)
class OrientationDistribution:
    """How views are spread over the sphere, and how evenly they cover Fourier space.

    Parameters
    ----------
    counts : (12 nside^2,) int64 array
        Images per bin of equal area of the HEALPix grid in ring order, on the host; see
        `fslice.postprocess.healpix`. The direction of view is the third column of the rotation.
    nside : int
    efficiency : float
        From 0 to 1: the share of the signal that is recovered, relative to evenly spread views,
        at the resolution where these have a signal-to-noise ratio of 1.
    unseen : float
        The share of frequencies, as directions in Fourier space, that no image shows.
    empty : float
        The share of the bins, opposite ones taken as one, that no image looks from.
    """

    counts: np.ndarray
    nside: int
    efficiency: float
    unseen: float
    empty: float


def orientation_distribution(
    rotations: Array, *, nside: int | None = None, shell: int = 16, views: Array | None = None
) -> OrientationDistribution:
    """Count the directions of view, and measure how evenly they cover Fourier space.

    Parameters
    ----------
    rotations : (n, 3, 3) real array
        Image to volume coordinates.
    nside : int, optional
        Bins along a side of the HEALPix grid: there are ``12 nside^2``. Default: so many that
        evenly spread views have about eight to a bin, from 2 to 16.
    shell : int, optional
        The shell of frequencies, in pixels of Fourier space, whose coverage is measured. A slice
        is a pixel thick: the further out, the more images it takes.
    views : (m, 3, 3) real array, optional
        Rotations of the symmetry group of the object: each image is then seen from all.

    Returns
    -------
    OrientationDistribution

    Raises
    ------
    ValueError
        A shape is not as above, or a number is below 1.

    Notes
    -----
    An image with direction of view d shows the frequencies across it, in a slice that is a pixel
    thick. The density with which a direction k in Fourier space is sampled is
    ``c(k) = 2 h <max(0, 1 - h |k . d|)>`` over the images, with h the shell: its mean is 1, and it
    is 1 everywhere if d is uniform. The signal-to-noise ratio in that direction is proportional
    to c, and the share of the signal that is recovered at a ratio r is ``r / (1 + r)``. So the
    efficiency is ``2 <c / (1 + c)>``: 1 for even views, and 0 for none. It is kin to the sampling
    compensation factor ``1 / <1/c>`` of Baldwin and Lyumkis (2020), which is 0 as soon as
    one frequency is not seen.

    Examples
    --------
    >>> from fslice.geometry import grid_rotations, rotations_in_cone
    >>> spread = orientation_distribution(grid_rotations(2000))
    >>> bool(spread.efficiency > 0.9), spread.unseen
    (True, 0.0)
    >>> cone = rotations_in_cone(2000, 30, np.random.default_rng(0))
    >>> round(orientation_distribution(cone, shell=64).unseen, 1)  # 1 - sin(30)
    0.5
    """
    check_real("rotations", rotations)
    check_shape("rotations", rotations, ("n", 3, 3))
    xp = array_namespace(rotations, views)
    check_size("shell", shell)
    if nside is None:
        nside = min(16, max(2, round((len(rotations) / 96) ** 0.5)))
    directions = rotations[:, :, 2].astype(np.float64)
    counts = to_numpy(xp.bincount(bin_of(directions, nside), minlength=bin_count(nside)))
    if views is not None:
        check_shape("views", views, ("m", 3, 3))
        directions = xp.einsum("mij,nj->mni", views.astype(np.float64), directions)
    bins = bin_of(directions.reshape(-1, 3), _VIEWS)
    sampling = _sampling(xp.bincount(bins, minlength=bin_count(_VIEWS)), shell)
    opposite = to_numpy(bin_of(-bin_directions(nside), nside))
    return OrientationDistribution(
        counts=counts,
        nside=nside,
        efficiency=float((2 * sampling / (1 + sampling)).mean()),
        unseen=float((sampling == 0).mean()),
        empty=float((counts + counts[opposite] == 0).mean()),
    )


def _sampling(counts: Array, shell: int) -> Array:
    """Return the density with which directions in Fourier space are sampled; 1 if evenly."""
    xp = array_namespace(counts)
    looked = xp.flatnonzero(counts)
    views = bin_directions(_VIEWS, xp)[looked].T
    weights = 2 * shell * counts[looked] / counts.sum()
    upper = bin_directions(_FREQUENCIES, xp)[: bin_count(_FREQUENCIES) // 2]  # k and -k are one
    parts = [
        xp.maximum(1 - shell * abs(upper[row : row + _ROWS] @ views), 0) @ weights
        for row in range(0, len(upper), _ROWS)
    ]
    sampling = xp.concatenate(parts)
    return sampling / sampling.mean()
