"""Where the samples of a row fall in the volume.

The taps and the position of every sample are tabulated before any is read, `LANES` samples side
by side, which measured three times as fast as the loop that the compiler vectorised. The geometry,
the boundary and the mirrored half space exist here and in `footprint` (and in `plain`, the
fallback), and nowhere else in compiled code. Coordinates are always double precision: only
positions within a cell are rounded to the precision of the volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from fslice._kernels.interface import CUBIC, LINEAR
from fslice._kernels.numba.buffer import LANES, RowBuffer, inlined, intrinsic
from fslice._kernels.numba.lanes import DOUBLE, INT64, Vector, constants, store
from fslice._kernels.numba.plain import locate_samples as plain_locate_samples

_UNBOUNDED = 1 << 29


@inlined
def locate(rotation, ky, count, geometry, buffer):
    """Tabulate the samples of one row; those at negative x are read at their Friedel mates."""
    taps, row = geometry.taps, geometry.nx // 2 + 1
    first, last = taps[0], taps[len(taps) - 1]
    x, y, z = (
        _axis(rotation[0, 0], rotation[0, 1] * ky, geometry.nx, 1, geometry),
        _axis(rotation[1, 0], rotation[1, 1] * ky, geometry.ny, row, geometry),
        _axis(rotation[2, 0], rotation[2, 1] * ky, geometry.nz, row * geometry.ny, geometry),
    )
    axes = (
        (*x, -first, (geometry.nx - 1) // 2 - last),  # a row starts at x >= 0
        (*y, *_bounds(geometry.ny, first, last)),
        (*z, *_bounds(geometry.nz, first, last)),
    )
    side = geometry.scale * rotation[0, 0], geometry.scale * rotation[0, 1] * ky
    for i in range(0, count, LANES):
        _locate_samples(buffer.plain, taps, axes, side, buffer, i)


@inlined
def _axis(step, start, size, stride, geometry):
    """Return how a row runs along an axis; one of a single frequency is met by all taps."""
    if size == 1:
        return 0.0, 0.0, 1, 0
    return geometry.scale * step, geometry.scale * start, size, stride


@inlined
def _bounds(size, first, last):
    """Return the lower corners between which all taps are frequencies of the grid."""
    if size == 1:
        return -_UNBOUNDED, _UNBOUNDED
    limit = (size - 1) // 2
    return -limit - first, limit - last


@inlined
def _locate_samples(plain, taps, axes, side, buffer, i):
    if plain is None:
        _locate_lanes(taps, axes, side, buffer, i)
    else:
        plain_locate_samples(taps, axes, side, buffer, i)


class Grid(NamedTuple):
    """An axis of the volume and how the row runs along it, as numbers of compiled code."""

    step: Vector  # real, as is `start`
    start: Vector
    size: Vector  # integers of the type of the buffer's offsets, as are the others
    stride: Vector  # between neighbours in memory
    low: Vector  # the cells that lie in the grid
    high: Vector

    def points(self, kx: Vector) -> Vector:
        """Return the coordinates of samples."""
        return self.step * kx + self.start

    def contains(self, corner: Vector) -> Vector:
        """Tell which cells have all their taps in the grid."""
        return (corner >= self.low) & (corner <= self.high)

    def stored(self, tap: Vector) -> Vector:
        """Return where a tap is stored, frequencies below zero after the others."""
        return tap.where(tap >= 0, tap + self.size) * self.stride


class Columns:
    """The buffer, where compiled code writes the group of samples from `i` on."""

    def __init__(self, context: Any, builder: ir.IRBuilder, kind: Any, buffer: Any, i: Any):
        self._context, self._builder, self._i = context, builder, i
        self._kinds = dict(zip(RowBuffer._fields, kind.types, strict=True))
        self._values = {
            name: builder.extract_value(buffer, place)
            for place, name in enumerate(RowBuffer._fields)
        }

    def element(self, name: str) -> Any:
        """Return the LLVM type of a field's items."""
        return self._context.get_data_type(self._kinds[name].dtype)

    def write(self, name: str, numbers: Vector, item: int = 0, items: int = 1) -> None:
        """Write numbers to an item, of so many that the group has."""
        pointer = Vector(self._builder, self._values[name])
        start = self._builder.mul(self._i, ir.Constant(INT64, items))
        start = self._builder.add(start, ir.Constant(INT64, item * LANES))
        store(numbers.to(self.element(name)), pointer, start)

    def write_mask(self, name: str, truth: Vector) -> None:
        """Write a bit for each sample."""
        mask = Vector(self._builder, self._builder.bitcast(truth.value, ir.IntType(LANES)))
        group = self._builder.udiv(self._i, ir.Constant(INT64, LANES))
        store(mask, Vector(self._builder, self._values[name]), group)


@intrinsic
def _locate_lanes(typing_context, taps, axes, side, buffer, i):
    """Tabulate the samples from `i` on."""
    offsets = {len(kind): kind for kind in (LINEAR, CUBIC)}[taps.count]

    def generate(context, builder, signature, arguments):
        columns = Columns(context, builder, buffer, arguments[3], arguments[4])
        integer = columns.element("cell")

        def number(axis, place):
            value = builder.extract_value(arguments[1], (axis, place))
            return Vector(builder, value if place < 2 else builder.trunc(value, integer))

        grids = [Grid(*(number(axis, place) for place in range(6))) for axis in range(3)]
        step, start = (Vector(builder, builder.extract_value(arguments[2], i)) for i in range(2))
        first = Vector(builder, builder.sitofp(arguments[4], DOUBLE))
        kx = constants(first, range(LANES)) + first
        _tabulate(grids, kx, step * kx + start, offsets, columns)
        return context.get_dummy_value()

    return types.none(taps, axes, side, buffer, i), generate


def _tabulate(
    grids: list[Grid], kx: Vector, side: Vector, offsets: Sequence[int], columns: Columns
) -> None:
    sign = constants(kx, [1.0] * LANES).where(side >= 0.0, -1.0)
    columns.write("sign", sign)
    taps, corners = len(offsets), []
    for axis, grid in enumerate(grids):
        point = grid.points(kx) * sign
        lower = point.floor()
        corners.append(lower.to(columns.element("cell")))
        columns.write("position", point - lower, axis, 3)
        columns.write("cell", corners[axis] + offsets[0], 2 * taps + axis, 2 * taps + 3)
    in_x, in_y, in_z = (grid.contains(corners[axis]) for axis, grid in enumerate(grids))
    columns.write_mask("whole", in_x & in_y & in_z)
    for tap, offset in enumerate(offsets):
        row = grids[1].stored(corners[1] + offset) + (corners[0] + offsets[0])
        columns.write("cell", row, tap, 2 * taps + 3)
        columns.write("cell", grids[2].stored(corners[2] + offset), taps + tap, 2 * taps + 3)
