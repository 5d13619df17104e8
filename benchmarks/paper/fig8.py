"""Figure 8: the maps of the medium and the high noise level, as solid bodies."""

from __future__ import annotations

from typing import Any

import numpy as np

import fslice
from benchmarks.paper.data import simulated
from benchmarks.paper.figures import NORMAL, new_figure, save
from benchmarks.paper.fits import calibrated, errors, fit
from benchmarks.paper.settings import Settings, noise_name
from fslice.plot.surface import draw_surfaces, level_of_share

SNR = (0.04, 0.01)
VIEWS = {
    "side": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "top": np.diag([1.0, -1, -1]),
}
"""The seven-fold axis is z: across it, and along it."""
SHARE = 0.02
"""The body's volume over the box's: about that of the complex, 870 kDa at 1.21 cubic Angstrom."""


def run(settings: Settings) -> dict[str, Any]:
    """Fit as the paper does and as we would, and draw both from the side and from the top."""
    fits = {
        "one prior": lambda data: fit(data.dataset(), solver=fslice.Exact(), prior="scalar"),
        "prior per shell, sphere": lambda data: calibrated(data.dataset()),
    }
    rows = [(snr, name) for snr in settings.snr for name in fits]
    figure = new_figure((7.0, 3.4 * len(rows)))
    panels = figure.subplots(len(rows), 2, squeeze=False)
    report: dict[str, Any] = {}
    for row, (snr, name) in zip(panels, rows, strict=True):
        data = simulated(settings, snr)
        found = fits[name](data)
        draw_sides(row, found.mean, f"SNR {noise_name(snr)}, {name}: ")
        report.setdefault(noise_name(snr), {})[name] = errors(found.mean, data)
    save(figure, settings.figure_path("fig8"))
    return {"levels": report}


def draw_sides(panels: np.ndarray, volume: np.ndarray, title: str) -> None:
    """Draw a map from the side and from the top, at the volume of the complex."""
    draw_surfaces(panels, volume, level_of_share(volume, SHARE), VIEWS)
    for axes, name in zip(panels, VIEWS, strict=True):
        axes.set_title(title + name, fontsize=NORMAL)
