"""What ``fslice reconstruct`` reads, checked before anything is computed or written."""

from __future__ import annotations

import argparse
import dataclasses
import time
import warnings
from pathlib import Path

import numpy as np

from fslice.cli._half_sets import Fingerprints, choose_half_sets
from fslice.cli._maps import read_maps
from fslice.cli._messages import Messages
from fslice.cli._reading import particle_options
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.io import Particles, read_particles
from fslice.postprocess.masks import soft_spherical_mask


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """Checked inputs.

    Parameters
    ----------
    particles : Particles
        With images, rotations and shifts.
    images : Fingerprints
        Of the particles.
    dataset : Dataset
        The same, as it is fitted.
    truth, mask, support : (D, D, D) array or None
    seconds : float
        That reading and checking took.
    """

    particles: Particles
    images: Fingerprints
    dataset: Dataset
    truth: np.ndarray | None
    mask: np.ndarray | None
    support: np.ndarray | None
    seconds: float

    @property
    def size(self) -> int:
        """Box D of the images."""
        return self.dataset.size

    @property
    def pixel_size(self) -> float:
        """In Angstrom."""
        return self.particles.pixel_size


def read_inputs(arguments: argparse.Namespace, messages: Messages) -> Inputs:
    """Read the particles, and the maps that must fit them."""
    start = time.perf_counter()
    particles = _read_particles(arguments, messages)
    assert particles.images is not None
    size = particles.images.shape[-1]
    maps, _ = read_maps(
        {"--truth": arguments.truth, "--mask": arguments.mask}, particles.pixel_size, size
    )
    support = _support(arguments.support, size, particles.pixel_size)
    half_sets = None
    if arguments.halves:
        half_sets = choose_half_sets(particles, arguments.particles, arguments.seed, messages)
    images = Fingerprints(particles.images)
    dataset = dataset_of(particles, images, arguments.symmetry, half_sets)
    return Inputs(
        particles, images, dataset, maps.get("--truth"), maps.get("--mask"), support,
        time.perf_counter() - start,
    )  # fmt: skip


def _read_particles(arguments: argparse.Namespace, messages: Messages) -> Particles:
    """Read the particles; what was read for what is a note, what is doubtful a warning."""
    path = arguments.particles
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are among the particles' notes and warnings
        known = arguments.poses == "known"
        particles = read_particles(path, poses=known, **particle_options(arguments))
        if not known:
            n = len(particles)
            particles = dataclasses.replace(
                particles, rotations=np.tile(np.eye(3), (n, 1, 1)), shifts=np.zeros((n, 2))
            )
    for line in particles.notes:
        messages.note(f"{path}: {line}")
    for line in particles.warnings:
        messages.warn(f"{path}: {line}")
    if particles.aberrations is not None:
        messages.note(f"{path}: aberrations of the optics groups are modelled")
    if particles.ctf is None:
        messages.note(f"no CTF: {path} has none, or its images are corrected for it")
    return particles


def dataset_of(
    particles: Particles, images: Fingerprints, symmetry: str, half_sets: np.ndarray | None
) -> Dataset:
    """Return particles as a data set."""
    groups = None
    if particles.optics_group is not None:
        groups = np.unique(particles.optics_group, return_inverse=True)[1]
    return Dataset(
        images, Poses(particles.rotations, particles.shifts), particles.ctf, None, symmetry,
        groups=groups, half_sets=half_sets, aberrations=particles.aberrations,
        ctf_applied=ctf_applied(particles), contrast=particles.contrast,
    )  # fmt: skip


def ctf_applied(particles: Particles) -> str:
    """Return what was done to the images, as a `Dataset` calls it."""
    if particles.premultiplied:
        return "premultiplied"
    return "phase-flipped" if particles.phase_flipped else "none"


def _support(given: str | None, size: int, pixel_size: float) -> np.ndarray | None:
    """Return a mask from a file, or a soft sphere of a radius in Angstrom; None if to be found."""
    if given is None or given == "auto":
        return None
    try:
        radius = float(given)
    except ValueError:
        maps, _ = read_maps({"--support": Path(given)}, pixel_size, size)
        return maps["--support"]
    if not 0 < radius / pixel_size <= size / 2:
        raise ValueError(
            f"--support: expected a radius up to {size * pixel_size / 2:g} Angstrom, got {given}"
        )
    return soft_spherical_mask(size, radius / pixel_size, dtype="float32")
