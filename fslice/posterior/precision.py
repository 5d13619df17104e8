"""The precision matrix of a volume given images: what they say, and the prior that completes it."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any

from fslice._arrays import Array, array_namespace, to_numpy
from fslice._large import cached_parts
from fslice.posterior.latent import LatentMap, SlicedSpectrum
from fslice.posterior.normal import NormalEquations
from fslice.posterior.prior import prior_grid
from fslice.symmetry.average import symmetrize


@dataclass(frozen=True, eq=False)
class PosteriorPrecision:
    """The inverse covariance of the latent spectrum of a volume, given images in known poses.

    With known poses the posterior is Gaussian. With G the map from the latent spectrum w to the
    spectrum that is sliced, its precision is ``G^H A G / sigma^2 + 1 / tau^2``, and its mean
    solves ``precision(mean) = rhs``.

    Parameters
    ----------
    normal : NormalEquations
    prior_variance : float or real array
        ``tau^2`` of every latent coefficient, or of each shell of its box, the last one also for
        the corners beyond; or of each coefficient. As the transforms are unitary, a scalar is the
        variance of a voxel where the mask is 1.
    noise_variance : float, optional
        ``sigma^2``, by which the sums of `normal` are divided.
    latent : LatentMap, optional
        What is unknown; by default the sliced spectrum itself.

    Raises
    ------
    ValueError, TypeError
        A shape, a value or a dtype is not as above.

    Examples
    --------
    Where there are no images the prior remains:

    >>> import numpy as np, fslice
    >>> from fslice.posterior.stencil import no_images
    >>> precision = PosteriorPrecision(no_images(fslice.Projector(8)), prior_variance=4.0)
    >>> float(precision.diagonal().max())
    0.25
    """

    normal: NormalEquations
    prior_variance: Array
    noise_variance: float = 1.0
    latent: LatentMap = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.latent is None:
            object.__setattr__(self, "latent", SlicedSpectrum(self.normal.projector))
        if self.normal.symmetry != "C1" and hasattr(self.latent, "average"):
            raise ValueError(
                "normal: expected images in their own poses, got them summed under "
                f"{self.normal.symmetry}"
            )
        b = self.normal.b
        prior = prior_grid(self.prior_variance, self.latent.size, b.ndim, b)
        object.__setattr__(self, "prior_variance", prior)
        if not 0 < self.noise_variance < math.inf:
            raise ValueError(
                f"noise_variance: expected a finite value above 0, got {self.noise_variance}"
            )
        # a plain float leaves arrays in their precision
        object.__setattr__(self, "noise_variance", float(self.noise_variance))

    @property
    def rhs(self) -> Array:
        """``G^H b / sigma^2``."""
        return self.latent.spectrum_adjoint(self.normal.b * (1 / self.noise_variance))

    @property
    def zero(self) -> Array:
        """The latent spectrum 0."""
        b, size = self.normal.b, self.latent.size
        shape = (*[size] * (b.ndim - 1), size // 2 + 1)
        return array_namespace(b).zeros(shape, b.dtype)

    @functools.cached_property
    def _prior_precision(self) -> Array:
        # a complex array is multiplied three times as fast as it is divided
        precision = 1 / self.prior_variance
        return array_namespace(precision).broadcast_to(precision, self.zero.shape)

    def __call__(self, latent: Array) -> Array:
        """Apply the precision to a latent half spectrum."""
        product = self.latent.spectrum_adjoint(self.normal.apply(self.latent.spectrum(latent)))
        for part in cached_parts(product):
            product[part] *= 1 / self.noise_variance
            product[part] += latent[part] * self._prior_precision[part]
        return product

    def diagonal(self) -> Array:
        """Return the diagonal: the precision of each coefficient when all others are known."""
        return self.latent.diagonal(self.normal) / self.noise_variance + 1 / self.prior_variance

    def preconditioner(self, information: Array | None = None) -> Array:
        """Return a positive array that scales about as the precision does.

        Parameters
        ----------
        information : array, optional
            ``latent.information(normal)``, if it is known: it depends on the images only.
        """
        known = self.latent.information(self.normal) if information is None else information
        ratio = self.prior_variance / self.noise_variance
        return self.latent.preconditioner(known, ratio) / self.prior_variance

    def reported_prior(self) -> Any:
        """Return the prior variance as a number, or as a value per shell on the host."""
        grid = to_numpy(self.prior_variance)
        if grid.size == 1:
            return float(grid.reshape(-1)[0])
        axis = grid.reshape(-1, grid.shape[-1])[0]  # along kx, shells are frequencies
        return axis[: self.latent.size // 2 + 1].astype(float)

    def map_of(self, mean: Array) -> Array:
        """Return the real volume (D, D, D) of a latent mean, averaged over the symmetry."""
        return self._symmetric(self.latent.volume(mean))

    def deviation_of(self, deviation: Array) -> Array:
        """Return the real volume of a sample less the mean, for the symmetric volume.

        Views of images under a group of order |G| were summed like images of their own. The
        covariance of the symmetric volume is then ``|G| S P^-1 S`` with the average S.
        """
        return math.sqrt(self.normal.order) * self.map_of(deviation)

    def _symmetric(self, volume: Array) -> Any:
        return symmetrize(volume, self.normal.symmetry) if self.normal.order > 1 else volume
