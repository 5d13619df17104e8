"""Arrays in a ``.npz`` file, read with every kind, shape and value checked."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator, Mapping

import numpy as np

Fields = Mapping[str, tuple[str, tuple[int | None, ...] | None]]
"""By name: the kinds of dtype, as one letter each, * where values may be NaN; and the shape, None
for any length, or any shape."""


def read_archive(path: str | os.PathLike[str], fields: Fields) -> dict[str, np.ndarray]:
    """Read arrays that `numpy.savez` wrote.

    Parameters
    ----------
    path : path
    fields : mapping
        What the file has to hold, and at most holds in memory what it holds on disk.

    Raises
    ------
    ValueError
        Why it is not such a file; the message does not name it.
    OSError
        It cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "a.npz")
    >>> np.savez(path, rate=0.5)
    >>> read_archive(path, {"rate": ("f", ()), "epoch": ("i", ())})
    Traceback (most recent call last):
    ...
    ValueError: it has no field 'epoch'
    """
    with _opened(path) as archive:
        return {name: _field(archive, name, *kind) for name, kind in fields.items()}


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[np.lib.npyio.NpzFile]:
    """Open an archive; whatever a damaged one leads to becomes a ValueError."""
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as plain:
                claimed = sum(part.file_size for part in plain.infolist())
            if claimed > os.path.getsize(path):
                raise ValueError("it claims more than it holds")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                yield archive
        except ValueError:
            raise
        except Exception as error:  # of zipfile, and of NumPy, which parses headers as Python
            raise ValueError(f"it is damaged ({error or type(error).__name__})") from error


def _field(
    archive: np.lib.npyio.NpzFile, name: str, kinds: str, shape: tuple[int | None, ...] | None
) -> np.ndarray:
    if name not in archive.files:
        raise ValueError(f"it has no field {name!r}")
    values = np.asarray(archive[name])
    fits = shape is None or (
        values.ndim == len(shape)
        and all(side in (None, got) for side, got in zip(shape, values.shape, strict=True))
    )
    if values.dtype.kind not in kinds or not fits:
        raise ValueError(f"its field {name!r} is of shape {values.shape} of {values.dtype}")
    if values.dtype.kind in "fc" and "*" not in kinds and not np.isfinite(values).all():
        raise ValueError(f"its field {name!r} has values that are NaN or infinite")
    return values
