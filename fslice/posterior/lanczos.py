"""Lanczos' iteration on half spectra: functions of an operator, applied to a vector or traced."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import eigh_tridiagonal

from fslice._arrays import Array
from fslice.fourier import inner_product


class Krylov(NamedTuple):
    """An operator seen from one vector: ``Q^T P Q`` is the tridiagonal matrix of these."""

    norm: float
    """Of the vector."""
    basis: list[Array]
    """Orthonormal half spectra, the first along the vector."""
    diagonal: np.ndarray
    off_diagonal: np.ndarray
    converged: bool

    def coefficients(self, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return ``f(P)`` applied to the vector, as coefficients of the basis."""
        return _coefficients(self.diagonal, self.off_diagonal, function) * self.norm

    def applied(self, function: Callable[[np.ndarray], np.ndarray]) -> Array:
        """Return ``f(P)`` applied to the vector."""
        total: Any = 0
        for coefficient, member in zip(self.coefficients(function), self.basis, strict=True):
            total = total + float(coefficient) * member
        return total

    def form(self, function: Callable[[np.ndarray], np.ndarray]) -> float:
        """Return the quadratic form of ``f(P)`` at the vector, by Gauss quadrature."""
        return float(self.coefficients(function)[0]) * self.norm


def lanczos(
    apply: Callable[[Array], Array],
    vector: Array,
    function: Callable[[np.ndarray], np.ndarray],
    *,
    tolerance: float = 1e-4,
    max_iterations: int = 200,
) -> Krylov:
    """Build the Krylov space in which ``f(P)`` applied to a vector is coefficients.

    Parameters
    ----------
    apply : callable
        Symmetric positive definite operator P on half spectra of real arrays.
    vector : half spectrum
    function : callable
        f, on arrays of eigenvalues.
    tolerance : float, optional
        Stops when the last two steps changed ``f(P) vector`` by no more than this share of it.
    max_iterations : int, optional

    Returns
    -------
    Krylov
        It holds one half spectrum for each iteration.

    Notes
    -----
    Its error falls as that of conjugate gradients does (Golub and Meurant 2010). Inner products
    are those of real space, in double precision.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> rng = np.random.default_rng(0)
    >>> vector = fslice.rfft3(rng.normal(size=(5, 5, 5)))
    >>> weights = 1 + fslice.fourier.radii(5, 3)
    >>> krylov = lanczos(lambda v: weights * v, vector, np.sqrt, tolerance=1e-10)
    >>> np.allclose(krylov.applied(np.sqrt), np.sqrt(weights) * vector)
    True
    """
    norm = math.sqrt(inner_product(vector, vector))
    if norm == 0:
        return Krylov(0.0, [vector], np.ones(1), np.zeros(0), True)
    basis = [vector * (1 / norm)]
    diagonal: list[float] = []
    off_diagonal: list[float] = []
    coefficients, steady_steps = np.zeros(0), 0
    while len(diagonal) < max_iterations:
        next_vector = apply(basis[-1])
        diagonal.append(inner_product(basis[-1], next_vector))
        next_vector -= diagonal[-1] * basis[-1]
        if off_diagonal:
            next_vector -= off_diagonal[-1] * basis[-2]
        before = np.append(coefficients, 0.0)
        coefficients = _coefficients(np.array(diagonal), np.array(off_diagonal), function)
        steady = np.linalg.norm(coefficients - before) <= tolerance * np.linalg.norm(coefficients)
        steady_steps = steady_steps + 1 if steady else 0
        rest = math.sqrt(inner_product(next_vector, next_vector))
        if steady_steps == 2 or rest <= 1e-14 * abs(diagonal[0]):
            return Krylov(norm, basis, np.array(diagonal), np.array(off_diagonal), True)
        off_diagonal.append(rest)
        basis.append(next_vector * (1 / rest))
    return Krylov(norm, basis[:-1], np.array(diagonal), np.array(off_diagonal[:-1]), False)


def _coefficients(diagonal: np.ndarray, off_diagonal: np.ndarray, function: Any) -> np.ndarray:
    """Return the first column of a function of a tridiagonal matrix."""
    values, vectors = eigh_tridiagonal(diagonal, off_diagonal)
    return vectors @ (function(values) * vectors[0])
