"""A cell as rows of taps along x, each one vector in memory: interpolation and its adjoint.

The functions at the end are called from compiled code with the volume as a pointer `flat`, the
first `x`, the offsets of the taps along `y` and `z`, and the position in the cell. All rows must
be in the volume: `cells` sees to that.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from numba import types

from fslice._kernels import splines
from fslice._kernels.lanes import (
    Vector,
    load,
    pack,
    polynomials,
    prefetch,
    store,
    weighted_sum,
)
from fslice._kernels.walk import intrinsic


class Cell:
    """A sample's cell while its code is generated: its rows in the volume, its weights."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any):
        self.item, self.taps = signature.args[0].dtype, signature.args[2].count
        self.width = 2 if isinstance(self.item, types.Complex) else 1  # lanes of a tap
        self._context, self._builder = context, builder
        self._data = Vector(builder, arguments[0])
        self._x, self._y, self._z, fractions = arguments[1:5]
        self._fractions = [Vector(builder, builder.extract_value(fractions, i)) for i in range(3)]

    def weights(self) -> list[Vector]:
        """Return the weights of the taps along x, y and z."""
        return [polynomials(splines.WEIGHTS[self.taps], f) for f in self._fractions]

    def slopes(self) -> list[Vector]:
        """Return the derivatives of the weights."""
        return [polynomials(splines.SLOPES[self.taps], f) for f in self._fractions]

    def planes(self) -> Iterator[list[Vector]]:
        """Read the rows, plane by plane."""
        for c in range(self.taps):
            yield [self._row(b, c) for b in range(self.taps)]

    def expect(self) -> None:
        """Ask for the rows' cache lines, so that they are near when they are needed."""
        for b, c in itertools.product(range(self.taps), repeat=2):
            prefetch(self._data, self._start(b, c))

    def add(self, b: int, c: int, row: Vector) -> None:
        """Add a row to that at tap `b` along y and tap `c` along z."""
        store(self._row(b, c) + row, self._data, self._start(b, c))

    def row_of(self, number: Any) -> Vector:
        """Return a row with the same number at every tap."""
        parts = [number]
        if self.width == 2:
            pair = self._context.make_complex(self._builder, self.item, number)
            parts = [pair.real, pair.imag]
        return pack([Vector(self._builder, part) for part in parts] * self.taps)

    def total(self, row: Vector) -> Any:
        """Return the sum over the taps of a row, as a number."""
        lanes = row.summed_to(self.width)
        if self.width == 1:
            return lanes[0].value
        pair = self._context.make_complex(self._builder, self.item)
        pair.real, pair.imag = lanes[0].value, lanes[1].value
        return pair._getvalue()

    def _row(self, b: int, c: int) -> Vector:
        real = self._fractions[0].value.type
        return load(self._data, self._start(b, c), real, self.taps * self.width)

    def _start(self, b: int, c: int) -> Any:
        part, add = self._builder.extract_value, self._builder.add
        return add(add(part(self._z, c), self._x), part(self._y, b))


@intrinsic
def expect(typing_context, flat, x, y, z, fractions):
    """Ask for a cell that will be read or added to soon; it may lie outside the array."""

    def generate(*arguments):
        Cell(*arguments).expect()
        return arguments[0].get_dummy_value()

    return types.none(flat, x, y, z, fractions), generate


@intrinsic
def expect_item(typing_context, flat, item):
    """Ask for the cache line of an item of an array, which may lie outside."""

    def generate(context, builder, signature, arguments):
        prefetch(Vector(builder, arguments[0]), arguments[1])
        return context.get_dummy_value()

    return types.none(flat, item), generate


@intrinsic
def interpolate(typing_context, flat, x, y, z, fractions):
    """Return the interpolated value in a cell."""

    def generate(*arguments):
        cell = Cell(*arguments)
        u, v, w = cell.weights()
        return cell.total(u * weighted_sum(w, [weighted_sum(v, rows) for rows in cell.planes()]))

    return flat.dtype(flat, x, y, z, fractions), generate


@intrinsic
def interpolate_slopes(typing_context, flat, x, y, z, fractions):
    """Return the interpolated value in a cell and its derivatives along x, y and z."""
    result = types.UniTuple(flat.dtype, 4)

    def generate(context, builder, signature, arguments):
        cell = Cell(context, builder, signature, arguments)
        (u, v, w), (p, q, r) = cell.weights(), cell.slopes()
        along, across = [], []
        for rows in cell.planes():
            along.append(weighted_sum(v, rows))
            across.append(weighted_sum(q, rows))
        row, dy, dz = weighted_sum(w, along), weighted_sum(w, across), weighted_sum(r, along)
        numbers = [cell.total(product) for product in (u * row, p * row, u * dy, u * dz)]
        return context.make_tuple(builder, result, numbers)

    return result(flat, x, y, z, fractions), generate


def _adds(power):
    """Return the function that adds a number times the weights to that power."""

    @intrinsic
    def add(typing_context, flat, x, y, z, fractions, value):
        def generate(context, builder, signature, arguments):
            cell = Cell(context, builder, signature, arguments)
            u, v, w = (weights if power == 1 else weights * weights for weights in cell.weights())
            row = u * cell.row_of(arguments[5])
            for c in range(cell.taps):
                part = w[c] * row
                for b in range(cell.taps):
                    cell.add(b, c, v[b] * part)
            return context.get_dummy_value()

        return types.none(flat, x, y, z, fractions, flat.dtype), generate

    return add


add, add_squared = _adds(1), _adds(2)
