"""Sums of groups, in an order that does not change."""

from __future__ import annotations

import numpy as np

from fslice._arrays import Array, array_namespace

_TOGETHER = 1 << 22
"""Values that are laid out at a time: 32 MB."""


def group_sums(labels: Array, values: Array, count: int) -> Array:
    """Sum values by their labels: `bincount` with weights, with the same bits every time.

    On a GPU that function adds by atomic operations, in the order in which threads arrive. There
    the values of each group are laid out in a row, as they follow each other, and rows are summed.

    Parameters
    ----------
    labels : (n,) integer array
        From 0 to below `count`.
    values : (n,) real array
    count : int
        Number of groups.

    Returns
    -------
    (count,) float64 array

    Examples
    --------
    >>> group_sums(np.array([2, 0, 2]), np.array([1.0, 2.0, 4.0]), 4)
    array([2., 0., 5., 0.])
    """
    xp = array_namespace(labels, values)
    if xp is np:
        return np.bincount(labels, weights=values, minlength=count)
    order = xp.argsort(labels, kind="stable")
    bounds = xp.searchsorted(labels[order], xp.arange(count + 1))
    ordered, sizes = values[order].astype(np.float64), bounds[1:] - bounds[:-1]
    longest = int(sizes.max()) if count else 0
    if longest == 0:
        return xp.zeros(count)
    rows = max(1, _TOGETHER // longest)
    parts = []
    for start in range(0, count, rows):
        first, own = (part[start : start + rows, None] for part in (bounds[:-1], sizes))
        column = xp.arange(longest)
        inside = column < own
        parts.append(xp.where(inside, ordered[xp.where(inside, first + column, 0)], 0).sum(1))
    return xp.concatenate(parts)
