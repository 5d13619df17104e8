"""What the compiled kernels do with a row of samples: read their cells, or add to them.

Most cells are whole: all taps lie in the grid, as neighbours along x. At the edge of the grid, and
where a tap falls on ``x = -1``, a cell is copied to or from a small array of the thread's own.
"""

from __future__ import annotations

from fslice._kernels.numba import instructions
from fslice._kernels.numba.buffer import inlined

STRIDE = 4
"""Samples further apart than this share no taps. The cells of neighbours do, and adding to one
has to wait until the other is stored; in strides it measured 1.2 times faster."""


@inlined
def read(taps, flat, grad_flat, count, geometry, buffer):
    """Write the interpolated values of a row's samples to the buffer.

    Where `grad_flat` is the volume that the row is added to next, its cells are asked for in the
    meantime, which measured 1.15 times faster; else it is None.
    """
    for i in range(count):
        if grad_flat is not None:
            _prefetch(taps, grad_flat, i, buffer)
        if buffer.whole[i]:
            instructions.interpolate(
 buffer.plain, taps, flat, _rows(buffer, i), _position(buffer, i), buffer.value, i)
        else:
            _collect(taps, flat, i, geometry, buffer)
            instructions.interpolate(
 buffer.plain, taps, buffer.edge, _edge_rows(buffer), _position(buffer, i), buffer.value, i
            )


@inlined
def read_slopes(taps, flat, grad_flat, count, geometry, buffer):
    """Write the values and their derivatives along x, y and z; `grad_flat` is as in `read`."""
    local = buffer.value, buffer.slope_x, buffer.slope_y, buffer.slope_z
    for i in range(count):
        if grad_flat is not None:
            _prefetch(taps, grad_flat, i, buffer)
        if buffer.whole[i]:
            instructions.interpolate_slopes(
 buffer.plain, taps, flat, _rows(buffer, i), _position(buffer, i), local, i)
        else:
            _collect(taps, flat, i, geometry, buffer)
            instructions.interpolate_slopes(
 buffer.plain, taps, buffer.edge, _edge_rows(buffer), _position(buffer, i), local, i
            )


@inlined
def add(taps, flat, count, geometry, buffer):
    """Add the values in the buffer into the samples' cells, with the weights they are read by."""
    for begin in range(STRIDE):
        for i in range(begin, count, STRIDE):
            if buffer.whole[i]:
                instructions.add(
 buffer.plain, taps, flat, _rows(buffer, i), _position(buffer, i), buffer.value, i)
            else:
                _clear(taps, buffer.edge)
                instructions.add(
 buffer.plain, taps, buffer.edge, _edge_rows(buffer), _position(buffer, i), buffer.value, i)
                _distribute(taps, flat, i, geometry, buffer)


@inlined
def add_squared(taps, flat, count, geometry, buffer):
    """Add real values into the samples' cells, with the squares of those weights."""
    for i in range(count):
        if buffer.whole[i]:
            instructions.add_squared(
 buffer.plain, taps, flat, _rows(buffer, i), _position(buffer, i), buffer.value, i)
        else:
            _clear(taps, buffer.edge)
            instructions.add_squared(
 buffer.plain, taps, buffer.edge, _edge_rows(buffer), _position(buffer, i), buffer.value, i
            )
            _distribute(taps, flat, i, geometry, buffer)


@inlined
def apply_friedel(buffer, i, value):
    """Conjugate what belongs to sample `i` if the volume holds its Friedel mate."""
    return complex(value.real, buffer.sign[i] * value.imag)


@inlined
def _prefetch(taps, flat, i, buffer):
    """Ask for the cell of a sample; one that is not whole does no harm."""
    for c in range(len(taps)):
        for b in range(len(taps)):
            along_y = buffer.start[b * buffer.length + i]
            instructions.prefetch(buffer.plain, flat, along_y + buffer.start[(len(taps) + c) * buffer.length + i])


@inlined
def _clear(taps, edge):
    for i in range(len(taps) ** 3):
        edge[i] = 0


@inlined
def _collect(taps, flat, i, geometry, buffer):
    """Copy a cell out of the volume, with zeros outside the grid."""
    item, limit = 0, (geometry.nx - 1) // 2
    for c in range(len(taps)):
        for b in range(len(taps)):
            row, mate_row = _stored_rows(b, c, i, geometry, buffer)
            for a in range(len(taps)):
                x = buffer.corner[i] + a if geometry.nx > 1 else 0
                if row < 0 or abs(x) > limit:
                    buffer.edge[item] = 0
                elif x < 0:
                    buffer.edge[item] = flat[mate_row - x].conjugate()
                else:
                    buffer.edge[item] = flat[row + x]
                item += 1


@inlined
def _distribute(taps, flat, i, geometry, buffer):
    """Add a cell to the volume, but for what is outside the grid: the adjoint of `_collect`."""
    item, limit = 0, (geometry.nx - 1) // 2
    for c in range(len(taps)):
        for b in range(len(taps)):
            row, mate_row = _stored_rows(b, c, i, geometry, buffer)
            for a in range(len(taps)):
                x = buffer.corner[i] + a if geometry.nx > 1 else 0
                if row < 0 or abs(x) > limit:
                    pass
                elif x < 0:
                    flat[mate_row - x] += buffer.edge[item].conjugate()
                else:
                    flat[row + x] += buffer.edge[item]
                item += 1


@inlined
def _stored_rows(b, c, i, geometry, buffer):
    """Return where the row at taps b and c and its mirror image start, -1 outside the grid."""
    n, columns = buffer.length, geometry.nx // 2 + 1
    y, mate_y = _stored(buffer.corner[n + i] + b, geometry.ny)
    z, mate_z = _stored(buffer.corner[2 * n + i] + c, geometry.nz)
    if y < 0 or z < 0:
        return -1, -1
    return (z * geometry.ny + y) * columns, (mate_z * geometry.ny + mate_y) * columns


@inlined
def _stored(k, size):
    """Return where a frequency along y or z and its negative are stored, -1 outside the grid."""
    if size == 1:
        return 0, 0
    if abs(k) > (size - 1) // 2:
        return -1, -1
    return (k, size - k if k > 0 else 0) if k >= 0 else (k + size, -k)


@inlined
def _position(buffer, i):
    """Return where sample `i` lies in its cell."""
    n = buffer.length
    return buffer.position[i], buffer.position[n + i], buffer.position[2 * n + i]


@inlined
def _rows(buffer, i):
    """Return where the taps of sample `i`'s cell are in the volume: a column of the buffer."""
    return buffer.start, buffer.length, i


@inlined
def _edge_rows(buffer):
    """Return where they are in the copy of a cell."""
    return buffer.edge_start, 1, 0
