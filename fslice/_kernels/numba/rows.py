"""A cell as rows of taps along x, each one vector in memory: interpolation and its adjoint.

The functions at the end are called from compiled code with the volume as a pointer `flat`, the
`rows` as a column of offsets, of the taps along y and then along z, and the position in the cell.
All rows must be in the volume: `footprint` sees to that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from fslice._kernels import splines
from fslice._kernels.numba.buffer import LANES, RowBuffer, intrinsic
from fslice._kernels.numba.lanes import (
    INT64,
    Vector,
    concatenated,
    load,
    polynomials,
    store,
    weighted_sum,
)
from fslice._kernels.numba.lanes import (
    prefetch as _prefetch,
)

UNROLLED = {2: range(LANES), 4: range(0)}
"""The samples of a group that are read in one piece: none where a cell takes a page of code."""
LOCAL = "value", "slope_x", "slope_y", "slope_z"


class Axis:
    """Interpolation along one axis, at a position in the cell."""

    def __init__(self, taps: int, position: Vector):
        self.taps, self.position = taps, position

    def interpolated(self, items: Sequence[Vector]) -> Vector:
        """Return the sum of items, one for each tap, times their weights."""
        if self.taps == 2:  # the weights sum to one: no need of both
            return items[0] + self.position * (items[1] - items[0])
        return weighted_sum(self._polynomials(splines.WEIGHTS), items)

    def slope(self, items: Sequence[Vector]) -> Vector:
        """Return the derivative of that in the position."""
        if self.taps == 2:
            return items[1] - items[0]
        return weighted_sum(self._polynomials(splines.SLOPES), items)

    def curvature(self, items: Sequence[Vector]) -> Vector:
        """Return the second derivative of that in the position."""
        if self.taps == 2:
            return items[0] * 0.0
        return weighted_sum(self._polynomials(splines.CURVATURES), items)

    def shares(self, item: Vector) -> list[Vector]:
        """Return the item times the weight of each tap: the adjoint."""
        if self.taps == 2:
            upper = self.position * item
            return [item - upper, upper]
        return [weight * item for weight in self._polynomials(splines.WEIGHTS)]

    def squared_shares(self, item: Vector) -> list[Vector]:
        """Return the item times the squared weight of each tap."""
        return [weight * weight * item for weight in self._polynomials(splines.WEIGHTS)]

    def _polynomials(self, table: dict) -> list[Vector]:
        return polynomials(table[self.taps], self.position)


class Cell:
    """A sample's cell while its code is generated: its rows in the volume, its axes."""

    def __init__(self, signature: Any, data: Vector, offsets: list, positions: list[Vector]):
        self.taps = signature.args[0].count
        complex_items = isinstance(signature.args[1].dtype, types.Complex)
        self.width = 2 if complex_items else 1  # lanes of a tap
        self._builder, self._data, self._offsets = data.builder, data, offsets
        self.x, self.y, self.z = (Axis(self.taps, position) for position in positions)

    def planes(self) -> list[list[Vector]]:
        """Read the rows, plane by plane."""
        taps, real = range(self.taps), self.x.position.element
        lanes = self.taps * self.width
        return [[load(self._data, self._start(b, c), real, lanes) for b in taps] for c in taps]

    def add(self, b: int, c: int, row: Vector) -> None:
        """Add a row to that at tap `b` along y and tap `c` along z."""
        start = self._start(b, c)
        store(load(self._data, start, row.element, row.lanes) + row, self._data, start)

    def prefetch(self, data: Vector) -> None:
        """Ask for the cache lines of the rows in a volume, one of many cells to be read."""
        for c in range(self.taps):
            for b in range(self.taps):
                _prefetch(data, self._start(b, c), level=2)

    def _start(self, b: int, c: int) -> Any:
        start = self._builder.add(self._offsets[self.taps + c], self._offsets[b])
        return self._builder.zext(start, INT64)  # no offset that is used is negative


