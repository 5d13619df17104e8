"""The precision matrix of a volume given images, and the prior that completes it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from fslice._arrays import Array, array_namespace, check_real
from fslice.fourier import hermitian_part, shells
from fslice.posterior.normal import NormalEquations


class PosteriorPrecision(Protocol):
    """The inverse covariance of the unknown half spectrum of a volume, given images.

    What `Precision` and `fslice.posterior.masked.SupportedPrecision` have in common, and all that
    samples, evidence and learned priors ask for.
    """

    @property
    def normal(self) -> NormalEquations:
        """What the images say."""

    @property
    def prior_variance(self) -> Array:
        """``tau^2``: broadcasts with the unknowns."""

    @property
    def noise_variance(self) -> float:
        """``sigma^2``."""

    @property
    def box(self) -> int:
        """Box of the unknowns."""

    @property
    def rhs(self) -> Array:
        """The precision times the posterior mean."""

    def __call__(self, unknowns: Array, /) -> Array:
        """Apply the precision."""

    def preconditioner(self) -> Array:
        """Return a positive array that scales about as the precision does."""

    def spectrum(self, unknowns: Array, /) -> Array:
        """Return the half spectrum that is sliced."""

    def volume(self, unknowns: Array, /) -> Array:
        """Return the real volume (D, D, D)."""


@dataclass(frozen=True, eq=False)
class Precision:
    """The precision ``A / sigma^2 + 1 / tau^2`` of the posterior of a volume.

    With known poses the posterior is Gaussian: this is its inverse covariance, and
    ``mean = P^-1 rhs`` its mean.

    Parameters
    ----------
    normal : NormalEquations
    prior_variance : float or real array
        ``tau^2`` of every Fourier coefficient of the volume that is sliced, or of each shell of
        its box M, (M//2 + 1,), the last one also for the corners beyond; or of each coefficient,
        (M, M, M//2 + 1). As the transforms are unitary, a scalar is the variance of a voxel.
    noise_variance : float, optional
        ``sigma^2``, by which the sums of `normal` are divided.

    Examples
    --------
    Where there are no images the prior remains:

    >>> import numpy as np, fslice
    >>> from fslice.posterior.normal import no_images
    >>> precision = Precision(no_images(fslice.Projector(8)), prior_variance=4.0)
    >>> float(precision.diagonal().max())
    0.25
    """

    normal: NormalEquations
    prior_variance: Array
    noise_variance: float = 1.0

    def __post_init__(self) -> None:
        prior = prior_grid(self.normal, self.prior_variance, self.box)
        object.__setattr__(self, "prior_variance", prior)
        object.__setattr__(self, "noise_variance", checked_noise(self.noise_variance))

    @property
    def box(self) -> int:
        """Box M of the half spectrum."""
        return self.normal.projector.padded_size

    def __call__(self, volume_ft: Array) -> Array:
        """Apply the precision to the half spectrum of a real volume."""
        product = self.normal.apply(volume_ft)
        product *= 1 / self.noise_variance
        product += volume_ft / self.prior_variance
        return product

    def diagonal(self) -> Array:
        """Return the diagonal: the precision of each coefficient when all others are known."""
        return self.normal.diagonal() / self.noise_variance + 1 / self.prior_variance

    def preconditioner(self) -> Array:
        """Return the diagonal."""
        return self.diagonal()

    def spectrum(self, volume_ft: Array) -> Array:
        """Return the half spectrum that is sliced: the unknowns themselves."""
        return volume_ft

    def volume(self, volume_ft: Array) -> Array:
        """Return the real volume (D, D, D) of a half spectrum."""
        return self.normal.projector.to_volume(volume_ft)

    @property
    def rhs(self) -> Array:
        """``b / sigma^2``."""
        return self.normal.b * (1 / self.noise_variance)


def checked_noise(noise_variance: float) -> float:
    """Return a noise variance as a float, which leaves arrays in their precision, or raise."""
    if not 0 < noise_variance < math.inf:
        raise ValueError(f"noise_variance: expected a finite value above 0, got {noise_variance}")
    return float(noise_variance)


def prior_grid(normal: NormalEquations, prior_variance: Array | float, box: int) -> Array:
    """Return a prior variance as an array that broadcasts with half spectra of a box.

    Raises
    ------
    ValueError
        It has another shape than a scalar, one value per shell or per coefficient, is not finite
        and positive, or differs between a coefficient and its Friedel mate.
    """
    xp = array_namespace(normal.b)
    dtype, ndim = normal.stencil.dtype, normal.b.ndim
    given = xp.asarray(prior_variance)
    check_real("prior_variance", given.astype(float) if given.ndim == 0 else given)
    if not bool((xp.isfinite(given) & (given > 0)).all()):
        raise ValueError("prior_variance: expected finite values above 0")
    if given.ndim == 0 or given.size == 1:
        return given.reshape((1,) * ndim).astype(dtype)
    if given.shape == (box // 2 + 1,):
        return given.astype(dtype)[xp.minimum(shells(box, ndim, xp), box // 2)]
    shape = (*[box] * (ndim - 1), box // 2 + 1)
    if given.shape != shape:
        raise ValueError(
            f"prior_variance: expected a number or shape ({box // 2 + 1},) or {shape}, "
            f"got {given.shape}"
        )
    mirrored = hermitian_part(given.astype(normal.b.dtype), ndim).real
    if not xp.allclose(mirrored, given, rtol=1e-5):
        raise ValueError("prior_variance: expected the same value at k and at -k")
    return given.astype(dtype)
