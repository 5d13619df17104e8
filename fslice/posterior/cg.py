"""Conjugate gradients for half spectra, with a diagonal preconditioner."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from fslice._arrays import Array, array_namespace
from fslice._large import cached_parts
from fslice.fourier import inner_product


class Solved(NamedTuple):
    """What `conjugate_gradients` found."""

    x: Array
    iterations: int
    residual: float
    """The relative residual of `x`, computed afresh unless that was not wanted."""
    converged: bool
    trace: list[float]
    """The relative residual before each iteration and after the last, as the iteration has it."""


def conjugate_gradients(
    apply: Callable[[Array], Array],
    rhs: Array,
    diagonal: Array,
    *,
    tolerance: float = 1e-5,
    max_iterations: int = 1000,
    start: Array | None = None,
    afresh: bool = True,
    overwrite_start: bool = False,
) -> Solved:
    """Solve ``P x = rhs`` for a symmetric positive definite operator on half spectra.

    Parameters
    ----------
    apply : callable
        P, on half spectra of real arrays.
    rhs : half spectrum
    diagonal : real array that broadcasts with `rhs`
        Positive, of about the size of the diagonal of P: the preconditioner.
    tolerance : float, optional
        Stops when ``|r| <= tolerance |rhs|`` for the residual ``r = rhs - P x``, in the norm
        ``|r|^2 = <r, r / diagonal>``. Where P is the precision of a Gaussian and `diagonal` is its
        diagonal, that norm is about how far x is off in standard deviations.
    max_iterations : int, optional
    start : half spectrum, optional
        Where to begin; zero by default.
    afresh : bool, optional
        Whether the residual of the result is computed afresh, which takes one more product; else
        it is the one that the iteration has.
    overwrite_start : bool, optional
        Whether `start` may become the solution, which saves its copy.

    Returns
    -------
    Solved

    Examples
    --------
    >>> import numpy as np, fslice
    >>> rhs = fslice.rfft3(np.random.default_rng(0).normal(size=(6, 6, 6)))
    >>> solved = conjugate_gradients(lambda x: 2 * x, rhs, np.ones(1))
    >>> np.allclose(solved.x, rhs / 2), solved.iterations
    (True, 1)
    """
    xp = array_namespace(rhs)
    inverse = (1 / diagonal).astype(rhs.real.dtype)
    scale = inner_product(rhs, inverse * rhs)
    residual = rhs.copy() if start is None else rhs - apply(start)
    if start is None:
        x = xp.zeros_like(rhs)
    else:
        x = start if overwrite_start else start.copy()
    inverse, parts = xp.broadcast_to(inverse, rhs.shape), cached_parts(rhs)
    if scale == 0:
        return Solved(xp.zeros_like(rhs), 0, 0.0, True, [0.0])
    if not afresh:
        del rhs  # nobody else has it, as a rule: its memory is free
    direction = inverse * residual
    squared = inner_product(residual, direction)
    trace = [math.sqrt(squared / scale)]
    while trace[-1] > tolerance and len(trace) <= max_iterations:
        product = apply(direction)
        step = squared / inner_product(direction, product)
        before, squared = squared, 0.0
        for part in parts:
            x[part] += step * direction[part]
            residual[part] -= step * product[part]
            squared += inner_product(residual[part], inverse[part] * residual[part])
        for part in parts:
            direction[part] *= squared / before
            direction[part] += inverse[part] * residual[part]
        trace.append(math.sqrt(squared / scale))
    relative = trace[-1]
    if afresh:
        residual = rhs - apply(x)
        relative = math.sqrt(inner_product(residual, inverse * residual) / scale)
    return Solved(x, len(trace) - 1, relative, trace[-1] <= tolerance, trace)
