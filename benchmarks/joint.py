"""Map and poses from images alone: resolution against that with known poses, and time.

    python -m benchmarks.joint FOLDER... [--seeds 0 1] [--starts 1] [--symmetry C7]

Each FOLDER is one that ``fslice simulate`` wrote. Resolutions are of the map of all images against
the truth at 0.5, and of half maps at 0.143: in the poses that each half has found by itself, and in
those of all images, which is biased. CPU seconds are of all threads, of the inference alone.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

import fslice
from fslice.alignment.joint import Joint, infer_poses
from fslice.io import read_particles, read_volume
from fslice.metrics import align_maps, fsc, resolution


def measured(folder: Path, options: Joint, count: int | None) -> dict:
    """Return resolutions at 0.5 against the truth, half-map resolution, and times."""
    particles = read_particles(folder / "particles.star")
    truth, pixel_size = read_volume(folder / "truth.mrc")
    n = len(particles) if count is None else count
    poses = fslice.Poses(particles.rotations[:n], particles.shifts[:n])
    ctf = None if particles.ctf is None else particles.ctf[np.arange(n)]
    dataset = fslice.Dataset(particles.images[:n], poses, ctf, symmetry=options.symmetry)
    size = dataset.size
    known = fslice.reconstruct(dataset)
    start, wall = time.process_time(), time.perf_counter()
    found = infer_poses(dataset, options)
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    made = fslice.reconstruct(found.dataset.with_noise(None))
    own = fslice.reconstruct(found.half_dataset.with_noise(None))
    aligned = align_maps(made.mean, truth.astype(made.mean.dtype), hand=True)
    reached = resolution(aligned.curve, size, pixel_size)
    with_poses = resolution(fsc(known.mean, truth), size, pixel_size)
    halves, common = (
        resolution(fsc(*each.half_maps), size, pixel_size, 0.143) for each in (own, made)
    )
    return {
        "folder": folder.name, "seed": options.seed, "resolution": reached, "known": with_poses,
        "ratio": reached / with_poses, "halves": halves, "halves_in_common_poses": common,
        "cpu_seconds": seconds, "wall_seconds": wall,
        "starts": [each.log_likelihood for each in found.starts],
        "axes": None if found.axes is None else found.axes.correlation,
    }  # fmt: skip


def main() -> None:
    """Measure, and print a line of JSON for each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--starts", type=int, default=1)
    parser.add_argument("--symmetry", default="C1")
    parser.add_argument("-n", type=int, help="images (default: all)")
    arguments = parser.parse_args()
    for folder in arguments.folders:
        for seed in arguments.seeds:
            options = Joint(arguments.starts, seed, symmetry=arguments.symmetry)
            print(json.dumps(measured(folder, options, arguments.n)), flush=True)


if __name__ == "__main__":
    main()
