"""Tomography in Fourier space, with maps that know how sure they are."""

from fslice.fourier import (
    hermitian_part,
    hermitian_weights,
    inner_product,
    irfft2,
    irfft3,
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
from fslice.operators.ctf import CTF
from fslice.operators.direct import backproject_direct, fourier_sum, project_direct
from fslice.operators.projector import Projector
from fslice.operators.shifts import shift_slices, shift_slices_vjp
from fslice.operators.slices import extract_slices, extract_slices_vjp, insert_slices
from fslice.posterior.accumulate import accumulate
from fslice.posterior.normal import NormalEquations
from fslice.posterior.solve import ExactSolution, solve_exact
from fslice.reconstruct import reconstruct
from fslice.simulation.gaussians import GaussianModel
from fslice.simulation.models import model_from_atoms, volume_from_map
from fslice.simulation.phantom import phantom
from fslice.simulation.simulate import Simulation, simulate
from fslice.solvers.results import Progress, Reconstruction
from fslice.symmetry.average import symmetrize
from fslice.symmetry.groups import symmetry_rotations

__all__ = [
    "CTF",
    "ExactSolution",
    "GaussianModel",
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
    "hermitian_weights",
    "inner_product",
    "insert_slices",
    "irfft2",
    "irfft3",
    "matrix_to_euler",
    "mean_squared_error",
    "model_from_atoms",
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
