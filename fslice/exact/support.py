"""A volume that is zero outside a mask: posterior mean and exact samples."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fslice._arrays import (
    Array,
    array_namespace,
    check_finite,
    check_real,
    check_shape,
    check_size,
    complex_dtype,
)
from fslice.exact.conjugate_gradients import Solved, conjugate_gradients
from fslice.exact.lanczos import lanczos
from fslice.exact.normal import NormalEquations
from fslice.fourier import inverse_transform, shells, transform


@dataclass(frozen=True, eq=False)
class SupportedPrecision:
    """The posterior of ``x = mask * F^-1 tau z``, z being white noise a priori.

    Volumes x are real, (D, D, D), zero where the mask is. The unknowns are z, half spectra in
    the box D of the images, with the precision ``1 + G^H A G / sigma^2`` where G takes z to the
    spectrum that is sliced. `precision(z)` applies it.

    Parameters
    ----------
    normal : NormalEquations
    prior_variance : float or (D//2 + 1,) real array
        ``tau^2`` of a voxel where the mask is 1, or of each shell, the last one also for the
        corners beyond.
    mask : (D, D, D) real array
        From 0 to 1; a soft edge keeps the spectrum free of ripples. See `soft_sphere`.
    noise_variance : float, optional

    Raises
    ------
    ValueError, TypeError
        A shape, a value or a dtype is not as above.

    Examples
    --------
    >>> import fslice
    >>> from fslice.exact.normal import no_images
    >>> normal = no_images(fslice.Projector(8))
    >>> precision = SupportedPrecision(normal, 4.0, soft_sphere(8, radius=2, edge=1))
    >>> z = fslice.rfft3(np.random.default_rng(0).normal(size=(8, 8, 8)))
    >>> np.allclose(precision(z), z)  # there are no images
    True
    >>> float(precision.volume(z)[4, 4, 7])  # outside the sphere
    0.0
    """

    normal: NormalEquations
    prior_variance: Array
    mask: Array
    noise_variance: float = 1.0

    def __post_init__(self) -> None:
        normal, size = self.normal, self.normal.projector.size
        ndim, dtype = normal.b.ndim, normal.stencil.dtype
        check_real("mask", self.mask)
        xp = array_namespace(normal.b, self.mask)
        check_shape("mask", self.mask, (size,) * ndim)
        check_finite("mask", self.mask)
        if not bool(((self.mask >= 0) & (self.mask <= 1)).all()):
            raise ValueError("mask: expected values from 0 to 1")
        if not 0 < self.noise_variance < math.inf:
            raise ValueError(
                f"noise_variance: expected a finite value above 0, got {self.noise_variance}"
            )
        prior = xp.asarray(self.prior_variance, dtype=float)
        if not bool((xp.isfinite(prior) & (prior > 0)).all()):
            raise ValueError("prior_variance: expected finite values above 0")
        if prior.ndim:
            check_shape("prior_variance", prior, (size // 2 + 1,))
        per_shell = xp.broadcast_to(prior, (size // 2 + 1,))
        object.__setattr__(self, "prior_variance", per_shell.astype(dtype))
        object.__setattr__(self, "mask", self.mask.astype(dtype))

    @property
    def _deviation(self) -> Array:
        """``tau`` of each coefficient."""
        size, xp = self.normal.projector.size, array_namespace(self.mask)
        index = xp.minimum(shells(size, self.mask.ndim, xp), size // 2)
        return xp.sqrt(self.prior_variance)[index]

    def volume(self, z: Array) -> Array:
        """Return the real volume x of the unknowns z."""
        size = self.normal.projector.size
        return self.mask * inverse_transform(self._deviation * z, self.mask.ndim, size)

    def spectrum(self, z: Array) -> Array:
        """Apply G: return the half spectrum that is sliced, ``projector.transform(x)``."""
        return self.normal.projector.transform(self.volume(z))

    def spectrum_adjoint(self, volume_ft: Array) -> Array:
        """Apply the adjoint of `spectrum`."""
        volume = self.mask * self.normal.projector.transform_adjoint(volume_ft)
        return self._deviation * transform(volume, self.mask.ndim)

    def __call__(self, z: Array) -> Array:
        """Apply the precision of z."""
        product = self.normal.apply(self.spectrum(z))
        product *= 1 / self.noise_variance
        return z + self.spectrum_adjoint(product)

    def diagonal(self) -> Array:
        """Return the preconditioner ``sqrt(1 + tau^2 a / sigma^2)``; a is A for smooth spectra.

        The spectrum of an object inside a small support is smooth, and on smooth spectra A
        acts like multiplication by its row sums: inside the support the precision is about the
        square of this. Outside it is 1, where the square would be as wrong as no preconditioner is
        inside. The root is off by as little on both sides: a map of 128^3 needs five to ten
        iterations, a residual of 1e-3 about forty.
        """
        projector, xp = self.normal.projector, array_namespace(self.mask)
        ratio = projector.box / projector.size
        full = xp.rint(xp.fft.fftfreq(projector.size) * projector.box).astype(int)
        half = xp.rint(xp.arange(projector.size // 2 + 1) * ratio).astype(int)
        axes = [full % projector.box] * (self.mask.ndim - 1) + [half]
        smooth = xp.maximum(self.normal.row_sums()[xp.ix_(*axes)], 0)
        return xp.sqrt(1 + self._deviation**2 * smooth / self.noise_variance)

    @property
    def rhs(self) -> Array:
        """``G^H b / sigma^2``."""
        return self.spectrum_adjoint(self.normal.b * (1 / self.noise_variance))


def solve_supported(
    precision: SupportedPrecision, *, tolerance: float = 1e-3, max_iterations: int = 500
) -> Solved:
    """Return the posterior mean of z; ``precision.volume(solved.x)`` is the map.

    Parameters
    ----------
    precision : SupportedPrecision
    tolerance, max_iterations
        As in `conjugate_gradients`.

    Returns
    -------
    Solved

    Warns
    -----
    UserWarning
        The tolerance was not met.

    Examples
    --------
    >>> import fslice
    >>> from fslice.exact.accumulate import accumulate
    >>> rng = np.random.default_rng(0)
    >>> projector, rotations = fslice.Projector(16, 2), fslice.random_rotations(50, rng)
    >>> mask = soft_sphere(16, radius=3, edge=2)
    >>> volume = mask * rng.normal(size=(16, 16, 16))
    >>> images = projector.project(volume, rotations)
    >>> normal = accumulate(images, rotations, projector=projector)
    >>> precision = SupportedPrecision(normal, 1.0, mask, noise_variance=1e-2)
    >>> found = precision.volume(solve_supported(precision).x)
    >>> np.allclose(projector.project(found, rotations), images, atol=0.2 * images.std())
    True
    """
    solved = conjugate_gradients(
        precision, precision.rhs, precision.diagonal(),
        tolerance=tolerance, max_iterations=max_iterations,
    )  # fmt: skip
    if not solved.converged:
        warnings.warn(
            f"conjugate gradients stopped at a relative residual of {solved.residual:.2g} after "
            f"{solved.iterations} iterations, expected {tolerance:.2g}",
            stacklevel=2,
        )
    return solved


def supported_deviations(
    precision: SupportedPrecision,
    count: int,
    rng: np.random.Generator,
    *,
    tolerance: float = 1e-3,
) -> Iterator[Array]:
    """Draw from the posterior of z, as deviations from its mean, by perturbing and solving.

    Parameters
    ----------
    precision : SupportedPrecision
    count : int
    rng : numpy.random.Generator
    tolerance : float, optional
        Of the root of A, and of conjugate gradients.

    Yields
    ------
    (D, D, D//2 + 1) complex array
        ``precision.volume`` makes it a real volume. All are independent.

    Notes
    -----
    ``P^-1 (G^H A^1/2 e1 / sigma + e2)`` has the covariance ``P^-1`` for white e1 and e2. The
    root is ``s^-1 (s A s)^1/2``, by Lanczos' iteration, with ``s = diag(A)^-1/2``.

    Examples
    --------
    >>> import fslice
    >>> from fslice.exact.normal import no_images
    >>> precision = SupportedPrecision(no_images(fslice.Projector(8)), 4.0, np.ones((8, 8, 8)))
    >>> z, = supported_deviations(precision, 1, np.random.default_rng(0))
    >>> round(float(precision.volume(z).std()))
    2
    """
    normal, ndim = precision.normal, precision.mask.ndim
    xp = array_namespace(normal.b)
    diagonal = precision.diagonal()
    weights = normal.diagonal()
    root = xp.sqrt(xp.maximum(weights, 0))
    inverse_root = xp.where(root > 0, 1 / xp.where(root > 0, root, 1), 0)
    for _ in range(check_size("count", count)):
        rhs = _white(normal.projector.size, ndim, normal, rng)
        if normal.count:
            noise = (root > 0) * _white(normal.projector.box, ndim, normal, rng)
            krylov = lanczos(
                lambda v: inverse_root * normal.apply(inverse_root * v),
                noise,
                lambda values: np.sqrt(np.maximum(values, 0)),
                tolerance=tolerance,
            )
            drawn = root * krylov.applied(lambda values: np.sqrt(np.maximum(values, 0)))
            rhs = rhs + precision.spectrum_adjoint(drawn * precision.noise_variance**-0.5)
        yield conjugate_gradients(precision, rhs, diagonal, tolerance=tolerance).x


def _white(size: int, ndim: int, normal: NormalEquations, rng: np.random.Generator) -> Array:
    dtype = normal.stencil.dtype
    white = rng.standard_normal((size,) * ndim, dtype=dtype)
    return transform(array_namespace(normal.b).asarray(white), ndim).astype(complex_dtype(dtype))


def soft_sphere(size: int, radius: float, edge: float = 5.0, dtype: str = "float64") -> Array:
    """Return a spherical mask with a cosine edge.

    Parameters
    ----------
    size : int
        Box D.
    radius : float
        In pixels about pixel ``D // 2``; inside it the mask is 1.
    edge : float, optional
        Width in pixels of the fall to 0.
    dtype : {"float64", "float32"}, optional

    Returns
    -------
    (D, D, D) real array

    Examples
    --------
    >>> soft_sphere(9, radius=2, edge=2)[4, 4, 4:]
    array([1. , 1. , 1. , 0.5, 0. ])
    """
    if not (0 <= radius < math.inf and 0 < edge < math.inf):
        raise ValueError(
            f"radius, edge: expected finite pixels of at least 0 and above 0, got {radius}, {edge}"
        )
    axis = np.arange(check_size("size", size)) - size // 2
    distance = np.sqrt(sum(np.square(k) for k in np.ix_(axis, axis, axis)))
    outside = np.clip((distance - radius) / edge, 0, 1)
    return ((1 + np.cos(np.pi * outside)) / 2).astype(dtype)
