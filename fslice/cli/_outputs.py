"""Results appear in their folder together and complete, or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fslice.cli._signals import uninterrupted
from fslice.io._files import atomic_write
from fslice.io._held import held_folder, remove_abandoned

_STAGING = ".fslice-"


@contextlib.contextmanager
def output_folder(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Yield a hidden folder inside `folder`; what is written there moves out on success.

    Parameters
    ----------
    folder : Path
        Made if it is not there, and removed again on failure if nothing else is in it.
    names : sequence of str
        All files that the command may write, the record of the run last. On success those of an
        earlier run that this one has not written are removed, so that no stale result stands
        beside new ones.

    Yields
    ------
    Path
        On the same file system as `folder`.

    Raises
    ------
    OSError
        `folder` cannot be made or written in, or a folder has one of the names.

    Notes
    -----
    The record of an earlier run goes first and the new one comes last: files beside a record are
    those of its run, whenever a process is killed. An error or a signal undoes the moves. The
    hidden folders of killed runs are removed at the start.

    Examples
    --------
    >>> import tempfile
    >>> parent = Path(tempfile.mkdtemp())
    >>> with output_folder(parent / "run", ["a.txt", "b.txt"]) as staging:
    ...     _ = (staging / "a.txt").write_text("complete")
    >>> [entry.name for entry in (parent / "run").iterdir()]
    ['a.txt']
    """
    made = _make_folders(folder)
    staging, lock = None, -1
    try:
        for name in names:
            if (folder / name).is_dir():
                raise IsADirectoryError(errno.EISDIR, "expected a file", str(folder / name))
        remove_abandoned(folder.glob(f"{_STAGING}*"))
        staging, lock = _make_staging(folder)
        yield staging
        with uninterrupted():
            _move_out(staging, folder, names)
    except OSError as error:
        hidden = f"{staging}{os.sep}"
        if not str(error.filename).startswith(hidden):
            raise
        # About the file that the user asked for.
        path = folder / str(error.filename).removeprefix(hidden)
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        if lock >= 0:
            os.close(lock)
        for path in made:  # those that are empty: after success none is
            with contextlib.suppress(OSError):
                path.rmdir()


def _move_out(staging: Path, folder: Path, names: Sequence[str]) -> None:
    """Move new files into a folder and old ones away, all or none; the record goes and comes last.

    Moves are renames on one file system: each of them happens or does not.
    """
    old = staging / "before"
    old.mkdir()
    done: list[tuple[Path, Path]] = []

    def move(source: Path, target: Path) -> None:
        os.replace(source, target)
        done.append((source, target))

    try:
        for name in reversed(names):  # the record first
            if os.path.lexists(folder / name):
                move(folder / name, old / name)
        for name in names:  # the record last
            if (staging / name).exists():
                move(staging / name, folder / name)
    except OSError:
        for source, target in reversed(done):
            with contextlib.suppress(OSError):
                os.replace(target, source)
        raise


def _make_folders(folder: Path) -> list[Path]:
    """Make the folder and those above it; return the new ones, the innermost first."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, "expected a folder", str(folder)) from None
    return new


def _make_staging(folder: Path) -> tuple[Path, int]:
    try:
        return held_folder(folder, _STAGING)
    except OSError as error:  # about the folder, not about a name that nobody knows
        raise OSError(error.errno, os.strerror(error.errno or 0), str(folder)) from error


def check_space(folder: Path, needed: int) -> None:
    """Raise at once where a disk is too full for what will take long to compute.

    Parameters
    ----------
    folder : Path
        On the disk.
    needed : int
        Bytes.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f"{os.strerror(errno.ENOSPC)}: expected {_size(needed)} free, got {_size(free)}",
            str(folder),
        )


def _size(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e8 else f"{number / 1e6:.1f} MB"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, completely or not at all."""
    with atomic_write(path) as file:
        file.write((json.dumps(_plain(content), indent=2, allow_nan=False) + "\n").encode())


def json_line(content: Mapping[str, Any]) -> str:
    """Return the content as one line of JSON."""
    return json.dumps(_plain(content), allow_nan=False)


def _plain(value: Any) -> Any:
    """Return what JSON can hold: numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value
