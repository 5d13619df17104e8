"""Vectors in compiled code: Python expressions that are traced into LLVM instructions.

Numba vectorises loops only, and only those it understands; it leaves the few rows of an
interpolation cell scalar. Here a `Vector` stands for several numbers side by side, and its
operators emit the instructions of one vector. On a row of taps real numbers take one lane per
tap, complex numbers two.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils

DOUBLE, INT64 = ir.DoubleType(), ir.IntType(64)
_BYTES = {"float": 4, "double": 8, "i64": 8, "i32": 4, "i8": 1}
_FLAGS = ("contract", "nsz", "arcp", "reassoc")


class Vector:
    """An LLVM vector, or a single number, that is used like a number.

    Next to a vector a single number, or a Python number, stands for a vector of equals.
    """

    def __init__(self, builder: ir.IRBuilder, value: Any):
        self.builder, self.value = builder, value

    @property
    def lanes(self) -> int:
        """The number of lanes; 0 for a single number."""
        return getattr(self.value.type, "count", 0)

    @property
    def element(self) -> Any:
        """The LLVM type of a lane."""
        return self.value.type.element if self.lanes else self.value.type

    def __add__(self, other: Vector | float) -> Vector:
        if isinstance(self.element, ir.IntType):
            return self._emit(self.builder.add, other)
        return self._emit(self.builder.fadd, other, flags=_FLAGS)

    def __sub__(self, other: Vector | float) -> Vector:
        return self._emit(self.builder.fsub, other, flags=_FLAGS)

    def __mul__(self, other: Vector | float) -> Vector:
        if isinstance(self.element, ir.IntType):
            return self._emit(self.builder.mul, other)
        return self._emit(self.builder.fmul, other, flags=_FLAGS)

    def __neg__(self) -> Vector:
        return self * -1.0

    def __le__(self, other: Vector | float) -> Vector:
        return self._compare("<=", other)

    def __ge__(self, other: Vector | float) -> Vector:
        return self._compare(">=", other)

    def __gt__(self, other: Vector | float) -> Vector:
        return self._compare(">", other)

    def __and__(self, other: Vector) -> Vector:
        return self._emit(self.builder.and_, other)

    def __or__(self, other: Vector) -> Vector:
        return self._emit(self.builder.or_, other)

    def __invert__(self) -> Vector:
        return Vector(self.builder, self.builder.not_(self.value))

    def _compare(self, sign: str, other: Vector | float) -> Vector:
        integers = isinstance(self.element, ir.IntType)
        compare = self.builder.icmp_signed if integers else self.builder.fcmp_ordered
        return self._emit(functools.partial(compare, sign), other)

    def _emit(self, instruction: Callable, other: Vector | float, **options: Any) -> Vector:
        other = self._as_vector(other)
        lanes = max(self.lanes, other.lanes)
        values = (self.spread_to(lanes).value, other.spread_to(lanes).value)
        return Vector(self.builder, instruction(*values, **options))

    def _as_vector(self, number: Vector | float) -> Vector:
        if isinstance(number, Vector):
            return number
        return Vector(self.builder, ir.Constant(self.element, number))

    def where(self, truth: Vector, otherwise: Vector | float) -> Vector:
        """Keep the lanes where `truth` holds, and take the others from `otherwise`."""
        other = self._as_vector(otherwise)
        lanes = max(self.lanes, truth.lanes, other.lanes)
        values = (self.spread_to(lanes).value, other.spread_to(lanes).value)
        return Vector(self.builder, self.builder.select(truth.spread_to(lanes).value, *values))

    def floor(self) -> Vector:
        """Round every lane down."""
        kind = ir.FunctionType(self.value.type, [self.value.type])
        name = f"llvm.floor.{f'v{self.lanes}' if self.lanes else ''}f64"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return Vector(self.builder, self.builder.call(function, [self.value]))

    def to(self, element: Any) -> Vector:
        """Convert a vector to another type of numbers: a shorter real, or an integer."""
        if element == self.element:
            return self
        convert = self.builder.fptrunc
        if isinstance(element, ir.IntType):
            truth = isinstance(self.element, ir.IntType)
            convert = self.builder.zext if truth else self.builder.fptosi
        return Vector(self.builder, convert(self.value, ir.VectorType(element, self.lanes)))

    def __getitem__(self, lane: int) -> Vector:
        return Vector(self.builder, self.builder.extract_element(self.value, _number(lane)))

    def spread_to(self, lanes: int) -> Vector:
        """Repeat every number so often that there are `lanes` of them."""
        if lanes == self.lanes:
            return self
        if not self.lanes:
            return pack([self]).spread_to(lanes)
        return self.shuffled([lane * self.lanes // lanes for lane in range(lanes)])

    def split(self, parts: int) -> list[Vector]:
        """Return vectors of as many lanes each."""
        width = self.lanes // parts
        return [self.shuffled(range(width * part, width * (part + 1))) for part in range(parts)]

    def shuffled(self, lanes: Sequence[int]) -> Vector:
        """Return the vector of these lanes."""
        return join(self, self, lanes)


def join(first: Vector, second: Vector, lanes: Sequence[int]) -> Vector:
    """Return the vector of these lanes of two vectors, one after the other."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
    shuffled = first.builder.shuffle_vector(first.value, second.value, mask)
    return Vector(first.builder, shuffled)


