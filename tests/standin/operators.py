"""The operators of the array of the CuPy-like library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

ARITHMETIC = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide",
    "floordiv": "floor_divide", "mod": "remainder", "pow": "power", "lshift": "left_shift",
    "rshift": "right_shift", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
}  # fmt: skip
WITHOUT_ASSIGNMENT = {"matmul": "matmul", "divmod": "divmod"}
COMPARISONS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal",
    "ne": "not_equal",
}  # fmt: skip
UNARY = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}


def add_operators(array: type, call: Callable[..., Any], scalars: tuple[type, ...]) -> None:
    """Give the class of arrays its operators; other operands may be arrays and numbers only."""

    def check(other: Any) -> None:
        if not isinstance(other, (array, *scalars)):
            raise TypeError(f"Unsupported type {type(other)}")

    def binary(ufunc: str, reflected: bool = False) -> Any:
        def apply(self: Any, other: Any) -> Any:
            if not isinstance(other, (array, np.ndarray, *scalars)) and _comes_first(other):
                return NotImplemented
            check(other)
            return call(getattr(np, ufunc), (other, self) if reflected else (self, other), {})

        return apply

    def in_place(ufunc: str) -> Any:
        def apply(self: Any, other: Any) -> Any:
            check(other)
            return call(getattr(np, ufunc), (self, other), {"out": self})

        return apply

    def unary(ufunc: str) -> Any:
        return lambda self: call(getattr(np, ufunc), (self,), {})

    for name, ufunc in (ARITHMETIC | WITHOUT_ASSIGNMENT | COMPARISONS).items():
        setattr(array, f"__{name}__", binary(ufunc))
    for name, ufunc in (ARITHMETIC | WITHOUT_ASSIGNMENT).items():
        setattr(array, f"__r{name}__", binary(ufunc, reflected=True))
    for name, ufunc in ARITHMETIC.items():
        setattr(array, f"__i{name}__", in_place(ufunc))
    for name, ufunc in UNARY.items():
        setattr(array, f"__{name}__", unary(ufunc))


def _comes_first(other: Any) -> bool:
    """Return whether the other operand does the work, by NumPy's rules."""
    if hasattr(other, "__array_ufunc__"):
        return other.__array_ufunc__ is None
    return getattr(other, "__array_priority__", 0) > 100
