"""Sums that arrive in any order, added in a tree of a fixed shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Node = tuple[int, int]
"""Level and index: the sum over the leaves from ``index << level``, ``1 << level`` of them or what
is left."""


class SumTree:
    """Partial sums, each added to its sibling as soon as both are there.

    Floating-point sums depend on how they are bracketed. Here a sum is always that of its left
    and its right half, so that it has the same bits in whatever order its parts arrive.

    Parameters
    ----------
    leaves : int
        How many parts there are.

    Examples
    --------
    >>> tree = SumTree(3)
    >>> for leaf in (2, 0, 1):
    ...     tree.put((0, leaf), f"{leaf}")
    ...     print(tree.sums)
    {(1, 1): '2'}
    {(1, 1): '2', (0, 0): '0'}
    {(2, 0): '012'}
    >>> tree.total
    '012'
    """

    def __init__(self, leaves: int) -> None:
        self.leaves = leaves
        self.root: Node = ((leaves - 1).bit_length(), 0)
        self.sums: dict[Node, Any] = {}

    def put(self, node: Node, value: Any) -> None:
        """Add the sum of a node, and those that are now complete."""
        while node != self.root:
            level, index = node
            sibling = (level, index ^ 1)
            if self._exists(sibling):
                if sibling not in self.sums:
                    break
                other = self.sums.pop(sibling)
                value = other + value if index % 2 else value + other
            node = (level + 1, index // 2)
        self.sums[node] = value

    @property
    def total(self) -> Any:
        """The sum of all leaves, once they are there."""
        return self.sums[self.root]

    def missing(self, height: int, node: Node | None = None) -> Iterator[Node]:
        """Yield nodes, not above a level, that together with what is there make up the whole.

        Examples
        --------
        >>> tree = SumTree(6)
        >>> list(tree.missing(1))
        [(1, 0), (1, 1), (1, 2)]
        >>> tree.put((0, 2), "2")
        >>> list(tree.missing(1))
        [(1, 0), (0, 3), (1, 2)]
        """
        level, index = node = self.root if node is None else node
        if node in self.sums or not self._exists(node):
            return
        if level <= height and not self._has_part_of(node):
            yield node
            return
        for child in (2 * index, 2 * index + 1):
            yield from self.missing(height, (level - 1, child))

    def leaves_of(self, node: Node) -> range:
        """Return the leaves of a node."""
        level, index = node
        return range(index << level, min((index + 1) << level, self.leaves))

    def _exists(self, node: Node) -> bool:
        level, index = node
        return index << level < self.leaves

    def _has_part_of(self, node: Node) -> bool:
        """Return whether the sum of some leaves of a node is there."""
        level, index = node
        return any(low < level and part >> (level - low) == index for low, part in self.sums)
