"""Projections by the direct Fourier sum: slow, and exact where a kernel interpolates.

The spectrum of a volume is known at every frequency, not only on its grid: it is the sum over
the voxels. Taking that sum at the frequencies of a slice needs no interpolation, no padding and no
deconvolution, and costs ``D**3`` multiplications for each of ``D**2`` frequencies. It is the
reference that `fslice.Projector` approaches.

All functions take a square image as well as a cube: its rotations are 2 x 2, its projections
are lines. Sums are in double precision, whatever that of the input is.
"""

from fslice.operators.direct.projections import (
    backproject_direct,
    project_direct,
    project_direct_vjp,
)
from fslice.operators.direct.sums import (
    FourierSumGradients,
    fourier_sum,
    fourier_sum_adjoint,
    fourier_sum_vjp,
)

__all__ = [
    "FourierSumGradients",
    "backproject_direct",
    "fourier_sum",
    "fourier_sum_adjoint",
    "fourier_sum_vjp",
    "project_direct",
    "project_direct_vjp",
]
