"""Sums of waves over the voxels of a box: what `fslice.operators.direct` is made of.

A wave is a product over the axes, so a sum over the box is one matrix product along x and two
shorter sums. Points are taken a few at a time, so that temporaries stay small.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from fslice._arrays import Array, array_namespace

_TEMPORARY, _TEMPORARY_GPU = 2**19, 2**26
"""Complex numbers in a temporary of the CPU, which should stay in the cache, and of a GPU."""


def sum_waves(volume: Array, points: Array) -> Array:
    """Return ``sum_r v(r) exp(-2 pi i q . r / D)`` at (p, d) frequencies q, in double precision."""
    xp, size = array_namespace(volume, points), len(volume)
    rows = volume.astype(xp.float64).reshape(-1, size)
    values = xp.empty(len(points), xp.complex128)
    for part, waves, _ in _parts(points, size):
        total = _along_x(rows, waves[0])
        for wave in waves[1:]:
            total = _along_next(total, wave)
        values[part] = total[0]
    return values


def sum_waves_vjp(volume: Array, points: Array, cotangent: Array) -> tuple[Array, Array]:
    """Return `sum_waves` and the gradient of ``sum Re(conj(g) value)`` in the points."""
    xp, size = array_namespace(volume, points, cotangent), len(volume)
    rows = volume.astype(xp.float64).reshape(-1, size)
    values = xp.empty(len(points), xp.complex128)
    by_points = xp.empty(points.shape)
    for part, waves, offset in _parts(points, size):
        # the sum itself, then those in which one coordinate of r is a factor
        totals = [_along_x(rows, waves[0]), _along_x(rows, offset * waves[0])]
        for wave in waves[1:]:
            moment = _along_next(totals[0], offset * wave)
            totals = [_along_next(total, wave) for total in totals] + [moment]
        values[part] = totals[0][0]
        for axis, total in enumerate(totals[1:]):
            by_points[part, axis] = 2 * math.pi / size * (cotangent[part].conj() * total[0]).imag
    return values, by_points


def add_waves(values: Array, points: Array, size: int) -> Array:
    """Return ``sum_q Re(values(q) exp(2 pi i q . r / D))`` on a box: the adjoint of `sum_waves`."""
    xp = array_namespace(values, points)
    total = xp.zeros((size ** (points.shape[1] - 1), size))
    for part, waves, _ in _parts(points, size):
        outer = values[part].conj()[None]
        for wave in waves[:0:-1]:
            outer = (outer[:, None] * wave).reshape(-1, wave.shape[1])
        # Re(conj(o w)) = Re(o) Re(w) - Im(o) Im(w)
        total += outer.real @ waves[0].real.T
        total -= outer.imag @ waves[0].imag.T
    return total.reshape((size,) * points.shape[1])


def _parts(points: Array, size: int) -> Iterator[tuple[slice, list[Array], Array]]:
    """Yield a few points: which, their (D, p) waves along x, y, z, and r on one axis, (D, 1)."""
    xp = array_namespace(points)
    most = _TEMPORARY if xp.__name__ == "numpy" else _TEMPORARY_GPU
    step = max(1, most // size ** (points.shape[1] - 1))
    offset = (xp.arange(size) - size // 2).astype(xp.float64)[:, None]
    for start in range(0, len(points), step):
        part = slice(start, start + step)
        angles = (-2 * math.pi / size) * points[part].astype(xp.float64)
        yield (
            part,
            [xp.exp(1j * offset * angles[:, axis]) for axis in range(points.shape[1])],
            offset,
        )


def _along_x(rows: Array, wave: Array) -> Array:
    """Return ``sum_x rows[a, x] wave[x, p]`` for real rows: half the work of a complex product."""
    xp = array_namespace(rows)
    total = xp.empty((len(rows), wave.shape[1]), xp.complex128)
    total.real, total.imag = rows @ wave.real, rows @ wave.imag
    return total


def _along_next(total: Array, wave: Array) -> Array:
    """Return ``sum_y total[(a y), p] wave[y, p]``."""
    parts = total.reshape(-1, *wave.shape)
    return (parts * wave).sum(1)
