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
from fslice.posterior.normal import NormalEquations
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.random import unit_probe
from fslice.posterior.samples import warn_unless_converged, whitened


class Estimate(NamedTuple):
    """A number and its standard error."""

    value: float
    error: float


def log_evidence(
    precision: PosteriorPrecision,
    mean: Array | None = None,
    *,
    probes: int = 8,
    seed: int = 0,
    tolerance: float = 1e-5,
) -> Estimate:
    """Return the log probability density of all images, the volume integrated out.

    Parameters
    ----------
    precision : PosteriorPrecision
        Images, noise and prior, and the map from the latent spectrum.
    mean : half spectrum, optional
        The latent posterior mean, if it is known already.
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
    >>> from fslice.data.dataset import Dataset
    >>> from fslice.data.poses import Poses
    >>> from fslice.posterior.elbo import elbo, mean_field_std
    >>> from fslice.posterior.mean import solve
    >>> from fslice.posterior.sums import normal_equations
    >>> rng = np.random.default_rng(0)
    >>> images, rotations = rng.normal(size=(200, 8, 8)), fslice.random_rotations(200, rng)
    >>> normal = normal_equations(Dataset(images, Poses(rotations)), fslice.Projector(8))
    >>> precision = PosteriorPrecision(normal, prior_variance=0.1)
    >>> bound = elbo(precision, solve(precision).mean, mean_field_std(precision))
    >>> log_evidence(precision).value > bound
    True
    """
    _check_unsymmetrized(precision.normal)
    known = _known_part(precision, mean, tolerance)
    determinant = log_determinant(precision, probes=probes, seed=seed, tolerance=tolerance)
    return Estimate(known - determinant.value / 2, determinant.error / 2)


def _check_unsymmetrized(normal: NormalEquations) -> None:
    if normal.symmetry != "C1":
        raise ValueError(
            f"normal: expected images in their own poses, got the symmetry {normal.symmetry}: "
            "see fslice.posterior.latent.SymmetricVolume"
        )


def _known_part(precision: PosteriorPrecision, mean: Array | None, tolerance: float) -> float:
    """Return the log evidence but for the log-determinant of the precision."""
    if mean is None:
        mean = conjugate_gradients(
            precision, precision.rhs, precision.preconditioner(), tolerance=tolerance,
            afresh=False,
        ).x  # fmt: skip
    # fit plus prior at the mean: an error of the mean enters in second order only
    misfit = inner_product(mean, mean / precision.prior_variance)
    xp, shape = array_namespace(mean), mean.shape
    widths = weighted_sum(xp.broadcast_to(xp.log(precision.prior_variance), shape))
    return (
        expected_log_likelihood(precision, precision.latent.spectrum(mean)) - (misfit + widths) / 2
    )


def log_determinant(
    precision: PosteriorPrecision, *, probes: int = 8, seed: int = 0, tolerance: float = 1e-5
) -> Estimate:
    """Return the log-determinant of the precision over all real degrees of freedom.

    Examples
    --------
    >>> import fslice
    >>> from fslice.posterior.stencil import no_images
    >>> precision = PosteriorPrecision(no_images(fslice.Projector(8)), 0.5)
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
        probe = unit_probe(precision.zero, rng)
        krylov = lanczos(apply, probe, np.log, tolerance=tolerance)
        warn_unless_converged(krylov, tolerance)
        forms.append(krylov.form(np.log))
    return forms


def _mean(values: list[float], offset: float) -> Estimate:
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Estimate(offset + float(np.mean(values)), error)


def held_out_log_likelihood(
    training: PosteriorPrecision,
    held_out: NormalEquations,
    *,
    probes: int = 8,
    seed: int = 0,
    tolerance: float = 1e-5,
) -> Estimate:
    """Return the log probability of held-out images, given others, the volume integrated out.

    Parameters
    ----------
    training : PosteriorPrecision
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
    >>> from fslice.posterior.stencil import no_images
    >>> precision = PosteriorPrecision(no_images(fslice.Projector(8)), 0.5)
    >>> held_out_log_likelihood(precision, precision.normal).value
    0.0
    """
    _check_unsymmetrized(held_out)
    both = replace(training, normal=training.normal + held_out)  # type: ignore[operator]
    known, forms = 0.0, []
    for precision, sign in ((both, 1), (training, -1)):
        diagonal = weighted_sum(array_namespace(held_out.b).log(precision.preconditioner()))
        known += sign * (_known_part(precision, None, tolerance) - diagonal / 2)
        forms.append(_quadratic_forms(precision, probes, seed, tolerance))
    return _mean([(b - a) / 2 for a, b in zip(*forms, strict=True)], known)


def symmetry_evidence(
    precision: PosteriorPrecision, *, probes: int = 4, seed: int = 0, tolerance: float = 1e-3
) -> Estimate:
    """Return the log probability density of all images if the volume has a symmetry.

    Parameters
    ----------
    precision : PosteriorPrecision
        With a `fslice.posterior.latent.SymmetricVolume`. Compare groups under one prior, mask
        and noise variance.
    probes : int, optional
        Of the log-determinant, at least 2. The error falls with the root of their number.
    seed : int, optional
        Groups that are compared under one seed share the probes.
    tolerance : float, optional
        Of conjugate gradients and of Lanczos' iteration, which is in double precision here: the
        precision's eigenvalues span six orders of magnitude or more.

    Returns
    -------
    Estimate
        In nats, over the band of the images.

    Notes
    -----
    That of `log_evidence`, the latent spectrum being that of the whole box. A group that the
    object lacks cannot fit the images. One that it has fits them as well as C1 with fewer degrees
    of freedom, and so has a smaller determinant.

    Examples
    --------
    >>> import fslice
    >>> from fslice.data.dataset import Dataset
    >>> from fslice.data.poses import Poses
    >>> from fslice.posterior.latent import SymmetricVolume
    >>> from fslice.posterior.sums import normal_equations
    >>> from fslice.postprocess.masks import soft_spherical_mask
    >>> rng, mask = np.random.default_rng(0), soft_spherical_mask(16, 5, 3)
    >>> volume = fslice.symmetry.symmetrize(mask * rng.normal(size=(16, 16, 16)), "C3")
    >>> projector, rotations = fslice.Projector(16), fslice.random_rotations(200, rng)
    >>> images = projector.project(volume, rotations) + rng.normal(size=(200, 16, 16))
    >>> normal = normal_equations(Dataset(images, Poses(rotations)), projector)
    >>> def evidence(group):
    ...     latent = SymmetricVolume(projector, mask, group)
    ...     return symmetry_evidence(PosteriorPrecision(normal, 0.2, latent=latent)).value
    >>> max(("C1", "C2", "C3", "C4", "D3"), key=evidence)
    'C3'
    """
    double = replace(precision, normal=precision.normal.astype(np.float64))
    return log_evidence(double, probes=probes, seed=seed, tolerance=tolerance)
