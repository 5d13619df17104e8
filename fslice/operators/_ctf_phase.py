"""The phase gamma of a contrast transfer function, and the chain rule to its parameters.

It is linear in five coefficients: ``gamma = c . (ux^2, ux uy, uy^2, |u|^4, 1)``,
with u in cycles per pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice.fourier import frequencies
from fslice.operators._ctf_parameters import CTFParameters

_DEGREE = np.pi / 180
_ANGSTROM_PER_MILLIMETRE = 1e7
# Pixels evaluated together: on the CPU they fit the cache, a GPU wants to be filled.
_BLOCK = {True: 2**16, False: 2**24}


class CTFGradients(NamedTuple):
    """Gradients of `CTF.evaluate` in the parameters, (n,) float64 arrays."""

    defocus_u: Array
    """Per Angstrom, as `defocus_v`."""
    defocus_v: Array
    astigmatism_angle: Array
    """Per degree, as `phase_shift`."""
    amplitude_contrast: Array
    phase_shift: Array
    b_factor: Array
    """Per square Angstrom."""
    scale: Array


def electron_wavelength(kilovolts: Array) -> Array:
    """Return the relativistic wavelength of electrons in Angstrom."""
    volts = 1000 * kilovolts
    return 12.2643247 / (volts * (1 + 0.978466e-6 * volts)) ** 0.5


def _defocus_rate(ctf: CTFParameters) -> Array:
    """Return the phase in radians per Angstrom of overfocus at ``|u| = 1``."""
    return np.pi * electron_wavelength(ctf.voltage) / ctf.pixel_size**2


def phase_coefficients(ctf: CTFParameters) -> Array:
    """Return the (n, 5) coefficients of gamma in the basis of `phase_basis`."""
    xp = array_namespace(ctf.defocus_u)
    defocus_rate = _defocus_rate(ctf)
    wavelength = electron_wavelength(ctf.voltage)
    aberration = ctf.spherical_aberration * _ANGSTROM_PER_MILLIMETRE
    twice = 2 * ctf.astigmatism_angle * _DEGREE
    mean = (ctf.defocus_u + ctf.defocus_v) / 2
    difference = (ctf.defocus_u - ctf.defocus_v) / 2
    columns = [
        -defocus_rate * (mean + difference * xp.cos(twice)),
        -defocus_rate * 2 * difference * xp.sin(twice),
        -defocus_rate * (mean - difference * xp.cos(twice)),
        np.pi / 2 * aberration * wavelength**3 / ctf.pixel_size**4,
        -ctf.phase_shift * _DEGREE - xp.arcsin(ctf.amplitude_contrast),
    ]
    return xp.stack(columns, axis=1)


def phase_basis(size: int, xp: ModuleType) -> Array:
    """Return ``ux^2, ux uy, uy^2, |u|^4, 1`` over the half spectrum, u in cycles per pixel."""
    ux, uy = (k / size for k in frequencies(size, 2, xp))
    squares = ux**2 + uy**2
    rows = [ux**2 + 0 * uy, ux * uy, uy**2 + 0 * ux, squares**2, xp.ones_like(squares)]
    return xp.stack(rows).reshape(len(rows), -1)


def phases(ctf: CTFParameters, basis: Array, dtype: np.dtype) -> Iterator[tuple[slice, Array]]:
    """Yield gamma in radians, less whole turns, for a block of images at a time.

    Coefficients, their product with the basis and the dropping of whole turns are in
    double precision; only the rest is rounded to `dtype`, and so keeps its 1e-7.
    """
    xp = array_namespace(basis)
    turns = phase_coefficients(ctf) / (2 * np.pi)
    step = max(1, _BLOCK[xp is np] // basis.shape[1])
    for start in range(0, len(ctf), step):
        part = slice(start, start + step)
        phase = turns[part] @ basis
        phase -= xp.rint(phase)
        phase *= 2 * np.pi
        yield part, phase.astype(dtype, copy=False)


def chain_rule(ctf: CTFParameters, by_phase: Array, by_sine: Array) -> CTFGradients:
    """Take the gradient from sums against the basis to the parameters.

    `by_phase` is the gradient in the phase's five coefficients, `by_sine` the sum of
    cotangent, envelope and ``-sin(gamma)``: its constant is the gradient in the scale,
    its ``ux^2 + uy^2`` gives that in the B-factor.
    """
    xp = array_namespace(by_phase)
    xx, xy, yy, _, constant = by_phase.T
    defocus_rate = _defocus_rate(ctf)
    twice = 2 * ctf.astigmatism_angle * _DEGREE
    aligned = xp.cos(twice) * (xx - yy) + xp.sin(twice) * 2 * xy
    turned = xp.sin(twice) * (xx - yy) - xp.cos(twice) * 2 * xy
    difference = (ctf.defocus_u - ctf.defocus_v) * _DEGREE
    return CTFGradients(
        defocus_u=-defocus_rate / 2 * (xx + yy + aligned),
        defocus_v=-defocus_rate / 2 * (xx + yy - aligned),
        astigmatism_angle=defocus_rate * difference * turned,
        amplitude_contrast=-constant / xp.sqrt(1 - ctf.amplitude_contrast**2),
        phase_shift=-_DEGREE * constant,
        b_factor=-ctf.scale / (4 * ctf.pixel_size**2) * (by_sine[:, 0] + by_sine[:, 2]),
        scale=by_sine[:, 4],
    )
