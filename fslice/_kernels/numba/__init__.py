"""The kernels compiled by Numba."""

from __future__ import annotations

from dataclasses import dataclass

from fslice._kernels.composed import ComposedKernels
from fslice._kernels.numba import (
    apply_stencil,
    ctf,
    curvature,
    fused,
    pose,
    scores,
    slices,
    stencil,
)
from fslice._kernels.numba.probe import vectors_compile
from fslice._kernels.numba.workspace import Workspace


@dataclass(frozen=True, eq=False)
class NumbaKernels(Workspace, ComposedKernels):
    """All kernels, compiled; `Workspace` has what they share."""

    name: str = "numba"

    gather = slices.gather
    gather_slopes = slices.gather_slopes
    gather_curvatures = curvature.gather_curvatures
    scatter = slices.scatter
    scatter_squares = slices.scatter_squares
    new_gram = stencil.new_gram
    add_gram = stencil.add_gram
    stencil_of = stencil.stencil_of
    apply_stencil = apply_stencil.apply_stencil
    gather_vjp = fused.gather_vjp
    misfit = fused.misfit
    misfit_gradients = fused.misfit_gradients
    gram = fused.gram
    pose_gram = pose.pose_gram
    pose_curvature = curvature.pose_curvature
    best_over_shifts = scores.best_over_shifts
    peaks = scores.peaks
    ctf_values = ctf.ctf_values


KERNELS = NumbaKernels(plain=not vectors_compile())
"""Those for NumPy's arrays, with private volumes that are kept between calls."""
