"""Which array library, which precision, and the checks made once at the public edge.

The type of an array decides where it is computed: there is no engine string and
no default device. NumPy arrays stay in NumPy, CuPy arrays stay on their GPU.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""A NumPy or a CuPy array."""

_LIBRARIES = ("numpy", "cupy")
_NUMBERS = ("float32", "float64", "complex64", "complex128")


def array_namespace(*arrays: Array | None) -> ModuleType:
    """Return the one array library that all given arrays belong to; ``None`` is passed over.

    Raises
    ------
    TypeError
        An argument is not an array, or the libraries are mixed.

    Examples
    --------
    >>> import numpy as np
    >>> array_namespace(np.zeros(2), None).__name__
    'numpy'
    """
    found = {}
    for array in arrays:
        if array is None:
            continue
        library = _library(array)
        if library not in _LIBRARIES:
            raise TypeError(f"expected a NumPy or CuPy array, got {type(array).__name__}")
        found[library] = array
    if len(found) > 1:
        raise TypeError(f"array libraries are mixed: {' and '.join(sorted(found))}")
    return sys.modules[next(iter(found), "numpy")]


def check_one_library(*values: Any) -> None:
    """Raise if the arrays among the values are of different libraries.

    Anything else, such as a stack of images in a file, is passed over.

    Examples
    --------
    >>> check_one_library(np.zeros(2), None, [1.0])
    """
    array_namespace(*(value for value in values if _library(value) in _LIBRARIES))


def is_array(value: Any) -> bool:
    """Return whether a value is an array of a known library.

    Examples
    --------
    >>> is_array(np.zeros(1)), is_array([0.0])
    (True, False)
    """
    return _library(value) in _LIBRARIES


