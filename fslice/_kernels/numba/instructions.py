"""Who reads a cell and who adds to it: vector instructions, or the fallback in plain loops.

The kernels call these with the buffer's `plain`, which is None or not when they are compiled.
"""

from __future__ import annotations

from fslice._kernels.numba import plain as loops
from fslice._kernels.numba import rows as vectors
from fslice._kernels.numba.buffer import LANES, inlined
from fslice._kernels.numba.curvature_rows import (
    interpolate_curvatures as _interpolate_curvatures,
)
from fslice._kernels.numba.moments import add_moments as _add_moments


@inlined
def in_one(plain, taps, buffer, first):
    """Tell whether the group of sample `first` may be read or added to in one piece."""
    if plain is None:
        return len(taps) == 2 and buffer.whole[first // LANES] == (1 << LANES) - 1
    else:
        return False


@inlined
def interpolate(plain, taps, flat, rows, position, buffer, i):
    """Write the interpolated value in the cell of sample `i` to the buffer."""
    if plain is None:
        vectors.interpolate(taps, flat, rows, position, buffer, i)
    else:
        loops.interpolate(taps, flat, rows, position, buffer, i)


@inlined
def interpolate_slopes(plain, taps, flat, rows, position, buffer, i):
    """Write the value in the cell of sample `i` and its derivatives along x, y and z."""
    if plain is None:
        vectors.interpolate_slopes(taps, flat, rows, position, buffer, i)
    else:
        loops.interpolate_slopes(taps, flat, rows, position, buffer, i)


@inlined
def interpolate_curvatures(plain, taps, flat, rows, position, buffer, curves, stride, i):
    """Write the value, its derivatives, and its second derivatives: six columns of `curves`."""
    if plain is None:
        _interpolate_curvatures(taps, flat, rows, position, buffer, curves, stride, i)
    else:
        loops.interpolate_curvatures(taps, flat, rows, position, buffer, curves, stride, i)


@inlined
def add(plain, squared, taps, flat, rows, position, buffer, i):
    """Add the buffer's item `i` into a cell, with the weights it is read by or their squares."""
    if plain is None:
        if squared is None:
            vectors.add(taps, flat, rows, position, buffer, i)
        else:
            vectors.add_squared(taps, flat, rows, position, buffer, i)
    elif squared is None:
        loops.add(taps, flat, rows, position, buffer, i)
    else:
        loops.add_squared(taps, flat, rows, position, buffer, i)


@inlined
def interpolate_group(plain, taps, flat, target, buffer, i):
    """Write the values of the `LANES` samples from `i` on; prefetch their cells of `target`."""
    if plain is None:
        vectors.interpolate_group(taps, flat, target, buffer, i)


@inlined
def interpolate_slopes_group(plain, taps, flat, target, buffer, i):
    """Write their values and derivatives; prefetch their cells of `target`."""
    if plain is None:
        vectors.interpolate_slopes_group(taps, flat, target, buffer, i)


@inlined
def add_two(plain, squared, taps, flat, buffer, i):
    """Add the samples `i` and ``i + LANES // 2`` of a group, whose cells are whole."""
    if plain is None:
        if squared is None:
            vectors.add_two(taps, flat, buffer, i)
        else:
            vectors.add_two_squared(taps, flat, buffer, i)


@inlined
def prefetch_group(plain, taps, flat, buffer, i):
    """Prefetch the cells of the `LANES` samples from `i` on, which may lie outside the array."""
    if plain is None:
        vectors.prefetch_group(taps, flat, buffer, i)


@inlined
def add_moments(plain, flat, start, value, ends):
    """Add a value times the 27 moments of the weights `ends` to the record at `start`."""
    if plain is None:
        _add_moments(flat, start, value, ends)
    else:
        loops.add_moments(flat, start, value, ends)


@inlined
def prefetch(plain, flat, item):
    """Prefetch an item that is needed soon; it may lie outside the array."""
    if plain is None:
        vectors.prefetch(flat, item)
