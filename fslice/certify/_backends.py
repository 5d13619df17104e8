"""Which implementations of the kernels are present, and how to have one of them compute."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator
from types import ModuleType

import numpy as np

from fslice import _kernels


def present_backends() -> tuple[str, ...]:
    """Return the names of the implementations of the kernels that can compute here.

    Examples
    --------
    >>> present_backends()[0]
    'numpy'
    """
    found = list(_kernels.host_kernels())
    if importlib.util.find_spec("cupy") is not None:
        try:
            _kernels.kernels_for(importlib.import_module("cupy").zeros(1))
            found.append("cupy")
        except Exception:  # no device, no driver, or no kernels for it: whatever CuPy raises
            pass
    return tuple(found)


@contextlib.contextmanager
def computed_by(backend: str) -> Iterator[ModuleType]:
    """Have one implementation compute inside the block; yield the library its arrays belong to.

    While a generator inside the block is suspended, other code in this thread should not call
    kernels: the choice is that of the thread's context.
    """
    if backend == "cupy":
        yield importlib.import_module("cupy")
        return
    with _kernels.use_kernels(_kernels.host_kernels()[backend]):
        yield np
