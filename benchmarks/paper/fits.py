"""Fits that several experiments share, and how they are judged against the truth."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import fslice
from benchmarks.paper.data import Images
from fslice.cli._progress import fit_bar
from fslice.metrics import fsc_from_snr, mean_squared_error, spectral_snr
from fslice.posterior.result import Posterior
from fslice.postprocess.masks import soft_spherical_mask

SAMPLES = 4
"""Draws from the posterior whose correlations with the mean predict that of the truth."""
RADIUS, EDGE = 44 / 128, 6 / 128
"""Of the spherical mask, as shares of the box: it holds the complex, 2 x 123 Angstrom across."""


def fit(images: Any, **options: Any) -> Posterior:
    """Reconstruct, with progress; that a cone of views leaves frequencies unseen is expected."""
    with fit_bar() as progress, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*were seen by no image")
        return fslice.reconstruct(images, progress=progress, **options)


def calibrated(images: fslice.Dataset, **options: Any) -> Posterior:
    """Fit with a learned prior for each shell inside a sphere, and draw posterior samples."""
    size = images.size
    mask = soft_spherical_mask(size, RADIUS * size, EDGE * size, dtype="float32")
    return fit(images, mask=mask, solver=fslice.Exact(samples=SAMPLES), **options)


def alpha_curve(found: Posterior) -> np.ndarray:
    """Return ``alpha / (1 + alpha)``, the paper's eq. 19 as a shell correlation."""
    return fsc_from_snr(spectral_snr(found.latent_mean, found.posterior_std))


def errors(found: np.ndarray, data: Images) -> dict[str, Any]:
    """Return the squared error of a map per voxel, in two normalisations, and its resolution."""
    error = mean_squared_error(found, data.truth)
    truth = data.truth.astype(np.float64)
    return {
        "mse_of_truth_scaled_to_maximum_1": error / truth.max() ** 2,
        "mse_over_mean_square_of_truth": error / np.mean(truth**2),
        "resolution": data.resolution(fslice.fsc(found, data.truth)),
    }
