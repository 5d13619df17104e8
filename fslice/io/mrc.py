"""Volumes in MRC files: ``.mrc``, ``.map``, ``.ccp4``, ``.rec``, plain or of gzip or bzip2."""

from __future__ import annotations

import math
import os
import zlib
from typing import Any

import numpy as np

from fslice._arrays import Array, check_finite, check_real, check_shape, to_numpy
from fslice.io._files import atomic_write, check_pixel_size, read_into
from fslice.io._mrc_header import Layout, make_header, read_layout

_CHUNK = 2**24
# What a compressed file may hold: a few bytes can claim, and decompress to, any size.
MAX_BYTES = 16 * 2**30
MAX_RATIO, RATIO_FREE = 2000, 2**26
# Cells are stored in single precision and often rounded to a few decimals of an Angstrom.
_ISOTROPY = 1e-3


def read_volume(path: str | os.PathLike[str]) -> tuple[np.ndarray, float]:
    """Read a cubic volume and its pixel size.

    Parameters
    ----------
    path : path
        An MRC file of mode 0, 1, 2, 6 or 12 in either byte order, plain or compressed by
        gzip or bzip2 (told by its first bytes, not by its name). Bytes (mode 0) are
        unsigned where IMOD's flag says so, or a greatest value above 127 in the header.

    Returns
    -------
    volume : (D, D, D) float32 array
        In the order ``[z, y, x]``, whatever the order of the axes in the file.
    pixel_size : float
        In Angstrom: the cell divided by its sampling. ``nan`` where the header does not
        say (a cell of zero, as several programs write), so that no length computed from
        it can pass for a real one; `write_volume` refuses it.

    Raises
    ------
    ValueError
        Not an MRC file, shorter than its header claims (found before memory is taken), not
        cubic, several volumes, voxels that are not cubes, or values that are NaN or
        infinite. Of a compressed file also: it claims more than 16 GiB, or more than 64 MiB
        and 2000 times its own size.
    OSError
        The file cannot be read.

    Notes
    -----
    The origin of rotation is always voxel ``D // 2``; the header's origin, which places
    the map in a scene, is not used.

    Examples
    --------
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "map.mrc")
    >>> write_volume(path, np.ones((4, 4, 4)), 2.5)
    >>> volume, pixel_size = read_volume(path)
    >>> volume.shape, pixel_size
    ((4, 4, 4), 2.5)
    """
    layout = read_layout(path)
    if layout.volumes > 1:
        raise ValueError(f"{path}: expected one volume, got a stack of {layout.volumes}")
    if len(set(layout.shape)) > 1:
        got = " x ".join(map(str, layout.shape))
        raise ValueError(f"{path}: expected a cubic volume, got {got} sections, rows, columns")
    pixel_size = _pixel_size(layout)
    stored = _values(layout).transpose([layout.axes.index(axis) for axis in (3, 2, 1)])
    volume = np.asarray(stored, dtype=np.float32, order="C")
    check_finite(str(path), volume)
    return volume, pixel_size


def write_volume(path: str | os.PathLike[str], volume: Array, pixel_size: float) -> None:
    """Write a cubic volume as an MRC file, completely or not at all.

    Parameters
    ----------
    path : path
        Its name must not be that of a compressed file.
    volume : (D, D, D) real array
        In the order ``[z, y, x]``; stored in single precision.
    pixel_size : float
        In Angstrom.

    Raises
    ------
    ValueError
        The volume is not cubic or not finite, or the pixel size is not positive.
    TypeError
        The volume is not real.
    OSError
        The file cannot be written, for instance because the disk is full; then nothing is
        left behind, and a file that had this name is unchanged.

    Examples
    --------
    >>> write_volume("map.mrc", np.ones((4, 4, 4)), 0.0)
    Traceback (most recent call last):
    ...
    ValueError: pixel_size: expected a positive number of Angstrom, got 0.0
    """
    check_real("volume", volume)
    check_shape("volume", volume, (volume.shape[0] if volume.ndim else "D",) * 3)
    check_finite("volume", volume)
    pixel_size = check_pixel_size("pixel_size", pixel_size)
    check_plain_name(path)
    values = np.ascontiguousarray(to_numpy(volume), "<f4")
    mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    statistics = float(values.min()), float(values.max()), float(mean), float(deviation)
    header = make_header(values.shape, pixel_size, space_group=1, statistics=statistics)
    with atomic_write(path) as file:
        file.write(header)
        file.write(values.data)


def check_plain_name(path: str | os.PathLike[str]) -> None:
    """Raise if the name promises a compressed file, which is not what will be written."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix in (".gz", ".bz2"):
        raise ValueError(f"{path}: expected the name of an uncompressed MRC file, got {suffix}")


def _pixel_size(layout: Layout) -> float:
    sizes = layout.voxel_size
    if any(math.isnan(size) for size in sizes):
        return math.nan
    if max(sizes) > min(sizes) * (1 + _ISOTROPY):
        got = " x ".join(f"{size:g}" for size in sizes)
        raise ValueError(f"{layout.path}: expected cubic voxels, got {got} Angstrom")
    return sizes[0]


def _values(layout: Layout) -> np.ndarray:
    if layout.compressed:
        _check_claim(layout)
    values = np.empty(layout.shape, layout.dtype)  # pages are taken only as they are filled
    try:
        with layout.open(layout.path, "rb") as file:
            skipped = _skip(file, layout.offset)
            filled = read_into(file, values)
    except (EOFError, OSError, zlib.error) as error:
        if not layout.compressed:
            raise
        raise ValueError(f"{layout.path}: the compressed data is damaged: {error}") from error
    if filled < values.nbytes:
        raise layout.too_short(skipped + filled)
    return values


def _check_claim(layout: Layout) -> None:
    """Raise if a compressed file claims more than any such map holds, before reading it."""
    limit = min(MAX_BYTES, max(RATIO_FREE, MAX_RATIO * os.path.getsize(layout.path)))
    claimed = layout.offset + layout.nbytes
    if claimed > limit:
        raise ValueError(
            f"{layout.path}: expected at most {limit} bytes in a compressed file of this size, "
            f"got a header that claims {claimed}; decompress it first"
        )


def _skip(file: Any, count: int) -> int:
    """Read past `count` bytes without keeping them; return how many there were."""
    skipped = 0
    while skipped < count and (piece := file.read(min(_CHUNK, count - skipped))):
        skipped += len(piece)
    return skipped


def check_mask(name: str, mask: np.ndarray) -> None:
    """Raise unless the values are those of a mask: from 0 to 1, and not all 0.

    Examples
    --------
    >>> check_mask("mask.mrc", np.array([0.0, 3.5]))
    Traceback (most recent call last):
    ...
    ValueError: mask.mrc: expected a mask of values from 0 to 1, not all 0, got 0 to 3.5
    """
    low, high = float(mask.min()), float(mask.max())
    if not (low >= 0 and 0 < high <= 1):
        raise ValueError(
            f"{name}: expected a mask of values from 0 to 1, not all 0, got {low:g} to {high:g}"
        )
