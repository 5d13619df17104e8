"""The contrast transfer function of an electron microscope, per image, and its derivatives.

RELION's formula and sign: positive defocus is underfocus, and the function starts at
``+amplitude_contrast`` at zero frequency and rises from there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fslice._arrays import (
    Array,
    array_namespace,
    check_choice,
    check_real,
    check_shape,
    check_size,
)
from fslice.fourier import hermitian_weights
from fslice.operators._ctf_parameters import CTFParameters
from fslice.operators._ctf_phase import (
    CTFGradients,
    chain_rule,
    electron_wavelength,
    phase_basis,
    phase_coefficients,
    phases,
)

__all__ = ["CTF", "CTFGradients", "electron_wavelength"]


class CTF(CTFParameters):
    """Contrast transfer functions of n images.

    Every parameter is a number or an (n,) array; one number serves all images. They are
    kept as (n,) float64 arrays, because single precision would already spoil the phase.

    Parameters
    ----------
    defocus_u, defocus_v : (n,) array
        Defocus along and across the astigmatism axis, in Angstrom; underfocus is positive.
    astigmatism_angle : (n,) array
        Angle from the x axis to the axis of `defocus_u`, in degrees.
    voltage : (n,) array
        Accelerating voltage in kV.
    spherical_aberration : (n,) array
        In millimetres.
    amplitude_contrast : (n,) array
        Fraction Q, between -1 and 1, both excluded.
    pixel_size : (n,) array
        In Angstrom.
    phase_shift : (n,) array, optional
        Of a phase plate, in degrees.
    b_factor : (n,) array, optional
        In Angstrom squared.
    scale : (n,) array, optional
        Contrast of the image.

    Raises
    ------
    ValueError
        A shape differs, a value is not finite, or `voltage`, `pixel_size` or
        `amplitude_contrast` is out of range; the message names the parameter.
    TypeError
        A parameter is not real, or array libraries are mixed.

    Notes
    -----
    At the frequency ``s = k / (D * pixel_size)`` of length ``|s|`` and polar angle ``a``::

        C(s) = -scale * exp(-B |s|^2 / 4) * sin(gamma)
        gamma = pi L |s|^2 (-(U + V)/2 - (U - V)/2 cos 2(a - angle))
                + pi/2 Cs L^3 |s|^4 - phase_shift - asin(Q)

    with the relativistic wavelength ``L = 12.2643247 / sqrt(V0 (1 + 0.978466e-6 V0))``
    Angstrom at V0 volts. cryoDRGN, cryojax and ASPIRE have the opposite sign.

    Examples
    --------
    >>> ctf = CTF(defocus_u=15000, defocus_v=[14000, 14500], astigmatism_angle=30, voltage=300,
    ...           spherical_aberration=2.7, amplitude_contrast=0.1, pixel_size=1.5)
    >>> len(ctf)
    2
    >>> ctf.evaluate(64).shape
    (2, 64, 33)
    >>> ctf.evaluate(64)[:, 0, 0]  # the amplitude contrast
    array([0.1, 0.1])
    """

    def evaluate(self, size: int, dtype: Any = "float64") -> Array:
        """Evaluate the functions on the half spectrum of an image.

        Parameters
        ----------
        size : int
            Box D.
        dtype : {"float64", "float32"}
            Precision of the result. The phase is computed in double precision in either
            case: it reaches hundreds of radians, of which single precision loses 1e-4.

        Returns
        -------
        (n, D, D//2 + 1) real array
            Zero frequency first, in the library of the parameters.

        Examples
        --------
        >>> ctf = CTF(defocus_u=15000, defocus_v=14000, astigmatism_angle=30, voltage=300,
        ...           spherical_aberration=2.7, amplitude_contrast=0.1, pixel_size=1.5)
        >>> ctf.evaluate(4, "float32").dtype
        dtype('float32')
        """
        xp = array_namespace(self.defocus_u)
        dtype = np.dtype(check_choice("dtype", np.dtype(dtype).name, ("float32", "float64")))
        basis = phase_basis(check_size("size", size), xp)
        values = xp.empty((len(self), basis.shape[1]), dtype)
        for part, angle in phases(self, basis, dtype):
            xp.sin(angle, out=values[part])
            values[part] *= -self.scale[part, None].astype(dtype)
            self._multiply_envelope(values[part], part, basis)
        return values.reshape(len(self), size, -1)

    def coefficients(self, size: int) -> Array:
        """Return what the functions are computed from at integer frequencies of a box.

        Parameters
        ----------
        size : int
            Box D.

        Returns
        -------
        (n, 7) float64 array
            With k the signed frequencies, ``gamma = c0 kx^2 + c1 kx ky + c2 ky^2 + c3 |k|^4 + c4``
            and the function ``-c6 sin(gamma) exp(-c5 |k|^2)``.

        Examples
        --------
        >>> ctf = CTF(defocus_u=15000, defocus_v=14000, astigmatism_angle=30, voltage=300,
        ...           spherical_aberration=2.7, amplitude_contrast=0.1, pixel_size=1.5)
        >>> *_, constant, decay, scale = ctf.coefficients(64)[0]
        >>> -scale * np.sin(constant)  # the amplitude contrast
        np.float64(0.1)
        """
        size = check_size("size", size)
        phase = phase_coefficients(self)
        phase[:, :3] /= size**2
        phase[:, 3] /= size**4
        decay = self.b_factor / (4 * (size * self.pixel_size) ** 2)
        columns = [phase, decay[:, None], self.scale[:, None]]
        return array_namespace(phase).concatenate(columns, axis=1)

    def vjp(self, size: int, *, cotangent: Array) -> CTFGradients:
        """Return the gradients in the parameters, given the one in the values.

        Parameters
        ----------
        size : int
            Box D.
        cotangent : (n, D, D//2 + 1) real array
            The gradient g of a loss L with respect to the values C in the inner product
            of the library, that is ``dL = sum_k m(k) g(k) dC(k)`` over the stored
            frequencies, m being `fslice.fourier.hermitian_weights`. For an image spectrum
            ``C x`` with gradient h it is ``Re(conj(h) x)``.

        Returns
        -------
        CTFGradients
            (n,) float64 arrays, the derivatives of L in the parameters that are refined.

        Raises
        ------
        ValueError
            The cotangent's shape is not that of ``evaluate(size)``.
        TypeError
            The cotangent is not real, or of another array library.

        Examples
        --------
        >>> ctf = CTF(defocus_u=15000, defocus_v=14000, astigmatism_angle=30, voltage=300,
        ...           spherical_aberration=2.7, amplitude_contrast=0.1, pixel_size=1.5)
        >>> cotangent = np.zeros((1, 4, 3))
        >>> cotangent[0, 0, 0] = 1  # the value at zero frequency, scale * amplitude_contrast
        >>> gradients = ctf.vjp(4, cotangent=cotangent)
        >>> gradients.amplitude_contrast, gradients.scale
        (array([1.]), array([0.1]))
        """
        check_real("cotangent", cotangent)
        xp = array_namespace(self.defocus_u, cotangent)
        basis = phase_basis(check_size("size", size), xp)
        check_shape("cotangent", cotangent, (len(self), size, size // 2 + 1))
        weights = hermitian_weights(size, xp).astype(cotangent.dtype)
        columns = basis.T.astype(cotangent.dtype)
        by_cosine, by_sine = xp.empty((2, len(self), len(basis)))
        for part, angle in phases(self, basis, cotangent.dtype):
            weighted = (cotangent[part] * weights).reshape(angle.shape)
            self._multiply_envelope(weighted, part, basis)
            by_cosine[part] = (weighted * xp.cos(angle)) @ columns
            by_sine[part] = (weighted * xp.sin(angle)) @ columns
        return chain_rule(self, -self.scale[:, None] * by_cosine, -by_sine)

    def _multiply_envelope(self, values: Array, part: slice, basis: Array) -> None:
        """Multiply by ``exp(-B |s|^2 / 4)`` in place; one pass is saved where all B are zero."""
        xp = array_namespace(values)
        b_factor = self.b_factor[part]
        if bool((b_factor != 0).any()):
            rates = (-b_factor / (4 * self.pixel_size[part] ** 2)).astype(values.dtype)
            squares = (basis[0] + basis[2]).astype(values.dtype)
            values *= xp.exp(rates[:, None] * squares)
