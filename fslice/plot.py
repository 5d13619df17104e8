"""Pictures of a reconstruction: map, uncertainty, resolution, all in one figure."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fslice._arrays import Array, check_real, check_shape, to_numpy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito: told apart by everyone
_DASHES = ("-", "--", ":", "-.")
_GREY = "0.45"
_SMALL, _NORMAL, _LARGE = 9, 10, 12  # points
# The axes of an array in [z, y, x] that are left when one is cut or summed away.
_VIEWS = (("z", "x", "y"), ("y", "x", "z"), ("x", "y", "z"))
_MICRO = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """A shell correlation to draw.

    Parameters
    ----------
    label : str
    frequencies : (n,) real array
        In 1/Angstrom, as from ``fslice.metrics.shell_frequencies``.
    values : (n,) real array
    threshold : float, optional
        What the curve is compared with.
    resolution : float, optional
        Where it falls below, in Angstrom.
    band : pair of (n,) real arrays, optional
        Lower and upper bounds, shaded.
    """

    label: str
    frequencies: np.ndarray
    values: np.ndarray
    threshold: float | None = None
    resolution: float | None = None
    band: tuple[np.ndarray, np.ndarray] | None = None


def summary_figure(
    mean: Array,
    pixel_size: float,
    *,
    sigma: Array | None = None,
    prior_variance: float | Array = 1.0,
    curves: Sequence[Curve] = (),
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
    curves : sequence of Curve, optional
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
    mean = _checked("mean", mean)
    figure: Any = _new_figure((13, 9.3 if sigma is not None else 6.6))
    if title:
        figure.suptitle(title, fontsize=_LARGE)
    left = figure
    if curves or particles is not None or len(elbo_gains):
        left, right = figure.subfigures(1, 2, width_ratios=[1.6, 1])
        _draw_column(right, curves, particles, elbo_gains)
    upper = left
    if sigma is not None:
        upper, lower = left.subfigures(2, 1, height_ratios=[1.9, 1.1])
        _draw_sigma(lower, _checked("sigma", sigma), prior_variance, pixel_size)
    _draw_map(upper.subplots(2, 3), mean, pixel_size)
    return figure


def _checked(name: str, volume: Array) -> np.ndarray:
    check_real(name, volume)
    check_shape(name, volume, (volume.shape[0] if volume.ndim else "D",) * 3)
    return to_numpy(volume)


def _new_figure(size: tuple[float, float]) -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise ImportError(
            'drawing needs the package matplotlib: pip install "fslice[plot]"'
        ) from error
    layout = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.06, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=size, dpi=150, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _draw_map(panels: np.ndarray, mean: np.ndarray, pixel_size: float) -> None:
    """Draw three central slices above the three projections along the same axes."""
    size = len(mean)
    slices = [mean.take(size // 2, axis) for axis in range(3)]
    sums = [mean.sum(axis) for axis in range(3)]
    for row, images, what in ((0, slices, "slice at {} = 0"), (1, sums, "projection along {}")):
        low, high = np.percentile(images, [0.5, 99.8])
        for axes, image, (across, x, y) in zip(panels[row], images, _VIEWS, strict=True):
            axes.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower")
            axes.set_title(what.format(across), fontsize=_NORMAL)
            _bare(axes)
            axes.set_xlabel(x, fontsize=_SMALL, labelpad=1)
            axes.set_ylabel(y, fontsize=_SMALL, labelpad=5, rotation=0, va="center")
    _draw_scale_bar(panels[0, 0], size, pixel_size)


def _draw_scale_bar(axes: Axes, size: int, pixel_size: float) -> None:
    length = _round_length(size * pixel_size / 4)
    start, height = 0.05 * size, 0.05 * size
    axes.plot([start, start + length / pixel_size], [height, height], color="white", lw=3)
    axes.text(
        start, height + 0.03 * size, f"{length:g} Å", color="white", fontsize=_SMALL, va="bottom"
    )


def _round_length(length: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not longer.

    Examples
    --------
    >>> _round_length(89.6)
    50.0
    """
    power = 10.0 ** math.floor(math.log10(length))
    return max(step * power for step in (1, 2, 5) if step * power <= length * (1 + _MICRO))


