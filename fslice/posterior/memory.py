"""What the sums over images take of the memory, told before a run."""

from __future__ import annotations

import math

from fslice._kernels.select import has_numba
from fslice.data.dataset import Dataset
from fslice.data.passes import BATCH_BYTES
from fslice.data.shares import parts_of
from fslice.operators.projector import Projector

PROCESS = 400 << 20
"""Interpreter, libraries, and kernels while they are compiled."""
_STENCIL, _COMPLEX = 14, 2
_MOMENTS = 32
"""Records of moments that compiled kernels add to, before they are a stencil."""
_BATCHES = 5
"""Pixels, spectra and filtered spectra of a batch, and what transforms and reordering take."""
_WAITING = 2
"""Sums that are done, until others or the client have fetched them."""


def sum_bytes(dataset: Dataset, projector: Projector) -> int:
    """Return the bytes of the normal equations of any number of images.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> from fslice.data.poses import Poses
    >>> dataset = Dataset(np.zeros((2, 512, 512), "f4"), Poses(np.eye(3)[None].repeat(2, 0)))
    >>> round(sum_bytes(dataset, fslice.Projector(512)) / 1e9, 1)
    4.3
    """
    per_cell = _COMPLEX + (_STENCIL if projector.interpolation == "linear" else 2)
    return per_cell * _cell_bytes(dataset, projector)


def worker_bytes(dataset: Dataset, projector: Projector) -> int:
    """Return the bytes that one worker takes to sum shares of the images, at most.

    That is a sum while it grows, a batch of images, and sums that wait to be fetched.
    """
    cells = _cell_bytes(dataset, projector)
    growing = 2 * _COMPLEX
    if projector.interpolation == "linear":
        growing += _STENCIL + (_MOMENTS if has_numba() else 0)
    images = max(len(share.rows) for part in parts_of(dataset, [range(len(dataset))])
                 for share in part.shares)  # fmt: skip
    pixels = images * math.prod(dataset.images.shape[1:]) * dataset.dtype.itemsize
    batch = _BATCHES * min(BATCH_BYTES, pixels)
    return PROCESS + growing * cells + batch + _WAITING * sum_bytes(dataset, projector)


def _cell_bytes(dataset: Dataset, projector: Projector) -> int:
    geometry = projector.geometry(dataset.poses.dimension)
    return math.prod(geometry.volume_shape) * dataset.dtype.itemsize
