"""Particles from a file or the folder of a job, whichever program wrote it."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np

from fslice.io._duplicates import describe_duplicates
from fslice.io._metadata import Request
from fslice.io.cs import read_cs
from fslice.io.particles import Particles
from fslice.io.project import find_particles
from fslice.io.relion import read_relion

_READERS = {".star": read_relion, ".cs": read_cs}


def read_particles(
    path: str | os.PathLike[str],
    *,
    poses: bool = True,
    images: bool = True,
    pixel_size: float | None = None,
    datadir: str | os.PathLike[str] | None = None,
    optics_group: int | str | None = None,
    class_index: int | None = None,
    phase_flipped: bool | None = None,
    passthrough: str | os.PathLike[str] | None = None,
) -> Particles:
    """Read particles from a STAR file of RELION 3.0, 3.1 or 5.0, or a ``.cs`` file of cryoSPARC.

    Parameters
    ----------
    path : path
        A file, whose suffix, ``.star`` or ``.cs``, decides; RELION's ``run_optimiser.star``;
        or the folder of a job of either program.
    poses : bool, optional
        False leaves out `rotations` and `shifts`, which the file need not have then.
    images : bool, optional
        False leaves out `images`, whose stacks need not exist then.
    pixel_size : float, optional
        In Angstrom: instead of what the file says, if it says anything.
    datadir : path, optional
        The folder where the stacks lie, under the names that the file gives them or the
        ends of these.
    optics_group : int or "all", optional
        Read only the particles of this optics group, from 1: in files with groups of
        different pixel size or box. Or read all, resampled to the coarsest pixel size and the
        narrowest box among them, with shifts and CTF on that grid.
    class_index : int, optional
        Read only the particles of this class, as the file numbers them; of cryoSPARC's
        ``alignments3D_multi`` those of which it is the most probable one.
    phase_flipped : bool, optional
        Whether the images have been multiplied by the sign of their CTF: instead of what
        the file says, if it says anything.
    passthrough : path, optional
        The ``.cs`` file with the fields that `path` lacks, joined by uid. By default the
        passthrough files beside it are tried.

    Returns
    -------
    Particles
        With the images as an `ImageStack`, in the order of the file. `ctf` is None where
        the file has no defocus or its images are corrected for the CTF, `half_set` where it
        does not divide the particles in two. `rotations` and `shifts` are float64.

    Raises
    ------
    ValueError
        Not such a file; no particles; pose columns missing (named); an image beyond its
        stack (named); images that are not square or not of the size that the file
        says; volumes or tilt series; a pixel size or an image size that is absent, not
        positive, or not one for all; tables that contradict each other; values that are
        not finite, or that no microscope has.
    OSError
        The file or one of its stacks cannot be read, or is not where it should be: beside
        the file, in the current folder, or in the folders above that are of its project.
    ImportError
        For STAR files, if the package gemmi is missing.

    Warns
    -----
    UserWarning
        Each of `Particles.notes`: which file was read for a folder, or joined. Each of
        `Particles.warnings`: something that the file says is not modelled (anisotropic
        magnification) or contradicted, or something is assumed.

    Notes
    -----
    RELION's matrix of Euler angles is the transpose of `rotations`, and its origins, in
    pixels or Angstrom, are minus `shifts`. cryoSPARC's rotation vectors give `rotations`
    as they are, and its shifts have RELION's sign. Origins that a STAR file leaves out are
    zero, as in RELION.

    Examples
    --------
    >>> read_particles("particles.txt")
    Traceback (most recent call last):
    ...
    ValueError: particles.txt: expected a file ending in .star or .cs
    """
    file, notes = find_particles(Path(path))
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: expected a file ending in {' or '.join(_READERS)}")
    together = optics_group == "all"
    if together:
        optics_group = None
    if isinstance(optics_group, str):
        raise ValueError(f"optics_group: expected a number or 'all', got {optics_group!r}")
    request = Request(
        poses=poses,
        pixel_size=pixel_size,
        optics_group=optics_group,
        together=together,
        class_index=class_index,
        phase_flipped=phase_flipped,
        passthrough=None if passthrough is None else Path(passthrough),
    )
    if passthrough is not None and reader is not read_cs:
        raise ValueError(f"passthrough: expected None for {file}, which is not of cryoSPARC")
    metadata = reader(file, request)
    stack = metadata.open_images(None if datadir is None else Path(datadir)) if images else None
    identity = (
        np.unique([metadata.file_index, metadata.image_index], axis=1, return_inverse=True)[1]
        if stack is None
        else stack.identities()
    )
    notes = (*notes, *metadata.notes)
    if stack is not None and stack.grid is not None:
        notes = (*notes, stack.grid.note([layout.shape[1] for layout in stack.files]))
    said = [*metadata.warnings]
    said += describe_duplicates(identity.reshape(-1), metadata.fields["half_set"])
    said += _far_shifts(metadata.fields["shifts"], None if stack is None else stack.shape[1])
    for line in (*notes, *said):
        warnings.warn(f"{file}: {line}", stacklevel=2)
    return Particles(images=stack, **metadata.fields, notes=notes, warnings=tuple(said))


def _far_shifts(shifts: np.ndarray | None, size: int | None) -> list[str]:
    """Say how many particles would sit outside their images."""
    if shifts is None or size is None:
        return []
    far = int((abs(shifts) > size).any(axis=1).sum())
    return [f"{far} of {len(shifts)} particles sit outside their images"] if far else []
