"""What `fslice.Projector` does once poses and CTFs are checked, in the terms of kernels."""

from __future__ import annotations

import math
import numbers
from typing import NamedTuple, Protocol

import numpy as np

from fslice import _kernels
from fslice._arrays import (
    Array,
    array_namespace,
    check_alike,
    check_array,
    check_complex,
    check_finite,
    check_real,
    check_shape,
    complex_dtype,
)
from fslice.geometry import as_matrices, check_rotations
from fslice.operators.ctf import CTF
from fslice.operators.sampling import flat_images, flat_poses, flat_volume


class SlicedBy(Protocol):
    """What tells how slices sample a volume or, dimension 2, an image: a projector."""

    def geometry(self, dimension: int) -> _kernels.SliceGeometry:
        """Return the geometry."""


class Posed(NamedTuple):
    """Views of n images, their CTFs, and the axes that a caller gave them."""

    views: _kernels.Views
    ctf: Array | None  # values or coefficients, one row per image
    geometry: _kernels.SliceGeometry
    kernels: _kernels.Kernels
    batch: tuple[int, ...]  # leading axes of the rotations
    images: tuple[int, ...]  # leading axes of the images
    rotations: Array
    shifts: Array | None

    @property
    def dimension(self) -> int:
        """Two for an image projected to lines, else three."""
        return self.rotations.shape[-1]

    @property
    def amplitude(self) -> float:
        """The ratio of the unitary transforms' norms: sqrt(D) without oversampling."""
        geometry, dimension = self.geometry, self.dimension
        return geometry.nx ** (dimension / 2) / geometry.columns ** ((dimension - 1) / 2)

    @property
    def volume_shape(self) -> tuple[int, ...]:
        """Shape of the volume's half spectrum."""
        return self.geometry.volume_shape[3 - self.dimension :]

    @property
    def slice_shape(self) -> tuple[int, ...]:
        """Shape of the half spectrum of an image or a line."""
        return self.geometry.slice_shape[3 - self.dimension :]

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Return the shape that a caller's volume, volume_ft, images or images_ft has."""
        size, dimension = self.geometry.columns, self.dimension
        return {
            "volume": (size,) * dimension,
            "volume_ft": self.volume_shape,
            "images": (*self.images, *(size,) * (dimension - 1)),
            "images_ft": (*self.images, *self.slice_shape),
        }[name]

    def ctf_values(self) -> Array | None:
        """Return the values of the CTF, one row per image, or None."""
        if self.ctf is None or self.ctf.ndim == 3:
            return self.ctf
        return self.kernels.ctf_values(self.ctf, self.geometry, self.rotations.dtype)

    def project(self, volume_ft: Array, ctf: Array | None, out: Array | None = None) -> Array:
        """Return the slice in each view, flat, times the values of a CTF."""
        if out is not None:
            out = out.reshape((-1, *self.geometry.slice_shape))
        slices = self.kernels.gather(
            flat_volume(volume_ft, self.geometry), self.views, self.amplitude, self.geometry, out
        )
        if ctf is not None:
            slices *= ctf
        return slices

    def backproject(self, images_ft: Array) -> Array:
        """Return the sum over views of what the adjoint of `project` gives."""
        values, flat = self.ctf_values(), flat_images(images_ft, self.geometry)
        if values is not None:
            flat = flat * values
        return self.scatter(flat)

    def scatter(self, flat: Array) -> Array:
        """Return the back-projection of images to which their CTF has been applied."""
        volume_ft = self.kernels.scatter(flat, self.views, self.amplitude, self.geometry)
        return volume_ft.reshape(self.volume_shape)

    def vjp(self, volume_ft: Array, cotangent: Array) -> tuple[Array, Array, Array | None, Array]:
        """Return the gradients of `project` in volume, rotations, shifts and the CTF's values."""
        values, flat = self.ctf_values(), flat_images(cotangent, self.geometry)
        grad_ctf = None
        if values is not None:
            grad_ctf = (flat.conj() * self.project(volume_ft, None)).real
            flat = flat * values
        grad_volume, grad_rotations, grad_shifts = self.kernels.gather_vjp(
            flat_volume(volume_ft, self.geometry), flat, self.views, self.amplitude, self.geometry
        )
        return self.as_given(grad_volume, grad_rotations, grad_shifts, grad_ctf)

    def as_given(
        self, grad_volume: Array, grad_rotations: Array, grad_shifts: Array, grad_ctf: Array | None
    ) -> tuple[Array, Array, Array | None, Array]:
        """Return gradients in the shapes and the precision of the inputs."""
        dimension, dtype = self.dimension, self.rotations.dtype
        entries = grad_rotations[:, :dimension, :dimension].reshape(self.rotations.shape)
        shifts = grad_shifts[:, : dimension - 1].reshape((*self.batch, dimension - 1))
        return (
            grad_volume.reshape(self.volume_shape),
            entries.astype(dtype),
            None if self.shifts is None else shifts.astype(dtype),
            None if grad_ctf is None else grad_ctf.reshape((*self.batch, *self.slice_shape)),
        )

    def squared_ctf(self) -> tuple[Array, _kernels.Views]:
        """Return the square of each image's CTF, and the views of these images."""
        values = self.ctf_values()
        if values is not None:
            return values**2, self.views
        xp, count = array_namespace(self.rotations), len(self.views.rotations)
        ones = xp.ones((1, *self.geometry.slice_shape), self.rotations.dtype)
        return ones, self.views._replace(image_of=xp.zeros(count, dtype=np.int64))

    def diagonal(self) -> Array:
        """Return the diagonal of the Gram matrix."""
        values, views = self.squared_ctf()
        diagonal = self.kernels.scatter_squares(values, views, self.geometry)
        return diagonal.reshape(self.volume_shape) * self.amplitude**2

    def density(self) -> Array:
        """Return the back-projection of the squared CTF."""
        values, views = self.squared_ctf()
        slices = values.astype(complex_dtype(values.dtype))
        density = self.kernels.scatter(slices, views, 1.0, self.geometry)
        return density.reshape(self.volume_shape).real * self.amplitude**2

    def filters(self, weights: Array | float, group_of: Array | None) -> _kernels.Filters:
        """Check the weights of residuals and return them with the CTF."""
        if isinstance(weights, numbers.Real):
            if group_of is not None:
                raise ValueError("group_of: expected None beside a number as weights")
            xp, shape = array_namespace(self.rotations), (1, *self.geometry.slice_shape)
            one = xp.full(shape, float(weights), self.rotations.dtype)
            return _kernels.Filters(self.ctf, one)
        return self._tabulated(weights, group_of)

    def _tabulated(self, weights: Array, group_of: Array | None) -> _kernels.Filters:
        check_real("weights", weights)
        array_namespace(self.rotations, weights)
        groups = () if group_of is None else ("groups",)
        check_shape("weights", weights, (*groups, *self.slice_shape))
        table = flat_images(weights.astype(self.rotations.dtype, copy=False), self.geometry)
        if group_of is not None:
            check_indices("group_of", group_of, self.images, len(table), weights)
            group_of = group_of.reshape(-1).astype(np.int64)
        return _kernels.Filters(self.ctf, table, group_of)


