"""What the exact solver tells beyond the bound: learned priors, supports, samples, evidence."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fslice._arrays import Array
from fslice.fourier import inner_product
from fslice.likelihoods.white import log_likelihood
from fslice.metrics import fsc
from fslice.posterior.evidence import Estimate, log_evidence
from fslice.posterior.hyperparameters import learn, learn_supported
from fslice.posterior.masked import SupportedPrecision
from fslice.posterior.normal import NormalEquations
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.samples import posterior_deviations, white_noise
from fslice.solvers.adam import Anchor
from fslice.solvers.closed_form import statistics_of
from fslice.solvers.variational import signal_variance
from fslice.symmetry.average import symmetrize

_PROBES = 4
_TOLERANCE = 1e-3
"""At 1e-2 samples kept much of the prior's spread where the images say a lot."""


class Extras(NamedTuple):
    """What is asked of the exact solver beyond mean, s and bound.

    Parameters
    ----------
    prior : {"scalar", "shell"}
        One variance for all frequencies, or one per shell, learned from the images.
    support : (D, D, D) real array or None
        Where the object is, from 0 to 1.
    samples : int
        Draws from the posterior, for the deviation of voxels and the credible band of the FSC.
    evidence : bool
        Whether to estimate the log probability of the images.
    """

    prior: str = "scalar"
    support: Array | None = None
    samples: int = 0
    evidence: bool = False

    @property
    def asked(self) -> list[str]:
        """The names of what is asked for, which only the exact solver gives, for a Gaussian."""
        wanted = {
            "prior": self.prior == "shell",
            "support": self.support is not None,
            "samples": self.samples > 0,
            "evidence": self.evidence,
        }
        return [name for name, is_wanted in wanted.items() if is_wanted]

    @property
    def learns(self) -> bool:
        """Whether the plain solution of the bound does not do."""
        return self.prior == "shell" or self.support is not None


class Fitted(NamedTuple):
    """A posterior mean with what was learned on the way."""

    precision: PosteriorPrecision
    unknowns: Array
    anchor: Anchor
    sigma: Array | None
    prior_variance: float | np.ndarray
    evidence: Estimate | None
    converged: bool


class Drawn(NamedTuple):
    """What samples of the posterior show."""

    voxel_sigma: Array | None
    fsc_samples: Array | None


def fit_learned(
    normal: NormalEquations,
    extras: Extras,
    prior_variance: float | None,
    noise_variance: float | None,
) -> Fitted:
    """Solve under a learned prior, a support, or both.

    Parameters
    ----------
    normal : NormalEquations
    extras : Extras
    prior_variance, noise_variance : float or None
        None learns the noise, and the prior per shell; a scalar prior is found from the images.

    Returns
    -------
    Fitted
        With a support the bound of the exact posterior is the evidence itself. Bounds count every
        copy of an image that a symmetry makes.
    """
    given = prior_variance
    if given is None and extras.prior == "scalar":
        given = signal_variance(statistics_of(normal))
        if extras.support is not None:
            given /= float(np.mean(np.square(extras.support, dtype=float))) or 1.0
    if extras.support is None:
        plain = learn(normal, prior_variance=given, noise_variance=noise_variance)
        precision: PosteriorPrecision = plain.precision
        unknowns, sigma, converged = plain.mean_ft, plain.sigma, plain.converged
        evidence = None
        # of all copies of the images, as the bounds of the other solvers are at this point
        bounds = normal.order * plain.elbo, normal.order * plain.elbo_prior
    else:
        inside = learn_supported(
            normal, extras.support, prior_variance=given, noise_variance=noise_variance
        )
        precision, sigma = inside.precision, None
        unknowns, converged = inside.mean_ft, inside.converged
        copies = replace(precision, normal=replace(normal, symmetry="C1"))
        of_copies = evidence_of(copies, unknowns)
        evidence = of_copies if normal.order == 1 else None
        bounds = of_copies.value, _bound_of_prior(copies)
    mean = precision.spectrum(unknowns)
    anchor = Anchor(mean, 0 * mean, 0.0, precision.noise_variance, *bounds)
    shells = np.asarray(precision.prior_variance)[0, 0, : precision.box // 2 + 1]
    prior = float(given) if given is not None else shells.astype(float)
    return Fitted(precision, unknowns, anchor, sigma, prior, evidence, converged)


def evidence_of(precision: PosteriorPrecision, unknowns: Array) -> Estimate:
    """Return the log evidence to within a few nats."""
    return log_evidence(precision, unknowns, probes=_PROBES, tolerance=_TOLERANCE)


def draw(precision: PosteriorPrecision, unknowns: Array, count: int, seed: int) -> Drawn:
    """Draw from the posterior: voxel deviations, and one shell correlation for each sample."""
    if not count:
        return Drawn(None, None)
    rng = np.random.default_rng(seed)
    squares: Array = 0.0
    curves = []
    mean, scale = symmetric_volume(precision, unknowns), math.sqrt(precision.normal.order)
    for deviation in posterior_deviations(precision, count, rng, tolerance=_TOLERANCE):
        spread = scale * symmetric_volume(precision, deviation)
        squares = squares + spread**2
        curves.append(fsc(mean, mean + spread))
    return Drawn(np.sqrt(squares / count), np.stack(curves))


def symmetric_volume(precision: PosteriorPrecision, unknowns: Array) -> Array:
    """Return the real volume of the unknowns, averaged over the symmetry of the images.

    Deviations, averaged and multiplied by the root of the group's order, are those of the symmetric
    volume: its covariance is ``|G| S P^-1 S`` with the average S.
    """
    return symmetrize(precision.volume(unknowns), precision.normal.symmetry)


def _bound_of_prior(precision: SupportedPrecision) -> float:
    """Return the expected log-likelihood of the prior, its spread by one probe."""
    normal = precision.normal
    probe = white_noise(precision, np.random.default_rng(0))
    probe /= abs(probe)
    sliced = precision.spectrum(np.sqrt(precision.prior_variance) * probe)
    power = float(normal.power.sum()) + inner_product(sliced, normal.apply(sliced))
    likelihood = log_likelihood(power, precision.noise_variance, float(normal.degrees.sum()))
    return likelihood + normal.log_weights / 2
