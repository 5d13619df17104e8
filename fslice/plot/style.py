"""What all pictures share: colours, sizes, the empty figure, lengths with few digits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fslice._arrays import Array, check_real, check_shape, to_numpy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito: told apart by everyone
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 1)))
GREY = "0.45"
SMALL, NORMAL, LARGE = 9, 10, 12  # points
# The axes of an array in [z, y, x] that are left when one is cut or summed away.
VIEWS = (("z", "x", "y"), ("y", "x", "z"), ("x", "y", "z"))
MICRO = 1e-6


def new_figure(size: tuple[float, float]) -> Figure:
    """Return an empty figure of this size in inches, independent of pyplot."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise ImportError(
            "drawing needs the package matplotlib, which is missing: pip install matplotlib"
        ) from error
    layout = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.06, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=size, dpi=150, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def checked(name: str, volume: Array) -> np.ndarray:
    """Return a cube on the host, or raise."""
    check_real(name, volume)
    check_shape(name, volume, (volume.shape[0] if volume.ndim else "D",) * 3)
    return to_numpy(volume)


def round_length(length: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not longer.

    Examples
    --------
    >>> round_length(89.6)
    50.0
    """
    power = 10.0 ** math.floor(math.log10(length))
    return max(step * power for step in (1, 2, 5) if step * power <= length * (1 + MICRO))


def log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten, and 2 and 5 times these within two decades.

    Examples
    --------
    >>> log_ticks(0.15, 1.0)
    [0.2, 0.5, 1.0]
    """
    steps = (1, 2, 5) if high < 100 * low else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{step}e{power}") for power in powers for step in steps]
    return [tick for tick in ticks if low * (1 - MICRO) <= tick <= high * (1 + MICRO)]


def round_to_two_digits(value: float) -> float:
    """Round to two significant digits.

    Examples
    --------
    >>> round_to_two_digits(12.7)
    13.0
    """
    return float(f"{value:.2g}")


def bare(axes: Axes) -> None:
    """Take the ticks away."""
    axes.set_xticks([])
    axes.set_yticks([])
