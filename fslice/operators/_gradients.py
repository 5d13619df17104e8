"""Gradients of projections that share their arguments."""

from __future__ import annotations

from typing import NamedTuple

from fslice._arrays import Array


class PoseGradients(NamedTuple):
    """Gradients of a projection without a CTF; None for shifts that were not given."""

    volume: Array
    rotations: Array
    """In the entries of the matrices; `fslice.geometry` chains it to other descriptions."""
    shifts: Array | None
