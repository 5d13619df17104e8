"""The probability of the images under the model: with known poses it is exact."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, check_size
from fslice.fourier import inner_product
from fslice.posterior.cg import conjugate_gradients
from fslice.posterior.elbo import expected_log_likelihood
from fslice.posterior.families import weighted_sum
from fslice.posterior.lanczos import lanczos
from fslice.posterior.masked import SupportedPrecision
from fslice.posterior.normal import NormalEquations
from fslice.posterior.precision import PosteriorPrecision, Precision
from fslice.posterior.samples import warn_unless_converged, white_noise, whitened


class Estimate(NamedTuple):
    """A number and its standard error."""

    value: float
    error: float


def log_evidence(
    precision: PosteriorPrecision,
    mean_ft: Array | None = None,
    *,
    probes: int = 8,
    seed: int = 0,
    tolerance: float = 1e-5,
) -> Estimate:
    """Return the log probability density of all images, the volume integrated out.

    Parameters
    ----------
    precision : Precision or SupportedPrecision
        Images, noise and prior, and the mask.
    mean_ft : half spectrum, optional
        The posterior mean of the unknowns, if it is known already.
    probes : int, optional
        At least 2. The error falls with the root of their number.
    seed : int, optional
        Models that are compared under one seed share the probes, and most of the error.
    tolerance : float, optional
        Of conjugate gradients and of Lanczos' iteration.

    Returns
    -------
    Estimate
        In nats, over the band of the images; only the log-determinant has an error.

    Notes
    -----
    With the posterior mean and its precision P::

        log p(y) = -1/2 [sum w |y|^2 - <b, mean>] / sigma^2 - d/2 log(2 pi sigma^2)
                   + 1/2 sum m log w - 1/2 log det(tau^2 P)

    The determinant of the preconditioner, ``s^-2``, is exact; that of the rest, ``s P s``, is
    estimated by stochastic Lanczos quadrature (Ubaru, Chen and Saad 2017) with
    probes of unit modulus and random phase. The ELBO of any posterior is at most this.

    Examples
    --------
    >>> import fslice
    >>> from fslice.posterior.accumulate import accumulate
    >>> from fslice.posterior.solve import solve_exact
    >>> rng = np.random.default_rng(0)
    >>> images, rotations = rng.normal(size=(200, 8, 8)), fslice.random_rotations(200, rng)
    >>> normal = accumulate(images, rotations, projector=fslice.Projector(8))
    >>> solution = solve_exact(normal, prior_variance=0.1)
    >>> evidence = log_evidence(solution.precision)
    >>> evidence.value > solution.elbo
    True
    """
    _check_unsymmetrized(precision.normal)
    known = _known_part(precision, mean_ft, tolerance)
    determinant = log_determinant(precision, probes=probes, seed=seed, tolerance=tolerance)
    return Estimate(known - determinant.value / 2, determinant.error / 2)


def _check_unsymmetrized(normal: NormalEquations) -> None:
    if normal.symmetry != "C1":
        raise ValueError(
            f"normal: expected images in their own poses, got the symmetry {normal.symmetry}: "
            "see fslice.posterior.symmetric for its evidence"
        )


def _known_part(precision: PosteriorPrecision, mean_ft: Array | None, tolerance: float) -> float:
    """Return the log evidence but for the log-determinant of the precision."""
    if mean_ft is None:
        mean_ft = conjugate_gradients(
            precision, precision.rhs, precision.preconditioner(), tolerance=tolerance
        ).x
    # fit plus prior at the mean: an error of the mean enters in second order only
    misfit = inner_product(mean_ft, mean_ft / precision.prior_variance)
    xp, shape = array_namespace(mean_ft), mean_ft.shape
    widths = weighted_sum(xp.broadcast_to(xp.log(precision.prior_variance), shape))
    return expected_log_likelihood(precision, precision.spectrum(mean_ft)) - (misfit + widths) / 2


def log_determinant(
    precision: PosteriorPrecision, *, probes: int = 8, seed: int = 0, tolerance: float = 1e-5
) -> Estimate:
    """Return the log-determinant of the precision over all real degrees of freedom.

    Examples
    --------
    >>> import fslice
    >>> from fslice.posterior.normal import no_images
    >>> precision = Precision(no_images(fslice.Projector(8)), 0.5)
    >>> np.isclose(log_determinant(precision).value, 512 * np.log(2))
    np.True_
    """
    forms = _quadratic_forms(precision, probes, seed, tolerance)
    known = weighted_sum(array_namespace(precision.normal.b).log(precision.preconditioner()))
    return _mean(forms, known)


def _quadratic_forms(
    precision: PosteriorPrecision, probes: int, seed: int, tolerance: float
) -> list[float]:
    """Return ``<z, log(s P s) z>`` for random probes z, each an estimate of the trace."""
    _, apply = whitened(precision)
    rng = np.random.default_rng(seed)
    forms = []
    for _ in range(check_size("probes", probes, 2)):
        probe = white_noise(precision, rng)
        probe /= abs(probe)
        krylov = lanczos(apply, probe, np.log, tolerance=tolerance)
        warn_unless_converged(krylov, tolerance)
        forms.append(krylov.form(np.log))
    return forms


def _mean(values: list[float], offset: float) -> Estimate:
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Estimate(offset + float(np.mean(values)), error)


def held_out_log_likelihood(
    training: Precision | SupportedPrecision,
    held_out: NormalEquations,
    *,
    probes: int = 8,
    seed: int = 0,
    tolerance: float = 1e-5,
) -> Estimate:
    """Return the log probability of held-out images, given others, the volume integrated out.

    Parameters
    ----------
    training : Precision or SupportedPrecision
        Images that were learned from, noise and prior.
    held_out : NormalEquations
        Of other images under the same projector and noise.
    probes, seed, tolerance
        As in `log_evidence`.

    Returns
    -------
    Estimate
        In nats. Both evidences share the probes, so the error is that of their difference.

    Notes
    -----
    ``log p(held out | training) = log p(both) - log p(training)``.

    Examples
    --------
    >>> import fslice
    >>> from fslice.posterior.normal import no_images
    >>> precision = Precision(no_images(fslice.Projector(8)), 0.5)
    >>> held_out_log_likelihood(precision, precision.normal).value
    0.0
    """
    _check_unsymmetrized(held_out)
    both = replace(training, normal=training.normal + held_out)
    known, forms = 0.0, []
    for precision, sign in ((both, 1), (training, -1)):
        diagonal = weighted_sum(array_namespace(held_out.b).log(precision.preconditioner()))
        known += sign * (_known_part(precision, None, tolerance) - diagonal / 2)
        forms.append(_quadratic_forms(precision, probes, seed, tolerance))
    return _mean([(b - a) / 2 for a, b in zip(*forms, strict=True)], known)
