"""Whether this Numba and this LLVM take the instructions that are emitted by hand."""

from __future__ import annotations

import warnings

import numpy as np

from fslice._kernels.interface import LINEAR, SliceGeometry
from fslice._kernels.numba.buffer import data, kernel, pointers, row_buffer
from fslice._kernels.numba.footprint import add, read_slopes
from fslice._kernels.numba.locate import locate


def vectors_compile() -> bool:
    """Compile a kernel of all those instructions; warn and return False if that fails."""
    geometry = SliceGeometry(2, 2, 2, 2, 2, 1.0, 0.0, LINEAR)
    volume = np.zeros(geometry.volume_shape, np.complex64)
    try:
        _read_and_add(volume, np.eye(3), geometry, row_buffer(geometry, volume.dtype))
    except Exception as error:  # whatever a compiler of another version raises
        warnings.warn(
            f"the fast loops do not compile here, plain ones are used: {str(error).strip()[:200]}",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


@kernel
def _read_and_add(volume, rotation, geometry, buffer):
    flat, buffer = data(volume), pointers(buffer)
    locate(rotation, 0, 1, geometry, buffer)
    read_slopes(geometry.taps, flat, flat, 1, geometry, buffer)
    add(geometry.taps, flat, 1, geometry, buffer)
