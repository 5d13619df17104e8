"""The evidence lower bound of a data set with known poses, in closed form where it can be.

With known poses the model is linear with Gaussian noise, so the expectation over q needs no
samples: ``E|P(mu + s e) - y|^2 = |P mu - y|^2 + sum_k m a s^2``, where ``a`` is the diagonal of
``P^H P``. Hence the best ``s`` and the best noise variance for a given mean are known too, and
only the mean has to be searched for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fslice import _kernels
from fslice._arrays import Array
from fslice.data.dataset import Dataset
from fslice.fourier import hermitian_weights, inner_product
from fslice.likelihoods.white import log_likelihood
from fslice.operators.projector import Projector
from fslice.posterior.families import DiracPosterior, GaussianPosterior, weighted_sum


@dataclass(frozen=True, eq=False)
class Statistics:
    """What one pass over a data set tells before any fit.

    Parameters
    ----------
    backprojection : (M, M, M//2 + 1) complex array
        ``P^H y``.
    density : (M, M, M//2 + 1) real array
        Row sums of ``P^H P``: how densely each frequency was sampled.
    diagonal : (M, M, M//2 + 1) real array
        Diagonal of ``P^H P``.
    power : float
        ``|y|^2`` in the band, of all images.
    degrees : float
        Real degrees of freedom in the band, of all images.
    log_weights : float, optional
        ``sum m log w`` over the band of all images, whose powers were multiplied by w.
    """

    backprojection: Array = field(repr=False)
    density: Array = field(repr=False)
    diagonal: Array = field(repr=False)
    power: float
    degrees: float
    log_weights: float = 0.0

    def weighted_backprojection(self) -> Array:
        """Return the conventional estimate: back-projection over sampling density.

        A thousandth of the mean density keeps frequencies that were hardly seen finite.
        """
        seen = self.density > 0
        floor = 1e-3 * self.density[seen].mean() if seen.any() else 1.0
        return self.backprojection / (self.density + floor)


def collect(
    dataset: Dataset, projector: Projector, progress: Callable[[int], object] | None = None
) -> Statistics:
    """Pass once over the images; `progress` is told the number of images after each batch."""
    band = _kernels.band(projector.geometry()) * hermitian_weights(projector.size)
    sums: list[Array] = []
    power = 0.0
    for batch in dataset.batches():
        images_ft, rotations, shifts, ctf = batch
        power += float(((abs(images_ft) ** 2).sum(0, dtype=np.float64) * band).sum())
        parts = [
            projector.backproject_ft(images_ft, rotations, shifts, ctf),
            projector.sampling_density(rotations, ctf),
            projector.gram_diagonal(rotations, ctf),
        ]
        sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else parts
        if progress is not None:
            progress(len(rotations))
    backprojection, density, diagonal = sums
    degrees = float(band.sum()) * dataset.views
    return Statistics(backprojection, density, diagonal, power, degrees, dataset.log_weights(band))


@dataclass(frozen=True, eq=False)
class Bound:
    """The evidence lower bound as a function of the mean, for a family of posteriors.

    Parameters
    ----------
    statistics : Statistics
    prior_variance : float
        ``tau^2``.
    gaussian : bool
        Whether q is Gaussian; else it is a point, and the bound is the log joint density.
    noise_variance : float or None
        ``sigma^2``; None learns it.
    """

    statistics: Statistics
    prior_variance: float
    gaussian: bool
    noise_variance: float | None

    def sigma(self, noise_variance: float) -> Array:
        """Return the best ``s``: ``(a / sigma^2 + 1 / tau^2)^(-1/2)``."""
        a = self.statistics.diagonal
        return 1 / np.sqrt(a / a.dtype.type(noise_variance) + a.dtype.type(1 / self.prior_variance))

    def best_noise_variance(self, misfit: float) -> float:
        """Return the noise variance that maximises the bound for a squared residual.

        The maximum satisfies ``sigma^2 = (misfit + sum m a s^2) / d``, where s depends on it
        in turn; iterating the two raises the bound each time. Not below a millionth of the
        images' own power, which only data without any noise could ask for.
        """
        if self.noise_variance is not None:
            return self.noise_variance
        degrees = self.statistics.degrees
        floor = 1e-6 * self.statistics.power / degrees or 1.0
        variance = max(misfit / degrees, floor)
        for _ in range(20 if self.gaussian else 0):
            before = variance
            variance = max((misfit + self._spread(variance)) / degrees, floor)
            if abs(variance - before) < 1e-6 * variance:
                break
        return variance

    def value(self, mean: Array, misfit: float, noise_variance: float) -> float:
        """Return the bound at a mean with a squared residual (eq. 14, as a maximum)."""
        if not self.gaussian:
            expected = misfit
            divergence = DiracPosterior(mean).kl(self.prior_variance)
        else:
            expected = misfit + self._spread(noise_variance)
            posterior = GaussianPosterior(mean, self.sigma(noise_variance))
            divergence = posterior.kl(self.prior_variance)
        return self._log_likelihood(expected, noise_variance) - divergence

    def value_of_prior(self, noise_variance: float) -> float:
        """Return the bound of what is known without the data: q = prior, or the point zero."""
        known = self.statistics
        if not self.gaussian:
            return self.value(0 * known.backprojection, known.power, noise_variance)
        spread = self.prior_variance * weighted_sum(known.diagonal)
        return self._log_likelihood(known.power + spread, noise_variance)

    def _log_likelihood(self, power: float, noise_variance: float) -> float:
        known = self.statistics
        return log_likelihood(power, noise_variance, known.degrees) + known.log_weights / 2

    def _spread(self, noise_variance: float) -> float:
        return weighted_sum(self.statistics.diagonal * self.sigma(noise_variance) ** 2)


def signal_variance(statistics: Statistics) -> float:
    """Return the mean power per seen frequency of the conventional estimate.

    A scalar prior of this variance is wide wherever the object's spectrum is weak: it hardly
    biases the mean, and frequencies without data fall back to it. The power includes that of the
    noise in the estimate, which makes it wider still.
    """
    estimate = statistics.weighted_backprojection()
    seen = weighted_sum((statistics.density > 0).astype(np.float64))
    power = inner_product(estimate, estimate)
    return power / seen if seen and power > 0 else 1.0


def relative_decrement(gradient: Array, gain: float) -> float:
    """Return half the squared norm of a whitened gradient as a share of the gain so far.

    In units of posterior standard deviations the curvature is about one, so this estimates
    how much of the bound is still to be gained.
    """
    return inner_product(gradient, gradient) / 2 / gain if gain > 0 else math.inf
