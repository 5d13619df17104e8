"""What stands beside the map: directions of view, images, the course of the fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fslice.plot.style import COLOURS, NORMAL, SMALL, bare
from fslice.postprocess.healpix import bin_of
from fslice.postprocess.orientations import OrientationDistribution

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES = 180
"""Parallels of the picture of the sphere."""


def draw_orientations(figure: Any, found: OrientationDistribution) -> None:
    """Draw the directions of view on the sphere, in Mollweide's projection of equal areas."""
    axes = figure.subplots(subplot_kw={"projection": "mollweide"})
    latitude = np.linspace(-np.pi / 2, np.pi / 2, _LINES + 1)
    longitude = np.linspace(-np.pi, np.pi, 2 * _LINES + 1)
    y = (latitude[:-1, None] + latitude[1:, None]) / 2
    x = (longitude[:-1] + longitude[1:]) / 2
    directions = np.stack(
        np.broadcast_arrays(np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)), axis=-1
    )
    density = found.counts / max(found.counts.mean(), 1e-300)
    shown = np.ma.masked_equal(density[bin_of(directions, found.nside)], 0)
    picture = axes.pcolormesh(
        longitude, latitude, shown, cmap="viridis", vmin=0, rasterized=True, shading="flat"
    )
    axes.set_facecolor("0.85")
    bare(axes)
    axes.grid(False)
    for place, height, text in ((0, 0, "x"), (np.pi / 2, 0, "y"), (0, 1.3, "z")):
        axes.text(place, height, text, color="white", fontsize=NORMAL, ha="center", va="center")
    unseen = f", {100 * found.unseen:.0f} % of frequencies unseen" if found.unseen >= 0.005 else ""
    axes.set_title(
        f"directions of view: efficiency {found.efficiency:.2f}{unseen}", fontsize=NORMAL
    )
    bar = figure.colorbar(picture, ax=axes, location="right", shrink=0.5, aspect=12)
    bar.set_label("images, relative\nto an even spread", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)


def draw_particles(figure: Any, particles: np.ndarray) -> None:
    """Draw three images."""
    panels = figure.subplots(1, 3, squeeze=False)[0]
    for axes, image in zip(panels, particles, strict=False):
        low, high = np.percentile(image, [0.5, 99.5])
        axes.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower")
        bare(axes)
    for axes in panels[len(particles) :]:
        axes.set_visible(False)
    panels[0].set_title("some of the images", fontsize=NORMAL, loc="left")


def draw_trace(axes: Axes, gains: np.ndarray) -> None:
    """Draw the gain in the bound, epoch by epoch."""
    axes.plot(range(len(gains)), gains, color=COLOURS[0], lw=1.8, marker=".", clip_on=False)
    axes.set_xlim(0, max(len(gains) - 1, 1))
    axes.set_xlabel("epoch", fontsize=NORMAL)
    axes.set_ylabel("gain in ELBO\n[nats]", fontsize=NORMAL)
    axes.locator_params(axis="x", integer=True)
    axes.ticklabel_format(axis="y", useMathText=True, scilimits=(-3, 4))
    axes.yaxis.get_offset_text().set_fontsize(SMALL)
    axes.tick_params(labelsize=SMALL)
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
