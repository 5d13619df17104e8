"""Shell correlations, drawn against frequency."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fslice.plot.style import COLOURS, DASHES, GREY, NORMAL, SMALL, round_to_two_digits
from fslice.postprocess.fsc import HalfMapFSC

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    reliable : bool, optional
        Curves that are not are drawn thin, and the picture says so.
    """

    label: str
    frequencies: np.ndarray
    values: np.ndarray
    threshold: float | None = None
    resolution: float | None = None
    band: tuple[np.ndarray, np.ndarray] | None = None
    reliable: bool = True


def half_map_curves(found: HalfMapFSC) -> list[Curve]:
    """Return the curves of two half maps to draw, the corrected one first.

    Examples
    --------
    >>> from fslice.postprocess.fsc import corrected_fsc
    >>> halves = np.random.default_rng(0).normal(size=(2, 8, 8, 8))
    >>> [curve.label for curve in half_map_curves(corrected_fsc(*halves, np.ones((8,) * 3), 1.0))]
    ['half maps, corrected', 'masked', 'unmasked', 'masked, random phases']
    """
    curves = []
    for name, label in (
        ("corrected", "half maps, corrected"),
        ("masked", "masked"),
        ("unmasked", "unmasked"),
    ):
        reached = found.resolutions[name]
        values = getattr(found, name)
        curves.append(
            Curve(label, found.frequencies, values, reached.threshold, reached.first_falls)
        )
    return [*curves, Curve("masked, random phases", found.frequencies, found.randomized)]


def draw_curves(axes: Axes, curves: Sequence[Curve]) -> None:
    """Draw shell correlations against frequency, with their thresholds and resolutions.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    curves : sequence of Curve

    Examples
    --------
    >>> from fslice.plot.style import new_figure
    >>> figure = new_figure((4, 3))
    >>> axes = figure.subplots()
    >>> frequencies = np.arange(4) / 8
    >>> draw_curves(axes, [Curve("halves", frequencies, np.array([1, 0.9, 0.5, 0.1]), 0.5, 4.0)])
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['halves: 4.00 Å at 0.5']
    """
    from matplotlib.transforms import ScaledTranslation

    highest = max(float(curve.frequencies[-1]) for curve in curves)
    for threshold in sorted({curve.threshold for curve in curves if curve.threshold}):
        axes.axhline(threshold, color=GREY, lw=0.8)
        axes.annotate(
            f"{threshold:g}", (0, threshold), (3, 2), textcoords="offset points",
            fontsize=SMALL, color=GREY,
        )  # fmt: skip
    for number, (curve, style) in enumerate(zip(curves, _styles(curves), strict=True)):
        colour = COLOURS[style]
        axes.plot(
            curve.frequencies,
            curve.values,
            color=colour,
            ls=DASHES[style],
            lw=1.8 if curve.reliable else 0.9,
            label=_legend(curve),
            zorder=3 - number / 10,  # the first one is what is reported
        )
        if curve.band is not None:
            axes.fill_between(curve.frequencies, *curve.band, color=colour, alpha=0.25, lw=0)
        if curve.threshold and curve.resolution and _falls_below(curve):
            axes.plot(1 / curve.resolution, curve.threshold, "o", color=colour, ms=6, clip_on=False)
    axes.set_xlim(0, highest)
    axes.set_ylim(min(0.0, *(float(curve.values.min()) for curve in curves)), 1.02)
    axes.set_xlabel("spatial frequency [1/Å]", fontsize=NORMAL)
    axes.set_ylabel("Fourier shell correlation", fontsize=NORMAL)
    axes.tick_params(labelsize=SMALL)
    axes.spines["right"].set_visible(False)
    _draw_lengths(axes, highest)
    # Above the axes and its labels, where no curve can run through it.
    place = axes.transAxes + ScaledTranslation(0, 24 / 72, axes.figure.dpi_scale_trans)
    axes.legend(
        fontsize=NORMAL,
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        bbox_transform=place,
        borderaxespad=0,
    )


def _styles(curves: Sequence[Curve]) -> list[int]:
    """Return a style for each curve; those that are only shown look the same in every figure."""
    compared = itertools.cycle((0, 1, 3, 4, 5))
    return [2 if curve.threshold is None else next(compared) for curve in curves]


def _legend(curve: Curve) -> str:
    return _reached(curve) + ("" if curve.reliable else " (unreliable: no resolution to report)")


def _reached(curve: Curve) -> str:
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
    lengths = [round_to_two_digits(1 / (highest * part)) for part in (0.2, 0.4, 0.6, 0.8, 1)]
    upper = axes.secondary_xaxis("top")
    upper.set_xticks([1 / length for length in lengths], [f"{length:g} Å" for length in lengths])
    upper.tick_params(labelsize=SMALL)
