"""What the figures of the experiments share."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from fslice.metrics import shell_frequencies
from fslice.plot.style import COLOURS, DASHES, NORMAL, SMALL, new_figure

__all__ = ["COLOURS", "DASHES", "NORMAL", "SMALL", "draw_correlations", "new_figure", "save"]

DPI = 100


def draw_correlations(
    axes: Any, curves: Mapping[str, np.ndarray], size: int, pixel_size: float
) -> None:
    """Draw shell correlations against frequency, and the two usual thresholds."""
    frequencies = shell_frequencies(size, pixel_size)
    for index, (label, curve) in enumerate(curves.items()):
        axes.plot(
            frequencies, curve, label=label, lw=1.6,
            color=COLOURS[index % len(COLOURS)], linestyle=DASHES[index % len(DASHES)],
        )  # fmt: skip
    for threshold in (0.5, 0.143):
        axes.axhline(threshold, color="0.6", lw=0.8)
    axes.set(ylim=(-0.03, 1.03), xlim=(0, frequencies[-1]))
    axes.set_xlabel("spatial frequency [1/Å]", fontsize=NORMAL)
    axes.tick_params(labelsize=SMALL)


def save(figure: Any, path: Any) -> None:
    """Write a figure, small enough for a page: by its 256 most frequent colours."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DPI)
    picture = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(path, format="png", optimize=True)
