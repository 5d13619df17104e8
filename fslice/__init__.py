"""Tomography in Fourier space, with maps that know how sure they are."""

from fslice.ctf import CTF
from fslice.direct import backproject_direct, fourier_sum, project_direct
from fslice.exact.accumulate import accumulate
from fslice.exact.normal import NormalEquations
from fslice.exact.solve import ExactSolution, solve_exact
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
    symmetry_rotations,
)
from fslice.inference.reconstruct import reconstruct
from fslice.inference.results import Progress, Reconstruction
from fslice.metrics import (
    fsc,
    fsc_from_snr,
    half_sets,
    mean_squared_error,
    resolution,
    shell_frequencies,
    snr_from_fsc,
    spectral_snr,
)
from fslice.projector import Gradients, Projector
from fslice.shifts import shift_slices, shift_slices_vjp
from fslice.simulation.gaussians import GaussianModel
from fslice.simulation.models import model_from_atoms, volume_from_map
from fslice.simulation.phantom import phantom
from fslice.simulation.simulate import Simulation, simulate
from fslice.slices import extract_slices, extract_slices_vjp, insert_slices
from fslice.symmetrize import symmetrize

__all__ = [
    "CTF",
    "ExactSolution",
    "GaussianModel",
    "Gradients",
    "NormalEquations",
    "Progress",
    "Projector",
    "Reconstruction",
    "Simulation",
    "accumulate",
    "backproject_direct",
    "euler_to_matrix",
    "extract_slices",
    "extract_slices_vjp",
    "fourier_sum",
    "fsc",
    "fsc_from_snr",
    "grid_rotations",
    "half_sets",
    "hermitian_part",
    "inner",
    "insert_slices",
    "irfft2",
    "irfft3",
    "matrix_to_euler",
    "mean_squared_error",
    "model_from_atoms",
    "multiplicity",
    "phantom",
    "project_direct",
    "random_rotations",
    "reconstruct",
    "resolution",
    "rfft2",
    "rfft3",
    "rotations_in_cone",
    "shell_frequencies",
    "shift_slices",
    "shift_slices_vjp",
    "simulate",
    "snr_from_fsc",
    "solve_exact",
    "spectral_snr",
    "symmetrize",
    "symmetry_rotations",
    "volume_from_map",
]

__version__ = "0.1.0"