def concatenated(parts: Sequence[Vector]) -> Vector:
    """Put vectors one after the other: as many, a power of two, and of equal length."""
    while len(parts) > 1:
        lanes = range(2 * parts[0].lanes)
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [join(first, second, lanes) for first, second in pairs]
    return parts[0]


def pack(parts: Sequence[Vector]) -> Vector:
    """Make a vector of single numbers."""
    builder = parts[0].builder
    vector = ir.Constant(ir.VectorType(parts[0].value.type, len(parts)), ir.Undefined)
    for lane, part in enumerate(parts):
        vector = builder.insert_element(vector, part.value, _number(lane))
    return Vector(builder, vector)


def constants(like: Vector, numbers: Sequence[float]) -> Vector:
    """Return a vector of known numbers, of the type of another vector's lanes."""
    vector = ir.VectorType(like.element, len(numbers))
    return Vector(like.builder, ir.Constant(vector, list(numbers)))


def weighted_sum(weights: Sequence[Vector], vectors: Sequence[Vector]) -> Vector:
    """Return the sum of the vectors, each times its weight."""
    total, *products = (w * v for w, v in zip(weights, vectors, strict=True))
    for product in products:
        total = total + product
    return total


def polynomials(rows: Sequence[Sequence[float]], at: Vector) -> list[Vector]:
    """Evaluate polynomials at a number, given their coefficients from the lowest power."""
    columns = [constants(at, column) for column in zip(*rows, strict=True)]
    value = columns[-1]
    for column in columns[-2::-1]:
        value = value * at + column
    return [value[row] for row in range(len(rows))]


def load(data: Vector, start: Any, real: Any, lanes: int) -> Vector:
    """Read `lanes` reals from the array at the pointer `data`, from its item `start` on."""
    pointer = _pointer(data, start, real, lanes)
    return Vector(data.builder, data.builder.load(pointer, align=_BYTES[str(real)]))


def store(row: Vector, data: Vector, start: Any) -> None:
    """Write the lanes of a row where `load` reads them."""
    pointer = _pointer(data, start, row.element, row.lanes)
    row.builder.store(row.value, pointer, align=_BYTES[str(row.element)])


def prefetch(data: Vector, start: Any, level: int = 1) -> None:
    """Ask for the cache line of the array's item `start`, which need not exist.

    It comes into the cache of a level, 1 for what is needed next. A whole row's cells, a page's
    length apart, push each other out of the first, and measured 1.25 to 1.4 times faster in the
    second where the volume is in neither.
    """
    builder = data.builder
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    takes = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    function = cgutils.get_or_insert_function(builder.module, takes, "llvm.prefetch.p0i8")
    item = builder.bitcast(builder.gep(data.value, [start]), byte)
    builder.call(function, [item, _number(0), _number(4 - level), _number(1)])  # to read


def _pointer(data, start, real, lanes):
    item = data.builder.gep(data.value, [start])
    several = ir.VectorType(real, lanes) if lanes else real
    return data.builder.bitcast(item, several.as_pointer())


def _number(value: int) -> ir.Constant:
    return ir.Constant(ir.IntType(32), value)
