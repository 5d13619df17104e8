"""The sampling kernels for arrays of the CuPy-like library.

The primitives are those of another backend, on the arrays' memory; what is composed of them runs in
array code, as it does on a GPU.
"""

from __future__ import annotations

from typing import Any

from fslice._kernels.composed import ComposedKernels
from fslice._kernels.interface import Kernels
from fslice._kernels.numpy import KERNELS as NUMPY
from standin.array import call

PRIMITIVES = (
    "gather", "gather_slopes", "scatter", "scatter_squares", "new_gram",
    "add_gram", "stencil_of", "apply_stencil",
)  # fmt: skip


class DeviceKernels(ComposedKernels):
    """Kernels that take and give arrays of the device, and refuse those of the host."""

    name = "standin"

    def __init__(self, kernels: Kernels) -> None:
        for name in PRIMITIVES:
            setattr(self, name, self._on_device(getattr(kernels, name)))

    @staticmethod
    def _on_device(primitive: Any) -> Any:
        return lambda *args, **kwargs: call(primitive, args, kwargs, deep=True)


KERNELS = DeviceKernels(NUMPY)
"""With the primitives of NumPy, the definition."""
