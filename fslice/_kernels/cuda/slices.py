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
    slices, slopes = _derivatives(
        kernels, "gather_slopes", (3,), volume, views, amplitude, geometry
    )
    return slices, slopes


def gather_curvatures(
    kernels: Workspace, volume: Array, views: Views, amplitude: float, geometry: SliceGeometry
) -> tuple[Array, Array, Array]:
    """Return what `Kernels.gather_curvatures` says."""
    slices, slopes, curvatures = _derivatives(
        kernels, "gather_curvatures", (3, 6), volume, views, amplitude, geometry
    )
    return slices, slopes, curvatures


def _derivatives(
    kernels: Workspace,
    entry: str,
    counts: tuple[int, ...],
    volume: Array,
    views: Views,
    amplitude: float,
    geometry: SliceGeometry,
) -> list[Array]:
    """Return slices, and so many derivatives of each order."""
    volume, xp = contiguous(volume), array_namespace(volume)
    slices = xp.empty((len(views.rotations), *geometry.slice_shape), volume.dtype)
    orders = [xp.empty((count, *slices.shape), volume.dtype) for count in counts]
    fixed = np.float64(amplitude), geometry_struct(geometry), np.int64(slices.size)
    kind = scalar(volume), len(geometry.taps)
    for part, prepared, count in kernels.prepared(views._replace(image_of=None), geometry):
        own = [order.reshape(-1)[part.start * slices[0].size :] for order in orders]
        arguments = (volume, prepared, *fixed, slices[part], *own)
        kernels.run(entry, kind, (int(count), tiles(geometry)), arguments, volume)
    return [slices, *orders]


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
