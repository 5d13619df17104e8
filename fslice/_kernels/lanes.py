"""Short vectors in compiled code: Python expressions that are traced into LLVM instructions.

Numba vectorises loops only, so it leaves the few rows of an interpolation cell scalar. Here a
`Vector` stands for the numbers on a row of taps, and its operators emit the instructions of one
vector. Real numbers take one lane per tap, complex numbers two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils

_BYTES = {"float": 4, "double": 8}
_FLAGS = ("contract", "nsz", "arcp", "reassoc")


class Vector:
    """An LLVM vector of reals, or a single real, that is added and multiplied like a number."""

    def __init__(self, builder: ir.IRBuilder, value: Any):
        self.builder, self.value = builder, value

    @property
    def lanes(self) -> int:
        """The number of lanes; 0 for a single number."""
        return getattr(self.value.type, "count", 0)

    def __add__(self, other: Vector) -> Vector:
        return self._emit(self.builder.fadd, other)

    def __mul__(self, other: Vector) -> Vector:
        return self._emit(self.builder.fmul, other)

    def _emit(self, instruction, other):
        lanes = max(self.lanes, other.lanes)
        values = (self.spread_to(lanes).value, other.spread_to(lanes).value)
        return Vector(self.builder, instruction(*values, flags=_FLAGS))

    def __getitem__(self, lane: int) -> Vector:
        return Vector(self.builder, self.builder.extract_element(self.value, _number(lane)))

    def spread_to(self, lanes: int) -> Vector:
        """Repeat every number so often that there are `lanes` of them."""
        if lanes == self.lanes:
            return self
        if not self.lanes:
            return pack([self]).spread_to(lanes)
        return self.shuffled([lane * self.lanes // lanes for lane in range(lanes)])

    def shuffled(self, lanes: Sequence[int]) -> Vector:
        """Return the vector of these lanes."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
        return Vector(self.builder, self.builder.shuffle_vector(self.value, self.value, mask))

    def summed_to(self, lanes: int) -> Vector:
        """Add the first half of the lanes to the second until so many are left."""
        half = self.lanes // 2
        if self.lanes == lanes:
            return self
        low, high = self.shuffled(range(half)), self.shuffled(range(half, 2 * half))
        return (low + high).summed_to(lanes)


def pack(parts: Sequence[Vector]) -> Vector:
    """Make a vector of single numbers."""
    builder = parts[0].builder
    vector = ir.Constant(ir.VectorType(parts[0].value.type, len(parts)), ir.Undefined)
    for lane, part in enumerate(parts):
        vector = builder.insert_element(vector, part.value, _number(lane))
    return Vector(builder, vector)


def weighted_sum(weights: Vector, vectors: Iterable[Vector]) -> Vector:
    """Return the sum of the vectors, each times its weight."""
    products = [weights[i] * vector for i, vector in enumerate(vectors)]
    total = products[0]
    for product in products[1:]:
        total = total + product
    return total


def polynomials(rows: Sequence[Sequence[float]], at: Vector) -> Vector:
    """Evaluate one polynomial per lane, given its coefficients from the lowest power."""
    vector = ir.VectorType(at.value.type, len(rows))
    columns = [Vector(at.builder, ir.Constant(vector, list(c))) for c in zip(*rows, strict=True)]
    value = columns[-1]
    for column in columns[-2::-1]:
        value = value * at + column
    return value


def load(data: Vector, start: Any, real: Any, lanes: int) -> Vector:
    """Read `lanes` reals from the array at the pointer `data`, from its item `start` on."""
    builder = data.builder
    pointer = _pointer(data, start, real, lanes)
    return Vector(builder, builder.load(pointer, align=_BYTES[str(real)]))


def prefetch(data: Vector, start: Any) -> None:
    """Ask for the cache line of the array's item `start`, which need not exist."""
    builder = data.builder
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    takes = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    function = cgutils.get_or_insert_function(builder.module, takes, "llvm.prefetch.p0i8")
    item = builder.bitcast(builder.gep(data.value, [start]), byte)
    builder.call(function, [item, _number(0), _number(3), _number(1)])  # to read, and to keep


def store(row: Vector, data: Vector, start: Any) -> None:
    """Write the lanes of a row where `load` reads them."""
    real = row.value.type.element
    pointer = _pointer(data, start, real, row.lanes)
    row.builder.store(row.value, pointer, align=_BYTES[str(real)])


def _pointer(data, start, real, lanes):
    item = data.builder.gep(data.value, [start])
    return data.builder.bitcast(item, ir.VectorType(real, lanes).as_pointer())


def _number(value: int) -> ir.Constant:
    return ir.Constant(ir.IntType(32), value)
