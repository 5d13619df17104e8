"""Data sets on a GPU, and the GPUs of one machine that share the images of a sum."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from fslice._arrays import Array
from fslice._devices import map_arrays
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.operators.ctf import CTF

_KNOWN = 4
"""Arguments that a device keeps, such as the data set of all shares."""


def to_library(dataset: Dataset, xp: Any) -> Dataset:
    """Return a data set whose poses, CTF and noise are arrays of a library, such as CuPy.

    The images stay where they are: on the host or in a file they are read a batch at a time, and
    copied to the current device while it computes.

    Examples
    --------
    >>> import fslice
    >>> poses = Poses(fslice.random_rotations(7, np.random.default_rng(0)))
    >>> to_library(Dataset(np.zeros((7, 8, 8), "f4"), poses), np)
    Dataset(7 images of 8 x 8 pixels, float32, no CTF, white noise, symmetry C1)
    """
    ctf, noise = dataset.ctf, dataset.noise

    def convert(array: Array | None) -> Array | None:
        return None if array is None else xp.asarray(array)

    if noise is not None:
        noise = replace(
            noise, variances=convert(noise.variances), groups=convert(noise.groups)
        )  # fmt: skip
    return replace(
        dataset,
        poses=Poses(xp.asarray(dataset.poses.rotations), convert(dataset.poses.shifts)),
        ctf=ctf.to(xp) if isinstance(ctf, CTF) else convert(ctf),
        noise=noise,
        groups=convert(dataset.groups),
        half_sets=convert(dataset.half_sets),
        contrast=convert(dataset.contrast),
    )


class DeviceExecutor:
    """Has several GPUs of one machine work on shares of the images: the executor of `sum_over`.

    Each share goes to the GPU that is free first, and its sum comes back to the GPU that was the
    current one when it was submitted. Shares and the order of their addition are fixed, so the
    bits of the sum do not depend on how many GPUs there are.

    Parameters
    ----------
    devices : sequence of cupy.cuda.Device
        It is a context manager, like other executors.

    Examples
    --------
    >>> from fslice.solvers.exact import Exact
    >>> def on_all_gpus(dataset):  # of CuPy arrays
    ...     import cupy
    ...     gpus = [cupy.cuda.Device(i) for i in range(cupy.cuda.runtime.getDeviceCount())]
    ...     with DeviceExecutor(gpus) as executor:
    ...         return fslice.reconstruct(dataset, solver=Exact(executor=executor))
    """

    def __init__(self, devices: Sequence[Any]) -> None:
        if not devices:
            raise ValueError("devices: expected at least one, got none")
        self.devices = tuple(devices)
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for device in self.devices:
            self._free.put(device)
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(len(self.devices), initializer=self._take_device)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Have a function of arrays computed by one of the devices."""
        home = type(self.devices[0])()  # the current device of this thread
        home.synchronize()  # before another device reads what it computes
        return self._pool.submit(self._run, home, function, arguments)

    def __enter__(self) -> DeviceExecutor:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._pool.shutdown()

    def _take_device(self) -> None:
        self._own.device, self._own.known = self._free.get(), {}

    def _run(self, home: Any, function: Callable[..., Any], arguments: tuple) -> Any:
        device = self._own.device
        with device:
            result = function(*map(self._moved, arguments))
            device.synchronize()  # before another device reads it
        if device == home:
            return result
        with home:
            result = map_arrays(result, _copy_from(device))
            home.synchronize()
        return result

    def _moved(self, argument: Any) -> Any:
        """Return an argument with its arrays on this thread's device; the same one, at no cost."""
        known, device = self._own.known, self._own.device
        if id(argument) not in known:
            moved = map_arrays(argument, _copy_unless(device))
            if moved is argument:
                return argument
            while len(known) >= _KNOWN:
                del known[next(iter(known))]
            known[id(argument)] = argument, moved  # held, so that the id stays its own
        return known[id(argument)][1]


def _copy_unless(device: Any) -> Callable[[Array], Array]:
    """Return what copies arrays of other devices to the current one, and leaves the host's."""

    def copy(array: Array) -> Array:
        elsewhere = not isinstance(array, np.ndarray) and array.device != device
        return array.copy() if elsewhere else array

    return copy


def _copy_from(device: Any) -> Callable[[Array], Array]:
    """Return what copies arrays of a device to the current one, and leaves all others."""

    def copy(array: Array) -> Array:
        there = not isinstance(array, np.ndarray) and array.device == device
        return array.copy() if there else array

    return copy
