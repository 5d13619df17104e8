"""What tells one sum over images from another: a digest of data and settings, not of pixels."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from fslice._arrays import is_array, to_numpy


def identity(*values: Any) -> str:
    """Return a digest of arrays, numbers, words, data classes and functions, 64 characters.

    Of images in files it takes names, sizes and times of change instead of the pixels.

    Raises
    ------
    TypeError
        A value is of another kind.

    Examples
    --------
    >>> identity(np.zeros(2), "C1") == identity(np.zeros(2), "C1")
    True
    >>> identity(np.zeros(2), "C1") == identity(np.zeros(2, "f4"), "C1")
    False
    """
    digest = hashlib.sha256()
    for value in values:
        _add(digest, value)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    digest.update(f"<{type(value).__qualname__}>".encode())
    if value is None or isinstance(value, str | int | float | np.generic | np.dtype):
        digest.update(repr(value).encode())
    elif is_array(value):
        host = np.ascontiguousarray(to_numpy(value))
        digest.update(f"{host.dtype.str}{host.shape}".encode())
        digest.update(host.data if host.size else b"")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            _add(digest, getattr(value, field.name))
    elif isinstance(value, Path):
        status = os.stat(value)
        digest.update(f"{value}{status.st_size}{status.st_mtime_ns}".encode())
    elif isinstance(value, functools.partial):
        _add(digest, (value.func, *value.args))
    elif isinstance(value, list | tuple):
        for part in value:
            _add(digest, part)
    elif callable(value) and hasattr(value, "__qualname__"):
        digest.update(f"{value.__module__}.{value.__qualname__}".encode())
    elif hasattr(value, "images"):  # what watches images
        _add(digest, value.images)
    else:
        raise TypeError(f"identity: expected data or settings, got {type(value).__name__}")