def one_cell(builder: ir.IRBuilder, signature: Any, arguments: Sequence[Any]) -> Cell:
    """Return the cell of one sample: `arguments` are taps, volume, rows, position, ..."""
    taps = signature.args[0].count
    pointer, step, first = (builder.extract_value(arguments[2], part) for part in range(3))
    places = [builder.mul(step, ir.Constant(INT64, item)) for item in range(2 * taps)]
    offsets = [_item(builder, pointer, builder.add(first, place)) for place in places]
    positions = [Vector(builder, builder.extract_value(arguments[3], i)) for i in range(3)]
    return Cell(signature, Vector(builder, arguments[1]), offsets, positions)


def cells_of(
    builder: ir.IRBuilder, signature: Any, arguments: Sequence[Any], lanes: Sequence[int]
) -> Iterator[tuple[Any, Cell]]:
    """Yield samples of a group and their cells: `arguments` are taps, volume, ..., buffer, i."""
    taps, start = signature.args[0].count, arguments[-1]
    group = builder.lshr(start, ir.Constant(INT64, LANES.bit_length() - 1))
    before = builder.and_(start, ir.Constant(INT64, LANES - 1))

    def read(name: str, items: int, wanted: int, lane: int) -> list[Any]:
        """Read the first items, of so many, of a sample."""
        pointer = builder.extract_value(arguments[-2], RowBuffer._fields.index(name))
        first = builder.mul(group, ir.Constant(INT64, items * LANES))
        pointer = builder.gep(pointer, [builder.add(first, before)])
        places = (ir.Constant(INT64, item * LANES + lane) for item in range(wanted))
        return [_item(builder, pointer, place) for place in places]

    for lane in lanes:  # each is read as it is needed: there are more than registers
        offsets = read("cell", 2 * taps + 3, 2 * taps, lane)
        positions = [Vector(builder, position) for position in read("position", 3, 3, lane)]
        place = builder.add(start, ir.Constant(INT64, lane))
        yield place, Cell(signature, Vector(builder, arguments[1]), offsets, positions)


def _item(builder: ir.IRBuilder, pointer: Any, place: Any) -> Any:
    return builder.load(builder.gep(pointer, [place]))


@intrinsic
def prefetch(typing_context, flat, item):
    """Ask for the cache line of an item that is needed soon; it may lie outside the array."""

    def generate(context, builder, signature, arguments):
        _prefetch(Vector(builder, arguments[0]), arguments[1])
        return context.get_dummy_value()

    return types.none(flat, item), generate


@intrinsic
def prefetch_group(typing_context, taps, flat, buffer, i):
    """Ask for the cells of the `LANES` samples from `i` on; they may lie outside the array."""

    def generate(context, builder, signature, arguments):
        for _, cell in cells_of(builder, signature, arguments, range(LANES)):
            cell.prefetch(Vector(builder, arguments[1]))
        return context.get_dummy_value()

    return types.none(taps, flat, buffer, i), generate


def _interpolate(cell: Cell, value: Vector, place: Any) -> None:
    row = cell.z.interpolated([cell.y.interpolated(rows) for rows in cell.planes()])
    store(cell.x.interpolated(row.split(cell.taps)), value, place)


def _interpolate_slopes(cell: Cell, local: Sequence[Vector], place: Any) -> None:
    planes, (x, y, z) = cell.planes(), (cell.x, cell.y, cell.z)
    along, across = [y.interpolated(rows) for rows in planes], [y.slope(r) for r in planes]
    row = z.interpolated(along).split(cell.taps)
    dy, dz = z.interpolated(across).split(cell.taps), z.slope(along).split(cell.taps)
    items = x.interpolated(row), x.slope(row), x.interpolated(dy), x.interpolated(dz)
    for item, target in zip(items, local, strict=True):
        store(item, target, place)


