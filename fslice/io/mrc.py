"""Volumes in MRC files: ``.mrc``, ``.map``, and these compressed by gzip or bzip2."""

from __future__ import annotations

import math
import os
import zlib

import numpy as np

from fslice._arrays import Array, check_finite, check_real, check_shape, to_numpy
from fslice.io._files import atomic_write, check_pixel_size
from fslice.io._mrc_header import Layout, make_header, read_layout

_CHUNK = 2**24
# Cells are stored in single precision and often rounded to a few decimals of an Angstrom.
_ISOTROPY = 1e-3


def read_volume(path: str | os.PathLike[str]) -> tuple[np.ndarray, float]:
    """Read a cubic volume and its pixel size.

    Parameters
    ----------
    path : path
        An MRC file of mode 0, 1, 2, 6 or 12 in either byte order, plain or compressed by
        gzip or bzip2 (told by its first bytes, not by its name).

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
        cubic, voxels that are not cubes, or values that are NaN or infinite.
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
    if len(set(layout.shape)) > 1:
        got = " x ".join(map(str, layout.shape))
        raise ValueError(f"{path}: expected a cubic volume, got {got} sections, rows, columns")
    pixel_size = _pixel_size(layout)
    stored = _values(layout).transpose([layout.axes.index(axis) for axis in (3, 2, 1)])
    volume = np.array(stored, dtype=np.float32, order="C")
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
    if not layout.compressed:
        return np.memmap(layout.path, layout.dtype, "r", layout.offset, layout.shape)
    # In pieces: one read of what a header claims would take that much memory at once.
    end = layout.offset + layout.nbytes
    content = bytearray()
    try:
        with layout.open(layout.path, "rb") as file:
            while len(content) < end and (piece := file.read(min(_CHUNK, end - len(content)))):
                content += piece
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{layout.path}: the compressed data is damaged: {error}") from error
    if len(content) < end:
        raise layout.too_short(len(content))
    return np.frombuffer(content, layout.dtype, offset=layout.offset).reshape(layout.shape)
