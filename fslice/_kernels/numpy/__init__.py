"""The kernels in plain array code: the definition that the compiled ones must agree with."""

from __future__ import annotations

from dataclasses import dataclass

from fslice._kernels.composed import ComposedKernels
from fslice._kernels.numpy import slices, stencil


@dataclass(frozen=True)
class NumpyKernels(ComposedKernels):
    """The primitives in NumPy."""

    name: str = "numpy"

    gather = staticmethod(slices.gather)
    gather_slopes = staticmethod(slices.gather_slopes)
    scatter = staticmethod(slices.scatter)
    scatter_squares = staticmethod(slices.scatter_squares)
    new_gram = staticmethod(stencil.new_gram)
    add_gram = staticmethod(stencil.add_gram)
    stencil_of = staticmethod(stencil.stencil_of)
    apply_stencil = staticmethod(stencil.apply_stencil)


KERNELS = NumpyKernels()
