"""Central slices of maps: density, uncertainty, local resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.ndimage

from fslice._arrays import Array
from fslice.plot.style import MICRO, NORMAL, SMALL, VIEWS, bare, log_ticks, round_length

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SMOOTHED = 1.5
"""Standard deviation in voxels of the Gaussian that smooths standard deviations."""
_LEFTS = (0.022, 0.353, 0.687)
"""Where three panels of a row begin, as shares of its width."""


def draw_map(
    panels: np.ndarray, mean: np.ndarray, pixel_size: float, mask: np.ndarray | None = None
) -> None:
    """Draw three central slices, with the mask's outline, above the projections along them."""
    size = len(mean)
    slices = [mean.take(size // 2, axis) for axis in range(3)]
    sums = [mean.sum(axis) for axis in range(3)]
    for row, images, what in ((0, slices, "slice at {} = 0"), (1, sums, "projection along {}")):
        low, high = np.percentile(images, [0.5, 99.8])
        for axes, image, (across, x, y) in zip(panels[row], images, VIEWS, strict=True):
            axes.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower")
            _name_axes(axes, what.format(across), x, y)
    if mask is not None:
        for axes, axis in zip(panels[0], range(3), strict=True):
            _draw_outline(axes, mask.take(size // 2, axis))
    _draw_scale_bar(panels[0, 0], size, pixel_size)


def _draw_scale_bar(axes: Axes, size: int, pixel_size: float) -> None:
    length = round_length(size * pixel_size / 4)
    start, height = 0.05 * size, 0.05 * size
    axes.plot([start, start + length / pixel_size], [height, height], color="white", lw=3)
    axes.text(
        start, height + 0.03 * size, f"{length:g} Å", color="white", fontsize=SMALL, va="bottom"
    )


def draw_sigma(
    figure: Any, sigma: np.ndarray, prior_variance: float | Array, pixel_size: float
) -> None:
    """Draw central slices of the uncertainty, on one logarithmic scale of colours."""
    from matplotlib.colors import LogNorm

    size = len(sigma)
    width = np.broadcast_to(np.sqrt(prior_variance), size // 2 + 1)
    axis = np.arange(size) - size // 2
    distance = np.rint(np.sqrt(sum(k**2 for k in np.ix_(axis, axis, axis)))).astype(int)
    ratio = sigma / width[np.minimum(distance, size // 2)]
    slices = [ratio.take(size // 2, axis) for axis in range(3)]
    low, high = min(image.min() for image in slices), max(image.max() for image in slices)
    norm = LogNorm(max(low, high * MICRO), high if high > low else low * 2)
    edges = (np.array([0, size]) - size // 2 - 0.5) / (size * pixel_size)
    tick = round_length(float(edges[1]))
    panels = figure.subplots(1, 3)
    for axes, image, (across, x, y) in zip(panels, slices, VIEWS, strict=True):
        picture = axes.imshow(
            image, cmap="viridis", norm=norm, origin="lower", extent=(*edges, *edges)
        )
        axes.set_title(f"uncertainty at $k_{across}$ = 0", fontsize=NORMAL)
        axes.set_xlabel(f"$k_{x}$ [1/Å]", fontsize=SMALL)
        axes.set_ylabel(f"$k_{y}$ [1/Å]", fontsize=SMALL, labelpad=-3)
        axes.set_xticks([-tick, 0, tick])
        axes.set_yticks([-tick, 0, tick])
        axes.tick_params(labelsize=SMALL)
    label = "posterior s relative to the prior's (1: the data say nothing here)"
    bar = _draw_bar(
        figure, picture, label, ax=list(panels), location="bottom", aspect=50, shrink=0.7
    )
    ticks = log_ticks(*picture.get_clim())
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.minorticks_off()
    bar.ax.tick_params(labelsize=SMALL)


def draw_local_resolution(figure: Any, mean: np.ndarray, resolution: np.ndarray) -> None:
    """Draw central slices of the local resolution over those of the map."""
    known = resolution[np.isfinite(resolution)]
    low, high = np.percentile(known, [2, 98]) if len(known) else (0.0, 1.0)
    picture = None
    panels, below = _placed(figure)
    size = len(mean)
    for axis, (axes, (across, x, y)) in enumerate(zip(panels, VIEWS, strict=True)):
        axes.imshow(mean.take(size // 2, axis), cmap="gray", origin="lower")
        picture = axes.imshow(
            np.ma.masked_invalid(resolution.take(size // 2, axis)),
            cmap="viridis_r", vmin=low, vmax=max(high, low * (1 + MICRO)), origin="lower",
        )  # fmt: skip
        _name_axes(axes, f"local resolution at {across} = 0", x, y)
    _draw_bar(figure, picture, "local resolution [Å], from half maps", cax=below)


def draw_voxel_std(figure: Any, voxel_std: np.ndarray) -> None:
    """Draw central slices of the standard deviation of voxels, its variance smoothed."""
    smooth = np.sqrt(scipy.ndimage.gaussian_filter(voxel_std.astype(np.float64) ** 2, _SMOOTHED))
    size = len(smooth)
    slices = [smooth.take(size // 2, axis) for axis in range(3)]
    low, high = np.percentile(slices, [0.5, 99.5])
    panels, below = _placed(figure)
    picture = None
    for axes, image, (across, x, y) in zip(panels, slices, VIEWS, strict=True):
        picture = axes.imshow(image, cmap="magma", vmin=low, vmax=high, origin="lower")
        _name_axes(axes, f"uncertainty at {across} = 0", x, y)
    _draw_bar(
        figure, picture, "posterior standard deviation of a voxel, in the map's unit, smoothed",
        cax=below,
    )  # fmt: skip


def _placed(figure: Any) -> tuple[list[Any], Any]:
    """Return three axes, and below them one for a bar, placed by hand.

    To find their places from all that is written about them takes as long as to draw them.
    """
    panels = [figure.add_axes((left, 0.27, 0.3, 0.66)) for left in _LEFTS]
    return panels, figure.add_axes((0.15, 0.15, 0.7, 0.035))


def _draw_outline(axes: Axes, mask: np.ndarray) -> None:
    if mask.min() < 0.5 <= mask.max():
        axes.contour(mask, [0.5], colors=["#E69F00"], linewidths=0.9)


def _name_axes(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=NORMAL)
    bare(axes)
    axes.set_xlabel(x, fontsize=SMALL, labelpad=1)
    axes.set_ylabel(y, fontsize=SMALL, labelpad=5, rotation=0, va="center")


def _draw_bar(figure: Any, picture: Any, label: str, **place: Any) -> Any:
    bar = figure.colorbar(picture, orientation="horizontal", **place)
    bar.set_label(label, fontsize=NORMAL)
    bar.ax.tick_params(labelsize=SMALL)
    return bar
