"""Writing whole files or none, and finding the files that a file names."""

from __future__ import annotations

import contextlib
import errno
import glob
import gzip
import os
import secrets
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fslice.io._held import hold, remove_abandoned


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when it is complete.

    The bytes go to a hidden file beside it, reach the disk, and are then renamed. On any
    error, also a full disk or Ctrl-C, the hidden file is removed and what stood under the
    name before is untouched. What a killed process has left is removed when the same file is
    written again.

    Parameters
    ----------
    path : path
        A link is followed: what it points to is replaced.

    Yields
    ------
    binary file
        Readable, writable and seekable.

    Raises
    ------
    OSError
        The file cannot be written; the message names `path`.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_write(folder / "a.txt") as file:
    ...     _ = file.write(b"complete")
    >>> [entry.name for entry in folder.iterdir()]
    ['a.txt']
    """
    final = Path(os.path.realpath(path))
    if final.exists() and not final.is_file():  # never replace a folder or a device
        raise OSError(errno.EINVAL, "expected a regular file to write", str(path))
    remove_abandoned(final.parent.glob(f".{glob.escape(final.name)}.????????.part"))
    partial = final.with_name(f".{final.name}.{secrets.token_hex(4)}.part")
    try:
        file = open(partial, "x+b")  # noqa: SIM115 (closed below, on every way out)
        try:
            hold(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
            file.close()
            os.replace(partial, final)
            _sync_folder(final.parent)
        except BaseException:
            with contextlib.suppress(OSError):  # a full disk fails again at closing
                file.close()
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        # Errors about the hidden file, or about no file at all, are about `path` to the caller.
        if error.errno is None or str(error.filename) not in ("None", str(partial)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _sync_folder(folder: Path) -> None:
    """Let a new name reach the disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# Files that only the folder of a whole project holds: RELION's and cryoSPARC's.
_PROJECT_FILES = ("default_pipeline.star", ".gui_projectdir", "project.json", "cs.lock")
# How far a particle file lies below its project: RELION's Refine3D/job001, cryoSPARC's
# exports/groups/J1_particles.
_PROJECT_DEPTH = 3


def find_named_file(names: list[str], beside: Path, datadir: Path | None = None) -> Path:
    """Find a file that another one names: beside it, in the current folder, or in its project.

    RELION's names are relative to the project's folder, where it runs; cryoSPARC's are
    relative to the project's folder, some levels above the job's. Nothing is looked for
    above the project: not beyond the first folder that holds a project's own files, and
    never more than three folders above the file's.

    Parameters
    ----------
    names : list of str
        Names to try in every place, the first one being the name proper.
    beside : Path
        The file that holds the name.
    datadir : Path, optional
        Where the stacks lie instead: under their name, or under the end of it.

    Raises
    ------
    FileNotFoundError
        None of the names exists anywhere.
    """
    for place in _places(names, beside, datadir):
        if place.is_file():
            return place
    where = "neither beside the file, nor in the current folder, nor in the project's above"
    hint = "; say where the stacks lie with datadir (--datadir)"
    if datadir is not None:
        where, hint = f"not in {datadir}, under its name or the end of it", ""
    raise FileNotFoundError(f"{beside}: the stack {names[0]!r} was not found: {where}{hint}")


def _places(names: list[str], beside: Path, datadir: Path | None) -> Iterator[Path]:
    if datadir is None:
        for folder in (Path(os.path.abspath(beside)).parent, Path.cwd(), *_folders_above(beside)):
            yield from (folder / name for name in names)
        return
    for name in names:
        parts = [part for part in Path(name).parts if part not in ("/", "..")]
        yield from (datadir.joinpath(*parts[first:]) for first in range(len(parts)))


def _folders_above(beside: Path) -> Iterator[Path]:
    """Yield the folders above a file's own, up to that of its project."""
    folder = Path(os.path.abspath(beside)).parent
    for _ in range(_PROJECT_DEPTH):
        if any((folder / name).exists() for name in _PROJECT_FILES):
            return
        folder = folder.parent
        if folder == folder.parent:  # the root belongs to no project
            return
        yield folder


def check_pixel_size(name: str, value: Any) -> float:
    """Return `value` as a float, or raise unless it is a positive length.

    Examples
    --------
    >>> check_pixel_size("pixel_size", float("nan"))
    Traceback (most recent call last):
    ...
    ValueError: pixel_size: expected a positive number of Angstrom, got nan
    """
    if not isinstance(value, int | float | np.number) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a number of Angstrom, got {value!r}")
    if not 0 < value < float("inf"):
        raise ValueError(f"{name}: expected a positive number of Angstrom, got {float(value)}")
    return float(value)


# What a compressed text may hold: no file of atoms or particles is larger, or compresses better.
_MAX_TEXT, _TEXT_RATIO, _TEXT_FREE = 4 * 2**30, 200, 2**26
_PIECE = 2**24


def read_bytes(path: Path) -> bytes:
    """Read a file, decompressed if its first bytes are those of gzip.

    Raises
    ------
    ValueError
        The compressed data is damaged, or more than 64 MiB and than 200 times its own size,
        or than 4 GiB.
    OSError
        The file cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(2)
    if start != b"\x1f\x8b":
        return path.read_bytes()
    limit = min(_MAX_TEXT, max(_TEXT_FREE, _TEXT_RATIO * os.path.getsize(path)))
    pieces, total = [], 0
    try:
        with gzip.open(path, "rb") as file:
            while piece := file.read(_PIECE):  # to the end, where a cut is found
                pieces.append(piece)
                total += len(piece)
                if total > limit:
                    raise ValueError(
                        f"{path}: expected at most {limit} bytes of text in a compressed file of "
                        f"this size; decompress it first"
                    )
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: the compressed data is damaged: {error}") from error
    return b"".join(pieces)


def read_into(file: Any, values: np.ndarray) -> int:
    """Fill a contiguous array with the bytes that follow in a file; return how many there were."""
    content = memoryview(values.view(np.uint8).reshape(-1))  # type: ignore[arg-type]
    filled = 0
    while filled < len(content) and (count := file.readinto(content[filled : filled + _PIECE])):
        filled += count
    return filled
