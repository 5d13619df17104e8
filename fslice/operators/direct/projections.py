"""Projections whose spectra are Fourier sums, their adjoint and their gradients."""

from __future__ import annotations

from fslice._arrays import Array, check_cotangent, check_real, check_shape
from fslice.fourier import inverse_transform
from fslice.geometry import as_matrices
from fslice.operators.direct._slice_points import SlicePoints
from fslice.operators.direct._waves import add_waves, sum_waves, sum_waves_vjp
from fslice.operators.gradients import PoseGradients


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
