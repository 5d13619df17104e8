"""The header of an MRC file: what lies where, and the traps that real files set.

The field's layout is that of MRC2014, as `mrcfile` spells it. Reading is permissive
where files in use deviate without being ambiguous: a missing ``MAP`` stamp, a missing or
wrong machine stamp, axes left at zero.
"""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from mrcfile.constants import MAP_ID
from mrcfile.dtypes import HEADER_DTYPE
from mrcfile.utils import dtype_from_mode, machine_stamp_from_byte_order

_MODES = (0, 1, 2, 6, 12)
_PLAUSIBLE_MODE = 1000  # a mode that some program may write; more is no header at all
_CELL_TOLERANCE = 1e-3
_COMPRESSIONS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open}
_OTHER_COMPRESSIONS = {b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd"}
# IMOD's stamp says that its flags follow; the first flag says that bytes are signed
# (IMOD's mrc_img.c and "MRC/REC file format": words 39 and 40).
_IMOD_STAMP, _SIGNED_BYTES = 1146047817, 1
_IMOD_OFFSET = 152
_VOLUME_STACKS = range(401, 631)  # MRC2014's space groups of stacks of volumes
_MACHINE_STAMPS = {b"DA": "<", b"DD": "<", b"\x11\x11": ">"}


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the values of an MRC file lie, and what they mean.

    Parameters
    ----------
    path : Path
    open : callable
        Opens the file, through the decompression that its first bytes ask for.
    offset : int
        Position of the first value, in bytes.
    dtype : numpy.dtype
        Of one value, with its byte order.
    shape : tuple of 3 int
        Sections, rows, columns.
    axes : tuple of 3 int
        Which of x = 1, y = 2, z = 3 the sections, rows and columns are.
    voxel_size : tuple of 3 float
        Along x, y, z in Angstrom; NaN where the header does not say.
    volumes : int, optional
        How many volumes the sections are, where the header says that they are volumes.
    """

    path: Path
    open: Callable[..., IO[bytes]]
    offset: int
    dtype: np.dtype
    shape: tuple[int, int, int]
    axes: tuple[int, int, int]
    voxel_size: tuple[float, float, float]
    volumes: int = 1

    @property
    def compressed(self) -> bool:
        """Whether the file must be decompressed to be read."""
        return self.open in _COMPRESSIONS.values()

    @property
    def nbytes(self) -> int:
        """The number of bytes that the values take."""
        return math.prod(self.shape) * self.dtype.itemsize

    def too_short(self, held: int) -> ValueError:
        """Return the error for a file that holds fewer bytes than its header claims."""
        shape = " x ".join(map(str, self.shape))
        return ValueError(
            f"{self.path}: expected {self.offset + self.nbytes} bytes for the {shape} values of "
            f"{self.dtype.name} that the header claims, got {held}"
        )


def read_layout(path: str | os.PathLike[str]) -> Layout:
    """Read and check the header of an MRC file, and nothing else.

    Raises
    ------
    ValueError
        It is not an MRC file of a known mode, or, uncompressed, it is shorter than claimed.
    OSError
        The file cannot be read.
    """
    path = Path(path)
    with open(path, "rb") as file:
        start = file.read(5)
    for magic, name in _OTHER_COMPRESSIONS.items():
        if start.startswith(magic):
            raise ValueError(f"{path}: expected gzip or bzip2, got {name}; decompress it first")
    opener = _COMPRESSIONS.get(start[:2], open)
    try:
        with opener(path, "rb") as file:
            raw = file.read(HEADER_DTYPE.itemsize)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: the compressed data is damaged: {error}") from error
    if len(raw) < HEADER_DTYPE.itemsize:
        raise ValueError(f"{path}: expected an MRC header of 1024 bytes, got {len(raw)} bytes")
    layout = _interpret(path, opener, raw)
    held = os.path.getsize(path)
    if not layout.compressed and held < layout.offset + layout.nbytes:
        raise layout.too_short(held)
    return layout


def _interpret(path: Path, opener: Callable[..., IO[bytes]], raw: bytes) -> Layout:
    header, order = _in_file_order(raw)
    if header["mode"] not in _MODES:
        modes, mode = ", ".join(map(str, _MODES)), int(header["mode"])
        got = f"mode {mode}" if 0 <= mode < _PLAUSIBLE_MODE else "another kind of file"
        raise ValueError(f"{path}: expected an MRC file of mode {modes}, got {got}")
    shape = int(header["nz"]), int(header["ny"]), int(header["nx"])
    if min(shape) < 1:
        got = " x ".join(map(str, shape))
        raise ValueError(f"{path}: expected at least one section, row and column, got {got}")
    extended = int(header["nsymbt"])
    if extended < 0:
        raise ValueError(f"{path}: expected an extended header of 0 bytes or more, got {extended}")
    return Layout(
        path=Path(os.path.abspath(path)),  # also right after a change of folder
        open=opener,
        offset=HEADER_DTYPE.itemsize + extended,
        dtype=_dtype(header, raw, order),
        shape=shape,
        axes=_axes(path, header),
        voxel_size=_voxel_size(header),
        volumes=_volumes(header),
    )


def _dtype(header: Any, raw: bytes, order: str) -> np.dtype:
    """Return the dtype of a value; bytes are signed unless IMOD or the greatest value says no."""
    if header["mode"] == 0:
        stamp, flags = np.frombuffer(raw, order + "i4", 2, _IMOD_OFFSET)
        unsigned = header["dmax"] > 127
        if stamp == _IMOD_STAMP:
            unsigned = not flags & _SIGNED_BYTES
        if unsigned and not header["dmin"] < 0:
            return np.dtype(np.uint8)
    return np.dtype(dtype_from_mode(header["mode"])).newbyteorder(order)


def _volumes(header: Any) -> int:
    depth, sections = int(header["mz"]), int(header["nz"])
    return sections // depth if header["ispg"] in _VOLUME_STACKS and depth > 0 else 1


def _in_file_order(raw: bytes) -> tuple[Any, str]:
    """Read the header in the byte order in which it makes sense; the machine stamp may lie."""
    headers = {order: np.frombuffer(raw, HEADER_DTYPE.newbyteorder(order))[0] for order in "<>"}
    stamped = _MACHINE_STAMPS.get(bytes(headers["<"]["machst"][:2]))

    def plausibility(order: str) -> tuple[bool, bool, int]:
        header = headers[order]
        return header["mode"] in _MODES, order == stamped, -abs(int(header["nx"]))

    order = max("<>", key=plausibility)
    return headers[order], order


def _axes(path: Path, header: Any) -> tuple[int, int, int]:
    axes = int(header["maps"]), int(header["mapr"]), int(header["mapc"])
    if axes == (0, 0, 0):  # left out by old programs
        return 3, 2, 1
    if sorted(axes) != [1, 2, 3]:
        raise ValueError(
            f"{path}: expected the axes 1, 2, 3 in some order in mapc, mapr, maps, "
            f"got {', '.join(map(str, axes[::-1]))}"
        )
    return axes


def _voxel_size(header: Any) -> tuple[float, float, float]:
    """Divide the cell by its own sampling: mx is often, but not always, nx."""
    sizes = []
    for axis in "xyz":
        length, intervals = float(header["cella"][axis]), int(header[f"m{axis}"])
        known = intervals > 0 and 0 < length < math.inf
        sizes.append(length / intervals if known else math.nan)
    x, y, z = sizes
    # Some programs give the cell of all sections, and say that it is sampled once.
    sections = float(header["nz"])
    if header["mz"] == 1 < sections and abs(z / (x * sections) - 1) < _CELL_TOLERANCE:
        z = x
    return x, y, z


def make_header(
    shape: tuple[int, int, int],
    pixel_size: float,
    *,
    space_group: int,
    statistics: tuple[float, float, float, float],
) -> bytes:
    """Make the header of a float32 file, little-endian.

    Parameters
    ----------
    shape : tuple of 3 int
        Sections, rows, columns.
    pixel_size : float
        In Angstrom.
    space_group : {0, 1}
        0 for a stack of images, 1 for a volume.
    statistics : tuple of 4 float
        Least, greatest and mean value, and root mean square deviation from the mean.
    """
    header = np.zeros((), HEADER_DTYPE.newbyteorder("<"))
    sections, rows, columns = shape
    depth = sections if space_group else 1  # the images of a stack are one section each
    header["nz"], header["ny"], header["nx"] = shape
    header["mz"], header["my"], header["mx"] = depth, rows, columns
    header["cella"] = tuple(pixel_size * side for side in (columns, rows, depth))
    header["cellb"] = (90, 90, 90)
    header["mode"] = 2
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["dmin"], header["dmax"], header["dmean"], header["rms"] = statistics
    header["ispg"] = space_group
    header["nversion"] = 20141
    header["map"] = MAP_ID
    header["machst"] = machine_stamp_from_byte_order("<")
    header["nlabl"] = 1
    header["label"][0] = b"Written by fslice"
    return header.tobytes()
