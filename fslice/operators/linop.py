"""Linear operators with adjoints: composed, added, scaled, stacked, and handed to SciPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace, real_dtype
from fslice.operators.spaces import (
    Space,
    check_member,
    checked_space,
    from_vector,
    to_vector,
    vector_length,
)


@dataclass(frozen=True)
class LinearOperator:
    """A linear map between spaces of real arrays or half spectra, together with its adjoint.

    Parameters
    ----------
    domain : Space or (shape, dtype)
        What the operator takes.
    range : Space or (shape, dtype)
        What it gives.
    apply : callable
        The map; takes an array of `domain` and gives a new one of `range`.
    adjoint : callable
        Its adjoint; `fslice.testing.check_adjoint` tells whether it is.

    Raises
    ------
    ValueError
        A shape is empty, or that of a complex array is not that of a half spectrum.
    TypeError
        A dtype is none of float32, float64, complex64 and complex128, or the precisions of
        domain and range differ.

    Notes
    -----
    ``A(x)`` applies, ``A.H`` is the adjoint operator, ``A @ B`` applies B first, and
    ``A + B``, ``A - B``, ``-A`` and ``c * A`` with real c are what they say; see also
    `stack`. An array of another shape, dtype or library than the spaces and maps ask for
    is refused, never converted.

    Examples
    --------
    A low-pass filter of images, and the adjoint of its first half:

    >>> from fslice.fourier import irfft2, radii, rfft2
    >>> images, spectra = Space((8, 8), "float64"), Space((8, 5), "complex128")
    >>> transform = LinearOperator(images, spectra, rfft2, irfft2)
    >>> near = radii(8, 2) < 3
    >>> mask = LinearOperator(spectra, spectra, lambda z: near * z, lambda z: near * z)
    >>> low_pass = transform.H @ mask @ transform
    >>> low_pass.range
    Space(shape=(8, 8), dtype='float64')

    SciPy's solvers take it as a matrix. What passes is found by least squares:

    >>> from scipy.sparse.linalg import lsmr
    >>> image = low_pass(np.random.default_rng(0).normal(size=(8, 8)))
    >>> solution = lsmr(low_pass.to_scipy(), low_pass(image).ravel())[0]
    >>> np.allclose(solution.reshape(8, 8), image)
    True
    """

    domain: Space
    range: Space
    apply: Callable[[Array], Array]
    adjoint: Callable[[Array], Array]

    def __post_init__(self) -> None:
        """Check the two spaces and put them into their plain form."""
        for name in ("domain", "range"):
            object.__setattr__(self, name, checked_space(name, *getattr(self, name)))
        if real_dtype(self.domain.dtype) != real_dtype(self.range.dtype):
            raise TypeError(
                f"precisions differ: domain is {self.domain.dtype}, range is {self.range.dtype}"
            )

    __array_ufunc__ = None  # so that NumPy leaves `number * operator` to the operator

    def __call__(self, x: Array) -> Array:
        """Apply the operator to an array of its domain.

        Raises
        ------
        ValueError
            The shape of `x`, or of what the map gives for it, is not that of the space.
        TypeError
            The dtype is not, or `x` is not an array.
        """
        check_member("x", x, self.domain)
        result = self.apply(x)
        check_member("result", result, self.range)
        return result

    @property
    def H(self) -> LinearOperator:
        """The adjoint operator."""
        return LinearOperator(self.range, self.domain, self.adjoint, self.apply)

    def __matmul__(self, other: LinearOperator) -> LinearOperator:
        """Return the operator that applies `other` first."""
        _check_operator("@", other)
        if other.range != self.domain:
            raise ValueError(
                f"@: expected an operator with range {_words(self.domain)}, "
                f"got {_words(other.range)}"
            )
        return LinearOperator(
            other.domain, self.range, lambda x: self(other(x)), lambda y: other.H(self.H(y))
        )

    def __add__(self, other: LinearOperator) -> LinearOperator:
        """Return the sum of two operators between the same spaces."""
        _check_like("+", other, self)
        return LinearOperator(
            self.domain,
            self.range,
            lambda x: self(x) + other(x),
            lambda y: self.H(y) + other.H(y),
        )

    def __sub__(self, other: LinearOperator) -> LinearOperator:
        """Return the difference of two operators between the same spaces."""
        _check_like("-", other, self)
        return self + (-other)

    def __neg__(self) -> LinearOperator:
        """Return the operator times -1."""
        return -1 * self

    def __mul__(self, scalar: float) -> LinearOperator:
        """Return the operator times a real number."""
        if not isinstance(scalar, int | float | np.integer | np.floating):
            raise TypeError(f"*: expected a real number, got {type(scalar).__name__}")
        # A Python float leaves single precision as it is; NumPy's float64 would not.
        factor = float(scalar)
        return LinearOperator(
            self.domain,
            self.range,
            lambda x: factor * self(x),
            lambda y: factor * self.H(y),
        )

    __rmul__ = __mul__

    def to_scipy(self) -> Any:
        """Return a `scipy.sparse.linalg.LinearOperator` between real vectors.

        Returns
        -------
        scipy.sparse.linalg.LinearOperator
            In the real dtype of the operator's precision; times a vector of double
            precision it gives one of double precision, as matrices do. A real array is the
            vector ``array.ravel()``; a half spectrum that of `fslice.operators.spaces.to_vector`.

        Notes
        -----
        The vectors keep inner products, so the transpose that SciPy uses is exactly the
        adjoint, and least squares in SciPy are least squares in real space. A solver that
        starts from zero stays in the range of the adjoint: a half spectrum that it finds is
        Hermitian on its outer planes where the operator's adjoint gives such. SciPy
        computes with NumPy: the operator must take NumPy arrays. `lsmr` overflows in numbers
        of its own when all is in single precision; give it a right-hand side in double.

        Examples
        --------
        Conjugate gradients on ridge regression, ``(A.H A + I) x = A.H y``:

        >>> from scipy.sparse.linalg import cg
        >>> matrix = np.random.default_rng(0).normal(size=(5, 3))
        >>> A = LinearOperator(
        ...     ((3,), "float64"), ((5,), "float64"), lambda x: matrix @ x, lambda y: matrix.T @ y
        ... )
        >>> y = np.arange(5.0)
        >>> x, info = cg((A.H @ A + identity(A.domain)).to_scipy(), A.H(y), rtol=1e-12)
        >>> np.allclose(matrix.T @ (matrix @ x) + x, matrix.T @ y)
        True
        """
        from scipy.sparse.linalg import LinearOperator as ScipyOperator

        def between(operator: LinearOperator) -> Callable[[np.ndarray], np.ndarray]:
            def matvec(vector: np.ndarray) -> np.ndarray:
                result = to_vector(operator(from_vector(vector, operator.domain)))
                return result.astype(np.result_type(vector, result), copy=False)

            return matvec

        return ScipyOperator(
            shape=(vector_length(self.range), vector_length(self.domain)),
            dtype=real_dtype(self.domain.dtype),
            matvec=between(self),
            rmatvec=between(self.H),
        )


def identity(space: Space) -> LinearOperator:
    """Return the identity of a space.

    Examples
    --------
    >>> identity(Space((2,), "float64"))(np.array([1.0, 2.0]))
    array([1., 2.])
    """
    return LinearOperator(space, space, lambda x: x.copy(), lambda y: y.copy())


def stack(operators: Sequence[LinearOperator]) -> LinearOperator:
    """Stack operators over images: one more leading dimension in the range.

    Parameters
    ----------
    operators : sequence of LinearOperator
        Between the same spaces, for instance one projection for each orientation.

    Returns
    -------
    LinearOperator
        Gives ``stack([A(x) for A in operators])``, of shape ``(n, *range.shape)``; the
        adjoint gives the sum of ``A.H(y[i])``.

    Raises
    ------
    ValueError
        There is no operator, or their spaces differ.

    Examples
    --------
    >>> one = identity(Space((2,), "float64"))
    >>> both = stack([one, 3 * one])
    >>> both(np.array([1.0, 2.0]))
    array([[1., 2.],
           [3., 6.]])
    >>> both.H(np.ones((2, 2)))
    array([4., 4.])
    """
    operators = tuple(operators)
    if not operators:
        raise ValueError("operators: expected at least one, got none")
    first = operators[0]
    for operator in operators[1:]:
        _check_like("stack", operator, first)

    def apply(x: Array) -> Array:
        return array_namespace(x).stack([operator(x) for operator in operators])

    def adjoint(y: Array) -> Array:
        total = first.H(y[0])
        for operator, part in zip(operators[1:], y[1:], strict=True):
            total = total + operator.H(part)
        return total

    stacked = Space((len(operators), *first.range.shape), first.range.dtype)
    return LinearOperator(first.domain, stacked, apply, adjoint)


def _check_operator(name: str, operator: Any) -> None:
    if not isinstance(operator, LinearOperator):
        raise TypeError(
            f"{name}: expected a LinearOperator, got {type(operator).__name__}; "
            "an operator is applied to an array by A(x)"
        )


def _check_like(name: str, operator: LinearOperator, wanted: LinearOperator) -> None:
    _check_operator(name, operator)
    for side in ("domain", "range"):
        got, expected = getattr(operator, side), getattr(wanted, side)
        if got != expected:
            raise ValueError(f"{name}: expected {side} {_words(expected)}, got {_words(got)}")


def _words(space: Space) -> str:
    return f"{space.shape} {space.dtype}"
