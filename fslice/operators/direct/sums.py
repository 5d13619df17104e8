"""The spectrum of a real volume at any frequencies: the sum over its voxels."""

from __future__ import annotations

from typing import NamedTuple

from fslice._arrays import (
    Array,
    check_alike,
    check_complex,
    check_cotangent,
    check_finite,
    check_real,
    check_shape,
    check_size,
    complex_dtype,
    real_dtype,
)
from fslice.operators.direct._waves import add_waves, sum_waves, sum_waves_vjp


def fourier_sum(volume: Array, frequencies: Array) -> Array:
    """Evaluate the spectrum of a real volume at any frequencies.

    Parameters
    ----------
    volume : (D, D, D) or (D, D) real array
        The origin is voxel ``D // 2`` of each axis.
    frequencies : (..., 3) or (..., 2) real array
        ``q = (x, y, z)`` in cycles per box, not necessarily whole.

    Returns
    -------
    (...) complex array
        ``D**(-d/2) sum_r v(r) exp(-2 pi i q . r / D)``: at whole frequencies what `fslice.rfft3`
        stores.

    Raises
    ------
    ValueError
        A shape is not as above, or a frequency is not finite.
    TypeError
        Array libraries are mixed, or precisions differ.

    Notes
    -----
    Linear in `volume`; adjoint: `fourier_sum_adjoint`; gradients: `fourier_sum_vjp`.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> volume = np.random.default_rng(0).normal(size=(5, 5, 5))
    >>> value = fourier_sum(volume, np.array([[1.0, -2.0, 0.0]]))  # kx = 1, ky = -2, kz = 0
    >>> np.allclose(value, fslice.rfft3(volume)[0, -2, 1])
    True
    """
    points = _check_sum(volume, frequencies)
    scale = len(volume) ** (-volume.ndim / 2)
    values = scale * sum_waves(volume, points)
    return values.reshape(frequencies.shape[:-1]).astype(complex_dtype(volume.dtype))


def fourier_sum_adjoint(values: Array, frequencies: Array, size: int) -> Array:
    """Sum waves of given frequencies into a real volume: the adjoint of `fourier_sum`.

    Parameters
    ----------
    values : (...) complex array
        One for each frequency.
    frequencies : (..., 3) or (..., 2) real array
        As in `fourier_sum`.
    size : int
        Box D of the volume.

    Returns
    -------
    (D, D, D) or (D, D) real array
        ``D**(-d/2) sum_q Re(values(q) exp(2 pi i q . r / D))``.

    Raises
    ------
    ValueError, TypeError
        As `fourier_sum`.

    Notes
    -----
    The adjoint in the inner product ``sum Re(conj(a) b)`` of the values: each frequency counts
    once, as none of them stands for its mirror image.

    Examples
    --------
    >>> import numpy as np
    >>> fourier_sum_adjoint(np.array([2.0 + 0j]), np.array([[0.0, 0.0]]), 2)
    array([[1., 1.],
           [1., 1.]])
    """
    check_complex("values", values)
    dimension = _check_frequencies("values", values, frequencies)
    check_shape("values", values, frequencies.shape[:-1])
    size = check_size("size", size)
    volume = add_waves(values.reshape(-1), frequencies.reshape(-1, dimension), size)
    return (size ** (-dimension / 2) * volume).astype(real_dtype(values.dtype))


class FourierSumGradients(NamedTuple):
    """Gradients of `fourier_sum`."""

    volume: Array
    frequencies: Array


def fourier_sum_vjp(volume: Array, frequencies: Array, *, cotangent: Array) -> FourierSumGradients:
    """Return the gradients of `fourier_sum` in the volume and in the frequencies.

    Parameters
    ----------
    volume, frequencies
        Where the gradient is taken, as in `fourier_sum`.
    cotangent : (...) complex array
        Gradient g in the values v, such that ``dL = sum Re(conj(g) dv)``.

    Returns
    -------
    FourierSumGradients
        ``volume`` and ``frequencies``, real arrays like these.

    Raises
    ------
    ValueError, TypeError
        As `fourier_sum`.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.zeros((4, 4))
    >>> image[2, 3] = 4  # at x = 1, y = 0: its wave turns by -2 pi / 4 per cycle along x
    >>> gradients = fourier_sum_vjp(image, np.zeros((1, 2)), cotangent=np.array([1j]))
    >>> np.allclose(gradients.frequencies, [[-np.pi / 2, 0]])
    True
    """
    points = _check_sum(volume, frequencies)
    check_cotangent(check_complex, cotangent, frequencies.shape[:-1], volume=volume)
    scale, flat = len(volume) ** (-volume.ndim / 2), cotangent.reshape(-1)
    _, by_points = sum_waves_vjp(volume, points, flat)
    grad_volume = scale * add_waves(flat, points, len(volume))
    grad_frequencies = (scale * by_points).reshape(frequencies.shape)
    return FourierSumGradients(
        grad_volume.astype(volume.dtype), grad_frequencies.astype(frequencies.dtype)
    )


def _check_sum(volume: Array, frequencies: Array) -> Array:
    """Return the frequencies as (points, d), or raise unless they fit the volume."""
    check_real("volume", volume)
    dimension = _check_frequencies("volume", volume, frequencies)
    check_shape("volume", volume, (*["D"] * dimension,))
    check_shape("volume", volume, (len(volume),) * dimension)
    return frequencies.reshape(-1, dimension)


def _check_frequencies(name: str, array: Array, frequencies: Array) -> int:
    check_real("frequencies", frequencies)
    check_alike(**{name: array, "frequencies": frequencies})
    dimension = 2 if frequencies.shape[-1:] == (2,) else 3
    check_shape("frequencies", frequencies, (..., dimension))
    check_finite("frequencies", frequencies)
    return dimension
