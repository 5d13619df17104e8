"""The time from images in host memory to the default map with half sets."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np

import fslice
from fslice.data.dataset import Dataset
from fslice.data.devices import to_library
from fslice.data.poses import Poses
from fslice.simulation import random_ctf

PIXEL_SIZE = 3.0
_TOGETHER = 1000


def make_dataset(xp: Any, size: int, count: int) -> Dataset:
    """Return noisy images of a phantom with CTF, made on the device, kept on the host."""
    rng = np.random.default_rng(0)
    volume = fslice.phantom(size, PIXEL_SIZE).volume(size, PIXEL_SIZE)
    rotations = fslice.random_rotations(count, rng).astype("float32")
    shifts = rng.normal(size=(count, 2)).astype("float32")
    ctf, projector = random_ctf(count, PIXEL_SIZE, rng), fslice.Projector(size)
    images, noise = np.empty((count, size, size), "float32"), xp.random.default_rng(0)
    on_device = xp.asarray((volume / volume.std()).astype("float32"))
    for start in range(0, count, _TOGETHER):
        part = slice(start, min(start + _TOGETHER, count))
        clean = projector.project(
            on_device, xp.asarray(rotations[part]), xp.asarray(shifts[part]), ctf[part].to(xp)
        )
        clean += 3 * float(clean.std()) * noise.standard_normal(clean.shape, dtype="float32")
        images[part] = clean.get()
    halves = 1 + np.arange(count) % 2
    return to_library(Dataset(images, Poses(rotations, shifts), ctf, half_sets=halves), xp)


def time_map(xp: Any, size: int, count: int) -> tuple[float, float]:
    """Return the seconds of `reconstruct`, the first time and the second."""
    dataset, seconds = make_dataset(xp, size, count), []
    for _ in range(2):
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of few images, where it is only tried
            fslice.reconstruct(dataset)
        xp.cuda.Device().synchronize()
        seconds.append(time.perf_counter() - start)
    return seconds[0], seconds[1]
