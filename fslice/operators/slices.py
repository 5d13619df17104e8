"""Central slices of a half spectrum: the Fourier slice theorem, its adjoint and its gradients."""

from __future__ import annotations

import math
import numbers

from fslice import _kernels
from fslice._arrays import (
    Array,
    array_namespace,
    check_alike,
    check_choice,
    check_complex,
    check_shape,
    check_size,
)
from fslice.geometry import check_rotations

INTERPOLATIONS = {"linear": _kernels.LINEAR, "cubic": _kernels.CUBIC}


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
    rotations : (..., 3, 3) real array
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
    check_poses("volume_ft", volume_ft, rotations)
    geometry = make_geometry(3, box, box if size is None else size, interpolation, max_radius)
    kernels = _kernels.kernels_for(volume_ft, rotations)
    volume_ft = array_namespace(volume_ft).ascontiguousarray(volume_ft)
    slices = kernels.gather(volume_ft, views_of(rotations), 1.0, geometry)
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
    rotations : (..., 3, 3) real array
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
    >>> left = fslice.inner_product(fslice.extract_slices(volume_ft, rotations), slices)
    >>> right = fslice.inner_product(volume_ft, fslice.insert_slices(slices, rotations))
    >>> np.isclose(left, right)
    np.True_
    """
    check_poses("slices", slices, rotations)
    own = check_slices("slices", slices, rotations)
    geometry = make_geometry(3, own if size is None else size, own, interpolation, max_radius)
    kernels = _kernels.kernels_for(slices, rotations)
    return kernels.scatter(flat_images(slices, geometry), views_of(rotations), 1.0, geometry)


def extract_slices_vjp(
    volume_ft: Array,
    rotations: Array,
    cotangent: Array,
    *,
    interpolation: str = "linear",
    max_radius: float | None = None,
) -> tuple[Array, Array]:
    """Return the gradients of `extract_slices` in the volume and in the matrix entries.

    Parameters
    ----------
    volume_ft : (M, M, M//2 + 1) complex array
        Where the gradient is taken.
    rotations : (..., 3, 3) real array
        Where the gradient is taken.
    cotangent : (..., D, D//2 + 1) complex array
        Gradient with respect to the slices.
    interpolation : {"linear", "cubic"}
        As in `extract_slices`. Linear slices have a kink in the rotation wherever a sample
        crosses a cell (eq. 7 holds on its upper side); cubic ones are twice differentiable.
    max_radius : float, optional
        As in `extract_slices`.

    Returns
    -------
    grad_volume : (M, M, M//2 + 1) complex array
        ``insert_slices(cotangent)``: the map is linear in the volume.
    grad_rotations : (..., 3, 3) real array
        Gradient in the nine entries, the third column zero: a slice does not depend on the
        beam. `fslice.geometry` chains it to angles, quaternions and rotation vectors.

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
    >>> grad_volume, grad_rotations = fslice.extract_slices_vjp(volume_ft, rotations, slices)
    >>> grad_volume.shape, grad_rotations.shape
    ((6, 6, 4), (2, 3, 3))
    """
    box = check_volume_ft("volume_ft", volume_ft)
    check_poses("volume_ft", volume_ft, rotations)
    check_complex("cotangent", cotangent)
    check_alike(volume_ft=volume_ft, cotangent=cotangent)
    own = check_slices("cotangent", cotangent, rotations)
    geometry = make_geometry(3, box, own, interpolation, max_radius)
    kernels = _kernels.kernels_for(volume_ft, rotations, cotangent)
    volume_ft = array_namespace(volume_ft).ascontiguousarray(volume_ft)
    grad_volume, grad_rotations, _ = kernels.gather_vjp(
        volume_ft, flat_images(cotangent, geometry), views_of(rotations), 1.0, geometry
    )
    return grad_volume, grad_rotations.reshape(rotations.shape).astype(rotations.dtype)


def make_geometry(
    dimension: int, box: int, size: int, interpolation: str, max_radius: float | None
) -> _kernels.SliceGeometry:
    """Describe how slices of box `size` read a volume (or, dimension 2, an image) of box `box`."""
    size, box = check_size("size", size), check_size("volume size", box)
    if box < size:
        raise ValueError(f"size: expected at most the volume's box {box}, got {size}")
    check_choice("interpolation", interpolation, tuple(INTERPOLATIONS))
    radius = (size - 1) // 2 if max_radius is None else max_radius
    if not isinstance(radius, numbers.Real):
        raise TypeError(f"max_radius: expected a number, got {max_radius!r}")
    if not 0 <= radius < math.inf:
        raise ValueError(f"max_radius: expected a finite number of at least 0, got {max_radius}")
    return _kernels.SliceGeometry(
        nz=box if dimension == 3 else 1,
        ny=box,
        nx=box,
        rows=size if dimension == 3 else 1,
        columns=size,
        scale=box / size,
        max_radius=float(radius),
        taps=INTERPOLATIONS[interpolation],
    )


def check_volume_ft(name: str, volume_ft: Array, dimension: int = 3) -> int:
    """Return the box of a volume's (or, dimension 2, an image's) half spectrum, or raise."""
    check_complex(name, volume_ft)
    box = volume_ft.shape[0] if volume_ft.ndim else 0
    check_shape(name, volume_ft, (*["M"] * (dimension - 1), "M//2 + 1"))
    check_shape(name, volume_ft, (*[box] * (dimension - 1), box // 2 + 1))
    return box


def check_slices(name: str, slices: Array, rotations: Array) -> int:
    """Return the box of slices that go with `rotations`, or raise."""
    check_complex(name, slices)
    batch = rotations.shape[:-2]
    check_shape(name, slices, (*batch, "D", "D//2 + 1"))
    size = slices.shape[-2]
    check_shape(name, slices, (*batch, size, size // 2 + 1))
    return size


def check_poses(name: str, array_ft: Array, rotations: Array) -> None:
    """Raise unless `rotations` are of three dimensions and in the precision of `array_ft`."""
    check_complex(name, array_ft)
    check_rotations("rotations", rotations)
    check_shape("rotations", rotations, (..., 3, 3))
    check_alike(**{name: array_ft, "rotations": rotations})


def flat_images(images: Array, geometry: _kernels.SliceGeometry) -> Array:
    """Return images, or their weights, as kernels take them: one batch axis, contiguous."""
    flat = images.reshape((-1, *geometry.slice_shape))
    return array_namespace(images).ascontiguousarray(flat)


def views_of(
    rotations: Array,
    shifts: Array | None = None,
    image_of: Array | None = None,
    weights: Array | None = None,
) -> _kernels.Views:
    """Return poses as kernels take them: one batch axis, two dimensions embedded, contiguous."""
    xp = array_namespace(rotations, shifts)
    dimension = rotations.shape[-1]
    matrices = xp.ascontiguousarray(rotations.reshape((-1, dimension, dimension)))
    if dimension == 2:
        embedded = xp.zeros((len(matrices), 3, 3), rotations.dtype)
        embedded[:, :2, :2] = matrices
        embedded[:, 2, 2] = 1
        matrices = embedded
    moved = xp.zeros((len(matrices), 2), rotations.dtype)
    if shifts is not None:
        moved[:, : dimension - 1] = shifts.reshape((-1, dimension - 1))
    return _kernels.Views(matrices, moved, image_of, weights)
