"""Which kernels compute: chosen by the arrays' library, or by the caller for a block of code."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from fslice._arrays import Array, array_namespace

_chosen: ContextVar[Any] = ContextVar("kernels", default=None)


def kernels_for(*arrays: Array | None) -> Any:
    """Return the kernels that take these arrays.

    Raises
    ------
    TypeError
        Libraries are mixed, or there are no kernels for them.

    Examples
    --------
    >>> import numpy as np
    >>> kernels_for(np.zeros(1)).__name__.rpartition(".")[2] in ("numpy", "numba")
    True
    """
    library = array_namespace(*arrays).__name__
    if library != "numpy":
        raise TypeError(f"the kernels take NumPy arrays, got arrays of {library}")
    return _chosen.get() or kernels_named(_default())


def kernels_named(name: str) -> Any:
    """Return the kernels of a name, ``"numpy"`` or ``"numba"``."""
    return importlib.import_module(f"fslice._kernels.{name}")


@contextlib.contextmanager
def use_kernels(kernels: Any) -> Iterator[None]:
    """Have some kernels compute inside the block, in this thread and context."""
    token = _chosen.set(kernels)
    try:
        yield
    finally:
        _chosen.reset(token)


@functools.cache
def _default() -> str:
    return "numpy" if importlib.util.find_spec("numba") is None else "numba"
