"""Sums of many slices into a volume: brick by brick, or by atomic operations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice._kernels.cuda.plan import ITEMS, Plan, plan_for
from fslice._kernels.cuda.structs import geometry_struct
from fslice._kernels.cuda.workspace import (
    Prepared,
    Workspace,
    blocks_for,
    scalar,
    tiles,
)
from fslice._kernels.interface import SliceGeometry, add_friedel_mates

SIDE = 8
"""``Brick::side`` in scatter.cu."""


class VolumeSum(Protocol):
    """A volume that slices are added into."""

    def add(
        self, values: Array, prepared: Prepared, amplitude: float = 1.0, ready: bool = False
    ) -> None:
        """Add the slices of some views; `ready`: one for each, without phase and weighted."""

    def total(self) -> Array:
        """Return the volume, its Friedel mates added."""


@dataclass(frozen=True)
class BrickSum:
    """A volume as bricks that hold its parts: equal input gives equal bits."""

    kernels: Workspace
    geometry: SliceGeometry
    plan: Plan
    partial: Array
    power: int

    def add(
        self, values: Array, prepared: Prepared, amplitude: float = 1.0, ready: bool = False
    ) -> None:
        """Add the slices of some views; `ready`: one for each, without phase and weighted."""
        kind = scalar(values), len(self.geometry.taps), self.power, str(ready).lower()
        fresh = np.int32(prepared.part.start == 0)
        arguments = (
            values, prepared.views, np.float64(amplitude), geometry_struct(self.geometry),
            prepared.number, uploaded(self.kernels, self.plan, values)[0], fresh, self.partial,
        )  # fmt: skip
        grid = (len(self.plan.items),)
        self.kernels.run("scatter_bricks", kind, grid, arguments, values, threads=32)

    def total(self) -> Array:
        """Return the volume, its Friedel mates added."""
        xp, shape = array_namespace(self.partial), self.geometry.volume_shape
        volume = xp.empty(shape, self.partial.dtype)
        kind = scalar(volume), len(self.geometry.taps), self.power
        slots = uploaded(self.kernels, self.plan, volume)[1]
        struct = geometry_struct(self.geometry)
        arguments = self.partial, slots, self.plan.bricks, struct, volume
        self.kernels.run("collect_bricks", kind, blocks_for(volume.size), arguments, volume)
        return volume


@dataclass(frozen=True)
class AtomicSum:
    """A volume that all threads add to, in any order."""

    kernels: Workspace
    geometry: SliceGeometry
    volume: Array
    power: int

    def add(
        self, values: Array, prepared: Prepared, amplitude: float = 1.0, ready: bool = False
    ) -> None:
        """Add the slices of some views; `ready`: one for each, without phase and weighted."""
        kind = scalar(values), len(self.geometry.taps), self.power, str(ready).lower()
        struct = geometry_struct(self.geometry)
        arguments = values, prepared.views, np.float64(amplitude), struct, self.volume
        grid = int(prepared.number), tiles(self.geometry)
        self.kernels.run("scatter_atomic", kind, grid, arguments, values)

    def total(self) -> Array:
        """Return the volume, its Friedel mates added."""
        return add_friedel_mates(self.volume)


@contextlib.contextmanager
def volume_sum(
    kernels: Workspace, geometry: SliceGeometry, views: int, like: Array, power: int = 1
) -> Iterator[VolumeSum]:
    """Give the sum of the slices of so many views, at least one, in the dtype of `like`."""
    if not kernels.deterministic:
        volume = array_namespace(like).zeros(geometry.volume_shape, like.dtype)
        yield AtomicSum(kernels, geometry, volume, power)
        return
    plan = plan_of(kernels, geometry, (SIDE, SIDE, SIDE), views)
    size = len(plan.items) * (SIDE + len(geometry.taps) - 1) ** 3
    with kernels.lent(size, like.dtype, like) as partial:
        yield BrickSum(kernels, geometry, plan, partial, power)


def plan_of(
    kernels: Workspace, geometry: SliceGeometry, sides: tuple[int, int, int], views: int,
    items: int = ITEMS,
) -> Plan:  # fmt: skip
    """Return the plan for a number of views, one for all numbers that need as many bits."""
    together = max(1, min(views, kernels.most_views))
    return plan_for(geometry, sides, 1 << (together - 1).bit_length(), items)


def uploaded(kernels: Workspace, plan: Plan, like: Array) -> tuple[Array, Array]:
    """Return the items and the slots of a plan on the device of an array."""
    xp = array_namespace(like)

    def upload() -> tuple[Array, Array]:
        return xp.asarray(plan.items.view(np.int32)), xp.asarray(plan.slots)

    return kernels.tables.get((plan.key, kernels.launcher.queue_of(like)), upload)
