"""What ``fslice reconstruct`` reads, checked before anything is computed or written."""

from __future__ import annotations

import argparse
import dataclasses
import time
import warnings
from pathlib import Path

import numpy as np

from fslice.cli._maps import read_maps
from fslice.io import Particles, read_particles
from fslice.metrics import half_sets
from fslice.posterior.masked import soft_sphere


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """Checked inputs.

    Parameters
    ----------
    particles : Particles
        With images, rotations and shifts.
    size : int
        Box D of the images.
    truth, mask, support : (D, D, D) array or None
    halves : tuple of two (n,) index arrays, or None
    seconds : float
        That reading and checking took.
    """

    particles: Particles
    size: int
    truth: np.ndarray | None
    mask: np.ndarray | None
    support: np.ndarray | None
    halves: tuple[np.ndarray, np.ndarray] | None
    seconds: float


def read_inputs(arguments: argparse.Namespace) -> Inputs:
    """Read the particles, and the maps that must fit them."""
    start = time.perf_counter()
    particles = read_particles(arguments.particles, pixel_size=arguments.pixel_size)
    _refuse_what_is_not_fitted(particles, arguments.particles)
    size = particles.images.shape[-1]  # type: ignore[union-attr]
    maps, _ = read_maps(
        {"--truth": arguments.truth, "--mask": arguments.mask}, particles.pixel_size, size
    )
    support = _support(arguments.support, size, particles.pixel_size)
    halves = _halves(arguments, particles) if arguments.halves else None
    particles.images.check_finite()  # type: ignore[union-attr]
    seconds = time.perf_counter() - start
    return Inputs(
        particles, size, maps.get("--truth"), maps.get("--mask"), support, halves, seconds
    )


def _refuse_what_is_not_fitted(particles: Particles, path: Path) -> None:
    """Refuse images whose model the solvers do not have, and name what they leave out."""
    for name in ("phase_flipped", "premultiplied"):
        if getattr(particles, name):
            what = name.replace("_", "-")
            raise ValueError(f"{path}: expected images that are not {what}, which cannot be fitted")
    if particles.aberrations is not None:
        warnings.warn(f"{path}: not modelled, and left out: aberrations", stacklevel=2)


def _support(given: str | None, size: int, pixel_size: float) -> np.ndarray | None:
    """Return a mask from a file, or a soft sphere of a radius in Angstrom."""
    if given is None:
        return None
    try:
        radius = float(given)
    except ValueError:
        maps, _ = read_maps({"--support": Path(given)}, pixel_size, size)
        support = maps["--support"]
        if not (support.any() and support.min() >= 0 and support.max() <= 1):
            raise ValueError(f"{given}: expected values from 0 to 1, not all 0") from None
        return support
    if not 0 < radius / pixel_size <= size / 2:
        raise ValueError(
            f"--support: expected a radius up to {size * pixel_size / 2:g} Angstrom, got {given}"
        )
    return soft_sphere(size, radius / pixel_size)


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
