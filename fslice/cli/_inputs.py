"""What ``fslice reconstruct`` reads, checked before anything is computed or written."""

from __future__ import annotations

import argparse
import dataclasses
import time

import numpy as np

from fslice.cli._maps import read_maps
from fslice.io import Particles, read_particles
from fslice.metrics import half_sets


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """Checked inputs.

    Parameters
    ----------
    particles : Particles
        With images, rotations and shifts.
    size : int
        Box D of the images.
    truth, mask : (D, D, D) array or None
    halves : tuple of two (n,) index arrays, or None
    seconds : float
        That reading and checking took.
    """

    particles: Particles
    size: int
    truth: np.ndarray | None
    mask: np.ndarray | None
    halves: tuple[np.ndarray, np.ndarray] | None
    seconds: float


def read_inputs(arguments: argparse.Namespace) -> Inputs:
    """Read the particles, and the maps that must fit them."""
    start = time.perf_counter()
    particles = read_particles(arguments.particles, pixel_size=arguments.pixel_size)
    size = particles.images.shape[-1]  # type: ignore[union-attr]
    maps, _ = read_maps(
        {"--truth": arguments.truth, "--mask": arguments.mask}, particles.pixel_size, size
    )
    halves = _halves(arguments, particles) if arguments.halves else None
    particles.images.check_finite()  # type: ignore[union-attr]
    seconds = time.perf_counter() - start
    return Inputs(particles, size, maps.get("--truth"), maps.get("--mask"), halves, seconds)


def _halves(arguments: argparse.Namespace, particles: Particles) -> tuple[np.ndarray, np.ndarray]:
    if len(particles) < 2:
        raise ValueError(f"{arguments.particles}: expected at least 2 images for --halves, got 1")
    if particles.half_set is None:
        return half_sets(len(particles), np.random.default_rng(arguments.seed))
    halves = np.flatnonzero(particles.half_set == 1), np.flatnonzero(particles.half_set == 2)
    for number, half in enumerate(halves, 1):
        if not half.size:
            raise ValueError(f"{arguments.particles}: expected images in half {number}, got none")
    return halves
