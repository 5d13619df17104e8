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

The Gram matrix of linear slices:

``new_gram(lattice, dtype)``, ``add_gram(total, weights, rotations, lattice)``,
``stencil_of(total, lattice) -> stencil``
    The stencil of ``scatter(weights * gather(.))``, summed in place over batches of images.
``apply_stencil(stencil, volume) -> volume``
    That operator, without the images.

Their derivatives in the pose:

``pose_gram(volume, images, rotations, shifts, ctf, precision, amplitude, lattice)``
    Per image the 6 x 6 products of the residual and its five derivatives.

NumPy is the definition; Numba computes where it is installed.
"""

from __future__ import annotations

from fslice._kernels.interface import CUBIC, LINEAR, Lattice, band
from fslice._kernels.select import kernels_for, kernels_named, use_kernels

__all__ = [
    "CUBIC",
    "LINEAR",
    "Lattice",
    "band",
    "kernels_for",
    "kernels_named",
    "use_kernels",
]
