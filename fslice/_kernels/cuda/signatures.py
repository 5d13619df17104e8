"""What a kernel takes, read from its source, and a check of what it is given.

A GPU would read four bytes of an argument of eight, or double numbers as single ones, without a
word. So every launch is compared with the kernel's own list of parameters.
"""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

import numpy as np

from fslice._kernels.cuda.plan import BRICKS
from fslice._kernels.cuda.sources import Instantiation, expression, source_of
from fslice._kernels.cuda.structs import GEOMETRY

_TYPES: dict[str, np.dtype] = {
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    "int": np.dtype(np.int32),
    "long long": np.dtype(np.int64),
    "Complex<float>": np.dtype(np.complex64),
    "Complex<double>": np.dtype(np.complex128),
    "Geometry": GEOMETRY,
    "Bricks": BRICKS,
    "View": np.dtype(np.float64),
    "Item": np.dtype(np.int32),
}
"""The element of an array or the type of a value, for each type that the kernels take."""

_ELEMENT = re.compile(r"Element<\s*(\w+),?\s*(\d)\s*>")
"""What is added: complex numbers, or with squared weights real ones."""
_COMMA = re.compile(r",(?![^<]*>)")
_KERNEL = re.compile(
    r"template <(?P<template>[^>]*)>\s*"
    r"__global__ void (?:__launch_bounds__\([^)]*\)\s*)?(?P<name>\w+)\((?P<parameters>[^)]*)\)"
)


class Parameter(NamedTuple):
    """One of a kernel's parameters."""

    name: str
    dtype: np.dtype
    pointer: bool
    constant: bool  # a pointer to what the kernel only reads


@functools.cache
def signature(entry: str, instantiation: Instantiation) -> tuple[Parameter, ...]:
    """Return the parameters of a kernel.

    Examples
    --------
    >>> for parameter in signature("gather", ("float", 2))[:3]:
    ...     print(parameter.name, parameter.dtype, parameter.pointer)
    volume complex64 True
    views float64 True
    amplitude float64 False
    """
    found = [m for m in _KERNEL.finditer(source_of(entry)) if m["name"] == entry]
    if len(found) != 1:
        raise ValueError(f"{entry}: expected one kernel of this name, found {len(found)}")
    names = [word.split()[-1] for word in found[0]["template"].split(",")]
    given = dict(zip(names, instantiation, strict=True))
    return tuple(_parameter(text, given) for text in _COMMA.split(found[0]["parameters"]))


def _parameter(text: str, given: dict[str, str | int]) -> Parameter:
    words = re.sub(r"\b(const|__restrict__)\b", " ", text).replace("*", " * ").split()
    pointer = "*" in words
    kind = " ".join(word for word in words[:-1] if word != "*")
    kind = re.sub(r"\w+", lambda m: str(given.get(m[0], m[0])), kind)
    kind = _ELEMENT.sub(lambda m: m[1] if m[2] == "2" else f"Complex<{m[1]}>", kind)
    return Parameter(words[-1], _TYPES[kind], pointer, text.lstrip().startswith("const "))


def check_arguments(entry: str, instantiation: Instantiation, arguments: tuple[Any, ...]) -> None:
    """Raise unless the arguments of a launch have the types that the kernel declares.

    Pointers take contiguous arrays, or None; all else takes values of NumPy's types, of the very
    size.

    Examples
    --------
    >>> check_arguments("gather", ("float", 2), (None, None, np.float32(1)))
    Traceback (most recent call last):
    ...
    TypeError: gather<float, 2>: expected 5 arguments, got 3
    """
    parameters, name = signature(entry, instantiation), expression(entry, instantiation)
    if len(parameters) != len(arguments):
        raise TypeError(f"{name}: expected {len(parameters)} arguments, got {len(arguments)}")
    for parameter, argument in zip(parameters, arguments, strict=True):
        if parameter.pointer:
            problem = _problem_of_array(parameter, argument)
        else:
            found = getattr(argument, "dtype", type(argument).__name__)
            by_value = isinstance(argument, (np.generic, np.ndarray))
            problem = "" if by_value and found == parameter.dtype else f"a value of {found}"
        if problem:
            kind = "an array" if parameter.pointer else "a value"
            raise TypeError(
                f"{name}: {parameter.name}: expected {kind} of {parameter.dtype}, got {problem}"
            )


def _problem_of_array(parameter: Parameter, argument: Any) -> str:
    if argument is None:
        return ""
    if isinstance(argument, (np.generic, np.ndarray)) or not hasattr(argument, "flags"):
        return f"{type(argument).__module__}.{type(argument).__name__}, which is on the host"
    if argument.dtype != parameter.dtype:
        return f"one of {argument.dtype}"
    return "" if argument.flags.c_contiguous else "one that is not contiguous"
