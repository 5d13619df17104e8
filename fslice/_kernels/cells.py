"""What the compiled kernels do with a row of samples: read their cells, or add to them.

Most cells are whole: all taps lie in the grid, as neighbours along x. At the edge of the grid, and
where a tap falls on ``x = -1``, a cell is copied to or from a small array of the thread's own.
"""

from __future__ import annotations

from fslice._kernels import rows
from fslice._kernels.table import inlined

STRIDE = 4
"""Samples further apart than this share no taps. The cells of neighbours do, and adding to one
has to wait until the other is stored; in strides it measured 1.2 times faster."""


@inlined
def read(taps, flat, by_flat, count, lattice, table):
    """Write the interpolated values of a row's samples to the table.

    Where `by_flat` is the volume that the row is added to next, its cells are asked for in the
    meantime, which measured 1.15 times faster; else it is None.
    """
    for i in range(count):
        if by_flat is not None:
            _expect(taps, by_flat, i, table)
        if table.whole[i]:
            rows.interpolate(taps, flat, _rows(table, i), _position(table, i), table.value, i)
        else:
            _collect(taps, flat, i, lattice, table)
            rows.interpolate(
                taps, table.edge, _edge_rows(table), _position(table, i), table.value, i
            )


@inlined
def read_slopes(taps, flat, by_flat, count, lattice, table):
    """Write the values and their derivatives along x, y and z; `by_flat` is as in `read`."""
    local = table.value, table.slope_x, table.slope_y, table.slope_z
    for i in range(count):
        if by_flat is not None:
            _expect(taps, by_flat, i, table)
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
    for row in range(len(taps) ** 2):
        rows.expect(flat, table.start[row * table.length + i])


@inlined
def _clear(taps, edge):
    for i in range(len(taps) ** 3):
        edge[i] = 0


@inlined
def _collect(taps, flat, i, lattice, table):
    """Copy a cell out of the volume, with zeros outside the grid."""
    _find(taps, i, lattice, table)
    for item in range(len(taps) ** 3):
        place = table.edge_place[item]
        if place < 0:
            table.edge[item] = 0
        else:
            table.edge[item] = flat[place].conjugate() if table.edge_mate[item] else flat[place]


@inlined
def _distribute(taps, flat, i, lattice, table):
    """Add a cell to the volume, but for what is outside the grid: the adjoint of `_collect`."""
    _find(taps, i, lattice, table)
    for item in range(len(taps) ** 3):
        place, tap = table.edge_place[item], table.edge[item]
        if place >= 0:
            flat[place] += tap.conjugate() if table.edge_mate[item] else tap


@inlined
def _find(taps, i, lattice, table):
    """Write where each tap of a cell is stored, and whether that is its Friedel mate."""
    item = 0
    for c in range(len(taps)):
        for b in range(len(taps)):
            for a in range(len(taps)):
                place, mate = _tap(a, b, c, i, lattice, table)
                table.edge_place[item], table.edge_mate[item] = place, 1 if mate else 0
                item += 1


@inlined
def _tap(a, b, c, i, lattice, table):
    """Return where a tap is stored, -1 if it is outside the grid, and whether its mate is."""
    n = table.length
    x = table.corner[i] + a if lattice.nx > 1 else 0
    y = table.corner[n + i] + b if lattice.ny > 1 else 0
    z = table.corner[2 * n + i] + c if lattice.nz > 1 else 0
    x_outside = abs(x) > (lattice.nx - 1) // 2
    if x_outside or abs(y) > (lattice.ny - 1) // 2 or abs(z) > (lattice.nz - 1) // 2:
        return -1, False
    mate = x < 0
    if mate:
        x, y, z = -x, -y, -z
    y = y if y >= 0 else y + lattice.ny
    z = z if z >= 0 else z + lattice.nz
    return (z * lattice.ny + y) * (lattice.nx // 2 + 1) + x, mate


@inlined
def _position(table, i):
    """Return where sample `i` lies in its cell."""
    n = table.length
    return table.position[i], table.position[n + i], table.position[2 * n + i]


@inlined
def _rows(table, i):
    """Return where the rows of sample `i`'s cell start in the volume: a column of the table."""
    return table.start, table.length, i


@inlined
def _edge_rows(table):
    """Return where they start in the copy of a cell."""
    return table.edge_start, 1, 0
