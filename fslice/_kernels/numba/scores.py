"""The best of many scores, compiled: over shifts, and over rotations that are apart."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from fslice._kernels.numba.buffer import kernel
from fslice._kernels.numba.threads import divided
from fslice._kernels.scores import least_trace

_POOL = 16
"""Times as many candidates as peaks are sorted at first."""
# not inlined: a selection of the largest costs a page of code
_selecting: Any = numba.njit(nogil=True, error_model="numpy", boundscheck=False, cache=True)


def best_over_shifts(kernels, cross, norm, log_prior):
    """Return what `Kernels.best_over_shifts` says."""
    cross, norm = np.ascontiguousarray(cross), np.ascontiguousarray(norm)
    best, shift = np.empty_like(norm), np.empty(norm.shape, np.int32)

    def run(start: int, stop: int) -> None:
        _best_over_shifts(cross, norm, log_prior, best, shift, start, stop)

    _share(kernels, run, len(cross))
    return best, shift


def peaks(kernels, scores, rotations, most, separation, window):
    """Return what `Kernels.peaks` says."""
    scores = np.ascontiguousarray(scores)
    flat = np.ascontiguousarray(rotations.reshape(-1, 9), np.float64)
    found = np.full((len(scores), most), -1)
    near = least_trace(separation)

    def run(start: int, stop: int) -> None:
        _peaks(scores, flat, near, window, _POOL * most, found, start, stop)

    _share(kernels, run, len(scores))
    return found


def _share(kernels, run, length: int) -> None:
    threads = kernels.thread_count()
    kernels.helpers.share(run, divided(length, 4 * threads if threads > 1 else 1), threads)


@kernel
def _best_over_shifts(cross, norm, log_prior, best, shift, start, stop):
    count, width = cross.shape[1], cross.shape[2]
    for n in range(start, stop):
        top, place = best[n], shift[n]
        first = cross[n, 0]
        for g in range(width):
            top[g] = first[g] + log_prior[0]
            place[g] = 0
        for t in range(1, count):
            row, prior, index = cross[n, t], log_prior[t], np.int32(t)
            for g in range(width):
                score = row[g] + prior
                better = score > top[g]
                top[g] = score if better else top[g]
                place[g] = index if better else place[g]
        for g in range(width):
            top[g] -= norm[n, g]


@_selecting
def _peaks(scores, flat, near, window, pool, found, start, stop):
    width = scores.shape[1]
    for n in range(start, stop):
        row = scores[n]
        floor = row.max() - window
        while True:
            least = floor
            if pool < width:
                least = max(floor, np.partition(row, width - pool)[width - pool])
            chosen = np.nonzero(row >= least)[0]
            order = chosen[np.argsort(-row[chosen], kind="mergesort")]
            count = _apart(order, flat, near, found[n])
            if count == found.shape[1] or least == floor:
                break
            pool *= 4


@_selecting
def _apart(order, flat, near, found):
    """Write the first that are apart from all before, and return how many there are."""
    count = 0
    for candidate in order:
        apart = True
        for place in range(count):
            trace = 0.0
            for entry in range(9):
                trace += flat[candidate, entry] * flat[found[place], entry]
            if trace >= near:
                apart = False
                break
        if apart:
            found[count] = candidate
            count += 1
            if count == len(found):
                break
    return count
