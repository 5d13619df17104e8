"""Functions of a batch as sums that are kept in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fslice._arrays import Array
from fslice.data.dataset import Dataset


@dataclass(frozen=True)
class PlainSum:
    """A function whose values are added as they come; see `fslice.data.passes.Fold`."""

    function: Callable[..., Any]

    def start(self, dataset: Dataset) -> Any:
        """Return nothing yet."""
        return None

    def add(self, total: Any, batch: Any) -> Any:
        """Add the function of a batch."""
        value = self.function(batch)
        return value if total is None else total + value

    def finish(self, total: Any, dataset: Dataset, rows: Array) -> Any:
        """Return the sum."""
        return total


def as_fold(function: Any) -> Any:
    """Return what has ``start``, ``add`` and ``finish``: the same, or a function's values added.

    Examples
    --------
    >>> fold = as_fold(len)
    >>> fold.add(fold.add(None, "ab"), "c")
    3
    """
    return function if hasattr(function, "finish") else PlainSum(function)
