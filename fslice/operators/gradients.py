"""What comparing projections with images gives, and the gradients of projections."""

from __future__ import annotations

from typing import NamedTuple

from fslice._arrays import Array


class ProjectGradients(NamedTuple):
    """Gradients of `fslice.Projector.project`; what was not an input is None."""

    volume: Array
    rotations: Array
    shifts: Array | None
    ctf: Array | None
    """With respect to the values of the CTF; `CTF.vjp` chains it to the parameters."""


class ProjectFTGradients(NamedTuple):
    """Gradients of `fslice.Projector.project_ft`; what was not an input is None."""

    volume_ft: Array
    rotations: Array
    shifts: Array | None
    ctf: Array | None
    """With respect to the values of the CTF; `CTF.vjp` chains it to the parameters."""


class Misfit(NamedTuple):
    """How far projections are from images, and the gradient of half of it in the volume."""

    chi_squared: Array
    """(...) float64: per view ``sum_k m |project_ft(v) - image|^2 weights`` over the band."""
    volume_ft: Array
    """(M, M, M//2 + 1) complex: the gradient of ``sum(view_weights * chi_squared) / 2``."""


class MisfitGradients(NamedTuple):
    """How far projections are from images, and every gradient of half of it."""

    chi_squared: Array
    """As in `Misfit`."""
    gradients: ProjectFTGradients
    """Of ``sum(view_weights * chi_squared) / 2``; in poses and CTF those of each view."""


class PoseGradients(NamedTuple):
    """Gradients of a projection without a CTF; None for shifts that were not given."""

    volume: Array
    rotations: Array
    """In the entries of the matrices; `fslice.geometry` chains it to other descriptions."""
    shifts: Array | None
