"""Half spectra that are kept from one pass over images to the next."""

from __future__ import annotations

from typing import Any

from fslice._arrays import Array

LIMIT = 2 << 30
"""Bytes that the half spectra of a data set may take; larger sets are transformed in every pass."""


class SpectraCache:
    """Half spectra of images, owned by the solver that passes over them more than once.

    Parameters
    ----------
    limit : int, optional
        Bytes that all of a data set may take. If they would take more, nothing is kept.

    Examples
    --------
    >>> import numpy as np
    >>> cache = SpectraCache(limit=100)
    >>> cache.put("a", np.zeros(10), share=1.0)
    >>> cache.get("a").nbytes
    80
    >>> cache.put("b", np.zeros(10), share=0.5)  # the whole set would take 160
    >>> cache.get("b") is None
    True
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._spectra: dict[Any, Array] = {}

    def get(self, key: Any) -> Array | None:
        """Return what is kept under a key, or None."""
        return self._spectra.get(key)

    def put(self, key: Any, spectra: Array, share: float) -> None:
        """Keep spectra of that share of the data set, unless all of it would exceed the limit."""
        if spectra.nbytes <= self.limit * share:
            self._spectra[key] = spectra

    def __reduce__(self) -> tuple:
        """Take nothing along to another process, and keep nothing there."""
        return SpectraCache, (0,)

    def give_up(self) -> None:
        """Drop everything and keep nothing from now on: the memory is needed.

        Examples
        --------
        >>> import numpy as np
        >>> cache = SpectraCache()
        >>> cache.put("a", np.zeros(10), share=1.0)
        >>> cache.give_up()
        >>> cache.get("a") is None
        True
        """
        self.limit = 0
        self._spectra.clear()
