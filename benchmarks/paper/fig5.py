"""Figures 5, 9 and 10: a cone of views, and the uncertainty where it leaves gaps."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from scipy.stats import spearmanr

import fslice
from benchmarks.paper.data import Images, simulated
from benchmarks.paper.fig8 import draw_sides
from benchmarks.paper.figures import NORMAL, SMALL, new_figure, save
from benchmarks.paper.fits import errors, fit
from benchmarks.paper.settings import CLEAN, Settings, noise_name, noise_title
from fslice.fourier import hermitian_weights, radii
from fslice.posterior.result import full_grid
from fslice.postprocess.sampling_density import cone_sampling_density, sampling_density

SNR = (CLEAN, 0.04)
SOLVERS = {"exact": fslice.Exact, "adam": fslice.Adam}
CONE = 30.0
"""Full angle in degrees: tilts within 15."""
CLOSE = 0.05
"""How near to the prior's deviation counts as having learned nothing."""
FAR = 0.5
"""Where frequencies are far out, as a share of Nyquist: the centre dominates a correlation."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what belongs to this experiment."""
    parser.add_argument("--cone", type=float, default=CONE, help="full angle, degrees")
    parser.add_argument("--solver", choices=SOLVERS, default="exact")


def run(settings: Settings) -> dict[str, Any]:
    """Fit to views from a cone, and compare the uncertainty with the sampling density."""
    levels = settings.snr
    figure = new_figure((3.4 * (len(levels) + 1), 4.2))
    panels = figure.subplots(1, len(levels) + 1, squeeze=False)[0]
    solids = new_figure((7.0, 3.4 * len(levels)))
    sides = solids.subplots(len(levels), 2, squeeze=False)
    report, cone = {}, settings.options["cone"]
    for axes, row, snr in zip(panels, sides, levels, strict=False):
        data = simulated(settings, snr, cone)
        found = fit(data.dataset(), solver=SOLVERS[settings.options["solver"]](), prior="scalar")
        relative = found.posterior_std / np.sqrt(found.prior_variance)
        picture = _draw_slice(axes, relative, f"s over the prior's, {noise_title(snr)}")
        figure.colorbar(picture, ax=axes, location="bottom", shrink=0.8)
        draw_sides(row, found.mean, f"{noise_title(snr)}: ")
        report[noise_name(snr)] = {
            "converged": found.converged,
            **_numbers(data, relative, cone),
            **errors(found.mean, data),
        }
    density = np.log10(cone_sampling_density(settings.size, cone / 2) + 1e-6)
    picture = _draw_slice(panels[-1], density, "log10 of the density, closed form", None)
    figure.colorbar(picture, ax=panels[-1], location="bottom", shrink=0.8)
    save(figure, settings.figure_path("fig5"))
    save(solids, settings.figure_path("fig10"))
    return {"levels": report}


def _numbers(data: Images, relative: np.ndarray, cone: float) -> dict[str, Any]:
    """Return how the precision ``1/s^2``, over the prior's, follows the density of samples."""
    size = data.size
    counted = sampling_density(data.rotations, size).astype(np.float64)
    expected = len(data) * cone_sampling_density(size, cone / 2)
    distance = radii(size, 3)
    band = (distance > 0) & (distance <= (size - 1) // 2)
    precision = relative[band].astype(np.float64) ** -2
    weights = np.broadcast_to(hermitian_weights(size), band.shape)[band]
    unseen = counted[band] == 0
    far = (distance >= FAR * size / 2)[band]
    return {
        "correlation_with_counted_density": _correlation(precision, counted[band], weights),
        "correlation_with_closed_form": _correlation(precision, expected[band], weights),
        "the_same_beyond_half_of_nyquist": _correlation(
            precision[far], expected[band][far], weights[far]
        ),
        "rank_correlation_with_counted_density": spearmanr(precision, counted[band]).statistic,
        "share_of_the_band_unobserved": _share(unseen, weights),
        "share_unobserved_by_closed_form": _share(expected[band] == 0, weights),
        "share_of_unobserved_at_the_prior": _share(
            (abs(relative[band] - 1) < CLOSE)[unseen], weights[unseen]
        ),
        "share_of_observed_at_the_prior": _share(
            (abs(relative[band] - 1) < CLOSE)[~unseen], weights[~unseen]
        ),
        "median_of_observed": float(np.median(relative[band][~unseen])),
    }


def _correlation(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> float:
    """Return Pearson's correlation over the full spectrum."""
    covariance = np.cov(a, b, aweights=weights)
    return float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))


def _share(chosen: np.ndarray, weights: np.ndarray) -> float:
    return float((chosen * weights).sum() / weights.sum())


def _draw_slice(axes: Any, half: np.ndarray, title: str, largest: float | None = 1.0) -> Any:
    """Draw the central slice ``ky = 0`` of what a half spectrum holds; z goes up."""
    size = len(half)
    grid = full_grid(half)[:, size // 2]
    edge = size / 2
    picture = axes.imshow(
        grid, origin="lower", cmap="viridis", vmin=None if largest is None else 0, vmax=largest,
        extent=(-edge, edge, -edge, edge),
    )  # fmt: skip
    axes.set_title(title, fontsize=NORMAL)
    axes.set_xlabel("$k_x$", fontsize=SMALL)
    axes.set_ylabel("$k_z$", fontsize=SMALL)
    return picture
