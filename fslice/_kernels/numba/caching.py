"""Where compiled kernels are kept: in the user's own cache, under the digest of all sources.

Numba's own choice would be the folder of the sources, and it compares only the file that holds a
kernel, not those that the kernel calls into: after a change there it would run the old code.
What is kept there is executed when it is loaded, so it must be nobody else's.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config as numba_config

_SOURCES = Path(__file__).parents[1]
_PREFIX = "kernels-"
_UNUSED = 30 * 86400
"""Seconds after which what other versions of the sources left is removed."""

config: Any = numba_config  # its attributes are set when it is imported


def cached_kernel(**options: Any) -> Callable[[Callable], Any]:
    """Return what compiles a function when it is called, and keeps that from process to process.

    Parameters
    ----------
    **options
        Of `numba.njit`.
    """

    def compiled(function: Callable) -> Any:
        dispatcher = numba.njit(**options)(function)
        folder = cache_folder()
        if folder is None:
            return dispatcher
        given, config.CACHE_DIR = config.CACHE_DIR, str(folder)
        try:
            dispatcher.enable_caching()
            _tolerate_faults(dispatcher)
        finally:
            config.CACHE_DIR = given
        return dispatcher

    return compiled


def _tolerate_faults(dispatcher: Any) -> None:
    """Compile where what is kept cannot be read, and go on where it cannot be written."""
    cache = dispatcher._cache
    for name in ("load_overload", "save_overload"):
        if method := getattr(cache, name, None):
            setattr(cache, name, functools.partial(_or_flush, cache, method))


def _or_flush(cache: Any, method: Callable, *arguments: Any) -> Any:
    """Call a method of a cache; if it fails, whatever the damage is, forget what is kept."""
    try:
        return method(*arguments)
    except Exception:
        with contextlib.suppress(Exception):
            cache.flush()
    return None


@functools.cache
def cache_folder() -> Path | None:
    """Return the folder of these sources' kernels; None, after a warning, if it cannot be had."""
    parent = _parent()
    try:
        folder = own_folder(parent / f"{_PREFIX}{sources_digest()}")
    except OSError as error:
        warnings.warn(
            f"compiled kernels cannot be kept in {parent} ({error.strerror}): they are compiled in "
            "every process, which takes about a minute; NUMBA_CACHE_DIR may name another folder",
            stacklevel=2,
        )
        return None
    _remove_unused(folder)
    return folder


def sources_digest() -> str:
    """Return a digest of all sources of the kernels, by which old machine code is told."""
    digest = hashlib.sha256()
    for path in sorted(_SOURCES.rglob("*.py")):
        digest.update(str(path.relative_to(_SOURCES)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _parent() -> Path:
    """Return what `NUMBA_CACHE_DIR` names, else the user's own cache."""
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named).absolute()
    home = Path(os.path.expanduser("~"))
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "fslice"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home) / "fslice"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "fslice"


def own_folder(folder: Path) -> Path:
    """Make a folder that only its owner, the user, may enter, or check that it is one.

    Raises
    ------
    OSError
        It cannot be made or written in, is a link, or belongs to somebody else.
    """
    if not folder.is_absolute():
        raise FileNotFoundError(2, "there is no home folder", str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if folder.is_symlink() or not folder.is_dir():
        raise NotADirectoryError(20, "expected a folder, which is not a link", str(folder))
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        raise PermissionError(13, f"it belongs to the user {status.st_uid}", str(folder))
    if status.st_mode & 0o077:  # made so by hand, or by an old version
        folder.chmod(0o700)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, "it cannot be written in", str(folder))
    return folder


def _remove_unused(folder: Path) -> None:
    """Remove the kernels of other sources that were not used for long."""
    with contextlib.suppress(OSError):
        os.utime(folder)
        for other in folder.parent.glob(f"{_PREFIX}*"):
            if time.time() - other.lstat().st_mtime > _UNUSED:
                shutil.rmtree(other, ignore_errors=True)
