"""Exact samples of a volume's posterior, and the uncertainty that they show."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, check_size
from fslice.metrics import fsc
from fslice.posterior.lanczos import Krylov, lanczos
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.random import white_noise


def whitened(precision: PosteriorPrecision) -> tuple[Array, Callable[[Array], Array]]:
    """Return ``s``, the preconditioner to the power of -1/2, and the operator ``s P s``."""
    scale = 1 / array_namespace(precision.normal.b).sqrt(precision.preconditioner())

    def apply(latent: Array) -> Array:
        product = precision(scale * latent)
        product *= scale
        return product

    return scale, apply


def centred_samples(
    precision: PosteriorPrecision, count: int, rng: np.random.Generator, *, tolerance: float = 1e-3
) -> Iterator[Array]:
    """Draw from the exact posterior of a volume, as samples less the mean.

    Parameters
    ----------
    precision : PosteriorPrecision
    count : int
        Number of samples.
    rng : numpy.random.Generator
    tolerance : float, optional
        Relative error of each sample.

    Yields
    ------
    half spectrum
        Latent: a sample is the posterior mean plus one of these. ``precision.deviation_of`` makes
        it a real volume. All are independent.

    Warns
    -----
    UserWarning
        The tolerance was not met.

    Notes
    -----
    ``s (s P s)^-1/2 z`` with white noise z has the covariance ``P^-1`` whatever the scaling s;
    s, the preconditioner to the power of -1/2, makes Lanczos' iteration converge like
    preconditioned conjugate gradients. It needs the stencil only, not the images, and as many
    half spectra of memory as iterations.

    Examples
    --------
    Without images the prior remains:

    >>> import fslice
    >>> from fslice.posterior.stencil import no_images
    >>> precision = PosteriorPrecision(no_images(fslice.Projector(16)), 4.0)
    >>> sample, = centred_samples(precision, 1, np.random.default_rng(0))
    >>> round(float(fslice.irfft3(sample).std()), 1)
    2.0
    """
    scale, apply = whitened(precision)
    for _ in range(check_size("count", count)):
        noise = white_noise(precision.zero, rng)
        krylov = lanczos(apply, noise, _inverse_root, tolerance=tolerance)
        warn_unless_converged(krylov, tolerance)
        yield scale * krylov.applied(_inverse_root)


def _inverse_root(values: np.ndarray) -> np.ndarray:
    return 1 / np.sqrt(values)


def warn_unless_converged(krylov: Krylov, tolerance: float) -> None:
    """Warn if Lanczos' iteration was cut off."""
    if not krylov.converged:
        warnings.warn(
            f"Lanczos' iteration did not reach {tolerance:.2g} in {len(krylov.basis)} steps",
            stacklevel=3,
        )


class Marginals(NamedTuple):
    """Marginal variances, estimated from samples."""

    variance: Array
    """(M, M, M//2 + 1) real: ``E |v - mean|^2`` of each coefficient."""
    standard_error: Array
    """Of `variance`, from the spread of the samples; at least two are needed."""


def marginal_variance(precision: PosteriorPrecision, deviations: Iterable[Array]) -> Marginals:
    """Estimate the exact posterior variance of every Fourier coefficient.

    Parameters
    ----------
    precision : PosteriorPrecision
    deviations : iterable of half spectra
        As `centred_samples` yields; 30 give a few percent.

    Returns
    -------
    Marginals

    Notes
    -----
    By the law of total variance over all other coefficients (Rao-Blackwell)::

        Var v_k = 1 / P_kk + Var E[v_k | the others],   E[v_k | ...] = v_k - (P v)_k / P_kk

    The first term, the mean-field ``s^2``, is exact; samples are needed for the second only.
    So no estimate is below ``s^2``, and it is unbiased.

    Examples
    --------
    >>> import fslice
    >>> from fslice.posterior.stencil import no_images
    >>> precision = PosteriorPrecision(no_images(fslice.Projector(8)), 4.0)
    >>> deviations = centred_samples(precision, 2, np.random.default_rng(0))
    >>> np.allclose(marginal_variance(precision, deviations).variance, 4)
    True
    """
    xp = array_namespace(precision.normal.b)
    inverse = 1 / precision.diagonal()
    total, squares, count = xp.zeros_like(inverse), xp.zeros_like(inverse), 0
    for deviation in deviations:
        predicted = deviation - inverse * precision(deviation)
        power = predicted.real**2 + predicted.imag**2
        total += power
        squares += power**2
        count += 1
    check_size("number of samples", count)
    mean = total / count
    spread = xp.maximum(squares / count - mean**2, 0) / max(count - 1, 1)
    error = xp.sqrt(spread) if count > 1 else xp.full_like(mean, math.inf)
    return Marginals(inverse + mean, error)


def voxel_std(precision: PosteriorPrecision, deviations: Iterable[Array]) -> Array:
    """Return the posterior standard deviation of every voxel, from samples.

    Parameters
    ----------
    precision : PosteriorPrecision
    deviations : iterable of half spectra
        As `centred_samples` yields; K of them leave a relative error of ``1/sqrt(2 K)``.

    Returns
    -------
    (D, D, D) real array
        In the unit of the volume.

    Notes
    -----
    Independent Fourier coefficients, as of the mean-field posterior, have the same variance at
    every voxel. The exact posterior's vary: they are correlated between neighbouring coefficients.

    Examples
    --------
    >>> import fslice
    >>> from fslice.posterior.stencil import no_images
    >>> precision = PosteriorPrecision(no_images(fslice.Projector(8, oversampling=2)), 4.0)
    >>> deviations = centred_samples(precision, 50, np.random.default_rng(0))
    >>> float(voxel_std(precision, deviations)[4, 4, 4].round()) # as far as 50 samples tell
    2.0
    """
    total, count = 0.0, 0
    for deviation in deviations:
        total = total + precision.deviation_of(deviation) ** 2
        count += 1
    check_size("number of samples", count)
    return array_namespace(precision.normal.b).sqrt(total / count)


def predicted_fsc(
    precision: PosteriorPrecision,
    mean_latent: Array,
    deviations: Iterable[Array],
    mask: Array | None = None,
) -> Array:
    """Return what the correlation of the mean with the truth will be, drawn from the posterior.

    Parameters
    ----------
    precision : PosteriorPrecision
    mean_latent : half spectrum
        Latent posterior mean.
    deviations : iterable of half spectra
        As `centred_samples` yields.
    mask : (D, D, D) array, optional
        As in `fslice.metrics.fsc`.

    Returns
    -------
    (K, D//2 + 1) float64 array
        One curve for each sample: their mean is the prediction, their quantiles are the
        credible band. No half maps and no truth are needed.

    Notes
    -----
    To the model the truth is one more sample of the posterior. The prediction is as good as
    the prior: it has to be right per shell, as `fslice.posterior.hyperparameters` makes it.

    Examples
    --------
    >>> import fslice
    >>> from fslice.posterior.stencil import no_images
    >>> precision = PosteriorPrecision(no_images(fslice.Projector(8)), 4.0)
    >>> deviations = centred_samples(precision, 3, np.random.default_rng(0))
    >>> predicted_fsc(precision, precision.normal.b, deviations).max()  # nothing is known
    np.float64(0.0)
    """
    mean = precision.map_of(mean_latent)
    curves = [fsc(mean, mean + precision.deviation_of(deviation), mask) for deviation in deviations]
    check_size("number of samples", len(curves))
    return array_namespace(mean).stack(curves)
