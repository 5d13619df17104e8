"""Chi-squared with its gradients, and the curvature in the poses, in CUDA.

A kernel writes what is then added into the gradient in the volume; so many views are taken at a
time that this fits a buffer.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, real_dtype
from fslice._kernels.cuda.bricks import volume_sum
from fslice._kernels.cuda.stencil import filter_arguments
from fslice._kernels.cuda.structs import geometry_struct
from fslice._kernels.cuda.workspace import Workspace, contiguous, scalar
from fslice._kernels.interface import Filters, SliceGeometry, Views


class Gradients(NamedTuple):
    """Where a kernel writes the gradients in poses and CTF; None: they are not needed."""

    rotations: Array | None = None
    shifts: Array | None = None
    ctf: Array | None = None

    def of(self, part: slice) -> tuple[Array | None, ...]:
        """Return the rows of some views."""
        return tuple(None if array is None else array[part] for array in self)


def misfit(
    kernels: Workspace,
    volume: Array,
    images: Array,
    views: Views,
    filters: Filters,
    amplitude: float,
    geometry: SliceGeometry,
) -> tuple[Array, Array]:
    """Return what `Kernels.misfit` says."""
    return _misfit(kernels, volume, images, views, filters, amplitude, geometry, Gradients())


def gram(
    kernels: Workspace,
    volume: Array,
    views: Views,
    filters: Filters,
    amplitude: float,
    geometry: SliceGeometry,
) -> Array:
    """Return what `Kernels.gram` says."""
    return _misfit(kernels, volume, None, views, filters, amplitude, geometry, Gradients())[1]


def misfit_gradients(
    kernels: Workspace,
    volume: Array,
    images: Array,
    views: Views,
    filters: Filters,
    amplitude: float,
    geometry: SliceGeometry,
) -> tuple[Array, Array, Array, Array, Array | None]:
    """Return what `Kernels.misfit_gradients` says."""
    xp, count = array_namespace(volume, images), len(views.rotations)
    by_ctf = None
    if filters.ctf is not None:
        by_ctf = xp.empty((count, *geometry.slice_shape), real_dtype(volume.dtype))
    gradients = Gradients(xp.empty((count, 3, 3)), xp.empty((count, 2)), by_ctf)
    found = _misfit(kernels, volume, images, views, filters, amplitude, geometry, gradients)
    return *found, *gradients


def _misfit(
    kernels: Workspace,
    volume: Array,
    images: Array | None,
    views: Views,
    filters: Filters,
    amplitude: float,
    geometry: SliceGeometry,
    gradients: Gradients,
) -> tuple[Array, Array]:
    xp, count = array_namespace(volume, images), len(views.rotations)
    volume, losses = contiguous(volume), xp.empty(count)
    if count == 0:
        return losses, xp.zeros_like(volume)
    needs_poses = gradients.rotations is not None
    kind = scalar(volume), len(geometry.taps), str(needs_poses).lower()
    given = volume, contiguous(images), *filter_arguments(filters, volume)
    fixed = np.float64(amplitude), geometry_struct(geometry)
    pixels = math.prod(geometry.slice_shape)
    most = max(1, kernels.most_bytes // (pixels * volume.dtype.itemsize))
    with (
        volume_sum(kernels, geometry, count, volume) as total,
        kernels.lent(min(most, count) * pixels, volume.dtype, volume) as residual,
    ):
        for prepared in kernels.prepared(views, geometry, most):
            part, records, size = prepared
            results = residual, losses[part], *gradients.of(part)
            arguments = (*given, records, *fixed, *results)
            kernels.run("misfit", kind, (int(size),), arguments, volume)
            total.add(residual, prepared, ready=True)
        return losses, total.total()


def gather_vjp(
    kernels: Workspace,
    volume: Array,
    cotangent: Array,
    views: Views,
    amplitude: float,
    geometry: SliceGeometry,
) -> tuple[Array, Array, Array]:
    """Return what `Kernels.gather_vjp` says."""
    xp, count = array_namespace(volume, cotangent), len(views.rotations)
    volume, cotangent = contiguous(volume), contiguous(cotangent)
    grad_rotations, grad_shifts = xp.empty((count, 3, 3)), xp.empty((count, 2))
    if count == 0:
        return xp.zeros_like(volume), grad_rotations, grad_shifts
    kind = scalar(volume), len(geometry.taps)
    fixed = np.float64(amplitude), geometry_struct(geometry)
    poses = Views(views.rotations, views.shifts)
    with volume_sum(kernels, geometry, count, volume) as total:
        for prepared in kernels.prepared(poses, geometry):
            part, records, size = prepared
            results = grad_rotations[part], grad_shifts[part]
            arguments = volume, cotangent[part], records, *fixed, *results
            kernels.run("pose_gradients", kind, (int(size),), arguments, volume)
            total.add(cotangent, prepared, amplitude)
        return total.total(), grad_rotations, grad_shifts


def pose_gram(
    kernels: Workspace,
    volume: Array,
    images: Array,
    views: Views,
    filters: Filters,
    amplitude: float,
    geometry: SliceGeometry,
) -> Array:
    """Return what `Kernels.pose_gram` says."""
    data = volume, images, views, filters, amplitude, geometry
    return _matrices(kernels, "pose_gram", (6,), *data)[0]


def pose_curvature(
    kernels: Workspace,
    volume: Array,
    images: Array,
    views: Views,
    filters: Filters,
    amplitude: float,
    geometry: SliceGeometry,
) -> tuple[Array, Array]:
    """Return what `Kernels.pose_curvature` says."""
    data = volume, images, views, filters, amplitude, geometry
    gram, curvature = _matrices(kernels, "pose_curvature", (6, 5), *data)
    return gram, curvature


def _matrices(
    kernels: Workspace,
    entry: str,
    sides: tuple[int, ...],
    volume: Array,
    images: Array,
    views: Views,
    filters: Filters,
    amplitude: float,
    geometry: SliceGeometry,
) -> list[Array]:
    """Return square matrices of each view, of these sides, which a kernel computes."""
    xp, volume = array_namespace(volume, images), contiguous(volume)
    found = [xp.empty((len(views.rotations), side, side)) for side in sides]
    given = volume, contiguous(images), *filter_arguments(filters, volume)
    fixed = np.float64(amplitude), geometry_struct(geometry)
    kind = scalar(volume), len(geometry.taps)
    for part, records, size in kernels.prepared(views, geometry):
        arguments = (*given, records, *fixed, *(matrices[part] for matrices in found))
        kernels.run(entry, kind, (int(size),), arguments, volume)
    return found
