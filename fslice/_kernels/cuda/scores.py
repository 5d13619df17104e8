"""The best of many scores in CUDA: over shifts, and over rotations that are apart."""

from __future__ import annotations

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice._kernels.cuda.workspace import THREADS, Workspace, contiguous, scalar
from fslice._kernels.scores import least_trace

_MOST_TILES = 65535  # of a grid along y


def best_over_shifts(
    kernels: Workspace, cross: Array, norm: Array, log_prior: Array
) -> tuple[Array, Array]:
    """Return what `Kernels.best_over_shifts` says."""
    xp, (n, shifts, rotations) = array_namespace(cross, norm, log_prior), cross.shape
    best, shift = xp.empty((n, rotations), cross.dtype), xp.empty((n, rotations), np.int32)
    given = contiguous(cross), contiguous(norm), contiguous(log_prior)
    arguments = (*given, np.int32(shifts), np.int32(rotations), best, shift)
    grid = n, min(_MOST_TILES, -(-rotations // THREADS))
    kernels.run("best_over_shifts", (scalar(cross),), grid, arguments, cross)
    return best, shift


def peaks(
    kernels: Workspace,
    scores: Array,
    rotations: Array,
    most: int,
    separation: float,
    window: float,
) -> Array:
    """Return what `Kernels.peaks` says."""
    xp, scores = array_namespace(scores, rotations), contiguous(scores)
    n, count = scores.shape
    flat = xp.ascontiguousarray(rotations.reshape((-1, 9)).astype(np.float64, copy=False))
    found = xp.empty((n, most), np.int64)
    fixed = np.float64(least_trace(separation)), np.float64(window), np.int32(count), np.int32(most)
    step = max(1, kernels.most_bytes // (4 * count))
    with kernels.lent(min(n, step) * count, np.int32, scores) as taken:
        for start in range(0, n, step):
            some = scores[start : start + step]
            arguments = some, flat, *fixed, taken, found[start : start + step]
            kernels.run("peaks", (scalar(scores),), (len(some),), arguments, scores)
    return found
