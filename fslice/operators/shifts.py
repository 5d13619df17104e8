"""In-plane shifts as phases (the paper's eqs. 12-13)."""

from __future__ import annotations

import math
from typing import NamedTuple

from fslice._arrays import (
    Array,
    array_namespace,
    check_complex,
    check_cotangent,
    check_per_image,
    complex_dtype,
)
from fslice.fourier import frequencies, hermitian_weights


def shift_slices(slices: Array, shifts: Array) -> Array:
    """Move the content of images by multiplying their half spectra with a phase.

    Parameters
    ----------
    slices : (..., D, D//2 + 1) complex array
        Half spectra of images, zero frequency first.
    shifts : (..., 2) real array
        Where the content goes, (x, y) in pixels.

    Returns
    -------
    (..., D, D//2 + 1) complex array
        ``slices * exp(-2 pi i (kx tx + ky ty) / D)``.

    Raises
    ------
    ValueError
        A shape is not as above, or a shift is not finite.
    TypeError
        Array libraries are mixed, or precisions differ.

    Notes
    -----
    Unitary: the adjoint and inverse is the shift by ``-shifts``. On the Nyquist row and column
    of an even box a fractional shift leaves the half spectra of real arrays; slices are zero
    there.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> image = np.zeros((5, 5))
    >>> image[2, 2] = 1
    >>> shifted = fslice.irfft2(shift_slices(fslice.rfft2(image), np.array([2.0, -1.0])))
    >>> np.argwhere(shifted > 0.5)  # [y, x]
    array([[1, 4]])
    """
    size = check_per_image("shifts", shifts, slices, (2,))
    return slices * shift_phases(shifts, size)


class ShiftGradients(NamedTuple):
    """Gradients of `shift_slices`."""

    slices: Array
    shifts: Array


def shift_slices_vjp(slices: Array, shifts: Array, *, cotangent: Array) -> ShiftGradients:
    """Return the gradients of `shift_slices` in the slices and in the shifts.

    Parameters
    ----------
    slices, shifts : arrays
        Where the gradient is taken, as in `shift_slices`.
    cotangent : (..., D, D//2 + 1) complex array
        Gradient with respect to the shifted slices.

    Returns
    -------
    ShiftGradients
        ``slices`` (..., D, D//2 + 1) complex, ``shifts`` (..., 2) real.

    Examples
    --------
    A shifted image has its steepest match at no further shift:

    >>> import numpy as np, fslice
    >>> slices = fslice.rfft2(np.random.default_rng(0).normal(size=(6, 6)))
    >>> slices[3], slices[:, 3] = 0, 0
    >>> shifts = np.array([0.3, -0.4])
    >>> shifted = shift_slices(slices, shifts)
    >>> np.allclose(shift_slices_vjp(slices, shifts, cotangent=shifted).shifts, 0)
    True
    """
    size = check_per_image("shifts", shifts, slices, (2,))
    check_cotangent(check_complex, cotangent, slices.shape, slices=slices)
    xp = array_namespace(slices, shifts, cotangent)
    grad_slices = cotangent * shift_phases(shifts, size).conj()
    grad_phases = (grad_slices.conj() * slices).imag * hermitian_weights(size, xp)
    rates = [2 * math.pi / size * (grad_phases * k).sum((-2, -1)) for k in frequencies(size, 2, xp)]
    return ShiftGradients(grad_slices, xp.stack(rates, -1).astype(shifts.dtype))


def shift_phases(shifts: Array, size: int) -> Array:
    """Return ``exp(-2 pi i (kx tx + ky ty) / D)`` as a (..., D, D//2 + 1) array."""
    xp = array_namespace(shifts)
    kx, ky = frequencies(size, 2, xp)
    turns = shifts[..., 0, None, None] * kx + shifts[..., 1, None, None] * ky
    return xp.exp(-2j * math.pi / size * turns).astype(complex_dtype(shifts.dtype))
