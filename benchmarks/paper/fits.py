"""Fits that several experiments share, and how they are judged against the truth."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import fslice
from benchmarks.paper.data import Images, half_labels
from fslice.cli._progress import fit_bar, image_bar
from fslice.metrics import fsc_from_snr, mean_squared_error, spectral_snr
from fslice.posterior.elbo import mean_field_std
from fslice.posterior.hyperparameters import fit_hyperparameters
from fslice.posterior.latent import MaskedVolume, SlicedSpectrum, mean_square
from fslice.posterior.mean import solve
from fslice.posterior.normal import NormalEquations
from fslice.posterior.power import signal_variance
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.result import Posterior
from fslice.posterior.samples import centred_samples, predicted_fsc
from fslice.posterior.sums import normal_equations
from fslice.postprocess.masks import soft_spherical_mask

SAMPLES = 4
"""Draws from the posterior whose correlations with the mean predict that of the truth."""
RADIUS, EDGE = 44 / 128, 6 / 128
"""Of the spherical mask, as shares of the box: it holds the complex, whose radius is 41 pixels."""


@contextlib.contextmanager
def silent_on_gaps() -> Iterator[None]:
    """Let nothing be said of frequencies that no image has seen: the report says it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*were seen by no image")
        yield


def fit(images: Any, **options: Any) -> Posterior:
    """Reconstruct, with progress."""
    with fit_bar() as progress, silent_on_gaps():
        return fslice.reconstruct(images, progress=progress, **options)


@dataclass(frozen=True, eq=False)
class Judged:
    """Maps of some images from one pass over them, and what predicts how good they are."""

    mean: np.ndarray
    """(D, D, D): under one prior for all frequencies; Dirac and Gaussian have the same."""
    halves: tuple[np.ndarray, np.ndarray]
    """(D, D, D) each: of the half sets, under the same prior and noise."""
    alpha: np.ndarray
    """(D//2 + 1,): ``alpha / (1 + alpha)`` of the Gaussian."""
    learned: np.ndarray
    """(D, D, D): under a prior for each shell that is learned inside a sphere."""
    predicted: np.ndarray | None
    """(K, D//2 + 1): the correlations of posterior samples with that mean; None if not drawn."""


def half_sums(data: Images, start: int, stop: int) -> list[NormalEquations]:
    """Return the normal equations of the images `start` to `stop` of each half set."""
    dataset, labels = data.dataset(), half_labels(len(data))
    projector = fslice.Projector(data.size)
    within = np.arange(start, stop)
    with image_bar(f"reading images {start} to {stop}", stop - start) as advance:
        return [
            normal_equations(
                dataset, projector, rows=within[labels[within] == half], progress=advance
            )
            for half in (1, 2)
        ]


def judge(halves: list[NormalEquations], size: int, samples: int = SAMPLES) -> Judged:
    """Solve for all maps from the sums over both halves, step by step.

    It is what `fslice.reconstruct` does with ``prior="scalar"`` and half sets, and with a mask,
    except that both start from the same sums.
    """
    with silent_on_gaps():
        return _judged(halves[0] + halves[1], halves, size, samples)


def _judged(normal: Any, halves: list[NormalEquations], size: int, samples: int) -> Judged:
    latent = SlicedSpectrum(normal.projector)
    prior = signal_variance(normal) / mean_square(latent)
    whole = fit_hyperparameters(normal, latent, prior_variance=prior)
    noise = whole.precision.noise_variance
    first, second = (
        solve(PosteriorPrecision(half, prior, noise, latent), tolerance=1e-3) for half in halves
    )
    mask = soft_spherical_mask(size, RADIUS * size, EDGE * size, dtype="float32")
    with image_bar("learning the prior", 1) as advance:
        learned = fit_hyperparameters(normal, MaskedVolume(normal.projector, mask))
        advance(1)
    predicted = None
    if samples:
        rng = np.random.default_rng(0)
        draws = centred_samples(learned.precision, samples, rng, tolerance=1e-3)
        predicted = predicted_fsc(learned.precision, learned.mean, draws)
    return Judged(
        whole.volume(),
        (first.volume(), second.volume()),
        fsc_from_snr(spectral_snr(whole.mean, mean_field_std(whole.precision))),
        learned.volume(),
        predicted,
    )


def errors(found: np.ndarray, data: Images) -> dict[str, Any]:
    """Return the squared error of a map per voxel, in two normalisations, and its resolution."""
    error = mean_squared_error(found, data.truth)
    truth = data.truth.astype(np.float64)
    return {
        "mse_of_truth_scaled_to_maximum_1": error / truth.max() ** 2,
        "mse_over_mean_square_of_truth": error / np.mean(truth**2),
        "resolution": data.resolution(fslice.fsc(found, data.truth)),
    }
