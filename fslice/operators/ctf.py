"""The contrast transfer function of an electron microscope, per image, and its derivatives.

RELION's formula and sign: positive defocus is underfocus, and the function starts at
``+amplitude_contrast`` at zero frequency and rises from there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from fslice._arrays import (
    Array,
    array_namespace,
    check_choice,
    check_finite,
    check_real,
    check_shape,
    check_size,
    to_numpy,
)
from fslice.fourier import frequencies, hermitian_weights

_DEGREE = np.pi / 180
_ANGSTROM_PER_MILLIMETRE = 1e7
# Pixels evaluated together: on the CPU they fit the cache, a GPU wants to be filled.
_BLOCK = {True: 2**16, False: 2**24}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class CTF:
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

    defocus_u: Array
    defocus_v: Array
    astigmatism_angle: Array
    voltage: Array
    spherical_aberration: Array
    amplitude_contrast: Array
    pixel_size: Array
    phase_shift: Array = 0.0
    b_factor: Array = 0.0
    scale: Array = 1.0

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        xp = array_namespace(*(value for value in given.values() if getattr(value, "ndim", 0)))
        arrays = {name: _parameter(name, value, xp) for name, value in given.items()}
        count = max(array.size for array in arrays.values())
        for name, array in arrays.items():
            if array.size > 1:
                check_shape(name, array, (count,))
            object.__setattr__(self, name, xp.broadcast_to(array, (count,)).copy())
        _check_range("voltage", self.voltage, self.voltage > 0, "positive values")
        _check_range("pixel_size", self.pixel_size, self.pixel_size > 0, "positive values")
        contrast = self.amplitude_contrast
        _check_range("amplitude_contrast", contrast, abs(contrast) < 1, "values between -1 and 1")

    def __len__(self) -> int:
        return len(self.defocus_u)

    def __getitem__(self, index: Any) -> CTF:
        """Select images by an integer, a slice, or an array of integers or booleans."""
        xp = array_namespace(self.defocus_u)
        chosen = object.__new__(CTF)  # the parameters have been checked already
        for field in dataclasses.fields(self):
            value = xp.atleast_1d(getattr(self, field.name)[index])
            object.__setattr__(chosen, field.name, value)
        check_shape("index", chosen.defocus_u, ("n",))
        return chosen

    def replace(self, **changes: Array) -> CTF:
        """Return a copy with some parameters changed.

        Examples
        --------
        >>> ctf = CTF(defocus_u=15000, defocus_v=14000, astigmatism_angle=30, voltage=300,
        ...           spherical_aberration=2.7, amplitude_contrast=0.1, pixel_size=1.5)
        >>> ctf.replace(scale=2).scale
        array([2.])
        """
        return dataclasses.replace(self, **changes)

    def to(self, xp: ModuleType) -> CTF:
        """Return a copy whose parameters are arrays of the library `xp` (NumPy or CuPy).

        Examples
        --------
        >>> ctf = CTF(defocus_u=15000, defocus_v=14000, astigmatism_angle=30, voltage=300,
        ...           spherical_aberration=2.7, amplitude_contrast=0.1, pixel_size=1.5)
        >>> type(ctf.to(np).voltage).__module__
        'numpy'
        """
        convert = to_numpy if xp is np else xp.asarray
        fields = dataclasses.fields(self)
        return CTF(**{field.name: convert(getattr(self, field.name)) for field in fields})

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
        basis = _basis(check_size("size", size), xp)
        values = xp.empty((len(self), basis.shape[1]), dtype)
        for part, angle in self._phases(basis, dtype):
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
        xp = array_namespace(self.defocus_u)
        per_frequency = xp.asarray([1 / size**2] * 3 + [1 / size**4, 1.0])
        decay = self.b_factor / (4 * (size * self.pixel_size) ** 2)
        columns = [self._coefficients() * per_frequency, decay[:, None], self.scale[:, None]]
        return xp.concatenate(columns, axis=1)

    def vjp(self, size: int, cotangent: Array) -> dict[str, Array]:
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
        dict of (n,) float64 arrays
            The derivatives of L with respect to ``defocus_u``, ``defocus_v`` (per
            Angstrom), ``astigmatism_angle``, ``phase_shift`` (per degree),
            ``amplitude_contrast``, ``b_factor`` (per square Angstrom) and ``scale``.

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
        >>> gradients = ctf.vjp(4, cotangent)
        >>> gradients["amplitude_contrast"], gradients["scale"]
        (array([1.]), array([0.1]))
        """
        check_real("cotangent", cotangent)
        xp = array_namespace(self.defocus_u, cotangent)
        basis = _basis(check_size("size", size), xp)
        check_shape("cotangent", cotangent, (len(self), size, size // 2 + 1))
        weights = hermitian_weights(size, xp).astype(cotangent.dtype)
        columns = basis.T.astype(cotangent.dtype)
        by_cosine, by_sine = xp.empty((2, len(self), len(basis)))
        for part, angle in self._phases(basis, cotangent.dtype):
            weighted = (cotangent[part] * weights).reshape(angle.shape)
            self._multiply_envelope(weighted, part, basis)
            by_cosine[part] = (weighted * xp.cos(angle)) @ columns
            by_sine[part] = (weighted * xp.sin(angle)) @ columns
        return self._chain_rule(-self.scale[:, None] * by_cosine, -by_sine)

    def _chain_rule(self, by_phase: Array, by_sine: Array) -> dict[str, Array]:
        """Take the gradient from sums against the basis to the parameters.

        `by_phase` is the gradient in the phase's five coefficients, `by_sine` the sum of
        cotangent, envelope and ``-sin(gamma)``: its constant is the gradient in the scale,
        its ``ux^2 + uy^2`` gives that in the B-factor.
        """
        xp = array_namespace(by_phase)
        xx, xy, yy, _, constant = by_phase.T
        defocus_rate = self._defocus_rate()
        twice = 2 * self.astigmatism_angle * _DEGREE
        aligned = xp.cos(twice) * (xx - yy) + xp.sin(twice) * 2 * xy
        turned = xp.sin(twice) * (xx - yy) - xp.cos(twice) * 2 * xy
        difference = (self.defocus_u - self.defocus_v) * _DEGREE
        return {
            "defocus_u": -defocus_rate / 2 * (xx + yy + aligned),
            "defocus_v": -defocus_rate / 2 * (xx + yy - aligned),
            "astigmatism_angle": defocus_rate * difference * turned,
            "phase_shift": -_DEGREE * constant,
            "amplitude_contrast": -constant / xp.sqrt(1 - self.amplitude_contrast**2),
            "b_factor": -self.scale / (4 * self.pixel_size**2) * (by_sine[:, 0] + by_sine[:, 2]),
            "scale": by_sine[:, 4],
        }

    def _phases(self, basis: Array, dtype: np.dtype) -> Iterator[tuple[slice, Array]]:
        """Yield gamma in radians, less whole turns, for a block of images at a time.

        Coefficients, their product with the basis and the dropping of whole turns are in
        double precision; only the rest is rounded to `dtype`, and so keeps its 1e-7.
        """
        xp = array_namespace(basis)
        turns = self._coefficients() / (2 * np.pi)
        step = max(1, _BLOCK[xp is np] // basis.shape[1])
        for start in range(0, len(self), step):
            part = slice(start, start + step)
            phase = turns[part] @ basis
            phase -= xp.rint(phase)
            phase *= 2 * np.pi
            yield part, phase.astype(dtype, copy=False)

    def _coefficients(self) -> Array:
        """Return the (n, 5) coefficients of gamma in the basis of `_basis`."""
        xp = array_namespace(self.defocus_u)
        defocus_rate = self._defocus_rate()
        wavelength = _wavelength(self.voltage)
        aberration = self.spherical_aberration * _ANGSTROM_PER_MILLIMETRE
        twice = 2 * self.astigmatism_angle * _DEGREE
        mean = (self.defocus_u + self.defocus_v) / 2
        difference = (self.defocus_u - self.defocus_v) / 2
        columns = [
            -defocus_rate * (mean + difference * xp.cos(twice)),
            -defocus_rate * 2 * difference * xp.sin(twice),
            -defocus_rate * (mean - difference * xp.cos(twice)),
            np.pi / 2 * aberration * wavelength**3 / self.pixel_size**4,
            -self.phase_shift * _DEGREE - xp.arcsin(self.amplitude_contrast),
        ]
        return xp.stack(columns, axis=1)

    def _defocus_rate(self) -> Array:
        """Return the phase in radians per Angstrom of overfocus at ``|u| = 1``."""
        return np.pi * _wavelength(self.voltage) / self.pixel_size**2

    def _multiply_envelope(self, values: Array, part: slice, basis: Array) -> None:
        """Multiply by ``exp(-B |s|^2 / 4)`` in place; one pass is saved where all B are zero."""
        xp = array_namespace(values)
        b_factor = self.b_factor[part]
        if bool((b_factor != 0).any()):
            rates = (-b_factor / (4 * self.pixel_size[part] ** 2)).astype(values.dtype)
            squares = (basis[0] + basis[2]).astype(values.dtype)
            values *= xp.exp(rates[:, None] * squares)


def _basis(size: int, xp: ModuleType) -> Array:
    """Return ``ux^2, ux uy, uy^2, |u|^4, 1`` over the half spectrum, u in cycles per pixel."""
    ux, uy = (k / size for k in frequencies(size, 2, xp))
    squares = ux**2 + uy**2
    rows = [ux**2 + 0 * uy, ux * uy, uy**2 + 0 * ux, squares**2, xp.ones_like(squares)]
    return xp.stack(rows).reshape(len(rows), -1)


def _wavelength(kilovolts: Array) -> Array:
    """Return the relativistic wavelength of electrons in Angstrom."""
    volts = 1000 * kilovolts
    return 12.2643247 / (volts * (1 + 0.978466e-6 * volts)) ** 0.5


def _parameter(name: str, value: Any, xp: ModuleType) -> Array:
    """Return a number or a one-dimensional array as float64, or raise."""
    array = xp.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}: expected real numbers, got {array.dtype}")
    array = array.astype(np.float64)
    check_finite(name, array)
    if array.ndim:
        check_shape(name, array, ("n",))
    return array


def _check_range(name: str, values: Array, inside: Array, expected: str) -> None:
    if not bool(inside.all()):
        raise ValueError(f"{name}: expected {expected}, got {float(values[~inside][0])}")
