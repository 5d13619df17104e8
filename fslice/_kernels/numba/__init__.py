"""The kernels compiled by Numba."""

from fslice._kernels.numba.pose import pose_gram
from fslice._kernels.numba.slices import (
    gather,
    gather_vjp,
    misfit,
    misfit_gradients,
    scatter,
    scatter_squares,
)
from fslice._kernels.numba.stencil import add_gram, apply_stencil, new_gram, stencil_of

__all__ = [
    "add_gram",
    "apply_stencil",
    "gather",
    "gather_vjp",
    "misfit",
    "misfit_gradients",
    "new_gram",
    "pose_gram",
    "scatter",
    "scatter_squares",
    "stencil_of",
]
