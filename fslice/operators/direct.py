"""Projections by the direct Fourier sum: slow, and exact where a kernel interpolates.

The spectrum of a volume is known at every frequency, not only on its grid: it is the sum over
the voxels. Taking that sum at the frequencies of a slice needs no interpolation, no padding and no
deconvolution, and costs ``D**3`` multiplications for each of ``D**2`` frequencies. It is the
reference that `fslice.Projector` approaches.

All functions take a square image as well as a cube: its rotations are 2 x 2, its projections
are lines. Sums are in double precision, whatever that of the input is.
"""

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
from fslice.fourier import inverse_transform
from fslice.geometry import as_matrices
from fslice.operators._fourier_sum import add_waves, sum_waves, sum_waves_vjp
from fslice.operators._slice_points import SlicePoints
from fslice.operators.gradients import PoseGradients


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


def project_direct(
    volume: Array,
    rotations: Array,
    shifts: Array | None = None,
    *,
    max_radius: float | None = None,
) -> Array:
    """Project a real volume to real images, without interpolation.

    Parameters
    ----------
    volume : (D, D, D) or (D, D) real array
        In the order ``[z, y, x]``.
    rotations : (..., 3, 3) or (..., 2, 2) real array, or SciPy Rotation
        Image to volume coordinates, acting on (x, y, z).
    shifts : (..., 2) or (..., 1) real array, optional
        Where the particle sits, (x, y) in pixels.
    max_radius : float, optional
        Frequencies with ``|k| > max_radius`` are zero. Default ``(D - 1) // 2``; never are those
        at D/2 taken.

    Returns
    -------
    (..., D, D) or (..., D) real array
        With the spectrum ``sqrt(D) exp(-2 pi i k . t / D) fourier_sum(volume, R (kx, ky, 0))``,
        which is what `fslice.Projector.project` tends to with growing oversampling.

    Raises
    ------
    ValueError
        A shape does not fit, or a matrix is no rotation.
    TypeError
        Array libraries are mixed, or precisions differ.

    Notes
    -----
    Linear in `volume`; adjoint: `backproject_direct`; gradients: `project_direct_vjp`.

    Examples
    --------
    The error of the linear kernel, and what oversampling does to it:

    >>> import numpy as np, fslice
    >>> rotations = fslice.random_rotations(2, np.random.default_rng(0))
    >>> volume = fslice.phantom(16, 1.0).density(16, 1.0)
    >>> exact = project_direct(volume, rotations)
    >>> for oversampling in (1, 2):
    ...     images = fslice.Projector(16, oversampling).project(volume, rotations)
    ...     print(f"{np.linalg.norm(images - exact) / np.linalg.norm(exact):.1e}")
    1.2e-01
    2.6e-02
    """
    rotations = as_matrices(rotations, like=volume)
    poses = SlicePoints("volume", volume, rotations, shifts, max_radius)
    check_shape("volume", volume, (poses.size,) * poses.dimension)
    values = sum_waves(volume, poses.frequencies()).reshape(poses.phases.shape) * poses.phases
    spectra = poses.scale * poses.to_half_spectra(values)
    images = inverse_transform(spectra, poses.dimension - 1, poses.size)
    return images.reshape(poses.image_shape).astype(volume.dtype)


def backproject_direct(
    images: Array,
    rotations: Array,
    shifts: Array | None = None,
    *,
    max_radius: float | None = None,
) -> Array:
    """Sum images into a volume: the adjoint of `project_direct`.

    Parameters
    ----------
    images : (..., D, D) or (..., D) real array
    rotations, shifts, max_radius
        As in `project_direct`.

    Returns
    -------
    (D, D, D) or (D, D) real array
        The sum over all images, not normalised.

    Raises
    ------
    ValueError, TypeError
        As `project_direct`.

    Examples
    --------
    >>> import numpy as np
    >>> backproject_direct(np.array([[0.0, 3.0, 0.0]]), np.eye(2)[None]).round(12)
    array([[0., 3., 0.],
           [0., 3., 0.],
           [0., 3., 0.]])
    """
    rotations = as_matrices(rotations, like=images)
    poses = SlicePoints("images", images, rotations, shifts, max_radius)
    check_shape("images", images, poses.image_shape)
    values = poses.from_half_spectra(poses.spectra_of(images)) * poses.phases.conj()
    volume = poses.scale * add_waves(values.reshape(-1), poses.frequencies(), poses.size)
    return volume.astype(images.dtype)


def project_direct_vjp(
    volume: Array,
    rotations: Array,
    shifts: Array | None = None,
    *,
    cotangent: Array,
    max_radius: float | None = None,
) -> PoseGradients:
    """Return the gradients of `project_direct` in volume, rotations and shifts.

    Parameters
    ----------
    volume, rotations, shifts, max_radius
        Where the gradient is taken, as in `project_direct`.
    cotangent : (..., D, D) or (..., D) real array
        Gradient in the images.

    Returns
    -------
    PoseGradients
        Real arrays like `volume`, `rotations` and `shifts`; the column of the beam is zero.

    Raises
    ------
    ValueError, TypeError
        As `project_direct`.

    Examples
    --------
    The sum of squares of projections rises where the volume does:

    >>> import numpy as np
    >>> image = np.zeros((4, 4))
    >>> image[2, 2] = 1
    >>> one = np.eye(2)[None]
    >>> gradients = project_direct_vjp(
    ...     image, one, np.zeros((1, 1)), cotangent=project_direct(image, one)
    ... )
    >>> np.unravel_index(gradients.volume.argmax(), (4, 4))[1], np.allclose(gradients.shifts, 0)
    (np.int64(2), True)
    """
    rotations = as_matrices(rotations, like=volume)
    poses = SlicePoints("volume", volume, rotations, shifts, max_radius)
    check_shape("volume", volume, (poses.size,) * poses.dimension)
    check_cotangent(check_real, cotangent, poses.image_shape, volume=volume)
    shifted = poses.from_half_spectra(poses.spectra_of(cotangent))
    by_sum, points = shifted * poses.phases.conj(), poses.frequencies()
    values, by_points = sum_waves_vjp(volume, points, by_sum.reshape(-1))
    grad_volume = poses.scale * add_waves(by_sum.reshape(-1), points, poses.size)
    grad_rotations, grad_shifts = poses.pose_gradients(
        by_points, (by_sum.conj() * values.reshape(by_sum.shape)).imag
    )
    return PoseGradients(
        grad_volume.astype(volume.dtype),
        (poses.scale * grad_rotations).reshape(rotations.shape).astype(rotations.dtype),
        None
        if shifts is None
        else (poses.scale * grad_shifts).reshape(shifts.shape).astype(shifts.dtype),
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
