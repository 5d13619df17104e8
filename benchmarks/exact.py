"""How long exact inference takes, and how much memory: one pass over images, then closed form.

Images in memory, poses known, single precision. "sum" is the one pass; "solve" gives mean, s and
ELBO; "half sets" are two solves from sums that were kept, without a second pass; "default map" is
what `fslice.reconstruct` does with half sets, its pass over the images included.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from timing import machine, peak

import fslice
from fslice.posterior.elbo import elbo, mean_field_std
from fslice.posterior.latent import MaskedVolume
from fslice.posterior.mean import Solution, solve
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.samples import centred_samples
from fslice.posterior.sums import normal_equations
from fslice.postprocess.masks import soft_spherical_mask


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
    halves = 1 + np.arange(arguments.n) % 2
    dataset = fslice.Dataset(images, fslice.Poses(rotations), half_sets=halves)
    normal_equations(dataset, projector, rows=np.arange(min(64, arguments.n)))  # compiles
    seconds: dict[str, float] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = call()
        seconds[name] = time.perf_counter() - start
        return result

    before = peak()
    first, second = timed(
        "sum, in two halves",
        lambda: [
            normal_equations(dataset, projector, rows=np.flatnonzero(halves == half))
            for half in (1, 2)
        ],
    )
    held = peak() - before
    normal = timed("add the halves", lambda: first + second)
    signal = float(np.var(images[:1000])) / arguments.size  # of a voxel, roughly
    whole, *parts = (PosteriorPrecision(sums, signal, noise) for sums in (normal, first, second))
    timed("solve: mean, s and ELBO", lambda: solved_with_bound(whole))
    timed("solve two halves", lambda: [solve(part) for part in parts])
    rng = np.random.default_rng(0)
    timed("one posterior sample", lambda: next(centred_samples(whole, 1, rng)))
    mask = soft_spherical_mask(arguments.size, 0.35 * arguments.size, dtype="float32")
    inside = PosteriorPrecision(normal, signal, noise, MaskedVolume(projector, mask))
    timed("mean inside a sphere", lambda: solve(inside, tolerance=1e-3))
    timed(
        "default map, with half sets",
        lambda: fslice.reconstruct(dataset, oversampling=arguments.oversampling),
    )
    stored = normal.stencil.nbytes + normal.b.nbytes
    return seconds, {
        "images": images.nbytes / 1e9,
        "normal equations": stored / 1e9,
        "peak of summing, less images": held / 1e9,
        "peak of all, less images": (peak() - before) / 1e9,
    }


def solved_with_bound(precision: PosteriorPrecision) -> tuple[Solution, float]:
    """Return the posterior mean and the bound of independent coefficients about it."""
    solution = solve(precision)
    return solution, elbo(precision, solution.mean, mean_field_std(precision))


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


if __name__ == "__main__":
    main()
