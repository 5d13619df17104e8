"""Slices and their adjoints in CUDA."""

from __future__ import annotations

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice._kernels.cuda.bricks import volume_sum
from fslice._kernels.cuda.structs import geometry_struct
from fslice._kernels.cuda.workspace import Workspace, contiguous, scalar, tiles
from fslice._kernels.interface import SliceGeometry, Views


def gather(
    kernels: Workspace,
    volume: Array,
    views: Views,
    amplitude: float,
    geometry: SliceGeometry,
    out: Array | None = None,
) -> Array:
    """Return what `Kernels.gather` says."""
    volume, xp = contiguous(volume), array_namespace(volume)
    shape = (len(views.rotations), *geometry.slice_shape)
    slices = xp.empty(shape, volume.dtype) if out is None else out
    fixed = np.float64(amplitude), geometry_struct(geometry)
    kind = scalar(volume), len(geometry.taps)
    for part, prepared, count in kernels.prepared(views._replace(image_of=None), geometry):
        arguments = volume, prepared, *fixed, slices[part]
        kernels.run("gather", kind, (int(count), tiles(geometry)), arguments, volume)
    return slices


def gather_slopes(
    kernels: Workspace, volume: Array, views: Views, amplitude: float, geometry: SliceGeometry
) -> tuple[Array, Array]:
    """Return what `Kernels.gather_slopes` says."""
    volume, xp = contiguous(volume), array_namespace(volume)
    slices = xp.empty((len(views.rotations), *geometry.slice_shape), volume.dtype)
    slopes = xp.empty((3, *slices.shape), volume.dtype)
    fixed = np.float64(amplitude), geometry_struct(geometry)
    kind = scalar(volume), len(geometry.taps)
    for part, prepared, count in kernels.prepared(views._replace(image_of=None), geometry):
        along = slopes.reshape(-1)[part.start * slices[0].size :]
        arguments = (
            volume, prepared, *fixed, np.int64(slices.size), slices[part], along,
        )  # fmt: skip
        grid = int(count), tiles(geometry)
        kernels.run("gather_slopes", kind, grid, arguments, volume)
    return slices, slopes


def scatter(
    kernels: Workspace, slices: Array, views: Views, amplitude: float, geometry: SliceGeometry
) -> Array:
    """Return what `Kernels.scatter` says."""
    return _inserted(kernels, slices, views, amplitude, geometry, power=1)


def scatter_squares(
    kernels: Workspace, values: Array, views: Views, geometry: SliceGeometry
) -> Array:
    """Return what `Kernels.scatter_squares` says."""
    return _inserted(kernels, values, views, 1.0, geometry, power=2)


def _inserted(
    kernels: Workspace,
    values: Array,
    views: Views,
    amplitude: float,
    geometry: SliceGeometry,
    power: int,
) -> Array:
    values, count = contiguous(values), len(views.rotations)
    if count == 0:
        return array_namespace(values).zeros(geometry.volume_shape, values.dtype)
    with volume_sum(kernels, geometry, count, values, power) as total:
        for prepared in kernels.prepared(views, geometry):
            total.add(values, prepared, amplitude)
        return total.total()
