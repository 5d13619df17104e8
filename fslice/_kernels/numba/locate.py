"""Where the samples of a row fall in the volume.

The taps and the position of every sample are tabulated before any is read, `LANES` samples side
by side, which measured three times as fast as the loop that the compiler vectorised. The geometry,
the boundary and the mirrored half space exist here and in `cells`, and nowhere else in compiled
code. Coordinates are always double precision: only positions within a cell are rounded to the
precision of the volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from fslice._kernels.interface import CUBIC, LINEAR
from fslice._kernels.numba.lanes import DOUBLE, INT64, Vector, constants, store
from fslice._kernels.numba.table import LANES, Table, inlined, intrinsic


@inlined
def locate(rotation, ky, count, lattice, table):
    """Tabulate the samples of one row; those at negative x are read at their Friedel mates."""
    scale, across = lattice.scale, lattice.scale * ky
    axes = (
        (scale * rotation[0, 0], across * rotation[0, 1], float(lattice.nx)),
        (scale * rotation[1, 0], across * rotation[1, 1], float(lattice.ny)),
        (scale * rotation[2, 0], across * rotation[2, 1], float(lattice.nz)),
    )
    for i in range(0, count, LANES):
        _locate(lattice.taps, axes, table, i)


class Grid(NamedTuple):
    """An axis of the volume and how the row runs along it, as numbers of compiled code."""

    step: Vector
    start: Vector
    size: Vector

    @property
    def several(self) -> Vector:
        """Whether there are frequencies to interpolate between; a single one meets all taps."""
        return self.size > 1.0

    def points(self, kx: Vector) -> Vector:
        """Return the coordinates of samples."""
        return self.step * kx + self.start

    def within(self, taps: Sequence[Vector]) -> Vector:
        """Tell where the first and the last tap are frequencies of the grid."""
        limit = ((self.size - 1.0) * 0.5).floor()
        return (taps[0] >= -limit) & (taps[-1] <= limit)

    def wrapped(self, taps: Sequence[Vector], stride: Vector) -> list[Vector]:
        """Return where taps are stored, frequencies below zero after the others."""
        used = stride.where(self.several, 0.0)
        return [(tap.where(tap >= 0.0, tap + self.size) * used) for tap in taps]


class Columns:
    """The table, where compiled code writes columns from `i` on."""

    def __init__(self, context: Any, builder: ir.IRBuilder, kind: Any, table: Any, i: Any):
        self._context, self._builder, self._i = context, builder, i
        self._kinds = dict(zip(Table._fields, kind.types, strict=True))
        self._values = {
            name: builder.extract_value(table, place) for place, name in enumerate(Table._fields)
        }

    def write(self, name: str, numbers: Vector, row: int = 0) -> None:
        """Write numbers to a row of a field."""
        element = self._context.get_data_type(self._kinds[name].dtype)
        before = self._builder.mul(self._values["length"], ir.Constant(INT64, row))
        pointer = Vector(self._builder, self._values[name])
        store(numbers.to(element), pointer, self._builder.add(before, self._i))


@intrinsic
def _locate(typing_context, taps, axes, table, i):
    """Tabulate the samples from `i` on."""
    offsets = {len(kind): kind for kind in (LINEAR, CUBIC)}[taps.count]

    def generate(context, builder, signature, arguments):
        def number(axis, place):
            return Vector(builder, builder.extract_value(arguments[1], (axis, place)))

        grids = [Grid(*(number(axis, place) for place in range(3))) for axis in range(3)]
        first = Vector(builder, builder.sitofp(arguments[3], DOUBLE))
        columns = Columns(context, builder, table, arguments[2], arguments[3])
        _tabulate(grids, constants(first, range(LANES)) + first, offsets, columns)
        return context.get_dummy_value()

    return types.none(taps, axes, table, i), generate


def _tabulate(grids: list[Grid], kx: Vector, offsets: Sequence[int], columns: Columns) -> None:
    x, y, z = grids
    sign = constants(kx, [1.0] * LANES).where(x.points(kx) >= 0.0, -1.0)
    columns.write("sign", sign)
    taps = []
    for axis, grid in enumerate(grids):
        point = (grid.points(kx) * sign).where(grid.several, 0.0)
        corner = point.floor()
        taps.append([corner + float(offset) for offset in offsets])
        columns.write("corner", taps[axis][0].to(INT64), axis)
        columns.write("position", point - corner, axis)
    along_x, along_y, along_z = taps
    right = (along_x[0] >= 0.0) & x.within(along_x)
    whole = right & (y.within(along_y) | ~y.several) & (z.within(along_z) | ~z.several)
    columns.write("whole", whole)
    row = (x.size * 0.5).floor() + 1.0
    rows = [(start + along_x[0]).to(INT64) for start in y.wrapped(along_y, row)]
    planes = [start.to(INT64) for start in z.wrapped(along_z, row * y.size)]
    for place, start in enumerate(rows + planes):
        columns.write("start", start, place)
