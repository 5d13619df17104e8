"""The CUDA kernels on the CPU: the same source, compiled by g++, on the stand-in's arrays.

`runtime.hpp` gives CUDA's words their meaning, `build` compiles and caches, `HostLauncher` takes
the place of CuPy's launcher.
"""

from __future__ import annotations

import ctypes
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cuda_host.build import UNDEFINED, compiler, library
from fslice._kernels.cuda import CudaKernels
from fslice._kernels.cuda.signatures import check_arguments, signature
from fslice._kernels.cuda.sources import Instantiation, expression

__all__ = ["HostLauncher", "compiler", "host_kernels"]

GUARD = 256
"""Bytes before and after each array; a kernel that changes them has left its array."""
_POISON = 0xFB  # not a number, and a large negative integer


@dataclass(frozen=True)
class HostLauncher:
    """Runs kernels on the CPU, one block after the other.

    `order` is that of the threads of a block and of the blocks: 0 ascending, 1 descending, else a
    seed. `sources` replaces the text of kernels.
    """

    order: int = 0
    flags: tuple[str, ...] = UNDEFINED
    sources: Mapping[str, str] = field(default_factory=dict)

    def launch(
        self,
        entry: str,
        instantiation: Instantiation,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: tuple[Any, ...],
        device_of: Any,
    ) -> None:
        """Run a kernel on guarded copies of the arrays, and copy back what it may write."""
        check_arguments(entry, instantiation, arguments)
        parameters = signature(entry, instantiation)
        name, guarded, values = expression(entry, instantiation), {}, []
        for parameter, argument in zip(parameters, arguments, strict=True):
            if not parameter.pointer:
                values.append(np.atleast_1d(argument))
            elif argument is None:
                values.append(np.zeros(1, np.uintp))
            else:
                host = argument._host
                key = host.ctypes.data, host.nbytes
                copy = guarded.setdefault(key, Guarded(host))
                values.append(np.array([copy.address], np.uintp))
        self._call(entry, instantiation, (*_three(grid), *_three(block)), values)
        for parameter, argument in zip(parameters, arguments, strict=True):
            if parameter.pointer and argument is not None:
                copy = guarded[argument._host.ctypes.data, argument._host.nbytes]
                copy.check(f"{name}: {parameter.name}")
                if not parameter.constant:
                    argument._host[...] = copy.array

    def _call(
        self,
        entry: str,
        instantiation: Instantiation,
        shape: tuple[int, ...],
        values: list[np.ndarray],
    ) -> None:
        name, count = expression(entry, instantiation), len(values)
        changed = self.sources.get(entry)
        only = None if changed is None else instantiation
        function = library(entry, self.flags, changed, only).launch
        function.restype = ctypes.c_char_p
        message = function(
            name.encode(),
            (ctypes.c_uint * 7)(*shape, self.order),
            count,
            (ctypes.c_size_t * count)(*(value.nbytes for value in values)),
            (ctypes.c_void_p * count)(*(value.ctypes.data for value in values)),
        )
        if message:
            raise RuntimeError(f"{name}: {message.decode()}")

    def queue_of(self, array: Any) -> Hashable:
        """Return what stands for the one queue: a launch ends before it returns."""
        return "host"


class Guarded:
    """A copy of an array between two strips of memory that nobody may write to."""

    def __init__(self, host: np.ndarray) -> None:
        self._memory = np.full(host.nbytes + 2 * GUARD + 64, _POISON, np.uint8)
        self._start = GUARD + -(self._memory.ctypes.data + GUARD) % 64
        self._stop = self._start + host.nbytes
        self.array = self._memory[self._start : self._stop].view(host.dtype).reshape(host.shape)
        self.array[...] = host
        self.address = self._memory.ctypes.data + self._start

    def check(self, name: str) -> None:
        """Raise if something was written beside the array."""
        for strip in (self._memory[: self._start], self._memory[self._stop :]):
            if (strip != _POISON).any():
                raise RuntimeError(f"{name}: a kernel wrote beside the array")


def _three(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return (*sizes, 1, 1)[:3]


def host_kernels(**options: Any) -> CudaKernels:
    """Return the CUDA kernels on the CPU; options are fields of them and of `HostLauncher`."""
    own = {name: options.pop(name) for name in list(options) if hasattr(CudaKernels, name)}
    return CudaKernels(**own, launcher=HostLauncher(**options))
