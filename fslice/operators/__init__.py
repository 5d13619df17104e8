"""Maps from volumes to images: slices, shifts, CTF, projector, with adjoints and gradients."""

from fslice._lazy import lazy_namespace
from fslice.operators.contrast import scale_slices, scale_slices_vjp
from fslice.operators.ctf import CTF
from fslice.operators.direct import (
    backproject_direct,
    fourier_sum,
    fourier_sum_adjoint,
    fourier_sum_vjp,
    project_direct,
    project_direct_vjp,
)
from fslice.operators.linop import LinearOperator, identity, stack
from fslice.operators.projector import Projector
from fslice.operators.realspace import (
    backproject_realspace,
    project_realspace,
    project_realspace_vjp,
    rotate_volume,
    rotate_volume_adjoint,
    rotate_volume_vjp,
)
from fslice.operators.shifts import shift_slices, shift_slices_vjp
from fslice.operators.slices import extract_slices, extract_slices_vjp, insert_slices
from fslice.operators.spaces import Space

__all__ = [
    "CTF",
    "LinearOperator",
    "Projector",
    "Space",
    "backproject_direct",
    "backproject_realspace",
    "extract_slices",
    "extract_slices_vjp",
    "fourier_sum",
    "fourier_sum_adjoint",
    "fourier_sum_vjp",
    "identity",
    "insert_slices",
    "project_direct",
    "project_direct_vjp",
    "project_realspace",
    "project_realspace_vjp",
    "rotate_volume",
    "rotate_volume_adjoint",
    "rotate_volume_vjp",
    "scale_slices",
    "scale_slices_vjp",
    "shift_slices",
    "shift_slices_vjp",
    "stack",
]

__getattr__, __dir__ = lazy_namespace(__name__)
