"""Which bricks a volume has, and into how many parts the views of each are divided.

The plan follows from the geometry and the number of views, not from the card nor from the poses:
the order of every sum is that of the plan, whatever runs first.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from fslice._kernels.interface import SliceGeometry

ITEM = np.dtype([("origin", "i4", 3), ("slot", "i4"), ("part", "i4"), ("parts", "i4")])
"""``Item`` of bricks.cuh."""

BRICKS = np.dtype([("low", "i4", 3), ("count", "i4", 3)])
"""``Bricks`` of bricks.cuh."""

ITEMS = 1 << 14
"""About how many items share the work of all bricks: several times what a card runs at a time."""
LEAST = 64
"""Views that meet a brick, for which a part of its own pays."""


class Plan(NamedTuple):
    """How the views are added to a volume."""

    items: np.ndarray  # of `ITEM`, the ones with most work first
    slots: np.ndarray  # (bricks, 3) int32: of a brick's first part, and the range of the others
    bricks: np.ndarray  # one `BRICKS`
    key: Hashable  # what it follows from

    @property
    def further(self) -> int:
        """Return how many slots there are beside one for each brick."""
        return len(self.items) - len(self.slots)


@functools.lru_cache(64)
def plan_for(
    geometry: SliceGeometry, side: tuple[int, int, int], views: int, items: int = ITEMS
) -> Plan:
    """Return the plan for bricks of some sides, in (x, y, z), and at most so many views.

    About so many items share the work.

    Examples
    --------
    Half of the cube, from x = 0, and the cells that reach into it from below:

    >>> from fslice._kernels.interface import LINEAR
    >>> plan = plan_for(SliceGeometry(16, 16, 16, 16, 16, 1.0, 7.0, LINEAR), (8, 8, 8), 3)
    >>> plan.bricks
    array([([ 0, -8, -8], [1, 2, 2])],
          dtype=[('low', '<i4', (3,)), ('count', '<i4', (3,))])

    The bricks at the origin are met by most views, which several parts share:

    >>> plan = plan_for(SliceGeometry(64, 64, 64, 64, 64, 1.0, 31.0, LINEAR), (8, 8, 8), 1 << 14)
    >>> len(plan.slots), len(plan.items), plan.items["parts"].max(), plan.items["parts"].min()
    (256, 13260, np.int32(222), np.int32(1))
    """
    low, count = _grid(geometry, side)
    places = np.array(list(itertools.product(*map(range, count[::-1]))), int)[:, ::-1]
    origins = low + places * side
    parts = _parts(geometry, origins, np.array(side), views, items)
    table = np.zeros(parts.sum(), ITEM)
    brick = np.repeat(np.arange(len(parts)), parts)
    first = np.cumsum(parts) - parts
    table["origin"], table["parts"] = origins[brick], parts[brick]
    table["part"] = np.arange(len(table)) - first[brick]
    further = len(parts) + first - np.arange(len(parts))
    table["slot"] = np.where(table["part"] == 0, brick, further[brick] + table["part"] - 1)
    slots = np.stack([np.arange(len(parts)), further, further + parts - 1], 1).astype(np.int32)
    bricks = np.array([(low, count)], BRICKS)
    order = np.argsort(-table["parts"], kind="stable")
    return Plan(table[order], slots, bricks, (geometry, side, views, items))


def _grid(geometry: SliceGeometry, side: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest cell with a tap in the grid, and how many bricks reach the highest."""
    first, reach = geometry.taps[0], len(geometry.taps) - 1
    low, count = [], []
    for axis, size in enumerate((geometry.nx, geometry.ny, geometry.nz)):
        limit = (size - 1) // 2
        lowest = 0 if axis == 0 or size == 1 else -limit - reach - first
        highest = 0 if size == 1 else limit - first
        low.append(lowest)
        count.append(-(-(highest - lowest + 1) // side[axis]))
    return np.array(low), np.array(count)


def _parts(
    geometry: SliceGeometry, origins: np.ndarray, side: np.ndarray, views: int, items: int
) -> np.ndarray:
    """Return how many parts divide the views of each brick, by how many of them meet it.

    Of planes through the origin in random orientations, those that meet a box of mean half side h
    at distance r are a fraction of about 3 h / (2 r).
    """
    centres = origins + side / 2
    half = side.mean() / 2
    distance = np.sqrt((centres**2).sum(1))
    nearest = np.sqrt((np.maximum(0, abs(centres) - side / 2) ** 2).sum(1))
    meeting = np.minimum(1, 1.5 * half / np.maximum(distance, half))
    work = views * np.where(nearest <= geometry.scale * geometry.max_radius + 2, meeting, 0)
    each = max(work.sum() / items, LEAST)
    return np.clip(np.ceil(work / each), 1, max(1, math.ceil(views / LEAST))).astype(int)
