"""The sampling kernels, and the one place that chooses who computes them.

Every implementation offers the same functions, over images ``n`` and a `Lattice`:

``gather(volume, rotations, shifts, amplitude, lattice) -> slices``
    ``amplitude * exp(-2 pi i k.t / D) * volume(scale * R k)``, linear in `volume`.
``scatter(slices, rotations, shifts, amplitude, lattice) -> volume``
    Its adjoint, in the inner product of half spectra.
``gather_vjp(volume, cotangent, rotations, shifts, amplitude, lattice)``
    The gradients in volume, rotations (n, 3, 3) and shifts (n, 2), in one walk.
``scatter_squares(weights, rotations, lattice) -> volume``
    The diagonal of ``scatter(weights * gather(.))``: real, with squared weights.
``misfit(volume, images, rotations, shifts, ctf, precision, amplitude, lattice)``
    Per image ``sum(m * precision * |ctf * slice - image|**2)``, and the gradient of half their
    sum in the volume, without storing a projection.
``misfit_gradients(volume, images, rotations, shifts, ctf, precision, amplitude, lattice)``
    The same, followed by the gradients in rotations, shifts and the CTF, in the same walk.

`gram_implementation` gives the module with the Gram matrix of linear slices:

``new_gram(lattice, dtype)``, ``add_gram(total, weights, rotations, lattice)``,
``stencil_of(total, lattice) -> stencil``
    The stencil of ``scatter(weights * gather(.))``, summed in place over batches of images.
``apply_stencil(stencil, volume) -> volume``
    That operator, without the images.

`pose_implementation` gives that with their derivatives in the pose:

``pose_gram(volume, images, rotations, shifts, ctf, precision, amplitude, lattice)``
    Per image the 6 x 6 products of the residual and its five derivatives.

NumPy is the definition; Numba computes where it is installed.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from types import ModuleType

from fslice._arrays import Array, array_namespace
from fslice._kernels.lattice import CUBIC, LINEAR, Lattice, band

__all__ = [
    "CUBIC",
    "LINEAR",
    "Lattice",
    "band",
    "gram_implementation",
    "implementation",
    "pose_implementation",
]


def implementation(*arrays: Array | None) -> ModuleType:
    """Return the module whose kernels take these arrays."""
    library = array_namespace(*arrays).__name__
    if library != "numpy":
        raise TypeError(f"the kernels take NumPy arrays, got arrays of {library}")
    return _for_numpy()


@functools.cache
def _for_numpy() -> ModuleType:
    if importlib.util.find_spec("numba") is not None:
        from fslice._kernels import with_numba

        return with_numba
    from fslice._kernels import with_numpy

    return with_numpy


def gram_implementation(*arrays: Array | None) -> ModuleType:
    """Return the module whose kernels accumulate and apply stencils of these arrays."""
    return _beside("gram", *arrays)


def pose_implementation(*arrays: Array | None) -> ModuleType:
    """Return the module whose kernel multiplies derivatives in the pose of these arrays."""
    return _beside("pose", *arrays)


def _beside(kind: str, *arrays: Array | None) -> ModuleType:
    name = implementation(*arrays).__name__.rpartition("with_")[2]
    return importlib.import_module(f"fslice._kernels.{kind}_{name}")
