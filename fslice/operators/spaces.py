"""Spaces of real arrays and half spectra, and their arrays as plain real vectors."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, check_shape, complex_dtype, real_dtype
from fslice.fourier import hermitian_weights

_DTYPES = ("float32", "float64", "complex64", "complex128")


class Space(NamedTuple):
    """The shape and dtype of the arrays that an operator takes or gives.

    Complex arrays are half spectra ``(..., D, D//2 + 1)``, whose inner product is that of the
    real arrays they belong to.

    Examples
    --------
    >>> Space((4, 4), "float64")
    Space(shape=(4, 4), dtype='float64')
    """

    shape: tuple[int, ...]
    dtype: str


def checked_space(name: str, shape: Any, dtype: Any) -> Space:
    """Return the space of a shape and a dtype, or raise unless it is one that operators have."""
    shape, dtype = tuple(int(side) for side in shape), np.dtype(dtype).name
    if dtype not in _DTYPES:
        raise TypeError(f"{name}: expected dtype {' or '.join(_DTYPES)}, got {dtype}")
    if any(side < 1 for side in shape):
        raise ValueError(f"{name}: expected at least one element, got shape {shape}")
    half = len(shape) >= 2 and shape[-1] == shape[-2] // 2 + 1
    if np.dtype(dtype).kind == "c" and not half:
        raise ValueError(
            f"{name}: expected the shape (..., D, D//2 + 1) of a half spectrum for {dtype}, "
            f"got {shape}"
        )
    return Space(shape, dtype)


def check_member(name: str, array: Array, space: Space) -> None:
    """Raise unless the array has the shape and dtype of the space."""
    array_namespace(array)
    if array.shape != space.shape:
        raise ValueError(f"{name}: expected shape {space.shape}, got {array.shape}")
    if array.dtype != space.dtype:
        raise TypeError(f"{name}: expected dtype {space.dtype}, got {array.dtype}")


def to_vector(array: Array) -> Array:
    """Flatten a real array or a half spectrum to a real vector, keeping inner products.

    Parameters
    ----------
    array : real array, or half spectrum (..., D, D//2 + 1)

    Returns
    -------
    (N,) real array
        A real array in its own order. For a half spectrum the real, then the imaginary
        parts, times the square root of the Hermitian weight.

    Examples
    --------
    >>> from fslice.fourier import rfft2
    >>> a, b = np.random.default_rng(0).normal(size=(2, 5, 5))
    >>> np.isclose(to_vector(rfft2(a)) @ to_vector(rfft2(b)), a.ravel() @ b.ravel())
    np.True_
    """
    if array.dtype.kind != "c":
        return array.ravel()
    xp = array_namespace(array)
    weighted = array * _root_multiplicity(array.shape[-2], array.real.dtype, xp)
    return xp.concatenate([weighted.real.ravel(), weighted.imag.ravel()])


def from_vector(vector: Array, space: Space) -> Array:
    """Return the array of a space that `to_vector` flattens to `vector`.

    Parameters
    ----------
    vector : real array of as many elements as `to_vector` gives
        Converted to the precision of `space`.
    space : Space

    Returns
    -------
    array of the shape and dtype of `space`

    Raises
    ------
    ValueError
        The number of elements is different.

    Examples
    --------
    >>> from fslice.fourier import rfft2
    >>> half_spectrum = rfft2(np.random.default_rng(0).normal(size=(5, 5)))
    >>> vector = to_vector(half_spectrum)
    >>> np.allclose(from_vector(vector, Space((5, 3), "complex128")), half_spectrum)
    True
    """
    xp = array_namespace(vector)
    check_shape("vector", vector.reshape(-1), (vector_length(space),))
    flat = vector.reshape(-1).astype(real_dtype(space.dtype))
    if np.dtype(space.dtype).kind != "c":
        return flat.reshape(space.shape)
    real, imaginary = flat.reshape(2, *space.shape)
    weighted = xp.empty(space.shape, dtype=complex_dtype(space.dtype))
    weighted.real, weighted.imag = real, imaginary
    weighted /= _root_multiplicity(space.shape[-2], flat.dtype, xp)
    return weighted


def vector_length(space: Space) -> int:
    """Return how many elements `to_vector` gives for an array of the space."""
    return math.prod(space.shape) * (2 if np.dtype(space.dtype).kind == "c" else 1)


def _root_multiplicity(size: int, dtype: Any, xp: Any) -> Array:
    return xp.sqrt(hermitian_weights(size, xp)).astype(dtype)
