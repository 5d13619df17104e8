"""The noise of images whose poses are not known, or only just found."""

from __future__ import annotations

import dataclasses

import numpy as np

from fslice._arrays import Array, to_numpy
from fslice.alignment.band import lean_oversampling
from fslice.alignment.posterior import PosePosterior
from fslice.data.dataset import Dataset
from fslice.data.image_ctf import shell_degrees
from fslice.data.passes import Batch, sum_over
from fslice.fourier import shell_sum
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.operators.projector import Projector

_OUTER = 0.8
"""Shells from this share of the largest on are taken for noise."""


def outer_variance(dataset: Dataset, rows: Array | None = None) -> float:
    """Return the variance of a pixel's noise, from the highest frequencies of the images.

    Parameters
    ----------
    dataset : Dataset
        Its noise model is the spectrum, of which this is the factor.
    rows : (k,) int64 array, optional
        Which images. Default: all.

    Notes
    -----
    In a single image the object is far below the noise at high frequency: what it adds to the
    variance is a share of its spectral signal-to-noise ratio there.

    Examples
    --------
    >>> from fslice.data.poses import Poses
    >>> images = 2 * np.random.default_rng(0).normal(size=(50, 32, 32))
    >>> dataset = Dataset(images, Poses(np.tile(np.eye(3), (50, 1, 1))))
    >>> round(outer_variance(dataset), 1)
    4.0
    """
    size = dataset.size
    first, last = int(_OUTER * ((size - 1) // 2)), (size - 1) // 2 + 1

    def of_batch(batch: Batch) -> Array:
        return _power(batch.images_ft, size)[first:last]

    powers = sum_over(dataset, of_batch, rows=rows)
    return float(powers.sum() / _degrees(dataset, rows)[first:last].sum())


def mean_power(dataset: Dataset) -> np.ndarray:
    """Return the mean square of the images' coefficients in each shell: (D//2 + 1,) float64.

    The last shell has the corners too, as in `fslice.likelihoods.gaussian.GaussianNoise`.
    """
    size, plain = dataset.size, dataset.with_noise(None)
    powers = sum_over(plain, lambda batch: _power(batch.images_ft, size))
    return to_numpy(powers / dataset.xp.maximum(_degrees(dataset), 1))


def log_density_of_noise(dataset: Dataset, power: np.ndarray) -> float:
    """Return the mean log density of images under noise alone, in nats, given their `mean_power`.

    The evidence of a pose is relative to it: their sum can be compared between models of the noise.

    Examples
    --------
    >>> from fslice.data.poses import Poses
    >>> images = np.random.default_rng(0).normal(size=(9, 8, 8))
    >>> white = GaussianNoise(np.ones(5))
    >>> dataset = Dataset(images, Poses(np.tile(np.eye(3), (9, 1, 1))), noise=white)
    >>> expected = -0.5 * (images**2 + np.log(2 * np.pi)).sum() / 9
    >>> bool(np.isclose(log_density_of_noise(dataset, mean_power(dataset)), expected))
    True
    """
    assert dataset.noise is not None
    variances = to_numpy(dataset.noise.variances)[0]
    degrees = to_numpy(_degrees(dataset)) / len(dataset)
    return float(-0.5 * (degrees * (power / variances + np.log(2 * np.pi * variances))).sum())


def residual_noise(
    dataset: Dataset, volume: Array, found: PosePosterior, rows: Array, radius: float | None = None
) -> Dataset:
    """Return a data set with one noise variance for each shell, from residuals at the best poses.

    Parameters
    ----------
    dataset : Dataset
    volume : (D, D, D) real array
    found : PosePosterior
        Of the images of `rows`.
    rows : (k,) int64 array
    radius : float, optional
        Of the last shell in which the map has something. Default: that of the box.
    """
    size, xp = dataset.size, dataset.xp
    plain = dataset.with_noise(None)
    projector = Projector(size, lean_oversampling(size), "cubic", radius)
    volume_ft = projector.transform(volume.astype(dataset.dtype))
    best, place = found.best().astype(dataset.dtype), xp.zeros(len(dataset), np.int64)
    place[xp.asarray(rows)] = xp.arange(len(rows))

    def of_batch(batch: Batch) -> Array:
        own = best[place[batch.rows]]
        expected = projector.project_ft(volume_ft, own.rotations, own.shifts, batch.ctf)
        return _power(batch.images_ft - expected, size)

    powers = sum_over(plain, of_batch, rows=rows)
    shells = powers / xp.maximum(_degrees(dataset, rows), 1)
    shells = xp.where(shells > 0, shells, shells[shells > 0].min())
    return dataclasses.replace(dataset, noise=GaussianNoise(shells))


def _power(spectra: Array, size: int) -> Array:
    """Return the sum of squares in each shell, the corners in the last: (D//2 + 1,) float64."""
    squares = (spectra.real**2 + spectra.imag**2).sum(0, dtype=np.float64)
    return shell_sum(squares, size, 2, corners=True)


def _degrees(dataset: Dataset, rows: Array | None = None) -> Array:
    """Return how many real numbers images hold in each shell: (D//2 + 1,) float64."""
    xp, size = dataset.xp, dataset.size
    chosen = xp.arange(len(dataset)) if rows is None else rows
    return shell_degrees(dataset, chosen, xp.ones((size, size // 2 + 1)))[0]
