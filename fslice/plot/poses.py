"""Pictures of pose posteriors: where images look, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fslice.plot.column import draw_orientations
from fslice.plot.style import COLOURS, GREY, LARGE, NORMAL, SMALL, new_figure
from fslice.postprocess.orientations import OrientationDistribution

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_EXAMPLES = 3
_DRAWS = 300


def poses_figure(
    orientations: OrientationDistribution,
    deviations: np.ndarray,
    evidence: np.ndarray,
    examples: Sequence[tuple[np.ndarray, np.ndarray]],
    title: str = "",
) -> Figure:
    """Draw the posterior over the poses of a set of images.

    Parameters
    ----------
    orientations : OrientationDistribution
        Of the best poses.
    deviations : (n, 5) real array
        Predicted: radians of (wx, wy, wz), then pixels of (tx, ty).
    evidence : (n,) real array
        In nats, against noise alone.
    examples : sequence of (directions, angles)
        Posteriors of some images: directions of view (m, 3) of draws, and the angle of each,
        in degrees, to the best pose.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
        Independent of pyplot.
    """
    figure: Any = new_figure((12.0, 7.5))
    if title:
        figure.suptitle(title, fontsize=LARGE)
    upper, lower = figure.subfigures(2, 1, height_ratios=[1.15, 1])
    left, right = upper.subfigures(1, 2, width_ratios=[1.4, 1])
    draw_orientations(left, orientations)
    first, second = right.subplots(2, 1)
    angles = np.degrees(np.sqrt((deviations[:, :3] ** 2).sum(1)))
    _histogram(first, np.minimum(angles, np.quantile(angles, 0.99)), "predicted error [degrees]")
    _histogram(second, evidence, "evidence against noise alone [nats]")
    second.axvline(0, color=GREY, lw=1)
    panels = lower.subplots(1, _EXAMPLES, subplot_kw={"projection": "mollweide"}, squeeze=False)
    for axes, (directions, turned) in zip(panels[0], examples, strict=False):
        _draw_example(axes, directions[:_DRAWS], turned[:_DRAWS])
    for axes in panels[0][len(examples) :]:
        axes.set_visible(False)
    return figure


def _histogram(axes: Axes, values: np.ndarray, label: str) -> None:
    axes.hist(values, bins=40, color=COLOURS[0])
    axes.set_xlabel(label, fontsize=NORMAL)
    axes.set_ylabel("images", fontsize=NORMAL)
    axes.tick_params(labelsize=SMALL)
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)


def _draw_example(axes: Any, directions: np.ndarray, angles: np.ndarray) -> None:
    """Draw directions of view that the posterior of one image allows."""
    longitude = np.arctan2(directions[:, 1], directions[:, 0])
    latitude = np.arcsin(np.clip(directions[:, 2], -1, 1))
    axes.scatter(longitude, latitude, s=8, color=COLOURS[1], alpha=0.4, edgecolors="none")
    axes.set_xticklabels([])
    axes.set_yticklabels([])
    axes.grid(True, color="0.85", lw=0.5)
    axes.set_title(f"one image: half of it within {np.median(angles):.1f} degrees", fontsize=SMALL)