def posed(
    projector: SlicedBy,
    rotations: Array,
    shifts: Array | None = None,
    ctf: CTF | Array | None = None,
    *,
    image_of: Array | None = None,
    view_weights: Array | None = None,
    group_of: Array | None = None,
    **arrays: Array,
) -> Posed:
    """Check poses and CTFs, and that `arrays` fit them in library, precision and shape.

    `arrays` are called volume, volume_ft, images or images_ft. Beside `image_of` there are as many
    images as the images have entries, or `group_of` has, or as the CTF is of.
    """
    for name, array in arrays.items():
        (check_complex if name.endswith("_ft") else check_real)(name, array)
    rotations = as_matrices(rotations, next(iter(arrays.values()), None))
    geometry = projector.geometry(check_matrices(rotations))
    batch = rotations.shape[:-2]
    if shifts is not None:
        check_real("shifts", shifts)
        check_shape("shifts", shifts, (*batch, rotations.shape[-1] - 1))
        check_finite("shifts", shifts)
    check_alike(**arrays, rotations=rotations, shifts=shifts)
    images = batch
    if image_of is not None:
        stop = _count(arrays.get("images_ft"), group_of, ctf)
        last = check_indices("image_of", image_of, batch, stop, rotations)
        images = (last + 1 if stop is None else stop,)
        image_of = image_of.reshape(-1).astype(np.int64)
    if view_weights is not None:
        view_weights = _checked_view_weights(view_weights, batch, rotations)
    poses = Posed(
        _kernels.Views(*flat_poses(rotations, shifts), image_of, view_weights),
        _checked_ctf(ctf, geometry, rotations, images),
        geometry,
        _kernels.kernels_for(rotations),
        batch,
        images,
        rotations,
        shifts,
    )
    for name, array in arrays.items():
        check_shape(name, array, poses.shape_of(name))
    return poses


