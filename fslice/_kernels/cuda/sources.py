"""The CUDA source: which files hold a kernel, and the types that each kernel is compiled for.

NVRTC is given no include path, so that the files are joined as text; ``#line`` has its messages
point to the file and the line.
"""

from __future__ import annotations

import functools
import itertools
import pathlib
from typing import NamedTuple

FOLDER = pathlib.Path(__file__).parent
REALS = ("float", "double")
TAPS = (2, 4)  # linear, cubic
FLAGS = ("false", "true")

Instantiation = tuple[str | int, ...]
"""The arguments of a kernel's template, such as ``("float", 2)``."""


class Source(NamedTuple):
    """Where a kernel is, and what it is compiled for."""

    files: tuple[str, ...]  # joined in this order
    instantiations: tuple[Instantiation, ...]


def _each(*values: tuple[str | int, ...]) -> tuple[Instantiation, ...]:
    return tuple(itertools.product(*values))


_GRIDS = ("numbers.cuh", "geometry.cuh", "cell.cuh")
_FILTERED = (*_GRIDS, "filters.cuh")
_STENCIL = (*_FILTERED, "bricks.cuh", "stencil.cu")
_FUSED = (*_FILTERED, "sums.cuh", "poses.cuh", "misfit.cu")
_POSES = (*_FUSED, "pose.cu")
_CURVATURE = (*_POSES, "curvature.cu")
_SCORES = ("sums.cuh", "scores.cu")
_SCATTER = (*_GRIDS, "bricks.cuh", "scatter.cu")
_ADDED = (*_each(REALS, TAPS, (1,), FLAGS), *_each(REALS, TAPS, (2,), FLAGS[:1]))

SOURCES: dict[str, Source] = {
    "prepare_views": Source((*_GRIDS, "views.cu"), _each(REALS, REALS, REALS)),
    "gather": Source((*_GRIDS, "gather.cu"), _each(REALS, TAPS)),
    "gather_slopes": Source((*_GRIDS, "gather.cu"), _each(REALS, TAPS)),
    "gather_curvatures": Source((*_GRIDS, "gather.cu"), _each(REALS, TAPS)),
    "scatter_bricks": Source(_SCATTER, _ADDED),
    "scatter_atomic": Source((*_SCATTER, "atomics.cu"), _ADDED),
    "collect_bricks": Source(_SCATTER, _each(REALS, TAPS, (1, 2))),
    "misfit": Source(_FUSED, _each(REALS, TAPS, FLAGS)),
    "pose_gradients": Source(_POSES, _each(REALS, TAPS)),
    "pose_gram": Source(_POSES, _each(REALS, TAPS)),
    "pose_curvature": Source(_CURVATURE, _each(REALS, TAPS)),
    "best_over_shifts": Source(_SCORES, _each(REALS)),
    "peaks": Source(_SCORES, _each(REALS)),
    "ctf_values": Source((*_FILTERED, "ctf.cu"), _each(REALS)),
    "add_moments": Source(_STENCIL, _each(REALS)),
    "fold_moments": Source(_STENCIL, _each(REALS)),
    "stencil_from_moments": Source(_STENCIL, _each(REALS)),
    "apply_stencil": Source(_STENCIL, _each(REALS)),
}
"""All kernels by name."""


@functools.cache
def source_of(entry: str) -> str:
    """Return the text that holds a kernel.

    Examples
    --------
    >>> source_of("gather").splitlines()[0]
    '#line 1 "numbers.cuh"'
    """
    parts = [(name, (FOLDER / name).read_text()) for name in SOURCES[entry].files]
    return "".join(f'#line 1 "{name}"\n{text}' for name, text in parts)


def expression(entry: str, instantiation: Instantiation) -> str:
    """Return what names a kernel of a template.

    Examples
    --------
    >>> expression("gather", ("float", 2))
    'gather<float, 2>'
    """
    return f"{entry}<{', '.join(map(str, instantiation))}>"
