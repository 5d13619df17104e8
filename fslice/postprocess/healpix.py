"""Bins of equal area on the sphere: the HEALPix grid, in its ring order.

Gorski et al. 2005, "HEALPix: a framework for high-resolution discretization and fast analysis
of data distributed on the sphere", section 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace, check_real, check_shape, check_size


def bin_count(nside: int) -> int:
    """Return the number of bins, ``12 nside^2``.

    Examples
    --------
    >>> bin_count(8)
    768
    """
    return 12 * check_size("nside", nside) ** 2


def bin_directions(nside: int, xp: Any = np) -> Array:
    """Return the centres of the bins as unit vectors.

    Parameters
    ----------
    nside : int
        Bins along each side of the twelve base bins.
    xp : module, optional
        Array library of the result.

    Returns
    -------
    (12 nside^2, 3) float64 array
        (x, y, z), from the north pole to the south pole, ring by ring.

    Examples
    --------
    >>> bin_directions(1)[:, 2].round(3)
    array([ 0.667,  0.667,  0.667,  0.667,  0.   ,  0.   ,  0.   ,  0.   ,
           -0.667, -0.667, -0.667, -0.667])
    """
    n = check_size("nside", nside)
    ring = xp.arange(1, 4 * n)
    length = 4 * xp.minimum(xp.minimum(ring, 4 * n - ring), n)
    cap = xp.minimum(ring, 4 * n - ring)
    z_cap = 1 - cap**2 / (3 * n**2)
    z = xp.where(cap < n, xp.where(ring < 2 * n, z_cap, -z_cap), (4 / 3) - 2 * ring / (3 * n))
    # Within the belt every other ring begins with half a step.
    offset = xp.where(cap < n, 0.5, 0.5 * ((ring - n + 1) % 2))
    rings = xp.repeat(xp.arange(len(ring)), length.tolist() if xp is np else length)
    within = xp.arange(bin_count(n)) - (xp.cumsum(length) - length)[rings]
    angle = 2 * np.pi * (within + offset[rings]) / length[rings]
    height = z[rings]
    across = xp.sqrt(xp.maximum(1 - height**2, 0))
    return xp.stack([across * xp.cos(angle), across * xp.sin(angle), height], axis=-1)


def bin_of(directions: Array, nside: int) -> Array:
    """Return the bin that each direction is in.

    Parameters
    ----------
    directions : (..., 3) real array
        (x, y, z), of any length but 0.
    nside : int
        Bins along each side of the twelve base bins.

    Returns
    -------
    (...) int64 array
        From 0 to ``12 nside^2 - 1``.

    Raises
    ------
    ValueError
        The shape is not as above.

    Examples
    --------
    >>> bool((bin_of(bin_directions(4), 4) == np.arange(192)).all())
    True
    """
    check_real("directions", directions)
    check_shape("directions", directions, (..., 3))
    n = check_size("nside", nside)
    xp = array_namespace(directions)
    x, y, z = xp.moveaxis(directions.astype(np.float64), -1, 0)
    z = z / xp.sqrt(x**2 + y**2 + z**2)
    turn = (xp.arctan2(y, x) / (np.pi / 2)) % 4
    turn = xp.where(turn >= 4, 0.0, turn)  # the remainder of a tiny negative angle
    belt = abs(z) <= 2 / 3
    return xp.where(belt, _in_belt(turn, xp.where(belt, z, 0), n), _in_cap(turn, z, n))


def _in_belt(turn: Array, z: Array, n: int) -> Array:
    """Return bins between the caps, by the two families of diagonals that bound them."""
    xp = array_namespace(turn)
    ascending = xp.floor(n * (0.5 + turn - 0.75 * z)).astype(xp.int64)
    descending = xp.floor(n * (0.5 + turn + 0.75 * z)).astype(xp.int64)
    ring = n + 1 + ascending - descending  # 1 to 2n + 1, from the northern cap on
    shift = 1 - ring % 2
    within = (ascending + descending - n + shift + 1) // 2 % (4 * n)
    return 2 * n * (n - 1) + (ring - 1) * 4 * n + within


def _in_cap(turn: Array, z: Array, n: int) -> Array:
    """Return bins of the polar caps; of no meaning elsewhere."""
    xp = array_namespace(turn)
    part = turn % 1
    reach = n * xp.sqrt(3 * (1 - abs(z)))
    up = xp.floor(part * reach).astype(xp.int64)
    down = xp.floor((1 - part) * reach).astype(xp.int64)
    ring = xp.minimum(up + down + 1, n)
    within = xp.floor(turn * ring).astype(xp.int64) % (4 * ring)
    north = 2 * ring * (ring - 1) + within
    south = 12 * n**2 - 2 * ring * (ring + 1) + within
    return xp.where(z > 0, north, south)
