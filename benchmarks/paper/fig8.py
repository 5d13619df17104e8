"""Figure 8: the maps of the medium and the high noise level, as solid bodies."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.paper.data import simulated
from benchmarks.paper.figures import NORMAL, new_figure, save
from benchmarks.paper.fits import errors, half_sums, judge
from benchmarks.paper.settings import Settings, noise_name, noise_title
from fslice.plot.surface import draw_surfaces, level_of_share

SNR = (0.04, 0.01)
VIEWS = {
    "side": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "top": np.diag([1.0, -1, -1]),
}
"""The seven-fold axis is z: across it, and along it."""
SHARE = 0.02
"""The body's volume over the box's: about that of the complex, 870 kDa at 1.21 cubic Angstrom."""
MARGIN = 0.16
"""Of the box that is not shown, on each side."""


def run(settings: Settings) -> dict[str, Any]:
    """Fit as the paper does and as we would, and draw both from the side and from the top."""
    figure = new_figure((7.0, 6.8 * len(settings.snr)))
    panels = iter(figure.subplots(2 * len(settings.snr), 2, squeeze=False))
    report: dict[str, Any] = {}
    for snr in settings.snr:
        data = simulated(settings, snr)
        found = judge(half_sums(data, 0, len(data)), data.size)
        maps = {"one prior": found.mean, "prior per shell, sphere": found.learned}
        for name, volume in maps.items():
            draw_sides(next(panels), volume, f"{noise_title(snr)}, {name}: ")
        report[noise_name(snr)] = {name: errors(volume, data) for name, volume in maps.items()}
    save(figure, settings.figure_path("fig8"))
    return {"levels": report}


def draw_sides(panels: np.ndarray, volume: np.ndarray, title: str) -> None:
    """Draw a map from the side and from the top, at the volume of the complex."""
    draw_surfaces(panels, volume, level_of_share(volume, SHARE), VIEWS)
    for axes, name in zip(panels, VIEWS, strict=True):
        axes.set_title(title + name, fontsize=NORMAL)
        side = len(volume) * 2  # pixels of the picture
        axes.set(
            xlim=(MARGIN * side, (1 - MARGIN) * side), ylim=(MARGIN * side, (1 - MARGIN) * side)
        )
