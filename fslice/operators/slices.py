"""Central slices of a half spectrum: the Fourier slice theorem, its adjoint and its gradients."""

from __future__ import annotations

from typing import NamedTuple

from fslice._arrays import Array, check_alike, check_complex, check_shape
from fslice._kernels import Views, kernels_for
from fslice.geometry import as_matrices, check_rotations
from fslice.operators.sampling import (
    check_volume_ft,
    flat_images,
    flat_poses,
    flat_volume,
    slice_geometry,
)


class SliceGradients(NamedTuple):
    """Gradients of `extract_slices`."""

    volume_ft: Array
    rotations: Array


def extract_slices(
    volume_ft: Array,
    rotations: Array,
    size: int | None = None,
    *,
    interpolation: str = "linear",
    max_radius: float | None = None,
) -> Array:
    """Sample central slices of a volume's half spectrum.

    By the Fourier slice theorem each slice is the 2-D transform of the volume's
    projection along its rotated z axis (Ullrich et al. 2019, eqs. 9-10).

    Parameters
    ----------
    volume_ft : (M, M, M//2 + 1) complex array
        Half spectrum of a real volume, zero frequency first.
    rotations : (..., 3, 3) real array, or scipy.spatial.transform.Rotation
        Image to volume coordinates, acting on (x, y, z).
    size : int, optional
        Box D of the slices, in pixels; M / D is the oversampling. Default M.
    interpolation : {"linear", "cubic"}
        Trilinear (eq. 5), or cubic B-spline.
    max_radius : float, optional
        Samples with ``|k| > max_radius`` are zero. Default ``(D - 1) // 2``.

    Returns
    -------
    (..., D, D//2 + 1) complex array
        In the library, on the device and in the precision of `volume_ft`.

    Raises
    ------
    ValueError
        A shape is not as above, or a matrix is no rotation; the message gives the name, what
        was expected and what came.
    TypeError
        Array libraries are mixed, or precisions differ.

    Notes
    -----
    ``slice(kx, ky) = volume_ft(M / D * R @ (kx, ky, 0))``; zero outside the grid, beyond
    `max_radius` and on the Nyquist planes of an even box. Linear in `volume_ft`; adjoint:
    `insert_slices`; gradients: `extract_slices_vjp`.

    Examples
    --------
    The zero frequency is the sum of the volume, whatever the orientation:

    >>> import numpy as np, fslice
    >>> volume = np.random.default_rng(0).normal(size=(6, 6, 6))
    >>> rotations = fslice.random_rotations(3, np.random.default_rng(1))
    >>> slices = fslice.extract_slices(fslice.rfft3(volume), rotations)
    >>> slices.shape
    (3, 6, 4)
    >>> np.allclose(slices[:, 0, 0], volume.sum() / 6**1.5)
    True
    """
    box = check_volume_ft("volume_ft", volume_ft)
    rotations = as_matrices(rotations, volume_ft)
    _check_rotations("volume_ft", volume_ft, rotations)
    geometry = slice_geometry(3, box, box if size is None else size, interpolation, max_radius)
    kernels = kernels_for(volume_ft, rotations)
    slices = kernels.gather(
        flat_volume(volume_ft, geometry), Views(*flat_poses(rotations)), 1.0, geometry
    )
    return slices.reshape(rotations.shape[:-2] + geometry.slice_shape)


def insert_slices(
    slices: Array,
    rotations: Array,
    size: int | None = None,
    *,
    interpolation: str = "linear",
    max_radius: float | None = None,
) -> Array:
    """Add slices into a volume's half spectrum: the adjoint of `extract_slices`.

    Parameters
    ----------
    slices : (..., D, D//2 + 1) complex array
        Half spectra of images, zero frequency first.
    rotations : (..., 3, 3) real array, or scipy.spatial.transform.Rotation
        Image to volume coordinates, acting on (x, y, z).
    size : int, optional
        Box M of the volume; M / D is the oversampling. Default D.
    interpolation : {"linear", "cubic"}
        As in `extract_slices`.
    max_radius : float, optional
        As in `extract_slices`.

    Returns
    -------
    (M, M, M//2 + 1) complex array
        The sum over all slices, Hermitian as every half spectrum of a real array. Not
        normalised by how often a frequency was hit.

    Raises
    ------
    ValueError, TypeError
        As in `extract_slices`.

    Notes
    -----
    The adjoint in the inner product of half spectra, ``sum(m * Re(conj(a) * b))``, which is
    the dot product of the real arrays.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> rng = np.random.default_rng(0)
    >>> volume_ft = fslice.rfft3(rng.normal(size=(5, 5, 5)))
    >>> slices = fslice.rfft2(rng.normal(size=(7, 5, 5)))
    >>> rotations = fslice.random_rotations(7, rng)
    >>> left = fslice.fourier.inner_product(fslice.extract_slices(volume_ft, rotations), slices)
    >>> right = fslice.fourier.inner_product(volume_ft, fslice.insert_slices(slices, rotations))
    >>> np.isclose(left, right)
    np.True_
    """
    rotations = as_matrices(rotations, slices)
    _check_rotations("slices", slices, rotations)
    own = _check_slices("slices", slices, rotations)
    geometry = slice_geometry(3, own if size is None else size, own, interpolation, max_radius)
    kernels = kernels_for(slices, rotations)
    return kernels.scatter(
        flat_images(slices, geometry), Views(*flat_poses(rotations)), 1.0, geometry
    )


