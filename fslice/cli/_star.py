"""The STAR file of particles whose poses were found, as far as it can hold them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from fslice.cli._messages import Messages
from fslice.io import ImageStack, Particles, write_particles
from fslice.io.relion_write import why_unnamed


def write_star(path: Path, particles: Particles, messages: Messages, **options: Any) -> None:
    """Write particles; what a STAR file cannot hold becomes a warning: other files have the poses.

    Parameters
    ----------
    path : Path
    particles : Particles
    messages : Messages
    **options
        As in `fslice.io.write_particles`.
    """
    images = particles.images
    if isinstance(images, ImageStack) and (reason := why_unnamed(images)):
        messages.warn(f"{path.name} is left out, as it would name the images' files: {reason}")
        return
    if particles.contrast is not None:
        messages.warn(f"{path.name}: without a CTF it has no column for the contrast of images")
        particles = dataclasses.replace(particles, contrast=None)
    write_particles(path, particles, **options)
