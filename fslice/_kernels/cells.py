"""What the compiled kernels do at one sample: read its cell of the volume, or add to it.

Most cells are whole: all taps lie in the grid, as neighbours along x. At the edge of the grid, and
where a tap falls on ``x = -1``, a cell is copied to or from a small array of the thread's own.

A volume is larger than the caches, and a slanted row meets a new line of memory at nearly every
sample. So the cell of a sample further on is asked for first, which measured up to 1.5 times
faster.
"""

from __future__ import annotations

from numba import types
from numba.extending import overload

from fslice._kernels import rows
from fslice._kernels.walk import AHEAD, OPTIONS, inlined


@inlined
def read(taps, flat, i, offset, fraction, whole, edge, lattice):
    """Return the interpolated value of sample `i` of a row."""
    _expect(taps, flat, i, offset, fraction)
    x, y, z, f = _cell(taps, offset, fraction, i)
    if whole[i]:
        value = rows.interpolate(flat, x, y, z, f)
    else:
        _collect(flat, x, y, z, edge, lattice)
        value = rows.interpolate(edge, *_steps(taps), f)
    return _mate(fraction[0, i], value)


@inlined
def read_slopes(taps, flat, i, offset, fraction, whole, edge, lattice):
    """Return the value of sample `i` and its derivatives along x, y and z."""
    _expect(taps, flat, i, offset, fraction)
    x, y, z, f = _cell(taps, offset, fraction, i)
    if whole[i]:
        value, dx, dy, dz = rows.interpolate_slopes(flat, x, y, z, f)
    else:
        _collect(flat, x, y, z, edge, lattice)
        value, dx, dy, dz = rows.interpolate_slopes(edge, *_steps(taps), f)
    sign = fraction[0, i]
    # at the mate the value is conjugate and dq = -dp
    return (
        complex(value.real, sign * value.imag),
        complex(sign * dx.real, dx.imag),
        complex(sign * dy.real, dy.imag),
        complex(sign * dz.real, dz.imag),
    )


@inlined
def add(taps, flat, i, offset, fraction, whole, edge, lattice, value):
    """Add `value` into the cell of sample `i` with the weights it is read by."""
    _expect(taps, flat, i, offset, fraction)
    x, y, z, f = _cell(taps, offset, fraction, i)
    value = _mate(fraction[0, i], value)
    if whole[i]:
        rows.add(flat, x, y, z, f, value)
    else:
        _clear(edge, len(y))
        rows.add(edge, *_steps(taps), f, value)
        _distribute(flat, x, y, z, edge, lattice)


@inlined
def add_squared(taps, flat, i, offset, fraction, whole, edge, lattice, value):
    """Add a real `value` into the cell of sample `i` with the squares of those weights."""
    _expect(taps, flat, i, offset, fraction)
    x, y, z, f = _cell(taps, offset, fraction, i)
    if whole[i]:
        rows.add_squared(flat, x, y, z, f, value)
    else:
        _clear(edge, len(y))
        rows.add_squared(edge, *_steps(taps), f, value)
        _distribute(flat, x, y, z, edge, lattice)


@inlined
def _expect(taps, flat, i, offset, fraction):
    """Ask for the cell of a sample further on; past the end of a row that does no harm."""
    x, y, z, f = _cell(taps, offset, fraction, i + AHEAD)
    rows.expect(flat, x, y, z, f)


@inlined
def _clear(edge, taps):
    for i in range(taps**3):
        edge[i] = 0


@inlined
def _collect(flat, x, y, z, edge, lattice):
    """Copy a cell out of the volume, with zeros outside the grid."""
    i = 0
    for above in z:
        for along in y:
            outside = above < 0 or along < 0
            for p in range(x, x + len(y)):
                p = p if lattice.nx > 1 else 0
                if outside or abs(p) > (lattice.nx - 1) // 2:
                    edge[i] = 0
                elif p < 0:
                    edge[i] = flat[_mate_offset(p, along, above, lattice)].conjugate()
                else:
                    edge[i] = flat[above + along + p]
                i += 1


@inlined
def _distribute(flat, x, y, z, edge, lattice):
    """Add a cell to the volume, but for what is outside the grid: the adjoint of `_collect`."""
    i = 0
    for above in z:
        for along in y:
            outside = above < 0 or along < 0
            for p in range(x, x + len(y)):
                p = p if lattice.nx > 1 else 0
                if outside or abs(p) > (lattice.nx - 1) // 2:
                    pass
                elif p < 0:
                    flat[_mate_offset(p, along, above, lattice)] += edge[i].conjugate()
                else:
                    flat[above + along + p] += edge[i]
                i += 1


@inlined
def _mate_offset(x, y, z, lattice):
    """Return where the Friedel mate of a voxel at negative x is stored."""
    columns = lattice.nx // 2 + 1
    plane = columns * lattice.ny
    return (plane * lattice.nz - z if z > 0 else 0) + (plane - y if y > 0 else 0) - x


def _mate(sign, value):
    """Conjugate where the sign is negative: the value at the sample's Friedel mate."""
    raise NotImplementedError("compiled code only")


@overload(_mate, inline="always")
def _overload_mate(sign, value):
    if isinstance(value, types.Complex):
        return lambda sign, value: complex(value.real, sign * value.imag)
    return lambda sign, value: value


def _cell(taps, offset, fraction, i):
    """Return sample `i`: its first x, its offsets along y and z, its position in the cell."""
    raise NotImplementedError("compiled code only")


@overload(_cell, jit_options=OPTIONS)
def _choose_cell(taps, offset, fraction, i):
    if len(taps) == 2:
        return lambda taps, offset, fraction, i: (
            offset[0, i],
            (offset[1, i], offset[2, i]),
            (offset[3, i], offset[4, i]),
            (fraction[1, i], fraction[2, i], fraction[3, i]),
        )
    return lambda taps, offset, fraction, i: (
        offset[0, i],
        (offset[1, i], offset[2, i], offset[3, i], offset[4, i]),
        (offset[5, i], offset[6, i], offset[7, i], offset[8, i]),
        (fraction[1, i], fraction[2, i], fraction[3, i]),
    )


def _steps(taps):
    """Return the first x and the offsets along y and z of a cell in an array of its own."""
    raise NotImplementedError("compiled code only")


@overload(_steps, jit_options=OPTIONS)
def _choose_steps(taps):
    n = len(taps)
    along_y, along_z = tuple(range(0, n**2, n)), tuple(range(0, n**3, n**2))
    return lambda taps: (0, along_y, along_z)
