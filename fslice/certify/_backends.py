"""Which implementations of the kernels are present, and how to have one of them compute."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import ModuleType

import numpy as np

from fslice import _kernels
from fslice._devices import gpu_library


def present_backends() -> tuple[str, ...]:
    """Return the names of the implementations of the kernels that can compute here.

    Examples
    --------
    >>> present_backends()[0]
    'numpy'
    """
    found = list(_kernels.host_kernels())
    with contextlib.suppress(ImportError, OSError):
        gpu_library()
        found.append("cuda")
    return tuple(found)


@contextlib.contextmanager
def computed_by(backend: str) -> Iterator[ModuleType]:
    """Have one implementation compute inside the block; yield the library its arrays belong to.

    While a generator inside the block is suspended, other code in this thread should not call
    kernels: the choice is that of the thread's context.
    """
    if backend == "cuda":
        yield gpu_library()
        return
    with _kernels.use_kernels(_kernels.host_kernels()[backend]):
        yield np
