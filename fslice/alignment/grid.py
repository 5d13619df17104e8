"""Grids of rotations and shifts that are searched."""

from __future__ import annotations

import math

import numpy as np

from fslice.geometry import grid_rotations
from fslice.symmetry.groups import symmetry_rotations


def cell_radius(count: int) -> float:
    """Return the radius, radians, of a ball of rotations with an equal share of SO(3).

    Parameters
    ----------
    count : int
        Rotations of a grid.

    Notes
    -----
    A ball of rotations by up to r has the share ``r^3 / (6 pi)`` of SO(3), for small r.

    Examples
    --------
    >>> round(math.degrees(cell_radius(36864)), 1)
    4.6
    """
    return (6 * math.pi / count) ** (1 / 3)


def asymmetric_rotations(count: int, symmetry: str = "C1") -> np.ndarray:
    """Return the rotations of a grid from which a symmetric object looks different.

    Parameters
    ----------
    count : int
        Rotations of the grid over all of SO(3).
    symmetry : str, optional
        Point group.

    Returns
    -------
    (G, 3, 3) float64 array
        About ``count / order`` rotations: of R and its equivalents g R the one by the smallest
        angle.

    Examples
    --------
    >>> len(asymmetric_rotations(7000)), len(asymmetric_rotations(7000, "C7"))
    (7000, 999)
    """
    rotations, group = grid_rotations(count), symmetry_rotations(symmetry)
    # trace(g R) falls with the angle
    traces = np.stack([np.tensordot(rotations, g.T, ([1, 2], [0, 1])) for g in group])
    return rotations[traces.argmax(0) == 0]


def hexagonal_shifts(radius: float, step: float) -> np.ndarray:
    """Return a hexagonal grid of shifts in a disc.

    Parameters
    ----------
    radius, step : float
        Of the disc, and between neighbours, in pixels.

    Returns
    -------
    (T, 2) float64 array
        (x, y); zero is one of them.

    Examples
    --------
    >>> hexagonal_shifts(3, 3).round(2) + 0.0
    array([[-1.5, -2.6],
           [ 1.5, -2.6],
           [-3. ,  0. ],
           [ 0. ,  0. ],
           [ 3. ,  0. ],
           [-1.5,  2.6],
           [ 1.5,  2.6]])
    """
    reach = math.ceil(2 * radius / step / math.sqrt(3)) + 1
    row, column = np.mgrid[-reach : reach + 1, -2 * reach : 2 * reach + 1]
    points = step * np.stack([column + row / 2, row * math.sqrt(3) / 2], -1).reshape(-1, 2)
    return points[(points**2).sum(1) <= radius**2 * (1 + 1e-9)]
