"""What the compiled kernels do with a row of samples: read their cells, or add to them.

Most cells are whole: all taps lie in the grid, as neighbours along x. At the edge of the grid, and
where a tap falls on ``x = -1``, a cell is copied to or from a small array of the thread's own.
"""

from __future__ import annotations

from fslice._kernels.numba import rows
from fslice._kernels.numba.table import inlined

STRIDE = 4
"""Samples further apart than this share no taps. The cells of neighbours do, and adding to one
has to wait until the other is stored; in strides it measured 1.2 times faster."""


@inlined
def read(taps, flat, grad_flat, count, lattice, table):
    """Write the interpolated values of a row's samples to the table.

    Where `grad_flat` is the volume that the row is added to next, its cells are asked for in the
    meantime, which measured 1.15 times faster; else it is None.
    """
    for i in range(count):
        if grad_flat is not None:
            _expect(taps, grad_flat, i, table)
        if table.whole[i]:
            rows.interpolate(taps, flat, _rows(table, i), _position(table, i), table.value, i)
        else:
            _collect(taps, flat, i, lattice, table)
            rows.interpolate(
                taps, table.edge, _edge_rows(table), _position(table, i), table.value, i
            )


@inlined
def read_slopes(taps, flat, grad_flat, count, lattice, table):
    """Write the values and their derivatives along x, y and z; `grad_flat` is as in `read`."""
    local = table.value, table.slope_x, table.slope_y, table.slope_z
    for i in range(count):
        if grad_flat is not None:
            _expect(taps, grad_flat, i, table)
        if table.whole[i]:
            rows.interpolate_slopes(taps, flat, _rows(table, i), _position(table, i), local, i)
        else:
            _collect(taps, flat, i, lattice, table)
            rows.interpolate_slopes(
                taps, table.edge, _edge_rows(table), _position(table, i), local, i
            )


@inlined
def add(taps, flat, count, lattice, table):
    """Add the values in the table into the samples' cells, with the weights they are read by."""
    for begin in range(STRIDE):
        for i in range(begin, count, STRIDE):
            if table.whole[i]:
                rows.add(taps, flat, _rows(table, i), _position(table, i), table.value, i)
            else:
                _clear(taps, table.edge)
                rows.add(taps, table.edge, _edge_rows(table), _position(table, i), table.value, i)
                _distribute(taps, flat, i, lattice, table)


@inlined
def add_squared(taps, flat, count, lattice, table):
    """Add real values into the samples' cells, with the squares of those weights."""
    for i in range(count):
        if table.whole[i]:
            rows.add_squared(taps, flat, _rows(table, i), _position(table, i), table.value, i)
        else:
            _clear(taps, table.edge)
            rows.add_squared(
                taps, table.edge, _edge_rows(table), _position(table, i), table.value, i
            )
            _distribute(taps, flat, i, lattice, table)


@inlined
def turned(table, i, value):
    """Conjugate what belongs to sample `i` if the volume holds its Friedel mate."""
    return complex(value.real, table.sign[i] * value.imag)


@inlined
def _expect(taps, flat, i, table):
    """Ask for the cell of a sample; one that is not whole does no harm."""
    for c in range(len(taps)):
        for b in range(len(taps)):
            along_y = table.start[b * table.length + i]
            rows.expect(flat, along_y + table.start[(len(taps) + c) * table.length + i])


@inlined
def _clear(taps, edge):
    for i in range(len(taps) ** 3):
        edge[i] = 0


@inlined
def _collect(taps, flat, i, lattice, table):
    """Copy a cell out of the volume, with zeros outside the grid."""
    item, limit = 0, (lattice.nx - 1) // 2
    for c in range(len(taps)):
        for b in range(len(taps)):
            row, mate_row = _stored_rows(b, c, i, lattice, table)
            for a in range(len(taps)):
                x = table.corner[i] + a if lattice.nx > 1 else 0
                if row < 0 or abs(x) > limit:
                    table.edge[item] = 0
                elif x < 0:
                    table.edge[item] = flat[mate_row - x].conjugate()
                else:
                    table.edge[item] = flat[row + x]
                item += 1


@inlined
def _distribute(taps, flat, i, lattice, table):
    """Add a cell to the volume, but for what is outside the grid: the adjoint of `_collect`."""
    item, limit = 0, (lattice.nx - 1) // 2
    for c in range(len(taps)):
        for b in range(len(taps)):
            row, mate_row = _stored_rows(b, c, i, lattice, table)
            for a in range(len(taps)):
                x = table.corner[i] + a if lattice.nx > 1 else 0
                if row < 0 or abs(x) > limit:
                    pass
                elif x < 0:
                    flat[mate_row - x] += table.edge[item].conjugate()
                else:
                    flat[row + x] += table.edge[item]
                item += 1


@inlined
def _stored_rows(b, c, i, lattice, table):
    """Return where the row at taps b and c and its mirror image start, -1 outside the grid."""
    n, columns = table.length, lattice.nx // 2 + 1
    y, mate_y = _stored(table.corner[n + i] + b, lattice.ny)
    z, mate_z = _stored(table.corner[2 * n + i] + c, lattice.nz)
    if y < 0 or z < 0:
        return -1, -1
    return (z * lattice.ny + y) * columns, (mate_z * lattice.ny + mate_y) * columns


@inlined
def _stored(k, size):
    """Return where a frequency along y or z and its negative are stored, -1 outside the grid."""
    if size == 1:
        return 0, 0
    if abs(k) > (size - 1) // 2:
        return -1, -1
    return (k, size - k if k > 0 else 0) if k >= 0 else (k + size, -k)


@inlined
def _position(table, i):
    """Return where sample `i` lies in its cell."""
    n = table.length
    return table.position[i], table.position[n + i], table.position[2 * n + i]


@inlined
def _rows(table, i):
    """Return where the taps of sample `i`'s cell are in the volume: a column of the table."""
    return table.start, table.length, i


@inlined
def _edge_rows(table):
    """Return where they are in the copy of a cell."""
    return table.edge_start, 1, 0
