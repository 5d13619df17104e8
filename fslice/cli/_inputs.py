"""What ``fslice reconstruct`` reads, checked before anything is computed or written."""

from __future__ import annotations

import argparse
import dataclasses
import time
import warnings
from pathlib import Path

import numpy as np

from fslice.cli._maps import read_maps
from fslice.cli._reading import particle_options
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.io import Particles, read_particles
from fslice.metrics import split_half_sets
from fslice.postprocess.masks import soft_spherical_mask


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """Checked inputs.

    Parameters
    ----------
    particles : Particles
        With images, rotations and shifts.
    dataset : Dataset
        The same, as it is fitted.
    truth, mask, support : (D, D, D) array or None
    random_halves : bool
        Whether the half sets were drawn here, for want of any in the file.
    seconds : float
        That reading and checking took.
    """

    particles: Particles
    dataset: Dataset
    truth: np.ndarray | None
    mask: np.ndarray | None
    support: np.ndarray | None
    random_halves: bool
    seconds: float

    @property
    def size(self) -> int:
        """Box D of the images."""
        return self.dataset.size


def read_inputs(arguments: argparse.Namespace) -> Inputs:
    """Read the particles, and the maps that must fit them."""
    start = time.perf_counter()
    particles = read_particles(arguments.particles, **particle_options(arguments))
    if particles.aberrations is not None:
        warnings.warn(
            f"{arguments.particles}: not modelled, and left out: aberrations", stacklevel=2
        )
    size = particles.images.shape[-1]  # type: ignore[union-attr]
    maps, _ = read_maps(
        {"--truth": arguments.truth, "--mask": arguments.mask}, particles.pixel_size, size
    )
    support = _support(arguments.support, size, particles.pixel_size)
    half_sets = _half_sets(arguments, particles) if arguments.halves else None
    dataset = dataset_of(particles, arguments.symmetry, half_sets)
    seconds = time.perf_counter() - start
    drawn = half_sets is not None and particles.half_set is None
    return Inputs(
        particles, dataset, maps.get("--truth"), maps.get("--mask"), support, drawn, seconds
    )


def dataset_of(particles: Particles, symmetry: str, half_sets: np.ndarray | None) -> Dataset:
    """Return particles as a data set."""
    groups = None
    if particles.optics_group is not None:
        groups = np.unique(particles.optics_group, return_inverse=True)[1]
    applied = "phase-flipped" if particles.phase_flipped else "none"
    if particles.premultiplied:
        applied = "premultiplied"
    poses = Poses(particles.rotations, particles.shifts)
    return Dataset(
        particles.images, poses, particles.ctf, None, symmetry, groups=groups,
        half_sets=half_sets, ctf_applied=applied,
    )  # fmt: skip


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
    return soft_spherical_mask(size, radius / pixel_size, dtype="float32")


def _half_sets(arguments: argparse.Namespace, particles: Particles) -> np.ndarray:
    """Return the half of each image, 1 or 2: of the file if it says, else at random."""
    n = len(particles)
    if n < 2:
        raise ValueError(
            f"{arguments.particles}: expected at least 2 images for half maps, got 1: give "
            "--no-halves"
        )
    if particles.half_set is None:
        labels = np.full(n, 2)
        labels[split_half_sets(n, np.random.default_rng(arguments.seed))[0]] = 1
        return labels
    for number in (1, 2):
        if not (particles.half_set == number).any():
            raise ValueError(f"{arguments.particles}: expected images in half {number}, got none")
    return particles.half_set
