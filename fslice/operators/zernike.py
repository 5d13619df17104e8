"""RELION's Zernike polynomials on the half spectrum of an image, and the beam tilt as these."""

from __future__ import annotations

import math
from types import ModuleType
from typing import NamedTuple

from fslice._arrays import (
    Array,
    array_namespace,
    check_choice,
    check_real,
    check_shape,
    check_size,
)
from fslice.fourier import frequencies, hermitian_weights
from fslice.operators.ctf import electron_wavelength

_ANGSTROM_PER_MILLIMETRE = 1e7


def zernike_phases(
    coefficients: Array, size: int, pixel_size: float, symmetry: str = "odd"
) -> Array:
    r"""Evaluate phases that are sums of Zernike polynomials on the half spectrum of an image.

    Parameters
    ----------
    coefficients : (..., J) real array
        In radians, in RELION's order: for ``"odd"`` of ``(n, m) = (1, -1), (1, 1), (3, -3),
        (3, -1), ...``, for ``"even"`` of ``(0, 0), (2, -2), (2, 0), (2, 2), (4, -4), ...``.
    size : int
        Box D.
    pixel_size : float
        In Angstrom.
    symmetry : {"odd", "even"}, optional
        Whether the phase changes sign with the frequency.

    Returns
    -------
    (..., D, D//2 + 1) real array
        ``sum_j c_j Z_j(s)`` in radians, at ``s = k / (D * pixel_size)``.

    Raises
    ------
    ValueError
        No coefficients, or a box or pixel size that is not positive.
    TypeError
        The coefficients are not real.

    Notes
    -----
    RELION's polynomials are of the frequency in 1/Angstrom itself, not of a frequency
    divided by some aperture: ``Z = R_n^|m|(|s|) cos(m a)`` for m from 0 on and
    ``R_n^|m|(|s|) sin(|m| a)`` below, a being the polar angle (``src/jaz/math/Zernike.cpp``;
    ``ObservationModel::getPhaseCorrection`` and ``getGammaOffset`` sum them).

    Examples
    --------
    The first odd ones are the frequencies along y and along x, hence a shift:

    >>> import numpy as np
    >>> zernike_phases(np.array([0.0, 8.0]), 4, 2.0)[0]
    array([0., 1., 2.])
    """
    check_real("coefficients", coefficients)
    check_shape("coefficients", coefficients, (..., "J"))
    xp = array_namespace(coefficients)
    count = check_size("coefficients", coefficients.shape[-1])
    basis = _basis(count, size, pixel_size, symmetry, xp).astype(coefficients.dtype)
    return xp.tensordot(coefficients, basis, axes=1)


class ZernikePhasesGradients(NamedTuple):
    """Gradient of `zernike_phases`."""

    coefficients: Array


def zernike_phases_vjp(
    coefficients: Array, size: int, pixel_size: float, symmetry: str = "odd", *, cotangent: Array
) -> ZernikePhasesGradients:
    """Return the gradient in the coefficients of `zernike_phases`, which is linear in them.

    Parameters
    ----------
    coefficients, size, pixel_size, symmetry
        As in `zernike_phases`.
    cotangent : (..., D, D//2 + 1) real array
        Gradient in the phases, in the inner product of half spectra.

    Returns
    -------
    ZernikePhasesGradients
        (..., J) real array.

    Examples
    --------
    >>> import numpy as np
    >>> cotangent = np.ones((4, 3))
    >>> found = zernike_phases_vjp(np.zeros(1), 4, 2.0, "even", cotangent=cotangent)
    >>> found.coefficients  # the sum over all 16 frequencies
    array([16.])
    """
    check_real("cotangent", cotangent)
    xp = array_namespace(cotangent)
    check_shape("cotangent", cotangent, (*coefficients.shape[:-1], size, size // 2 + 1))
    weighted = cotangent * hermitian_weights(size, xp).astype(cotangent.dtype)
    basis = _basis(coefficients.shape[-1], size, pixel_size, symmetry, xp).astype(cotangent.dtype)
    return ZernikePhasesGradients(xp.tensordot(weighted, basis, axes=((-2, -1), (-2, -1))))


def beam_tilt_coefficients(
    tilt_x: Array, tilt_y: Array, spherical_aberration: Array, voltage: Array
) -> Array:
    """Return the odd Zernike coefficients of a beam tilt.

    Parameters
    ----------
    tilt_x, tilt_y : (...) real array
        In milliradians.
    spherical_aberration : (...) real array
        In millimetres.
    voltage : (...) real array
        In kV.

    Returns
    -------
    (..., 6) array
        Of the phase ``-2 pi Cs L^2 (tx sx + ty sy) |s|^2``, L the wavelength: what RELION's
        ``TiltHelper::insertTilt`` adds to the group's own coefficients.

    Examples
    --------
    >>> import numpy as np
    >>> beam_tilt_coefficients(np.zeros(2), np.ones(2), np.full(2, 2.7), np.full(2, 300.0)).shape
    (2, 6)
    """
    xp = array_namespace(tilt_x, tilt_y, spherical_aberration, voltage)
    aberration = spherical_aberration * _ANGSTROM_PER_MILLIMETRE
    scale = 2 * math.pi * aberration * electron_wavelength(voltage) ** 2 * 1e-3
    # x |s|^2 = (Z_3^1 + 2 Z_1^1) / 3, since R_3^1 = 3 r^3 - 2 r.
    x, y = -scale * tilt_x / 3, -scale * tilt_y / 3
    none = xp.zeros_like(x)
    return xp.stack([2 * y, 2 * x, none, y, x, none], axis=-1)


def _basis(count: int, size: int, pixel_size: float, symmetry: str, xp: ModuleType) -> Array:
    """Return the first polynomials on the half spectrum, as a (J, D, D//2 + 1) array."""
    check_choice("symmetry", symmetry, ("odd", "even"))
    check_size("count", count)
    if not 0 < pixel_size < math.inf:
        raise ValueError(f"pixel_size: expected a positive number of Angstrom, got {pixel_size}")
    edge = check_size("size", size) * pixel_size
    sx, sy = (k / edge for k in frequencies(size, 2, xp))
    radius, angle = xp.hypot(sx, sy), xp.arctan2(sy, sx)
    return xp.stack(
        [_zernike(*_degree_and_order(j, symmetry), radius, angle) for j in range(count)]
    )


def _degree_and_order(index: int, symmetry: str) -> tuple[int, int]:
    """Return n and m of a coefficient (RELION's ``oddIndexToMN`` and ``evenIndexToMN``)."""
    if symmetry == "odd":
        k = (math.isqrt(1 + 4 * index) - 1) // 2
        return 2 * k + 1, 2 * (index - k * k - k) - (2 * k + 1)
    k = math.isqrt(index)
    return 2 * k, 2 * (index - k * k - k)


def _zernike(degree: int, order: int, radius: Array, angle: Array) -> Array:
    xp, m = array_namespace(radius), abs(order)
    radial = 0 * radius
    for k in range((degree - m) // 2 + 1):
        factor = (-1) ** k * math.comb(degree - k, k)
        factor *= math.comb(degree - 2 * k, (degree - m) // 2 - k)
        radial = radial + factor * radius ** (degree - 2 * k)
    return radial * (xp.cos(m * angle) if order >= 0 else xp.sin(m * angle))
