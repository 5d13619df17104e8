"""A cell's value with all of its first and second derivatives, by vectors."""

from __future__ import annotations

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from fslice._kernels.numba.buffer import intrinsic
from fslice._kernels.numba.lanes import INT64, Vector, store
from fslice._kernels.numba.rows import LOCAL, of_buffer, one_cell


@intrinsic
def interpolate_curvatures(typing_context, taps, flat, rows, position, buffer, curves, stride, i):
    """Write the value in the cell of sample `i` and its derivatives; the second to `curves`.

    They are xx, xy, xz, yy, yz and zz, in columns that are `stride` items apart.
    """

    def generate(context, builder, signature, arguments):
        cell = one_cell(builder, signature, arguments)
        local = of_buffer(builder, arguments[4], *LOCAL)
        second = Vector(builder, arguments[5])
        first_items, second_items = _derivatives(cell)
        for item, target in zip(first_items, local, strict=True):
            store(item, target, arguments[7])
        for column, item in enumerate(second_items):
            start = builder.mul(arguments[6], ir.Constant(INT64, column))
            store(item, second, builder.add(start, arguments[7]))
        return context.get_dummy_value()

    return types.none(taps, flat, rows, position, buffer, curves, stride, i), generate


def _derivatives(cell):
    """Return the value and the derivatives along x, y and z, then the second ones."""
    planes, (x, y, z) = cell.planes(), (cell.x, cell.y, cell.z)
    along, across = [y.interpolated(rows) for rows in planes], [y.slope(rows) for rows in planes]
    bent = [y.curvature(rows) for rows in planes]
    row = z.interpolated(along).split(cell.taps)
    dy, dz = z.interpolated(across).split(cell.taps), z.slope(along).split(cell.taps)
    dyy, dyz = z.interpolated(bent).split(cell.taps), z.slope(across).split(cell.taps)
    dzz = z.curvature(along).split(cell.taps)
    first = x.interpolated(row), x.slope(row), x.interpolated(dy), x.interpolated(dz)
    second = (
        x.curvature(row), x.slope(dy), x.slope(dz),
        x.interpolated(dyy), x.interpolated(dyz), x.interpolated(dzz),
    )  # fmt: skip
    return first, second
