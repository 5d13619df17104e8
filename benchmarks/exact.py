"""How long exact inference takes, and how much memory: one pass over images, then closed form.

Images in memory, poses known, single precision. "accumulate" is the one pass; "solve" gives mean, s
and ELBO; "half sets" are two solves from sums that were kept, without a second pass.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from timing import machine

import fslice
from fslice.posterior.accumulate import accumulate
from fslice.posterior.masked import SupportedPrecision, soft_sphere, solve_supported
from fslice.posterior.samples import posterior_deviations
from fslice.posterior.solve import solve_exact


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128, help="box in pixels (default: 128)")
    parser.add_argument("-n", type=int, default=40_000, help="images (default: 40000)")
    parser.add_argument("--oversampling", type=float, default=1.0)
    parser.add_argument("--snr", type=float, default=0.04)
    parser.add_argument("--output", type=Path, help="JSON with all figures")
    arguments = parser.parse_args()
    report = {"machine": machine(), "settings": {k: str(v) for k, v in vars(arguments).items()}}
    report["seconds"], report["gigabytes"] = measure(arguments)
    for name, value in report["seconds"].items():
        print(f"{name:34} {value:8.2f} s")
    for name, value in report["gigabytes"].items():
        print(f"{name:34} {value:8.2f} GB")
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


def measure(arguments: argparse.Namespace) -> tuple[dict[str, float], dict[str, float]]:
    """Return seconds and gigabytes by what they were spent on."""
    images, rotations, noise = make_images(arguments.size, arguments.n, arguments.snr)
    projector = fslice.Projector(arguments.size, arguments.oversampling)
    accumulate(images[:64], rotations[:64], projector=projector)  # compiles
    seconds: dict[str, float] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = call()
        seconds[name] = time.perf_counter() - start
        return result

    before = peak()
    half = arguments.n // 2
    first, second = timed(
        "accumulate, in two halves",
        lambda: [
            accumulate(images[part], rotations[part], projector=projector)
            for part in (slice(half), slice(half, None))
        ],
    )
    held = peak() - before
    normal = timed("add the halves", lambda: first + second)
    signal = float(np.var(images[:1000])) / arguments.size  # of a voxel, roughly
    solution = timed("solve: mean, s and ELBO", lambda: solve_exact(normal, signal, noise))
    halves = first, second
    timed("solve two halves", lambda: [solve_exact(part, signal, noise) for part in halves])
    rng = np.random.default_rng(0)
    timed("one posterior sample", lambda: next(posterior_deviations(solution.precision, 1, rng)))
    mask = soft_sphere(arguments.size, 0.35 * arguments.size, dtype="float32")
    inside = SupportedPrecision(normal, signal, mask, noise)
    timed("mean inside a sphere", lambda: solve_supported(inside, tolerance=1e-3))
    stored = normal.stencil.nbytes + normal.b.nbytes
    return seconds, {
        "images": images.nbytes / 1e9,
        "normal equations": stored / 1e9,
        "peak of accumulating, less images": held / 1e9,
        "peak of all, less images": (peak() - before) / 1e9,
    }


def make_images(size: int, n: int, snr: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return projections of a phantom with noise, their poses and the noise variance."""
    rng = np.random.default_rng(0)
    rotations = fslice.random_rotations(n, rng).astype(np.float32)
    volume = fslice.phantom(size, 4.0).volume(size, 4.0).astype(np.float32)
    projector = fslice.Projector(size)
    images = np.empty((n, size, size), np.float32)
    volume_ft = projector.transform(volume)
    for start in range(0, n, 1000):
        part = slice(start, start + 1000)
        images[part] = fslice.irfft2(projector.project_ft(volume_ft, rotations[part]))
    noise = float(images[:1000].var()) / snr
    for image in images:
        image += np.sqrt(noise) * rng.standard_normal(image.shape, dtype=np.float32)
    return images, rotations, noise


def peak() -> int:
    """Return the most memory that this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
