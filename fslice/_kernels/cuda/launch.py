"""Launching: a kernel is compiled when it is first launched on a device, and kept.

A launcher is a value. `CupyLauncher` is for the arrays of CuPy; the tests have one that runs the
same source on the CPU.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Protocol

from fslice._arrays import Array, array_namespace
from fslice._kernels.cuda.signatures import check_arguments
from fslice._kernels.cuda.sources import Instantiation, expression, source_of

OPTIONS = ("--std=c++17",)
"""What NVRTC is told beside what CuPy tells it."""


class Launcher(Protocol):
    """What runs kernels."""

    def launch(
        self,
        entry: str,
        instantiation: Instantiation,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: tuple[Any, ...],
        device_of: Array,
    ) -> None:
        """Run a kernel on the device of an array, after what its current stream already does."""

    def queue_of(self, array: Array) -> Hashable:
        """Return what stands for the device of an array and its current stream.

        What is launched with equal queues runs in the order of the launches.
        """


@dataclass(frozen=True)
class CupyLauncher:
    """Runs kernels by CuPy, which compiles each once for a device and keeps it on disk."""

    def launch(
        self,
        entry: str,
        instantiation: Instantiation,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: tuple[Any, ...],
        device_of: Array,
    ) -> None:
        """Run a kernel on the device of an array, after what its current stream already does."""
        check_arguments(entry, instantiation, arguments)
        with device_of.device:  # CuPy launches on the current device, wherever the arrays are
            _function(array_namespace(device_of), entry, instantiation)(grid, block, arguments)

    def queue_of(self, array: Array) -> Hashable:
        """Return what stands for the device of an array and its current stream."""
        with array.device:
            return array.device.id, array_namespace(array).cuda.get_current_stream().ptr


@functools.cache
def _function(cupy: Any, entry: str, instantiation: Instantiation) -> Any:
    """Return a kernel; one module for each, so that no more is compiled than is used."""
    name = expression(entry, instantiation)
    module = cupy.RawModule(
        code=source_of(entry), options=OPTIONS, name_expressions=(name,), backend="nvrtc"
    )
    return module.get_function(name)
