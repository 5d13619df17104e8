"""Where the samples of a row fall in the volume.

The taps and the position of every sample are tabulated before any is read, `LANES` samples side
by side, which measured three times as fast as the loop that the compiler vectorised. The geometry,
the boundary and the mirrored half space exist here and in `footprint` (and in `plain`, the
fallback), and nowhere else in compiled code. Coordinates are always double precision: only
positions within a cell are rounded to the precision of the volume.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from fslice._kernels.interface import CUBIC, LINEAR
from fslice._kernels.numba.buffer import LANES, RowBuffer, inlined, intrinsic
from fslice._kernels.numba.lanes import DOUBLE, INT64, Vector, constants, store
from fslice._kernels.numba.plain import locate_samples as plain_locate_samples

_UNBOUNDED = 1e300


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
        (*x, float(-first), float((geometry.nx - 1) // 2 - last)),  # a row starts at x >= 0
        (*y, *_bounds(geometry.ny, first, last)),
        (*z, *_bounds(geometry.nz, first, last)),
    )
    for i in range(0, count, LANES):
        _locate_samples(buffer.plain, taps, axes, buffer, i)


@inlined
def _axis(step, start, size, stride, geometry):
    """Return how a row runs along an axis; one of a single frequency is met by all taps."""
    if size == 1:
        return 0.0, 0.0, 1.0, 0.0
    return geometry.scale * step, geometry.scale * start, float(size), float(stride)


@inlined
def _bounds(size, first, last):
    """Return the lower corners between which all taps are frequencies of the grid."""
    if size == 1:
        return -_UNBOUNDED, _UNBOUNDED
    limit = (size - 1) // 2
    return float(-limit - first), float(limit - last)


@inlined
def _locate_samples(plain, taps, axes, buffer, i):
    if plain is None:
        _locate_lanes(taps, axes, buffer, i)
    else:
        plain_locate_samples(taps, axes, buffer, i)


class Grid(NamedTuple):
    """An axis of the volume and how the row runs along it, as numbers of compiled code."""

    step: Vector
    start: Vector
    size: Vector
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
        return tap.where(tap >= 0.0, tap + self.size) * self.stride


class Columns:
    """The buffer, where compiled code writes columns from `i` on."""

    def __init__(self, context: Any, builder: ir.IRBuilder, kind: Any, buffer: Any, i: Any):
        self._context, self._builder, self._i = context, builder, i
        self._kinds = dict(zip(RowBuffer._fields, kind.types, strict=True))
        self._values = {
            name: builder.extract_value(buffer, place)
            for place, name in enumerate(RowBuffer._fields)
        }

    def write(self, name: str, numbers: Vector, row: int = 0) -> None:
        """Write numbers to a row of a field."""
        element = self._context.get_data_type(self._kinds[name].dtype)
        before = self._builder.mul(self._values["length"], ir.Constant(INT64, row))
        pointer = Vector(self._builder, self._values[name])
        store(numbers.to(element), pointer, self._builder.add(before, self._i))


@intrinsic
def _locate_lanes(typing_context, taps, axes, buffer, i):
    """Tabulate the samples from `i` on."""
    offsets = {len(kind): kind for kind in (LINEAR, CUBIC)}[taps.count]

    def generate(context, builder, signature, arguments):
        def number(axis, place):
            return Vector(builder, builder.extract_value(arguments[1], (axis, place)))

        x, y, z = (Grid(*(number(axis, place) for place in range(6))) for axis in range(3))
        first = Vector(builder, builder.sitofp(arguments[3], DOUBLE))
        columns = Columns(context, builder, buffer, arguments[2], arguments[3])
        _tabulate(x, y, z, constants(first, range(LANES)) + first, offsets, columns)
        return context.get_dummy_value()

    return types.none(taps, axes, buffer, i), generate


def _tabulate(x: Grid, y: Grid, z: Grid, kx: Vector, offsets: Any, columns: Columns) -> None:
    along = x.points(kx)
    sign = constants(kx, [1.0] * LANES).where(along >= 0.0, -1.0)
    columns.write("sign", sign)
    corners = []
    for axis, grid in enumerate((x, y, z)):
        point = (along if axis == 0 else grid.points(kx)) * sign
        corners.append(point.floor())
        columns.write("corner", corners[axis] + float(offsets[0]), axis)
        columns.write("position", point - corners[axis], axis)
    whole = [grid.contains(corner) for grid, corner in zip((x, y, z), corners, strict=True)]
    columns.write("whole", whole[0] & whole[1] & whole[2])
    first = corners[0] + float(offsets[0])
    for place, offset in enumerate(offsets):
        columns.write("start", y.stored(corners[1] + float(offset)) + first, place)
    for place, offset in enumerate(offsets):
        columns.write("start", z.stored(corners[2] + float(offset)), len(offsets) + place)
