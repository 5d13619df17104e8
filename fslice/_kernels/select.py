"""Which kernels compute: chosen by the arrays' library, or by the caller for a block of code."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar

from fslice._arrays import Array, array_namespace
from fslice._devices import check_compiler
from fslice._kernels.interface import Kernels

_chosen: ContextVar[Mapping[str, Kernels] | None] = ContextVar("kernels", default=None)


def kernels_for(*arrays: Array | None) -> Kernels:
    """Return the kernels that take these arrays.

    Raises
    ------
    TypeError
        Libraries are mixed, or there are no kernels for them.
    ImportError
        The kernels for them cannot be compiled: NVRTC is missing.

    Examples
    --------
    >>> import numpy as np
    >>> kernels_for(np.zeros(1)).name in ("numpy", "numba")
    True
    """
    library = array_namespace(*arrays).__name__
    chosen = (_chosen.get() or {}).get(library)
    if chosen is not None:
        return chosen
    if library not in DEFAULTS:
        raise TypeError(f"the kernels take NumPy arrays, got arrays of {library}")
    return DEFAULTS[library]()


@contextlib.contextmanager
def use_kernels(kernels: Kernels, library: str = "numpy") -> Iterator[None]:
    """Have some kernels take the arrays of a library inside the block, in this context."""
    token = _chosen.set({**(_chosen.get() or {}), library: kernels})
    try:
        yield
    finally:
        _chosen.reset(token)


def host_kernels() -> dict[str, Kernels]:
    """Return by name the kernels that take NumPy arrays here: the definition, then faster ones."""
    from fslice._kernels.numpy import KERNELS

    found: dict[str, Kernels] = {KERNELS.name: KERNELS}
    if has_numba():
        from fslice._kernels.numba import KERNELS as COMPILED

        found[COMPILED.name] = COMPILED
    return found


@functools.cache
def has_numba() -> bool:
    """Return whether kernels can be compiled here."""
    return importlib.util.find_spec("numba") is not None


def _fastest_on_the_host() -> Kernels:
    return list(host_kernels().values())[-1]


@functools.cache
def compiled_for_gpus() -> Kernels:
    """Return the kernels for CuPy's arrays; where they are, CuPy, a driver and a GPU are too."""
    check_compiler(sys.modules["cupy"])
    from fslice._kernels.cuda import CudaKernels

    return CudaKernels()


DEFAULTS: dict[str, Callable[[], Kernels]] = {
    "numpy": _fastest_on_the_host,
    "cupy": compiled_for_gpus,
}
"""What gives the kernels for the arrays of each library, in every thread; tests add to it."""