def _add(cell: Cell, value: Vector, place: Any, shares: Callable) -> None:
    item = load(value, place, cell.x.position.element, cell.width)
    row = concatenated(shares(cell.x, item))
    for c, plane in enumerate(shares(cell.z, row)):
        for b, part in enumerate(shares(cell.y, plane)):
            cell.add(b, c, part)


def of_buffer(builder: ir.IRBuilder, buffer: Any, *names: str) -> list[Vector]:
    """Return columns of the buffer, as pointers."""
    places = (RowBuffer._fields.index(name) for name in names)
    return [Vector(builder, builder.extract_value(buffer, place)) for place in places]


@intrinsic
def interpolate(typing_context, taps, flat, rows, position, buffer, i):
    """Write the interpolated value in the cell of sample `i` to the buffer."""

    def generate(context, builder, signature, arguments):
        (value,) = of_buffer(builder, arguments[4], "value")
        _interpolate(one_cell(builder, signature, arguments), value, arguments[5])
        return context.get_dummy_value()

    return types.none(taps, flat, rows, position, buffer, i), generate


@intrinsic
def interpolate_group(typing_context, taps, flat, target, buffer, i):
    """Write the values of the `LANES` samples from `i` on, whose cells are whole.

    Where `target` is another volume, and not None, the same cells of it are prefetched.
    """

    def generate(context, builder, signature, arguments):
        (value,) = of_buffer(builder, arguments[3], "value")
        for place, cell in cells_of(builder, signature, arguments, UNROLLED[taps.count]):
            if not isinstance(target, types.NoneType):
                cell.prefetch(Vector(builder, arguments[2]))
            _interpolate(cell, value, place)
        return context.get_dummy_value()

    return types.none(taps, flat, target, buffer, i), generate


@intrinsic
def interpolate_slopes(typing_context, taps, flat, rows, position, buffer, i):
    """Write the value in the cell of sample `i` and its derivatives along x, y and z."""

    def generate(context, builder, signature, arguments):
        local = of_buffer(builder, arguments[4], *LOCAL)
        _interpolate_slopes(one_cell(builder, signature, arguments), local, arguments[5])
        return context.get_dummy_value()

    return types.none(taps, flat, rows, position, buffer, i), generate


@intrinsic
def interpolate_slopes_group(typing_context, taps, flat, target, buffer, i):
    """Write the values and their derivatives along x, y and z; else as `interpolate_group`."""

    def generate(context, builder, signature, arguments):
        local = of_buffer(builder, arguments[3], *LOCAL)
        for place, cell in cells_of(builder, signature, arguments, UNROLLED[taps.count]):
            if not isinstance(target, types.NoneType):
                cell.prefetch(Vector(builder, arguments[2]))
            _interpolate_slopes(cell, local, place)
        return context.get_dummy_value()

    return types.none(taps, flat, target, buffer, i), generate


def _adds(shares: Callable[[Axis, Vector], list[Vector]]):
    """Return the functions that add shares of numbers to the taps of one sample, and of two."""

    @intrinsic
    def add(typing_context, taps, flat, rows, position, buffer, i):
        def generate(context, builder, signature, arguments):
            (value,) = of_buffer(builder, arguments[4], "value")
            _add(one_cell(builder, signature, arguments), value, arguments[5], shares)
            return context.get_dummy_value()

        return types.none(taps, flat, rows, position, buffer, i), generate

    @intrinsic
    def add_two(typing_context, taps, flat, buffer, i):
        def generate(context, builder, signature, arguments):
            (value,) = of_buffer(builder, arguments[2], "value")
            for place, cell in cells_of(builder, signature, arguments, UNROLLED[taps.count][::4]):
                _add(cell, value, place, shares)
            return context.get_dummy_value()

        return types.none(taps, flat, buffer, i), generate

    return add, add_two


add, add_two = _adds(Axis.shares)
"""Add item `i` of `value`, or also that half a group later, with the weights it is read by."""

add_squared, add_two_squared = _adds(Axis.squared_shares)
"""The same with the squares of the weights."""
