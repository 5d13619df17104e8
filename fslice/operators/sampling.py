"""How slices sample a volume, and poses and images as kernels take them."""

from __future__ import annotations

import math
import numbers

from fslice import _kernels
from fslice._arrays import (
    Array,
    array_namespace,
    check_choice,
    check_complex,
    check_shape,
    check_size,
)

INTERPOLATIONS = {"linear": _kernels.LINEAR, "cubic": _kernels.CUBIC}


def slice_geometry(
    dimension: int, padded_size: int, size: int, interpolation: str, max_radius: float | None
) -> _kernels.SliceGeometry:
    """Describe how slices of box `size` read a volume (or, dimension 2, an image) of another."""
    size, padded = check_size("size", size), check_size("volume size", padded_size)
    if padded < size:
        raise ValueError(f"size: expected at most the volume's box {padded}, got {size}")
    check_choice("interpolation", interpolation, tuple(INTERPOLATIONS))
    radius = (size - 1) // 2 if max_radius is None else max_radius
    if not isinstance(radius, numbers.Real):
        raise TypeError(f"max_radius: expected a number, got {max_radius!r}")
    if not 0 <= radius < math.inf:
        raise ValueError(f"max_radius: expected a finite number of at least 0, got {max_radius}")
    return _kernels.SliceGeometry(
        nz=padded if dimension == 3 else 1,
        ny=padded,
        nx=padded,
        rows=size if dimension == 3 else 1,
        columns=size,
        scale=padded / size,
        max_radius=float(radius),
        taps=INTERPOLATIONS[interpolation],
    )


def check_volume_ft(name: str, volume_ft: Array, dimension: int = 3) -> int:
    """Return the box of a volume's (or, dimension 2, an image's) half spectrum, or raise."""
    check_complex(name, volume_ft)
    size = volume_ft.shape[0] if volume_ft.ndim else 0
    check_shape(name, volume_ft, (*["M"] * (dimension - 1), "M//2 + 1"))
    check_shape(name, volume_ft, (*[size] * (dimension - 1), size // 2 + 1))
    return size


def flat_volume(volume_ft: Array, geometry: _kernels.SliceGeometry) -> Array:
    """Return a half spectrum as kernels take it: of three axes, contiguous."""
    flat = volume_ft.reshape(geometry.volume_shape)
    return array_namespace(volume_ft).ascontiguousarray(flat)


def flat_images(images: Array, geometry: _kernels.SliceGeometry) -> Array:
    """Return images, or what multiplies them, as kernels take them: one batch axis, contiguous."""
    flat = images.reshape((-1, *geometry.slice_shape))
    return array_namespace(images).ascontiguousarray(flat)


def flat_poses(rotations: Array, shifts: Array | None = None) -> tuple[Array, Array]:
    """Return (n, 3, 3) rotations and (n, 2) shifts, two dimensions embedded, contiguous."""
    xp = array_namespace(rotations, shifts)
    dimension = rotations.shape[-1]
    matrices = xp.ascontiguousarray(rotations.reshape((-1, dimension, dimension)))
    if dimension == 2:
        embedded = xp.zeros((len(matrices), 3, 3), rotations.dtype)
        embedded[:, :2, :2] = matrices
        embedded[:, 2, 2] = 1
        matrices = embedded
    in_plane = xp.zeros((len(matrices), 2), rotations.dtype)
    if shifts is not None:
        in_plane[:, : dimension - 1] = shifts.reshape((-1, dimension - 1))
    return matrices, in_plane