def _draw_sigma(
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
    norm = LogNorm(max(low, high * _MICRO), high if high > low else low * 2)
    edges = (np.array([0, size]) - size // 2 - 0.5) / (size * pixel_size)
    tick = _round_length(float(edges[1]))
    panels = figure.subplots(1, 3)
    for axes, image, (across, x, y) in zip(panels, slices, _VIEWS, strict=True):
        picture = axes.imshow(
            image, cmap="viridis", norm=norm, origin="lower", extent=(*edges, *edges)
        )
        axes.set_title(f"uncertainty at $k_{across}$ = 0", fontsize=_NORMAL)
        axes.set_xlabel(f"$k_{x}$ [1/Å]", fontsize=_SMALL)
        axes.set_ylabel(f"$k_{y}$ [1/Å]", fontsize=_SMALL, labelpad=-3)
        axes.set_xticks([-tick, 0, tick])
        axes.set_yticks([-tick, 0, tick])
        axes.tick_params(labelsize=_SMALL)
    bar = figure.colorbar(picture, ax=list(panels), location="bottom", aspect=50, shrink=0.7)
    bar.set_label(
        "posterior s relative to the prior's (1: the data say nothing here)", fontsize=_NORMAL
    )
    ticks = _log_ticks(*picture.get_clim())
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.minorticks_off()
    bar.ax.tick_params(labelsize=_SMALL)


def _log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten, and 2 and 5 times these within two decades.

    Examples
    --------
    >>> _log_ticks(0.15, 1.0)
    [0.2, 0.5, 1.0]
    """
    steps = (1, 2, 5) if high < 100 * low else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{step}e{power}") for power in powers for step in steps]
    return [tick for tick in ticks if low * (1 - _MICRO) <= tick <= high * (1 + _MICRO)]


def _draw_column(
    figure: Any, curves: Sequence[Curve], particles: Array | None, elbo_gains: Sequence[float]
) -> None:
    parts = {
        "curves": (2.2, bool(curves)),
        "particles": (1.0, particles is not None),
        "gains": (1.0, bool(len(elbo_gains))),
    }
    shown = {name: height for name, (height, wanted) in parts.items() if wanted}
    rows = figure.subfigures(len(shown), 1, height_ratios=list(shown.values()), squeeze=False)
    places = dict(zip(shown, rows[:, 0], strict=True))
    if curves:
        draw_curves(places["curves"].subplots(), curves)
    if particles is not None:
        _draw_particles(places["particles"], to_numpy(particles[:3]))
    if len(elbo_gains):
        _draw_trace(places["gains"].subplots(), np.asarray(elbo_gains))


def draw_curves(axes: Axes, curves: Sequence[Curve]) -> None:
    """Draw shell correlations against frequency, with their thresholds and resolutions.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    curves : sequence of Curve

    Examples
    --------
    >>> figure = _new_figure((4, 3))
    >>> axes = figure.subplots()
    >>> frequencies = np.arange(4) / 8
    >>> draw_curves(axes, [Curve("halves", frequencies, np.array([1, 0.9, 0.5, 0.1]), 0.5, 4.0)])
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['halves: 4.00 Å at 0.5']
    """
    from matplotlib.transforms import ScaledTranslation

    highest = max(float(curve.frequencies[-1]) for curve in curves)
    for threshold in sorted({curve.threshold for curve in curves if curve.threshold}):
        axes.axhline(threshold, color=_GREY, lw=0.8)
        axes.annotate(
            f"{threshold:g}", (0, threshold), (3, 2), textcoords="offset points",
            fontsize=_SMALL, color=_GREY,
        )  # fmt: skip
    for curve, style in zip(curves, _styles(curves), strict=True):
        colour = _COLOURS[style]
        axes.plot(
            curve.frequencies,
            curve.values,
            color=colour,
            ls=_DASHES[style],
            lw=1.8,
            label=_legend(curve),
        )
        if curve.band is not None:
            axes.fill_between(curve.frequencies, *curve.band, color=colour, alpha=0.25, lw=0)
        if curve.threshold and curve.resolution and _falls_below(curve):
            axes.plot(1 / curve.resolution, curve.threshold, "o", color=colour, ms=6, clip_on=False)
    axes.set_xlim(0, highest)
    axes.set_ylim(min(0.0, *(float(curve.values.min()) for curve in curves)), 1.02)
    axes.set_xlabel("spatial frequency [1/Å]", fontsize=_NORMAL)
    axes.set_ylabel("Fourier shell correlation", fontsize=_NORMAL)
    axes.tick_params(labelsize=_SMALL)
    axes.spines["right"].set_visible(False)
    _draw_lengths(axes, highest)
    # Above the axes and its labels, where no curve can run through it.
    place = axes.transAxes + ScaledTranslation(0, 24 / 72, axes.figure.dpi_scale_trans)
    axes.legend(
        fontsize=_NORMAL,
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        bbox_transform=place,
        borderaxespad=0,
    )


def _styles(curves: Sequence[Curve]) -> list[int]:
    """Return a style for each curve; those that are only shown look the same in every figure."""
    compared = itertools.cycle((0, 1, 3))
    return [2 if curve.threshold is None else next(compared) for curve in curves]


def _legend(curve: Curve) -> str:
    if curve.threshold is None or curve.resolution is None:
        return curve.label
    if math.isinf(curve.resolution):
        return f"{curve.label}: below {curve.threshold:g} throughout"
    if not _falls_below(curve):
        return f"{curve.label}: above {curve.threshold:g} to the end, {curve.resolution:.2f} Å"
    return f"{curve.label}: {curve.resolution:.2f} Å at {curve.threshold:g}"


def _falls_below(curve: Curve) -> bool:
    """Return whether the curve starts above its threshold and crosses it."""
    below = curve.values[1:] < curve.threshold
    return bool(below.any()) and not below[0]


def _draw_lengths(axes: Axes, highest: float) -> None:
    """Label the upper edge with the lengths that frequencies stand for."""
    lengths = [_round_to_two_digits(1 / (highest * part)) for part in (0.2, 0.4, 0.6, 0.8, 1)]
    upper = axes.secondary_xaxis("top")
    upper.set_xticks([1 / length for length in lengths], [f"{length:g} Å" for length in lengths])
    upper.tick_params(labelsize=_SMALL)


def _round_to_two_digits(value: float) -> float:
    return float(f"{value:.2g}")


def _draw_particles(figure: Any, particles: np.ndarray) -> None:
    panels = figure.subplots(1, 3, squeeze=False)[0]
    for axes, image in zip(panels, particles, strict=False):
        low, high = np.percentile(image, [0.5, 99.5])
        axes.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower")
        _bare(axes)
    for axes in panels[len(particles) :]:
        axes.set_visible(False)
    panels[0].set_title("some of the images", fontsize=_NORMAL, loc="left")


def _draw_trace(axes: Axes, gains: np.ndarray) -> None:
    axes.plot(range(len(gains)), gains, color=_COLOURS[0], lw=1.8, marker=".", clip_on=False)
    axes.set_xlim(0, max(len(gains) - 1, 1))
    axes.set_xlabel("epoch", fontsize=_NORMAL)
    axes.set_ylabel("gain in ELBO\n[nats]", fontsize=_NORMAL)
    axes.locator_params(axis="x", integer=True)
    axes.ticklabel_format(axis="y", useMathText=True, scilimits=(-3, 4))
    axes.yaxis.get_offset_text().set_fontsize(_SMALL)
    axes.tick_params(labelsize=_SMALL)
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
