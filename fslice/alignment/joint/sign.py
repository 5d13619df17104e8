"""Whether images show a map that was given, or its negative."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from fslice._arrays import Array
from fslice.alignment.band_images import BandImages
from fslice.alignment.joint.grid_em import log_likelihoods, make_grid
from fslice.alignment.joint.grid_map import GridMap
from fslice.alignment.joint.starts import shift_grid
from fslice.alignment.learn import evenly
from fslice.alignment.outliers import SIGNAL
from fslice.geometry import grid_rotations

_FEW, _ROTATIONS = 64, 1000
"""Images that are asked, and rotations of the grid on which they are."""
_BACKGROUND = 1e20
"""Times the variance of the zero frequency, which then says nothing."""


def upright(start: GridMap, images: BandImages) -> GridMap:
    """Return a map with the sign that the images show, and warn where that is another.

    Parameters
    ----------
    start : GridMap
    images : BandImages
        In its band.

    Notes
    -----
    The evidence of both signs is compared, on some images and a coarse grid. The zero frequency has
    no say: it may be a background. Of a map that images do not show, both signs explain them worse
    than noise alone does, and either may be less bad: it stays as it is.
    """
    noise = start.noise.copy()
    noise[0] *= _BACKGROUND
    few = images[evenly(np.arange(len(images)), _FEW)]
    shifts = shift_grid(start.band, start.shift_std)
    grid = make_grid(grid_rotations(_ROTATIONS), shifts, start.shift_std, images.ctf)

    def evidence(volume: Array) -> Array:
        """Return how much better a map explains the images than noise alone."""
        return log_likelihoods(volume, few, grid, noise)[1].sum()

    negative = evidence(-start.volume)
    gain = float(negative - evidence(start.volume))
    if gain <= SIGNAL or float(negative) <= SIGNAL:
        return start
    warnings.warn(
        "the initial map is inverted: its negative explains images better, by "
        f"{gain / len(few):.1f} nats each; the search begins with that",
        stacklevel=2,
    )
    return dataclasses.replace(start, volume=-start.volume)