def check_matrices(rotations: Array) -> int:
    """Return whether rotations are 2 x 2 or 3 x 3, or raise unless they are rotations."""
    check_rotations("rotations", rotations)
    return rotations.shape[-1]


def check_indices(
    name: str, indices: Array, shape: tuple[int, ...], stop: int | None, like: Array
) -> int:
    """Return the largest index, or raise unless all are integers from 0 to less than `stop`."""
    check_array(name, indices)
    array_namespace(indices, like)
    if indices.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got {indices.dtype}")
    check_shape(name, indices, shape)
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or (stop is not None and high >= stop):
        most = "" if stop is None else f" to {stop - 1}"
        raise ValueError(f"{name}: expected integers from 0{most}, got {low} to {high}")
    return high


def _count(*per_image: CTF | Array | None) -> int | None:
    """Return the length of the first that is given, or None where nothing tells."""
    for given in per_image:
        if isinstance(given, CTF):
            return len(given) if len(given) > 1 else None  # one serves all
        if getattr(given, "ndim", 0):
            return given.shape[0]  # type: ignore[union-attr]
    return None


def _checked_view_weights(view_weights: Array, batch: tuple[int, ...], rotations: Array) -> Array:
    check_real("view_weights", view_weights)
    xp = array_namespace(rotations, view_weights)
    check_shape("view_weights", view_weights, batch)
    check_finite("view_weights", view_weights)
    if bool((view_weights < 0).any()):
        raise ValueError(f"view_weights: expected at least 0, got {float(view_weights.min())}")
    return xp.ascontiguousarray(view_weights.reshape(-1))


def _checked_ctf(
    ctf: CTF | Array | None,
    geometry: _kernels.SliceGeometry,
    rotations: Array,
    images: tuple[int, ...],
) -> Array | None:
    """Return the coefficients of each image's CTF, or the values that were given."""
    if ctf is None:
        return None
    expected = (*images, *geometry.slice_shape[3 - rotations.shape[-1] :])
    if not isinstance(ctf, CTF):
        check_real("ctf", ctf)
        check_alike(rotations=rotations, ctf=ctf)
        check_shape("ctf", ctf, expected)
        return flat_images(ctf, geometry)
    if rotations.shape[-1] == 2:
        raise TypeError(
            f"ctf: expected an array of shape {expected} for projections to lines, got a CTF, "
            "which is that of images"
        )
    xp, count = array_namespace(rotations, ctf.defocus_u), math.prod(images)
    if len(ctf) not in (1, count):
        raise ValueError(f"ctf: expected one per image, {images}, got {len(ctf)}")
    coefficients = ctf.coefficients(geometry.columns)
    return xp.ascontiguousarray(xp.broadcast_to(coefficients, (count, coefficients.shape[1])))
