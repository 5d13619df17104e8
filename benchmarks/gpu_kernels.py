"""The CUDA kernels: compared with NumPy's at a small box, and timed at a large one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import fslice
from fslice import _kernels
from fslice._arrays import complex_dtype, to_numpy
from fslice._kernels import Filters, SliceGeometry, Views
from fslice._kernels.numpy import KERNELS as DEFINITION
from fslice.simulation import random_ctf

BOUND = {"float32": 1e-5, "float64": 1e-12}
"""Of the difference from NumPy, relative to the largest value."""


class Arrays(NamedTuple):
    """What the kernels take; noise, in one library and precision."""

    geometry: SliceGeometry
    volume: Any
    images: Any
    views: Views
    weighted: Filters
    with_ctf: Filters


def draw(xp: Any, size: int, count: int, dtype: str, interpolation: str) -> Arrays:
    """Draw the input of all kernels; images, which are large, on the device."""
    rng = np.random.default_rng(0)
    geometry = fslice.Projector(size, interpolation=interpolation).geometry(3)
    volume = fslice.rfft3(rng.normal(size=(size,) * 3)).astype(complex_dtype(dtype))
    few = rng.normal(size=(min(count, 64), size, size)).astype(dtype)
    images = xp.asarray(fslice.rfft2(few) * _kernels.band(geometry))
    images = xp.concatenate([images] * -(-count // len(few)))[:count]
    views = Views(
        xp.asarray(fslice.random_rotations(count, rng).astype(dtype)),
        xp.asarray(rng.uniform(-5, 5, (count, 2)).astype(dtype)),
    )
    weights = xp.ones((1, *geometry.slice_shape), dtype)
    coefficients = xp.asarray(random_ctf(count, 3.0, rng).coefficients(size))
    return Arrays(
        geometry, xp.asarray(volume), images, views, Filters(None, weights),
        Filters(coefficients, weights),
    )  # fmt: skip


def operations(kernels: Any, given: Arrays) -> dict[str, Callable[[], Any]]:
    """Return what is compared and timed, by name."""
    geometry, volume, images, views, weighted, with_ctf = given
    dtype = volume.real.dtype

    def stencil() -> Any:
        total = kernels.new_gram(geometry, dtype)
        kernels.add_gram(total, views, with_ctf, geometry)
        return kernels.stencil_of(total, geometry)

    against = volume, images, views
    calls = {
        "project": lambda: kernels.gather(volume, views, 1.0, geometry),
        "insert": lambda: kernels.scatter(images, views, 1.0, geometry),
        "misfit, volume gradient": lambda: kernels.misfit(*against, weighted, 1.0, geometry),
        "misfit, all gradients": lambda: kernels.misfit_gradients(
            *against, weighted, 1.0, geometry
        ),
        "misfit, volume gradient, with CTF": lambda: kernels.misfit(
            *against, with_ctf, 1.0, geometry
        ),
        "pose curvature, with CTF": lambda: kernels.pose_gram(*against, with_ctf, 1.0, geometry),
        "pose curvature and the residual's, with CTF": lambda: kernels.pose_curvature(
            *against, with_ctf, 1.0, geometry
        ),
        "values of CTFs": lambda: kernels.ctf_values(with_ctf.ctf, geometry, dtype),
    }
    if len(geometry.taps) == 2:
        known: list[Any] = []
        calls["stencil, with CTF"] = stencil

        def product() -> Any:
            known.extend([] if known else [stencil()])
            return kernels.apply_stencil(known[0], volume)

        calls["product with the stencil"] = product
    return calls


def check(xp: Any, size: int) -> list[str]:
    """Compare all kernels with NumPy's, print the differences; return the names of those too far.

    Those that add have to give the same bits twice, too.
    """
    failed = []
    for dtype in BOUND:
        for interpolation in ("linear", "cubic"):
            here, there = (draw(lib, size, 20, dtype, interpolation) for lib in (np, xp))
            kernels = _kernels.kernels_for(there.volume)
            calls = operations(kernels, there)
            for name, expected in operations(DEFINITION, here).items():
                found, again, wanted = leaves(calls[name]()), leaves(calls[name]()), expected()
                error = difference(found, leaves(wanted))
                same = all(map(np.array_equal, found, again))
                label = f"{name}, {interpolation}, {dtype}"
                good = error <= BOUND[dtype] and same
                print(f"{'ok  ' if good else 'FAIL'} {label}: {error:.1e}"
                      f"{'' if same else ', other bits the second time'}")  # fmt: skip
                failed += [] if good else [label]
    return failed


def leaves(result: Any) -> list[np.ndarray]:
    """Return the arrays of a result on the host."""
    parts = result if isinstance(result, tuple) else (result,)
    return [to_numpy(part) for part in parts if part is not None]


def difference(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """Return the largest difference relative to the largest value."""
    pairs = zip(found, expected, strict=True)
    return max(float(abs(a - b).max() / max(abs(b).max(), 1e-30)) for a, b in pairs)


def time_kernels(
    xp: Any, size: int, count: int, dtype: str, interpolation: str
) -> Iterator[tuple[str, Callable[[], Any], int]]:
    """Yield name, call, and the bytes that the call cannot help but read and write; 0: unknown."""
    given = draw(xp, size, count, dtype, interpolation)
    kernels: Any = _kernels.kernels_for(given.volume)
    calls = operations(kernels, given)
    by_atomics = operations(dataclasses.replace(kernels, deterministic=False), given)
    volume, images = given.volume.nbytes, given.images.nbytes
    least = {
        "project": volume + images,
        "insert": volume + images,
        "misfit, volume gradient": 2 * volume + images,
        "misfit, all gradients": 2 * volume + images,
        "misfit, volume gradient, with CTF": 2 * volume + images,
        "pose curvature, with CTF": volume + images,
        "pose curvature and the residual's, with CTF": volume + images,
        "values of CTFs": images // 2,
        "product with the stencil": 14 * volume // 2 + 2 * volume,
    }
    for name, call in calls.items():
        yield name, call, least.get(name, 0)
        if name == "insert":
            yield "insert, by atomics", by_atomics[name], least[name]
