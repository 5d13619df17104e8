"""Figure 4: shell correlations with the truth and between halves, and what predicts them."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import fslice
from benchmarks.paper.data import Images, simulated
from benchmarks.paper.figures import NORMAL, SMALL, draw_correlations, new_figure, save
from benchmarks.paper.fits import Judged, fit, half_sums, judge
from benchmarks.paper.settings import Settings, noise_name, noise_title
from fslice.metrics import credible_band, shell_frequencies

SNR = (0.04, 0.01)
DIRAC, GAUSSIAN = "Dirac, truth", "Gaussian, truth"
HALF_A, HALF_B, HALVES = "Dirac A, truth", "Dirac B, truth", "Dirac A, Dirac B"
ALPHA, LEARNED, PREDICTED = "alpha/(1+alpha)", "prior per shell, sphere: truth", "... predicted"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what belongs to this experiment."""
    parser.add_argument(
        "--dirac",
        choices=("exact", "adam"),
        default="exact",
        help="what finds the Dirac posteriors",
    )


def run(settings: Settings) -> dict[str, Any]:
    """Fit at each noise level, draw the curves, and read resolutions from them."""
    figure = new_figure((4.6 * len(settings.snr), 8.4))
    panels = figure.subplots(2, len(settings.snr), squeeze=False, sharey=True)
    report = {}
    for column, snr in zip(panels.T, settings.snr, strict=True):
        data = simulated(settings, snr)
        found = judge(half_sums(data, 0, len(data)), data.size)
        curves = all_curves(found, data.truth)
        if settings.options["dirac"] == "adam":
            curves |= _by_adam(data)
        _draw(column, curves, credible_band(found.predicted), data, snr)
        report[noise_name(snr)] = {
            "resolutions": resolutions(curves, data),
            "curves": {name: np.round(curve, 4) for name, curve in curves.items()},
            **statements(curves, data),
        }
    save(figure, settings.figure_path("fig4"))
    return {"levels": report}


def all_curves(found: Judged, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Return the paper's curves and the calibrated prediction."""
    whole, (first, second) = fslice.fsc(found.mean, truth), found.halves
    return {
        DIRAC: whole,
        GAUSSIAN: whole,
        HALF_A: fslice.fsc(first, truth),
        HALF_B: fslice.fsc(second, truth),
        HALVES: fslice.fsc(first, second),
        ALPHA: found.alpha,
        LEARNED: fslice.fsc(found.learned, truth),
        PREDICTED: found.predicted.mean(0),
    }


def _by_adam(data: Images) -> dict[str, np.ndarray]:
    """Return the curves of the Dirac posteriors of all images and of both halves."""
    options = {"solver": fslice.Adam(), "prior": "scalar", "posterior": "dirac"}
    found = fit(data.dataset(halves=True), **options)
    first, second = found.half_maps
    return {
        DIRAC: fslice.fsc(found.mean, data.truth),
        HALF_A: fslice.fsc(first, data.truth),
        HALF_B: fslice.fsc(second, data.truth),
        HALVES: fslice.fsc(first, second),
    }


def resolutions(curves: dict[str, np.ndarray], data: Images) -> dict[str, Any]:
    """Return where each curve falls below both thresholds."""
    return {
        name: {str(t): data.resolution(curve, t) for t in (0.5, 0.143)}
        for name, curve in curves.items()
    }


def statements(curves: dict[str, np.ndarray], data: Images) -> dict[str, Any]:
    """Return numbers behind the paper's statements about these curves."""
    band = slice(1, (data.size - 1) // 2 + 1)
    above = curves[ALPHA][band] > curves[HALVES][band]
    shell = {name: data.resolution(curve)["shell"] for name, curve in curves.items()}
    return {
        "largest_difference_of_dirac_and_gaussian": abs(curves[DIRAC] - curves[GAUSSIAN])[
            band
        ].max(),
        "share_of_shells_where_alpha_is_above_the_halves": above.mean(),
        "shells_from_alpha_to_truth_at_0.5": shell[ALPHA] - shell[GAUSSIAN],
        "shells_from_prediction_to_truth_at_0.5": shell[PREDICTED] - shell[LEARNED],
        "steepest_shell": {
            name: int(np.argmin(np.diff(curve[band]))) + band.start + 1
            for name, curve in curves.items()
        },
    }


def _draw(
    panels: np.ndarray,
    curves: dict[str, np.ndarray],
    band: tuple[np.ndarray, np.ndarray],
    data: Images,
    snr: float,
) -> None:
    paper = {name: curves[name] for name in (GAUSSIAN, DIRAC, HALF_A, HALF_B, HALVES)}
    ours = {name: curves[name] for name in (LEARNED, PREDICTED, ALPHA, GAUSSIAN)}
    frequencies = shell_frequencies(data.size, data.pixel_size)
    for axes, shown in zip(panels, (paper, ours), strict=True):
        draw_correlations(axes, shown, data.size, data.pixel_size)
    panels[0].plot(frequencies, curves[ALPHA], color="k", lw=1.6, linestyle=":", label=ALPHA)
    panels[1].fill_between(frequencies, *band, color="0.5", alpha=0.4, lw=0)
    panels[0].set_title(f"the paper's curves, {noise_title(snr)}", fontsize=NORMAL)
    panels[1].set_title("the calibrated prediction", fontsize=NORMAL)
    for axes in panels:
        axes.legend(frameon=False, fontsize=SMALL, loc="lower left")
