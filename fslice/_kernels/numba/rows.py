"""A cell as rows of taps along x, each one vector in memory: interpolation and its adjoint.

The functions at the end are called from compiled code with the volume as a pointer `flat`, the
`rows` as a column of offsets, of the taps along y and then along z, and the position in the cell.
All rows must be in the volume: `footprint` sees to that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from fslice._kernels import splines
from fslice._kernels.numba.lanes import (
    INT64,
    Vector,
    concatenated,
    load,
    polynomials,
    prefetch as _prefetch,
    store,
    weighted_sum,
)
from fslice._kernels.numba.buffer import intrinsic


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

    def __init__(self, builder: ir.IRBuilder, signature: Any, arguments: Sequence[Any]):
        self.taps = signature.args[0].count
        complex_items = isinstance(signature.args[1].dtype, types.Complex)
        self.width = 2 if complex_items else 1  # lanes of a tap
        self._builder, self._data = builder, Vector(builder, arguments[1])
        self._offsets = [self._offset(arguments[2], place) for place in range(2 * self.taps)]
        positions = [Vector(builder, builder.extract_value(arguments[3], i)) for i in range(3)]
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

    def _start(self, b: int, c: int) -> Any:
        return self._builder.add(self._offsets[self.taps + c], self._offsets[b])

    def _offset(self, rows: Any, place: int) -> Any:
        builder = self._builder
        column, length, i = (builder.extract_value(rows, part) for part in range(3))
        before = builder.mul(length, ir.Constant(INT64, place))
        return builder.load(builder.gep(column, [builder.add(before, i)]))


@intrinsic
def prefetch(typing_context, flat, item):
    """Ask for the cache line of an item that is needed soon; it may lie outside the array."""

    def generate(context, builder, signature, arguments):
        _prefetch(Vector(builder, arguments[0]), arguments[1])
        return context.get_dummy_value()

    return types.none(flat, item), generate


@intrinsic
def interpolate(typing_context, taps, flat, rows, position, value, i):
    """Write the interpolated value in a cell to item `i` of `value`."""

    def generate(context, builder, signature, arguments):
        cell = Cell(builder, signature, arguments)
        row = cell.z.interpolated([cell.y.interpolated(rows) for rows in cell.planes()])
        item = cell.x.interpolated(row.split(cell.taps))
        store(item, Vector(builder, arguments[4]), arguments[5])
        return context.get_dummy_value()

    return types.none(taps, flat, rows, position, value, i), generate


@intrinsic
def interpolate_slopes(typing_context, taps, flat, rows, position, local, i):
    """Write the value in a cell and its derivatives along x, y and z to items `i` of `local`."""

    def generate(context, builder, signature, arguments):
        cell = Cell(builder, signature, arguments)
        planes, (x, y, z) = cell.planes(), (cell.x, cell.y, cell.z)
        along, across = [y.interpolated(rows) for rows in planes], [y.slope(r) for r in planes]
        row = z.interpolated(along).split(cell.taps)
        dy, dz = z.interpolated(across).split(cell.taps), z.slope(along).split(cell.taps)
        items = x.interpolated(row), x.slope(row), x.interpolated(dy), x.interpolated(dz)
        for number, item in enumerate(items):
            store(item, Vector(builder, builder.extract_value(arguments[4], number)), arguments[5])
        return context.get_dummy_value()

    return types.none(taps, flat, rows, position, local, i), generate


def _adds(shares: Callable[[Axis, Vector], list[Vector]]):
    """Return the function that adds a number's shares to the taps."""

    @intrinsic
    def add(typing_context, taps, flat, rows, position, value, i):
        def generate(context, builder, signature, arguments):
            cell = Cell(builder, signature, arguments)
            real = cell.x.position.element
            item = load(Vector(builder, arguments[4]), arguments[5], real, cell.width)
            row = concatenated(shares(cell.x, item))
            for c, plane in enumerate(shares(cell.z, row)):
                for b, part in enumerate(shares(cell.y, plane)):
                    cell.add(b, c, part)
            return context.get_dummy_value()

        return types.none(taps, flat, rows, position, value, i), generate

    return add


add, add_squared = _adds(Axis.shares), _adds(Axis.squared_shares)
"""Add item `i` of `value` into a cell, with the weights it is read by, or with their squares."""
