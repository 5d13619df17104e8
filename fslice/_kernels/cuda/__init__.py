"""The kernels in CUDA, for CuPy's arrays.

The source is compiled for the card by CuPy when a kernel is first launched. Nothing here imports
CuPy: arrays bring their library.
"""

from __future__ import annotations

from dataclasses import dataclass

from fslice._kernels.composed import ComposedKernels
from fslice._kernels.cuda import fused, scores, slices, stencil
from fslice._kernels.cuda.workspace import Workspace


@dataclass(frozen=True, eq=False)
class CudaKernels(Workspace, ComposedKernels):
    """All kernels in CUDA; `Workspace` has what they share."""

    name: str = "cuda"

    gather = slices.gather
    gather_slopes = slices.gather_slopes
    gather_curvatures = slices.gather_curvatures
    scatter = slices.scatter
    scatter_squares = slices.scatter_squares
    new_gram = stencil.new_gram
    add_gram = stencil.add_gram
    stencil_of = stencil.stencil_of
    apply_stencil = stencil.apply_stencil
    ctf_values = stencil.ctf_values
    gather_vjp = fused.gather_vjp
    misfit = fused.misfit
    misfit_gradients = fused.misfit_gradients
    gram = fused.gram
    pose_gram = fused.pose_gram
    pose_curvature = fused.pose_curvature
    best_over_shifts = scores.best_over_shifts
    peaks = scores.peaks
