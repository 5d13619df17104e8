"""The stencil of a Gram matrix, and values of the CTF, in CUDA."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice._kernels.cuda.bricks import plan_of, uploaded
from fslice._kernels.cuda.plan import Plan
from fslice._kernels.cuda.structs import geometry_struct
from fslice._kernels.cuda.workspace import Workspace, blocks_for, contiguous, scalar, tiles
from fslice._kernels.interface import LINEAR, Filters, SliceGeometry, Views
from fslice._kernels.stencil import OFFSETS

SIDES = (4, 4, 8)
"""``Moments`` of stencil.cu: the sides of a brick, in cells."""
MOMENTS = 27
SIZE = MOMENTS * SIDES[0] * SIDES[1] * SIDES[2]
ITEMS = 1 << 13
"""Fewer than for slices, since each takes a slot of 14 or 28 kB."""


def _plan(kernels: Workspace, geometry: SliceGeometry, views: int) -> Plan:
    return plan_of(kernels, geometry._replace(taps=LINEAR), SIDES, views, ITEMS)


def new_gram(kernels: Workspace, geometry: SliceGeometry, dtype: Any) -> Array:
    """Return the empty sum that `add_gram` adds to: the moments of all cells, brick by brick."""
    bricks = len(_plan(kernels, geometry, 1).slots)
    return sys.modules["cupy"].zeros((bricks, SIZE), dtype)


def add_gram(
    kernels: Workspace, total: Array, views: Views, filters: Filters, geometry: SliceGeometry
) -> None:
    """Do what `Kernels.add_gram` says."""
    struct, bricks = geometry_struct(geometry), np.int32(len(total))
    kind, given = (scalar(total),), filter_arguments(filters, total)
    plan = _plan(kernels, geometry, len(views.rotations))
    items, slots = uploaded(kernels, plan, total)
    with kernels.lent(plan.further * SIZE, total.dtype, total) as further:
        for _, prepared, count in kernels.prepared(views, geometry):
            arguments = (*given, prepared, struct, count, items, bricks, total, further)
            grid = (len(plan.items),)
            kernels.run("add_moments", kind, grid, arguments, total, threads=32)
            if plan.further:
                arguments = further, slots, bricks, total
                kernels.run("fold_moments", kind, blocks_for(total.size), arguments, total)


def stencil_of(kernels: Workspace, total: Array, geometry: SliceGeometry) -> Array:
    """Return what `Kernels.stencil_of` says."""
    shape = (len(OFFSETS), *geometry.volume_shape)
    stencil = array_namespace(total).empty(shape, total.dtype)
    arguments = total, _plan(kernels, geometry, 1).bricks, geometry_struct(geometry), stencil
    grid = blocks_for(stencil.size)
    kernels.run("stencil_from_moments", (scalar(total),), grid, arguments, total)
    return stencil


def apply_stencil(kernels: Workspace, stencil: Array, volume: Array) -> Array:
    """Return what `Kernels.apply_stencil` says."""
    stencil, volume = contiguous(stencil), contiguous(volume)
    product = array_namespace(stencil, volume).empty_like(volume)
    nz, ny, nh = volume.shape
    # the stencil needs no more of the geometry than where the half spectrum ends
    box = geometry_struct(SliceGeometry(nz, ny, 2 * nh - 1, 1, 1, 1.0, 0.0, LINEAR))
    arguments = stencil, volume, box, product
    kernels.run("apply_stencil", (scalar(volume),), blocks_for(volume.size), arguments, volume)
    return product


def ctf_values(
    kernels: Workspace, coefficients: Array, geometry: SliceGeometry, dtype: Any
) -> Array:
    """Return what `Kernels.ctf_values` says."""
    coefficients, xp = contiguous(coefficients), array_namespace(coefficients)
    values = xp.empty((len(coefficients), *geometry.slice_shape), dtype)
    arguments = coefficients, geometry_struct(geometry), values
    grid = len(coefficients), tiles(geometry)
    kernels.run("ctf_values", (scalar(values),), grid, arguments, values)
    return values


def filter_arguments(filters: Filters, like: Array) -> tuple[Array | None, ...]:
    """Return the CTF's values, or its coefficients, weights and groups, as kernels take them."""
    array_namespace(like, filters.ctf, filters.weights, filters.group_of)
    ctf = contiguous(filters.ctf)
    by_value = ctf is not None and ctf.ndim == 3
    return (
        ctf if by_value else None,
        None if by_value else ctf,
        contiguous(filters.weights),
        contiguous(filters.group_of),
    )