def extract_slices_vjp(
    volume_ft: Array,
    rotations: Array,
    size: int | None = None,
    *,
    interpolation: str = "linear",
    max_radius: float | None = None,
    cotangent: Array,
) -> SliceGradients:
    """Return the gradients of `extract_slices` in the volume and in the matrix entries.

    Parameters
    ----------
    volume_ft, rotations, size, max_radius
        As in `extract_slices`: where the gradient is taken.
    interpolation : {"linear", "cubic"}
        Linear slices have a kink in the rotation wherever a sample crosses a cell (eq. 7 holds
        on its upper side); cubic ones are twice differentiable.
    cotangent : (..., D, D//2 + 1) complex array
        Gradient with respect to the slices; D is its own if no `size` is given.

    Returns
    -------
    SliceGradients
        ``volume_ft`` (M, M, M//2 + 1) complex: ``insert_slices(cotangent)``, as the map is
        linear in the volume. ``rotations`` (..., 3, 3) real: in the nine entries, the third
        column zero, as a slice does not depend on the beam; `fslice.geometry` chains it to
        angles, quaternions and rotation vectors.

    Raises
    ------
    ValueError, TypeError
        As in `extract_slices`.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> rng = np.random.default_rng(0)
    >>> volume_ft = fslice.rfft3(rng.normal(size=(6, 6, 6)))
    >>> rotations = fslice.random_rotations(2, rng)
    >>> slices = fslice.extract_slices(volume_ft, rotations)
    >>> gradients = extract_slices_vjp(volume_ft, rotations, cotangent=slices)
    >>> gradients.volume_ft.shape, gradients.rotations.shape
    ((6, 6, 4), (2, 3, 3))
    """
    box = check_volume_ft("volume_ft", volume_ft)
    rotations = as_matrices(rotations, volume_ft)
    _check_rotations("volume_ft", volume_ft, rotations)
    check_complex("cotangent", cotangent)
    check_alike(volume_ft=volume_ft, cotangent=cotangent)
    own = _check_slices("cotangent", cotangent, rotations)
    geometry = slice_geometry(3, box, own if size is None else size, interpolation, max_radius)
    check_shape("cotangent", cotangent, (*rotations.shape[:-2], *geometry.slice_shape))
    kernels = kernels_for(volume_ft, rotations, cotangent)
    grad_volume, grad_rotations, _ = kernels.gather_vjp(
        flat_volume(volume_ft, geometry), flat_images(cotangent, geometry),
        Views(*flat_poses(rotations)), 1.0, geometry,
    )  # fmt: skip
    return SliceGradients(
        grad_volume, grad_rotations.reshape(rotations.shape).astype(rotations.dtype)
    )


def _check_slices(name: str, slices: Array, rotations: Array) -> int:
    """Return the box of slices that go with `rotations`, or raise."""
    check_complex(name, slices)
    batch = rotations.shape[:-2]
    check_shape(name, slices, (*batch, "D", "D//2 + 1"))
    size = slices.shape[-2]
    check_shape(name, slices, (*batch, size, size // 2 + 1))
    return size


def _check_rotations(name: str, array_ft: Array, rotations: Array) -> None:
    """Raise unless `rotations` are of three dimensions and in the precision of `array_ft`."""
    check_complex(name, array_ft)
    check_rotations("rotations", rotations)
    check_shape("rotations", rotations, (..., 3, 3))
    check_alike(**{name: array_ft, "rotations": rotations})
