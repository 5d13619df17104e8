"""Which symmetry images have, by their evidence, and what imposing it gains.

    fslice simulate 1aon.pdb.gz -o run --size 128 --pixel-size 2.8 -n 10000 --snr 0.04
    python benchmarks/symmetry.py run/particles.star --truth run/truth.mrc --groups C2 C6 C7 C8 D7

The evidence is computed from images whose spectra are cut to a smaller box; prior and noise
variance are learned without any symmetry, and all groups share them, the mask and the probes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from timing import machine

import fslice
from fslice.fourier import radii
from fslice.io import read_particles, read_volume
from fslice.posterior.evidence import symmetry_evidence
from fslice.posterior.hyperparameters import fit_hyperparameters
from fslice.posterior.latent import SymmetricVolume
from fslice.posterior.mean import solve
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.sums import normal_equations
from fslice.postprocess.masks import soft_spherical_mask


def main() -> None:
    arguments = parse()
    particles = read_particles(arguments.particles)
    count = min(arguments.images or len(particles), len(particles))
    images = np.asarray(particles.images[:count])
    poses = particles.rotations[:count], particles.shifts[:count]
    report = {"machine": machine(), "images": count, "evidence": {}, "resolution": {}}
    if arguments.truth:
        truth, _ = read_volume(arguments.truth)
        problem = Problem(images, *poses, arguments.radius)
        for group in ("C1", arguments.impose):
            curve = fslice.fsc(problem.solved(group), truth)
            reached = fslice.resolution(curve, len(truth), particles.pixel_size)
            report["resolution"][group] = reached
            print(f"{group:4} {reached:6.2f} Angstrom at FSC 0.5 with the truth", flush=True)
    size = arguments.size
    scale = size / images.shape[-1]
    problem = Problem(cut(images, size), poses[0], poses[1] * scale, arguments.radius)
    print(f"box {size}, {count} images, {arguments.probes} probes")
    print(f"{'group':6}{'log evidence':>16}{'error':>8}{'over C1':>12}{'seconds':>9}")
    for group in dict.fromkeys(("C1", *arguments.groups)):
        start = time.perf_counter()
        value, error = symmetry_evidence(problem.precision(group), probes=arguments.probes)
        seconds = time.perf_counter() - start
        report["evidence"][group] = [value, error]
        gain = value - report["evidence"]["C1"][0]
        print(f"{group:6}{value:16.0f}{error:8.0f}{gain:12.0f}{seconds:9.0f}", flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("particles", type=Path, help="STAR file of simulated images without CTF")
    parser.add_argument("--images", type=int, help="take so many (default: all)")
    parser.add_argument("--groups", nargs="+", default=["C2", "C7", "D7"], help="to compare")
    parser.add_argument("--size", type=int, default=64, help="box in which they are compared")
    parser.add_argument("--probes", type=int, default=4, help="of the log-determinant")
    parser.add_argument("--radius", type=float, default=0.42, help="of the mask, as a share of D")
    parser.add_argument("--truth", type=Path, help="true map: reports resolutions")
    parser.add_argument("--impose", default="C7", help="group whose resolution is reported")
    parser.add_argument("--output", type=Path, help="JSON file")
    return parser.parse_args()


class Problem:
    """Images, summed once, with what all groups share."""

    def __init__(self, images, rotations, shifts, radius: float) -> None:
        size = images.shape[-1]
        self.projector = fslice.Projector(size)
        dataset = fslice.Dataset(images, fslice.Poses(rotations, shifts))
        self.normal = normal_equations(dataset, self.projector)
        learned = fit_hyperparameters(self.normal, tolerance=0.05, max_iterations=100).precision
        self.noise = learned.noise_variance
        self.mask = soft_spherical_mask(size, radius * size, 0.05 * size, "float32")
        # the power of the whole box is that of what is inside the mask
        inside = np.square(self.mask, dtype=float).sum() / self.mask.size
        self.prior = learned.reported_prior() / inside

    def precision(self, group: str) -> PosteriorPrecision:
        """Return the posterior under a group."""
        latent = SymmetricVolume(self.projector, self.mask, group)
        return PosteriorPrecision(self.normal, self.prior, self.noise, latent)

    def solved(self, group: str) -> np.ndarray:
        """Return the map under a group."""
        return solve(self.precision(group)).volume()


def cut(images: np.ndarray, size: int) -> np.ndarray:
    """Return images of the same field in fewer pixels."""
    rows = np.r_[0 : (size + 1) // 2, -(size // 2) : 0]
    band = radii(size, 2) <= (size - 1) // 2
    parts = []
    for part in np.array_split(images, -(-len(images) // 500)):
        images_ft = fslice.rfft2(part)[:, rows, : size // 2 + 1]
        parts.append(fslice.irfft2(np.where(band, images_ft, 0).astype(images_ft.dtype)))
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
