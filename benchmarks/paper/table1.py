"""Table 1: the Dirac and the Gaussian posterior by Adam, beside two solvers that are not."""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import fslice
from benchmarks.paper.data import Images, simulated
from benchmarks.paper.fits import errors, fit
from benchmarks.paper.settings import CLEAN, Settings, noise_name

SNR = (CLEAN, 1.0)
FITS: dict[str, dict[str, Any]] = {
    "adam, dirac": {"solver": fslice.Adam(), "posterior": "dirac"},
    "adam, gaussian": {"solver": fslice.Adam(), "posterior": "gaussian"},
    "exact, one prior": {"solver": fslice.Exact(), "prior": "scalar"},
    "exact, prior per shell": {"solver": fslice.Exact()},
    "weighted back-projection": {"solver": fslice.Wiener()},
}
WARM_UP = 64
"""Images of a first fit, which compiles."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what belongs to this experiment."""
    parser.add_argument(
        "--fits", nargs="+", choices=FITS, default=list(FITS), help="which of them to run"
    )


def run(settings: Settings) -> dict[str, Any]:
    """Fit, and measure time, error and resolution."""
    report: dict[str, Any] = {}
    for snr in settings.snr:
        data = simulated(settings, snr)
        _warm_up(data, settings.options["fits"])
        report[noise_name(snr)] = {
            name: _row(data, FITS[name]) for name in settings.options["fits"]
        }
    return {"fits": report}


def _warm_up(data: Images, names: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few images leave most of the band unseen
        for name in names:
            fslice.reconstruct(data.dataset(min(WARM_UP, len(data))), **FITS[name])


def _row(data: Images, options: dict[str, Any]) -> dict[str, Any]:
    """Return one column of the paper's table."""
    found = fit(data.dataset(), **options)
    return {
        "seconds": found.seconds,
        "converged": found.converged,
        "iterations": found.iterations,
        "elbo": found.elbo,
        "noise_variance": found.noise_variance,
        **errors(found.mean, data),
    }
