"""A reconstruction in one figure: map, uncertainty, resolution, and what it was made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fslice._arrays import Array, to_numpy
from fslice.plot.column import draw_orientations, draw_particles, draw_trace
from fslice.plot.curves import Curve, draw_curves
from fslice.plot.style import LARGE, checked, new_figure
from fslice.plot.volumes import draw_local_resolution, draw_map, draw_sigma, draw_voxel_std
from fslice.postprocess.orientations import OrientationDistribution

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _MAP_HEIGHT, _ROW_HEIGHT = 13.0, 6.6, 2.7  # inches


def summary_figure(
    mean: Array,
    pixel_size: float,
    *,
    sigma: Array | None = None,
    prior_variance: float | Array = 1.0,
    voxel_std: Array | None = None,
    local_resolution: Array | None = None,
    mask: Array | None = None,
    curves: Sequence[Curve] = (),
    orientations: OrientationDistribution | None = None,
    particles: Array | None = None,
    elbo_gains: Sequence[float] = (),
    title: str = "",
) -> Figure:
    """Draw a map, its uncertainty, its resolution, and what it was made from.

    Parameters
    ----------
    mean : (D, D, D) real array
        The map, in the order [z, y, x].
    pixel_size : float
        In Angstrom.
    sigma : (M, M, M) real array, optional
        Posterior standard deviation on the centred Fourier grid; M / D is the oversampling.
    prior_variance : float or (M//2 + 1,) real array, optional
        Of the Fourier coefficients, or of each shell: `sigma` is shown relative to its root.
    voxel_std : (D, D, D) real array, optional
        Posterior standard deviation of voxels, from samples; shown smoothed.
    local_resolution : (D, D, D) real array, optional
        In Angstrom, NaN where there is none, as from `fslice.postprocess.local_resolution`.
    mask : (D, D, D) real array, optional
        From 0 to 1; its outline is drawn.
    curves : sequence of Curve, optional
        See `half_map_curves` for those of half maps.
    orientations : OrientationDistribution, optional
    particles : (n, D, D) real array, optional
        Examples of images; the first three are shown.
    elbo_gains : sequence of float, optional
        Evidence lower bound at the beginning and after every epoch, over that of the prior,
        in nats.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
        Independent of pyplot; save it with its `savefig`.

    Raises
    ------
    ImportError
        The package matplotlib is missing.

    Examples
    --------
    >>> figure = summary_figure(np.random.default_rng(0).normal(size=(8, 8, 8)), 2.0)
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['slice at z = 0', 'slice at y = 0']
    """
    mean = checked("mean", mean)
    rows: list[Callable[[Any], None]] = []
    if local_resolution is not None:
        places = checked("local_resolution", local_resolution)
        rows.append(lambda part: draw_local_resolution(part, mean, places))
    if voxel_std is not None:
        deviations = checked("voxel_std", voxel_std)
        rows.append(lambda part: draw_voxel_std(part, deviations))
    if sigma is not None:
        spread = checked("sigma", sigma)
        rows.append(lambda part: draw_sigma(part, spread, prior_variance, pixel_size))
    outline = None if mask is None else checked("mask", mask)
    figure: Any = new_figure((_WIDTH, _MAP_HEIGHT + _ROW_HEIGHT * len(rows)))
    if title:
        figure.suptitle(title, fontsize=LARGE)
    left = figure
    parts = _column(curves, orientations, particles, elbo_gains)
    if parts:
        left, right = figure.subfigures(1, 2, width_ratios=[1.6, 1])
        _draw_rows(right, parts)
    _draw_rows(
        left,
        [(1.9, lambda part: draw_map(part.subplots(2, 3), mean, pixel_size, outline))]
        + [(1.1, row) for row in rows],
    )
    return figure


_Part = tuple[float, Callable[[Any], None]]
"""A height, and what draws into a figure of it."""


def _column(
    curves: Sequence[Curve],
    orientations: OrientationDistribution | None,
    particles: Array | None,
    elbo_gains: Sequence[float],
) -> list[_Part]:
    """Return what stands beside the map."""
    parts: list[_Part] = []
    if curves:
        parts.append((2.2, lambda part: draw_curves(part.subplots(), curves)))
    if orientations is not None:
        parts.append((1.2, lambda part: draw_orientations(part, orientations)))
    if particles is not None:
        images = to_numpy(particles[:3])
        parts.append((1.0, lambda part: draw_particles(part, images)))
    if len(elbo_gains):
        parts.append((1.0, lambda part: draw_trace(part.subplots(), np.asarray(elbo_gains))))
    return parts


def _draw_rows(figure: Any, parts: list[_Part]) -> None:
    """Draw parts below each other, at their relative heights."""
    if len(parts) == 1:
        parts[0][1](figure)
        return
    heights = [height for height, _ in parts]
    rows = figure.subfigures(len(parts), 1, height_ratios=heights, squeeze=False)
    for row, (_, draw) in zip(rows[:, 0], parts, strict=True):
        draw(row)
