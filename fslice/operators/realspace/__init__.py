"""Projection in position space: rotate, translate and sum voxels (the paper's section 4.1)."""

from fslice.operators.realspace.operators import (
    backproject_realspace,
    project_realspace,
    project_realspace_vjp,
    rotate_volume,
    rotate_volume_adjoint,
    rotate_volume_vjp,
)

__all__ = [
    "backproject_realspace",
    "project_realspace",
    "project_realspace_vjp",
    "rotate_volume",
    "rotate_volume_adjoint",
    "rotate_volume_vjp",
]
