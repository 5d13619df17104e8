"""Rotations: conversions between their descriptions, derivatives, and sets of orientations.

A rotation matrix takes image coordinates to volume coordinates and acts on
``(x, y, z)``: columns 0 and 1 are the axes of the image in the volume, column 2 is the
direction of projection. Each description of a rotation has one map to matrices, the
inverse of that map, and one vector-Jacobian product (``_vjp``) that carries the gradient
of a scalar from matrix entries to the description; `tangent_vjp` does so for a matrix.
"""

from fslice.geometry.euler import euler_to_matrix, euler_to_matrix_vjp, matrix_to_euler
from fslice.geometry.matrices import angle_between, as_matrices, check_rotations, tangent_vjp
from fslice.geometry.orientations import grid_rotations, random_rotations, rotations_in_cone
from fslice.geometry.quaternion import (
    matrix_to_quaternion,
    quaternion_to_matrix,
    quaternion_to_matrix_vjp,
)
from fslice.geometry.rotvec import matrix_to_rotvec, rotvec_to_matrix, rotvec_to_matrix_vjp

__all__ = [
    "angle_between",
    "as_matrices",
    "check_rotations",
    "euler_to_matrix",
    "euler_to_matrix_vjp",
    "grid_rotations",
    "matrix_to_euler",
    "matrix_to_quaternion",
    "matrix_to_rotvec",
    "quaternion_to_matrix",
    "quaternion_to_matrix_vjp",
    "random_rotations",
    "rotations_in_cone",
    "rotvec_to_matrix",
    "rotvec_to_matrix_vjp",
    "tangent_vjp",
]
