"""The best of many scores, in array code: over shifts, and over rotations that are apart."""

from __future__ import annotations

import math

import numpy as np

from fslice._arrays import Array, array_namespace


def best_over_shifts(cross: Array, norm: Array, log_prior: Array) -> tuple[Array, Array]:
    """Return what `Kernels.best_over_shifts` says."""
    xp = array_namespace(cross, norm, log_prior)
    scores = cross + log_prior[:, None]
    shift = scores.argmax(1)
    best = xp.take_along_axis(scores, shift[:, None], 1)[:, 0] - norm
    return best, shift.astype(np.int32)


def peaks(scores: Array, rotations: Array, most: int, separation: float, window: float) -> Array:
    """Return what `Kernels.peaks` says.

    Examples
    --------
    >>> from fslice.geometry import rotvec_to_matrix
    >>> rotations = rotvec_to_matrix(np.array([[0, 0, 0.0], [0, 0, 0.1], [0, 0, 1.0]]))
    >>> peaks(np.array([[3.0, 2.0, 1.0], [0.0, 5.0, 1.0]]), rotations, 2, 0.5, 3.0)
    array([[ 0,  2],
           [ 1, -1]])
    """
    xp = array_namespace(scores, rotations)
    flat = rotations.reshape((-1, 9)).astype(np.float64)
    near = least_trace(separation)
    found = xp.full((len(scores), most), -1)
    floor, left = scores.max(1) - window, scores
    for place in range(most):
        best = left.argmax(1)
        alive = xp.take_along_axis(left, best[:, None], 1)[:, 0] >= floor
        found[:, place] = xp.where(alive, best, -1)
        left = xp.where(flat[best] @ flat.T >= near, -xp.inf, left)
    return found


def least_trace(angle: float) -> float:
    """Return the trace of a rotation by an angle: rotations nearer to each other have more."""
    return 1 + 2 * math.cos(angle)
