"""Where a command computes: on the processor, or on the GPUs of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fslice._arrays import Array
from fslice._devices import gpu_library, gpus
from fslice.data.dataset import Dataset
from fslice.data.devices import DeviceExecutor, to_library
from fslice.reconstruction import Solver
from fslice.solvers.exact import Exact

DEVICES = ("cpu", "gpu")


def check_device(device: str) -> None:
    """Raise unless it can compute; the message says what is missing."""
    if device == "gpu":
        gpu_library()


@contextlib.contextmanager
def placed_on(
    device: str, dataset: Dataset, support: np.ndarray | None, solver: Solver
) -> Iterator[tuple[Dataset, Array | None, Solver]]:
    """Yield the arguments of a fit on a device; several GPUs share the images of an exact one."""
    if device == "cpu":
        yield dataset, support, solver
        return
    xp = gpu_library()
    devices = gpus(xp)
    dataset = to_library(dataset, xp)
    support = None if support is None else xp.asarray(support)
    if len(devices) == 1 or not isinstance(solver, Exact):
        yield dataset, support, solver
        return
    with DeviceExecutor(devices) as executor:
        yield dataset, support, replace(solver, executor=executor)
