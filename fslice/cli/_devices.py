"""Where a command computes: on the processor, or on the GPUs of this machine."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

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


def add_device(parser: argparse._ActionsContainer, *, help: str) -> None:
    """Add ``--device``."""
    parser.add_argument("--device", choices=DEVICES, default="cpu", help=help)


@contextlib.contextmanager
def on_device(
    device: str, dataset: Dataset, array: np.ndarray | None
) -> Iterator[tuple[Dataset, Array | None, Any]]:
    """Yield a data set and an array on a device, and what has several GPUs share the images."""
    if device == "cpu":
        yield dataset, array, None
        return
    xp = gpu_library()
    devices = gpus(xp)
    moved = to_library(dataset, xp), None if array is None else xp.asarray(array)
    if len(devices) == 1:
        yield *moved, None
        return
    with DeviceExecutor(devices) as executor:
        yield *moved, executor


@contextlib.contextmanager
def placed_on(
    device: str, dataset: Dataset, support: np.ndarray | None, solver: Solver
) -> Iterator[tuple[Dataset, Array | None, Solver]]:
    """Yield the arguments of a fit on a device; several GPUs share the images of an exact one."""
    with on_device(device, dataset, support) as (moved, mask, executor):
        if executor is not None and isinstance(solver, Exact):
            solver = replace(solver, executor=executor)
        yield moved, mask, solver
