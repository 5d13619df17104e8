"""Checks of adjoints and gradients, for the operators of this package and for yours."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt
from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace, check_array, real_dtype
from fslice.fourier import inner_product as half_spectrum_inner

InnerProduct = Callable[[Array, Array], float]


def inner_product(a: Array, b: Array) -> float:
    """Return the inner product that adjoints and gradients refer to, in double precision.

    Parameters
    ----------
    a, b : arrays of one shape
        Real arrays of any shape, or half spectra ``(..., D, D//2 + 1)``.

    Returns
    -------
    float
        The dot product of real arrays; for half spectra that of the real arrays they belong
        to, by `fslice.fourier.inner_product`.

    Raises
    ------
    ValueError
        The shapes differ, or complex arrays have not the shape of a half spectrum.

    Examples
    --------
    >>> inner_product(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    11.0
    """
    check_array("a", a)
    check_array("b", b)
    xp = array_namespace(a, b)
    if a.shape != b.shape:
        raise ValueError(
            f"inner product: expected arrays of one shape, got {a.shape} and {b.shape}"
        )
    if a.dtype.kind != "c" and b.dtype.kind != "c":
        return float(a.astype(xp.float64).ravel() @ b.astype(xp.float64).ravel())
    if a.ndim < 2 or a.shape[-1] != a.shape[-2] // 2 + 1:
        raise ValueError(
            f"inner product: expected half spectra of shape (..., D, D//2 + 1), got {a.shape}; "
            "complex arrays of another meaning need an inner product of their own"
        )
    return half_spectrum_inner(a.astype(xp.complex128), b.astype(xp.complex128))


def check_adjoint(
    apply: Callable[[Array], Array],
    adjoint: Callable[[Array], Array],
    x: Array,
    y: Array,
    *,
    inner_x: InnerProduct | None = None,
    inner_y: InnerProduct | None = None,
    tolerance: float | None = None,
) -> float:
    """Check that two linear maps are adjoint: the dot test.

    Parameters
    ----------
    apply : callable
        The map A.
    adjoint : callable
        What is claimed to be its adjoint A*.
    x : array
        An element of the domain. Draw it at random and without restriction: a test with
        zeros at the border, or with a symmetry, cannot see a fault there.
    y : array
        An element of the range, likewise.
    inner_x, inner_y : callable, optional
        Inner products of the domain and of the range. Default `inner_product`.
    tolerance : float, optional
        Largest error. Default 100 eps of the lower precision of `x` and `y`.

    Returns
    -------
    float
        The error ``|<A x, y> - <x, A* y>| / (|A x| |y| + |x| |A* y|)``.

    Raises
    ------
    AssertionError
        The error is above `tolerance` or not a number, or a result has not the shape or
        dtype of the space that it should be in.
    ValueError
        `x` or `y` is zero, which would pass with any map.

    Notes
    -----
    The error is scaled by norms and not by the products themselves, which may cancel.

    Examples
    --------
    >>> from fslice.fourier import irfft2, rfft2
    >>> rng = np.random.default_rng(0)
    >>> image = rng.normal(size=(6, 6))
    >>> half_spectrum = rng.normal(size=(6, 4)) + 1j * rng.normal(size=(6, 4))
    >>> check_adjoint(rfft2, irfft2, image, half_spectrum) < 1e-15
    True
    """
    inner_x, inner_y = inner_x or inner_product, inner_y or inner_product
    norm_x, norm_y = sqrt(inner_x(x, x)), sqrt(inner_y(y, y))
    if not (norm_x and norm_y):
        raise ValueError("check_adjoint: expected x and y to be nonzero, got one that is zero")
    ax, ay = apply(x), adjoint(y)
    _assert_like("apply(x)", ax, "y", y)
    _assert_like("adjoint(y)", ay, "x", x)
    left, right = inner_y(ax, y), inner_x(x, ay)
    scale = sqrt(inner_y(ax, ax)) * norm_y + norm_x * sqrt(inner_x(ay, ay))
    error = _ratio(abs(left - right), scale)
    if tolerance is None:
        tolerance = 100 * max(_epsilon(x), _epsilon(y))
    if not error <= tolerance:
        raise AssertionError(
            f"not adjoint: <A x, y> = {left:.10g} and <x, A* y> = {right:.10g} differ by "
            f"{error:.3g} of their scale {scale:.3g}, the tolerance is {tolerance:.3g}"
        )
    return error


def check_gradient(
    function: Callable[[Array], Any],
    gradient: Array | Callable[[Array], Array],
    point: Array,
    direction: Array,
    *,
    inner: InnerProduct | None = None,
    step: float = 1e-5,
    tolerance: float = 1e-6,
) -> float:
    """Check a gradient against central differences along a direction.

    Parameters
    ----------
    function : callable
        Takes an array like `point` and gives a real number.
    gradient : array or callable
        The gradient at `point`, or the function that gives it there.
    point : array of double precision
        Where the function is smooth: trilinear interpolation has kinks at integers.
    direction : array like `point`
        Draw it at random.
    inner : callable, optional
        Inner product that makes ``<gradient, direction>`` the derivative. Default
        `inner_product`.
    step : float, optional
        The function is evaluated at ``point +- step * direction``.
    tolerance : float, optional
        Largest error.

    Returns
    -------
    float
        ``|difference quotient - <g, d>| / (|g| |d|)``.

    Raises
    ------
    AssertionError
        The error is above `tolerance` or not a number, or the gradient has not the shape or
        dtype of `point`.
    TypeError
        `point` is not of double precision: differences of single precision show nothing.
    ValueError
        `direction` is zero, or not of the shape of `point`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> point, direction = rng.normal(size=(2, 5))
    >>> check_gradient(lambda x: (x**3).sum(), lambda x: 3 * x**2, point, direction) < 1e-9
    True
    """
    inner = inner or inner_product
    if real_dtype(point.dtype) != np.float64:
        raise TypeError(f"point: expected double precision, got {point.dtype}")
    if point.shape != direction.shape:
        raise ValueError(f"direction: expected shape {point.shape}, got {direction.shape}")
    norm = sqrt(inner(direction, direction))
    if not norm:
        raise ValueError("direction: expected a nonzero array, got zeros")
    value = gradient(point) if callable(gradient) else gradient
    _assert_like("gradient", value, "point", point)
    after, before = function(point + step * direction), function(point - step * direction)
    numeric = (float(after) - float(before)) / (2 * step)
    claimed = inner(value, direction)
    error = _ratio(abs(numeric - claimed), sqrt(inner(value, value)) * norm)
    if not error <= tolerance:
        raise AssertionError(
            f"not the gradient: the difference quotient is {numeric:.10g} and <g, d> = "
            f"{claimed:.10g}, they differ by {error:.3g} of |g||d|, "
            f"the tolerance is {tolerance:.3g}"
        )
    return error


def _ratio(difference: float, scale: float) -> float:
    if scale == 0:
        return 0.0 if difference == 0 else inf
    return difference / scale


def _epsilon(array: Array) -> float:
    return float(np.finfo(real_dtype(array.dtype)).eps)


def _assert_like(name: str, result: Array, of: str, wanted: Array) -> None:
    if result.shape != wanted.shape:
        raise AssertionError(
            f"{name}: expected the shape {wanted.shape} of {of}, got {result.shape}"
        )
    if result.dtype != wanted.dtype:
        raise AssertionError(
            f"{name}: expected the dtype {wanted.dtype} of {of}, got {result.dtype}"
        )
