"""Tomography in Fourier space, with maps that know how sure they are."""

from fslice.ctf import CTF
from fslice.fourier import (
    hermitian_part,
    inner,
    irfft2,
    irfft3,
    multiplicity,
    rfft2,
    rfft3,
)
from fslice.geometry import (
    euler_to_matrix,
    grid_rotations,
    matrix_to_euler,
    random_rotations,
    rotations_in_cone,
)
from fslice.projector import Gradients, Projector
from fslice.shifts import shift_slices, shift_slices_vjp
from fslice.slices import extract_slices, extract_slices_vjp, insert_slices

__all__ = [
    "CTF",
    "Gradients",
    "Projector",
    "euler_to_matrix",
    "extract_slices",
    "extract_slices_vjp",
    "grid_rotations",
    "hermitian_part",
    "inner",
    "insert_slices",
    "irfft2",
    "irfft3",
    "matrix_to_euler",
    "multiplicity",
    "random_rotations",
    "rfft2",
    "rfft3",
    "rotations_in_cone",
    "shift_slices",
    "shift_slices_vjp",
]

__version__ = "0.1.0"
