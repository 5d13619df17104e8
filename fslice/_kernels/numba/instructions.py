"""Who reads a cell and who adds to it: vector instructions, or the fallback in plain loops.

The kernels call these with the buffer's `plain`, which is None or not when they are compiled.
"""

from __future__ import annotations

from fslice._kernels.numba import plain as loops
from fslice._kernels.numba import rows as vectors
from fslice._kernels.numba.buffer import inlined


@inlined
def interpolate(plain, taps, flat, rows, position, value, i):
    """Write the interpolated value in a cell to item `i` of `value`."""
    if plain is None:
        vectors.interpolate(taps, flat, rows, position, value, i)
    else:
        loops.interpolate(taps, flat, rows, position, value, i)


@inlined
def interpolate_slopes(plain, taps, flat, rows, position, local, i):
    """Write the value in a cell and its derivatives along x, y and z to items `i` of `local`."""
    if plain is None:
        vectors.interpolate_slopes(taps, flat, rows, position, local, i)
    else:
        loops.interpolate_slopes(taps, flat, rows, position, local, i)


@inlined
def add(plain, taps, flat, rows, position, value, i):
    """Add item `i` of `value` into a cell, with the weights it is read by."""
    if plain is None:
        vectors.add(taps, flat, rows, position, value, i)
    else:
        loops.add(taps, flat, rows, position, value, i)


@inlined
def add_squared(plain, taps, flat, rows, position, value, i):
    """Add item `i` of `value` into a cell, with the squares of those weights."""
    if plain is None:
        vectors.add_squared(taps, flat, rows, position, value, i)
    else:
        loops.add_squared(taps, flat, rows, position, value, i)


@inlined
def prefetch(plain, flat, item):
    """Ask for the cache line of an item that is needed soon; it may lie outside the array."""
    if plain is None:
        vectors.prefetch(flat, item)
