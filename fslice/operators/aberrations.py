"""Beam tilt and higher aberrations of the objective lens, as Zernike polynomials of RELION.

Antisymmetrical (odd) ones multiply the half spectrum of an image by a phase; symmetrical (even)
ones are added to the phase gamma of the CTF. Both are the same for all images of an optics group.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from fslice._arrays import (
    Array,
    array_namespace,
    check_complex,
    check_cotangent,
    check_per_image,
    check_real,
    check_shape,
    complex_dtype,
)
from fslice.operators.ctf import CTF, CTFGradients
from fslice.operators.zernike import zernike_phases


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Aberrations:
    """The aberrations of images that belong to a few optics groups.

    Parameters
    ----------
    odd : (G, J) real array
        Coefficients of `zernike_phases`, a row for each group; J may be 0.
    even : (G, K) real array
        Likewise; K may be 0.
    group : (n,) integer array
        The row of each image, from 0.
    pixel_size : float
        In Angstrom.

    Examples
    --------
    >>> import numpy as np
    >>> from fslice.operators.zernike import beam_tilt_coefficients
    >>> tilt = beam_tilt_coefficients(*map(np.array, ([0.1, 0.0], [0.0, 0.2], 2.7, 300.0)))
    >>> aberrations = Aberrations(
    ...     odd=tilt, even=np.zeros((2, 0)), group=np.array([0, 0, 1]), pixel_size=1.0)
    >>> len(aberrations), aberrations.odd_phases(8).shape, aberrations.even_phases(8) is None
    (3, (2, 8, 5), True)
    """

    odd: Array
    even: Array
    group: Array
    pixel_size: float

    def __post_init__(self) -> None:
        if self.odd.ndim != 2 or self.even.ndim != 2 or len(self.odd) != len(self.even):
            raise ValueError(
                f"odd, even: expected shapes (G, J) and (G, K), got {self.odd.shape} and "
                f"{self.even.shape}"
            )

    def __len__(self) -> int:
        return len(self.group)

    def __getitem__(self, index: Any) -> Aberrations:
        """Select images by a slice, or an array of integers or booleans."""
        return dataclasses.replace(self, group=self.group[index])

    def odd_phases(self, size: int) -> Array | None:
        """Return the phases that multiply spectra, ``(G, D, D//2 + 1)``; None if all are zero."""
        return self._phases(self.odd, size, "odd")

    def even_phases(self, size: int) -> Array | None:
        """Return the phases to be added to gamma, ``(G, D, D//2 + 1)``; None if all are zero."""
        return self._phases(self.even, size, "even")

    def _phases(self, coefficients: Array, size: int, symmetry: str) -> Array | None:
        if not bool((coefficients != 0).any()):
            return None
        return zernike_phases(coefficients, size, self.pixel_size, symmetry)


class AberrateSlicesGradients(NamedTuple):
    """Gradients of `aberrate_slices`."""

    slices: Array
    phases: Array


class AberratedCTFGradients(NamedTuple):
    """Gradients of `aberrated_ctf`."""

    ctf: CTFGradients
    phases: Array


def aberrate_slices(slices: Array, phases: Array) -> Array:
    """Multiply the half spectra of images by phases.

    Parameters
    ----------
    slices : (..., D, D//2 + 1) complex array
        Half spectra of images, zero frequency first.
    phases : (..., D, D//2 + 1) real array
        In radians, of `zernike_phases`.

    Returns
    -------
    (..., D, D//2 + 1) complex array
        ``slices * exp(i phases)``.

    Raises
    ------
    ValueError
        A shape is not as above, or a phase is not finite.
    TypeError
        Array libraries are mixed, or precisions differ.

    Notes
    -----
    Unitary: the adjoint and inverse is that of ``-phases``. Odd phases keep half spectra those
    of real arrays, except on the Nyquist row and column of an even box; slices are zero there.

    Examples
    --------
    >>> import numpy as np
    >>> slices = np.ones((4, 3), complex)
    >>> aberrate_slices(slices, np.full((4, 3), np.pi))[0, 0].real
    np.float64(-1.0)
    """
    _check_phases(slices, phases)
    return slices * _factors(phases)


def aberrate_slices_vjp(
    slices: Array, phases: Array, *, cotangent: Array
) -> AberrateSlicesGradients:
    """Return the gradients of `aberrate_slices` in the slices and in the phases.

    Parameters
    ----------
    slices, phases : arrays
        Where the gradient is taken, as in `aberrate_slices`.
    cotangent : (..., D, D//2 + 1) complex array
        Gradient with respect to the result.

    Returns
    -------
    AberrateSlicesGradients
        Of the arguments' shapes, in the inner product of half spectra.

    Examples
    --------
    >>> import numpy as np
    >>> slices = np.ones((4, 3), complex)
    >>> gradients = aberrate_slices_vjp(slices, np.zeros((4, 3)), cotangent=1j * slices)
    >>> gradients.phases[0]
    array([1., 1., 1.])
    """
    _check_phases(slices, phases)
    check_cotangent(check_complex, cotangent, slices.shape, slices=slices)
    grad_slices = cotangent * _factors(-phases)
    return AberrateSlicesGradients(grad_slices, (grad_slices * slices.conj()).imag)


def aberrated_ctf(ctf: CTF, phases: Array, dtype: str = "float64") -> Array:
    """Evaluate CTFs whose phase gamma has something added to it.

    Parameters
    ----------
    ctf : CTF
        Of n images.
    phases : (n, D, D//2 + 1) or (D, D//2 + 1) real array
        Added to gamma, in radians: even `zernike_phases`.
    dtype : {"float64", "float32"}, optional

    Returns
    -------
    (n, D, D//2 + 1) real array
        ``-scale * exp(-B |s|^2 / 4) * sin(gamma + phases)``.

    Examples
    --------
    >>> import numpy as np
    >>> ctf = CTF(defocus_u=15000, defocus_v=14000, astigmatism_angle=30, voltage=300,
    ...           spherical_aberration=2.7, amplitude_contrast=0.1, pixel_size=1.5)
    >>> np.allclose(aberrated_ctf(ctf, np.zeros((4, 3))), ctf.evaluate(4))
    True
    """
    check_real("phases", phases)
    xp = array_namespace(phases, ctf.defocus_u)
    size = phases.shape[-2]
    check_shape("phases", phases, (..., size, size // 2 + 1))
    # sin(gamma + p) = cos(p) sin(gamma) - sin(p) sin(gamma - 90 degrees)
    along, across = xp.cos(phases).astype(dtype), xp.sin(phases).astype(dtype)
    values = ctf.evaluate(size, dtype)
    values *= along
    values -= across * _quarter_turned(ctf).evaluate(size, dtype)
    return values


def aberrated_ctf_vjp(
    ctf: CTF, phases: Array, dtype: str = "float64", *, cotangent: Array
) -> AberratedCTFGradients:
    """Return the gradients of `aberrated_ctf`: those of `CTF.vjp`, and that in the phases.

    Examples
    --------
    >>> import numpy as np
    >>> ctf = CTF(defocus_u=15000, defocus_v=14000, astigmatism_angle=30, voltage=300,
    ...           spherical_aberration=2.7, amplitude_contrast=0.1, pixel_size=1.5)
    >>> phases, ones = np.zeros((1, 4, 3)), np.ones((1, 4, 3))
    >>> gradients = aberrated_ctf_vjp(ctf, phases, cotangent=ones)
    >>> gradients.phases.shape, gradients.ctf.defocus_u.shape
    ((1, 4, 3), (1,))
    """
    check_real("cotangent", cotangent)
    check_shape("cotangent", cotangent, phases.shape)
    xp = array_namespace(phases, ctf.defocus_u, cotangent)
    size, turned = phases.shape[-2], _quarter_turned(ctf)
    along, across = xp.cos(phases), xp.sin(phases)
    first = ctf.vjp(size, cotangent=cotangent * along)
    second = turned.vjp(size, cotangent=-cotangent * across)
    grad_ctf = CTFGradients(*(a + b for a, b in zip(first, second, strict=True)))
    rates = -across * ctf.evaluate(size) - along * turned.evaluate(size)
    return AberratedCTFGradients(grad_ctf, cotangent * rates.astype(cotangent.dtype))


def _quarter_turned(ctf: CTF) -> CTF:
    return ctf.replace(phase_shift=ctf.phase_shift + 90)


def _factors(phases: Array) -> Array:
    xp = array_namespace(phases)
    return xp.exp(1j * phases).astype(complex_dtype(phases.dtype))


def _check_phases(slices: Array, phases: Array) -> None:
    size = slices.shape[-2] if slices.ndim > 1 else 0
    check_per_image("phases", phases, slices, (size, size // 2 + 1))
