"""Hidden files and folders of runs: held while the run lives, removed after it was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]


def hold(descriptor: int) -> bool:
    """Lock an open file or folder until it is closed or the process ends, however it ends.

    Returns
    -------
    bool
        False if another process holds it.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def held_folder(parent: Path, prefix: str) -> tuple[Path, int]:
    """Make a folder of a new name; return it and the descriptor that holds it.

    Whoever finds a folder that nobody holds removes it: also this one, between its making and
    its locking. Then another one is made.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        if fcntl is None:
            return folder, -1
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            if hold(descriptor) and folder.exists():
                return folder, descriptor
            os.close(descriptor)


def remove_abandoned(paths: Iterable[Path]) -> None:
    """Remove those of some hidden files and folders that no process holds any more.

    Where there are no locks nothing is removed. Links are left alone.
    """
    if fcntl is None:
        return
    for path in paths:
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)