def _library(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def to_numpy(array: Array) -> np.ndarray:
    """Copy an array to the host if it is not there already."""
    return array.get() if hasattr(array, "get") else np.asarray(array)


def check_on_host(name: str, array: Array) -> None:
    """Raise unless `array` is a NumPy array: for what works on atoms and files.

    Examples
    --------
    >>> check_on_host("volume", [1.0])
    Traceback (most recent call last):
    ...
    TypeError: volume: expected a NumPy array, as this is computed on the host, got builtins.list
    """
    if not isinstance(array, np.ndarray):
        got = f"{type(array).__module__}.{type(array).__name__}"
        raise TypeError(
            f"{name}: expected a NumPy array, as this is computed on the host, got {got}"
        )


def placed(host: np.ndarray, like: Array | None = None, dtype: Any = None) -> Array:
    """Return a real NumPy array in the library, on the device and in the precision of `like`.

    `dtype` overrides the precision. With neither the array stays as it is.

    Examples
    --------
    >>> placed(np.zeros(2), like=np.zeros(1, "complex64")).dtype
    dtype('float32')
    """
    if like is not None:
        _check_dtype("like", like, _NUMBERS)
        dtype = real_dtype(like.dtype) if dtype is None else dtype
    if dtype is not None:
        name = check_choice("dtype", np.dtype(dtype).name, ("float32", "float64"))
        host = host.astype(name, copy=False)
    if like is None or isinstance(like, np.ndarray):
        return host
    with like.device:
        return array_namespace(like).asarray(host)


def real_dtype(dtype: Any) -> np.dtype:
    """Return the real dtype of the same precision.

    Examples
    --------
    >>> real_dtype("complex64")
    dtype('float32')
    """
    return np.zeros(0, dtype).real.dtype


def complex_dtype(dtype: Any) -> np.dtype:
    """Return the complex dtype of the same precision.

    Examples
    --------
    >>> complex_dtype("float32")
    dtype('complex64')
    """
    return np.dtype("complex64" if real_dtype(dtype) == np.float32 else "complex128")


def check_real(name: str, array: Array) -> None:
    """Raise unless `array` is a float32 or float64 array."""
    _check_dtype(name, array, ("float32", "float64"))


def check_complex(name: str, array: Array) -> None:
    """Raise unless `array` is a complex64 or complex128 array."""
    _check_dtype(name, array, ("complex64", "complex128"))


def check_array(name: str, array: Array) -> None:
    """Raise unless `array` is an array of a known library."""
    if _library(array) not in _LIBRARIES:
        raise TypeError(f"{name}: expected a NumPy or CuPy array, got {type(array).__name__}")


def _check_dtype(name: str, array: Array, expected: tuple[str, ...]) -> None:
    check_array(name, array)
    if array.dtype.name not in expected:
        raise TypeError(f"{name}: expected dtype {' or '.join(expected)}, got {array.dtype}")


def check_shape(name: str, array: Array, expected: tuple[Any, ...]) -> None:
    """Raise unless the shape fits: an int is exact, a string is any length, ``...`` leads.

    Examples
    --------
    >>> check_shape("rotations", np.zeros((5, 3, 2)), (..., 3, 3))
    Traceback (most recent call last):
    ...
    ValueError: rotations: expected shape (..., 3, 3), got (5, 3, 2)
    """
    leading = expected[:1] == (...,)
    core = expected[1:] if leading else expected
    shape = array.shape[max(0, array.ndim - len(core)) :] if leading else array.shape
    fits = len(shape) == len(core) and all(
        isinstance(want, str) or want == got for want, got in zip(core, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("..." if side is ... else str(side) for side in expected)
        comma = "," if len(expected) == 1 else ""
        raise ValueError(f"{name}: expected shape ({wanted}{comma}), got {array.shape}")
    if 0 in array.shape:
        raise ValueError(f"{name}: expected at least one element, got shape {array.shape}")


def check_alike(**arrays: Array | None) -> None:
    """Raise unless all are arrays of one library and one precision; ``None`` is passed over.

    Examples
    --------
    >>> check_alike(volume=np.zeros(1, "f4"), shifts=np.zeros(1, "f8"))
    Traceback (most recent call last):
    ...
    TypeError: precisions differ: volume is float32, shifts is float64
    """
    given = {name: array for name, array in arrays.items() if array is not None}
    for name, array in given.items():
        _check_dtype(name, array, _NUMBERS)
    libraries = {name: array_namespace(array).__name__ for name, array in given.items()}
    if len(set(libraries.values())) > 1:
        listed = ", ".join(f"{name} is of {library}" for name, library in libraries.items())
        raise TypeError(f"array libraries are mixed: {listed}")
    if len({real_dtype(array.dtype) for array in given.values()}) > 1:
        listed = ", ".join(f"{name} is {array.dtype}" for name, array in given.items())
        raise TypeError(f"precisions differ: {listed}")


def check_finite(name: str, array: Array) -> None:
    """Raise if the array has NaN or infinite entries, with their count and the first index.

    Examples
    --------
    >>> check_finite("images", np.array([[0.0, 1.0], [np.nan, np.inf]]))
    Traceback (most recent call last):
    ...
    ValueError: images: 2 of 4 values are NaN or infinite, the first at index (1, 0)
    """
    xp = array_namespace(array)
    finite = xp.isfinite(array)
    if not bool(finite.all()):
        bad = to_numpy(~finite)
        first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
        raise ValueError(
            f"{name}: {int(bad.sum())} of {bad.size} values are NaN or infinite, "
            f"the first at index {first}"
        )


def check_cotangent(
    check_kind: Callable[[str, Array], None], cotangent: Array, shape: tuple, **primal: Array
) -> None:
    """Raise unless `cotangent` has the kind and the shape of a result, and the primal's precision.

    Examples
    --------
    >>> check_cotangent(check_real, np.zeros(3), (2, 3), volume=np.zeros(1))
    Traceback (most recent call last):
    ...
    ValueError: cotangent: expected shape (2, 3), got (3,)
    """
    check_kind("cotangent", cotangent)
    check_alike(**primal, cotangent=cotangent)
    check_shape("cotangent", cotangent, shape)


def check_per_image(name: str, values: Array, slices: Array, each: tuple[int, ...] = ()) -> int:
    """Raise unless `slices` are half spectra with finite values for every image; return D.

    Examples
    --------
    >>> check_per_image("shifts", np.zeros((7, 2)), np.zeros((7, 6, 4), complex), (2,))
    6
    """
    check_complex("slices", slices)
    check_real(name, values)
    check_alike(**{"slices": slices, name: values})
    check_shape("slices", slices, (..., "D", "D//2 + 1"))
    size = slices.shape[-2]
    check_shape("slices", slices, (..., size, size // 2 + 1))
    check_shape(name, values, (*slices.shape[:-2], *each))
    check_finite(name, values)
    return size


def check_size(name: str, value: Any, minimum: int = 1) -> int:
    """Return `value` as an int, or raise unless it is an integer of at least `minimum`.

    Examples
    --------
    >>> check_size("size", 1.5)
    Traceback (most recent call last):
    ...
    TypeError: size: expected an integer, got 1.5
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    if int(value) < minimum:
        raise ValueError(f"{name}: expected at least {minimum}, got {value}")
    return int(value)


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """Return `value`, or raise unless it is one of `choices`.

    Examples
    --------
    >>> check_choice("interpolation", "lanczos", ("linear", "cubic"))
    Traceback (most recent call last):
    ...
    ValueError: interpolation: expected 'linear' or 'cubic', got 'lanczos'
    """
    if value not in choices:
        raise ValueError(f"{name}: expected {' or '.join(map(repr, choices))}, got {value!r}")
    return value
