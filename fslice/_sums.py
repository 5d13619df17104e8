"""Sums of groups, in an order that does not change."""

from __future__ import annotations

import numpy as np

from fslice._arrays import Array, array_namespace

_WIDTH = 1 << 10
"""Values of a row: a group of more has several."""
_TOGETHER = 1 << 22
"""Values that are laid out at a time: 32 MB."""


def group_sums(labels: Array, values: Array, count: int) -> Array:
    """Sum values by their labels: `bincount` with weights, with the same bits every time.

    On a GPU that function adds by atomic operations, in the order in which threads arrive. There
    the values of each group are laid out in rows, as they follow each other, and rows are summed.

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
        sums = np.bincount(labels, weights=values, minlength=count)
        return sums.astype(np.float64, copy=False)  # of no labels it returns integers
    if count == 0 or len(labels) == 0:
        return xp.zeros(count)
    order = xp.argsort(labels, kind="stable")
    return _run_sums(labels[order], values[order].astype(np.float64), count)


def _run_sums(labels: Array, values: Array, count: int) -> Array:
    """Sum values whose labels do not fall: rows of each group, then these as well."""
    xp = array_namespace(values)
    bounds = xp.searchsorted(labels, xp.arange(count + 1))
    sizes = bounds[1:] - bounds[:-1]
    longest = int(sizes.max())
    width = min(longest, _WIDTH)
    rows = -(-sizes // width)
    ends = xp.cumsum(rows)
    number, sums, groups = int(ends[-1]), [], []
    step = max(1, _TOGETHER // width)
    for start in range(0, number, step):
        row = xp.arange(start, min(start + step, number))
        group = xp.searchsorted(ends, row, side="right")
        first = bounds[group] + (row - (ends - rows)[group]) * width
        place = first[:, None] + xp.arange(width)
        inside = place < bounds[group + 1][:, None]
        sums.append(xp.where(inside, values[xp.where(inside, place, 0)], 0).sum(1))
        groups.append(group)
    labels, values = xp.concatenate(groups), xp.concatenate(sums)
    if longest > width:
        return _run_sums(labels, values, count)
    total = xp.zeros(count)
    total[labels] = values
    return total
