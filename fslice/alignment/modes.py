"""Which of the modes that were found are the same, and which are worth keeping."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice.alignment.newton import Quadratic, Starts

MERGED_ANGLE, MERGED_SHIFT = math.radians(3), 2.0
"""Modes that are nearer to each other, in radians and in pixels, are one."""


class Kept(NamedTuple):
    """What is left of a list of modes."""

    places: Array
    """(k,) int64, ascending by image, the best of each image first."""
    discarded: Array
    """(n,) float64: the share of the mass of each image that other modes had."""


def log_masses(quadratic: Quadratic) -> Array:
    """Return the log of the integral of each mode: ``score + c/2 log 2 pi - 1/2 log det``."""
    xp, coordinates = array_namespace(quadratic.score), quadratic.matrix.shape[-1]
    log_det = xp.linalg.slogdet(quadratic.matrix)[1]
    return quadratic.score + coordinates / 2 * math.log(2 * math.pi) - log_det / 2


def prune(
    starts: Starts, masses: Array, group: Array, count: int, window: float, most: int
) -> Kept:
    """Keep the best modes of each image, apart from each other.

    Parameters
    ----------
    starts : Starts
        Of n images.
    masses : (m,) float64 array
        Logarithms.
    group : (order, 3, 3) float64 array
        Rotations g by which modes R and g R are one.
    count : int
        n.
    window : float
        In nats: modes further below the best of their image are given up.
    most : int
        Of an image.
    """
    xp = array_namespace(masses)
    order = xp.lexsort(xp.stack([-masses, starts.image_of]))
    image_of = starts.image_of[order]
    counts = xp.bincount(image_of, minlength=count)
    first = xp.cumsum(counts) - counts
    rank = xp.arange(len(order)) - first[image_of]
    width = int(counts.max())
    table = xp.full((count, width), -1)
    table[image_of, rank] = order
    there = table >= 0
    modes = xp.where(there, table, 0)
    values = xp.where(there, masses[modes], -xp.inf)
    same = _same(starts.rotations[modes], starts.shifts[modes], group)
    distinct = xp.zeros_like(there)
    for place in range(width):
        again = (same[:, place, :place] & distinct[:, :place]).any(1)
        distinct[:, place] = there[:, place] & ~again
    near = values >= values[:, :1] - window
    kept = distinct & near & (xp.cumsum(distinct, 1) <= most)
    relative = xp.exp(xp.where(distinct, values - values[:, :1], -xp.inf))
    lost = (relative * ~kept).sum(1) / relative.sum(1)
    return Kept(table[kept], lost)


def _same(rotations: Array, shifts: Array, group: Array) -> Array:
    """Return which pairs of each image's modes are one: (n, w, w), from (n, w, 3, 3)."""
    xp = array_namespace(rotations)
    n, width = shifts.shape[:2]
    flat = rotations.reshape((n, width, 9))
    trace = xp.full((n, width, width), -1.0)
    for mate in group:
        turned = (mate @ rotations).reshape((n, width, 9))
        trace = xp.maximum(trace, flat @ turned.swapaxes(1, 2))
    apart = shifts[:, :, None] - shifts[:, None]
    near = (apart**2).sum(-1) < MERGED_SHIFT**2
    return (trace > 1 + 2 * np.cos(MERGED_ANGLE)) & near
