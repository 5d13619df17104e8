"""The kernels in CUDA, for CuPy's arrays.

The source is compiled for the card by CuPy when a kernel is first launched. Nothing here imports
CuPy: arrays bring their library.
"""

from __future__ import annotations

from dataclasses import dataclass

from fslice._kernels.composed import ComposedKernels
from fslice._kernels.cuda import slices
from fslice._kernels.cuda.workspace import Workspace


@dataclass(frozen=True, eq=False)
class CudaKernels(Workspace, ComposedKernels):
    """All kernels in CUDA; `Workspace` has what they share."""

    name: str = "cuda"

    gather = slices.gather
    gather_slopes = slices.gather_slopes
