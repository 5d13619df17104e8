"""The kernels in plain array code: the definition."""

from fslice._kernels.numpy.pose import pose_gram
from fslice._kernels.numpy.slices import (
    gather,
    gather_vjp,
    misfit,
    misfit_gradients,
    scatter,
    scatter_squares,
)
from fslice._kernels.numpy.stencil import add_gram, apply_stencil, new_gram, stencil_of

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
