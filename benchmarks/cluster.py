"""Sums over images by the workers of a local Dask cluster, beside the threads of one process.

Checks that the bits are the same, then measures what the model of docs/cluster.md is made of:
seconds of an image and of a share in one thread, seconds of a pass, bytes sent, and memory::

    python benchmarks/cluster.py run/particles.star --workers 1 2 --json cluster.json
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from timing import peak

import fslice
from fslice._threads import one_thread
from fslice.data.cluster import ClusterExecutor
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.data.shares import parts_of
from fslice.data.workers import local_workers
from fslice.io import read_particles
from fslice.posterior.memory import sum_bytes, worker_bytes
from fslice.posterior.sums import normal_equations, normal_equations_of_sets

SUMS = ("b", "stencil", "squares", "degrees", "log_weights", "count")


def main() -> None:
    options = _options()
    particles = read_particles(options.particles)
    poses = Poses(particles.rotations, particles.shifts)
    dataset = Dataset(particles.images, poses, particles.ctf)
    projector = fslice.Projector(dataset.size)
    rows = np.arange(min(options.images, len(dataset)))
    halves = [rows[::2], rows[1::2]]
    found = _of_one_thread(dataset, projector)
    found |= {"size": dataset.size, "images": len(rows), "sum": sum_bytes(dataset, projector)}
    found["shares"] = sum(len(part.shares) for part in parts_of(dataset, halves))
    found["worker_said"] = worker_bytes(dataset, projector)
    with ThreadPoolExecutor(1) as executor:
        wanted = normal_equations_of_sets(dataset, projector, halves, executor=executor)
    found["threads"], _ = _timed(lambda: normal_equations_of_sets(dataset, projector, halves))
    for count in options.workers:
        found[f"workers_{count}"] = _by_workers(count, dataset, projector, halves, wanted)
    found["client_peak"] = peak()
    print(json.dumps(found, indent=2))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("particles", type=Path)
    parser.add_argument("--images", type=int, default=10**9)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _of_one_thread(dataset: Dataset, projector: fslice.Projector) -> dict[str, float]:
    """Return the seconds of an image and of a share, from shares of two lengths."""
    few, many = 16, min(1000, len(dataset))
    with one_thread():
        seconds = []
        for count in (few, few, many):  # the first one loads what is compiled
            rows = np.arange(count)
            taken, one = _timed(lambda rows=rows: normal_equations(dataset, projector, rows=rows))
            seconds.append(taken)
        added, _ = _timed(lambda: one + one)
    each = (seconds[2] - seconds[1]) / (many - few)
    return {"image": each, "share": max(seconds[1] - few * each, 0.0), "addition": added}


def _by_workers(count: int, dataset, projector, halves, wanted) -> dict[str, object]:
    start = time.perf_counter()
    with local_workers(count) as client:
        started = time.perf_counter() - start
        warm = ClusterExecutor(client)
        normal_equations(dataset, projector, rows=np.arange(64), executor=warm)
        executor = ClusterExecutor(client)
        seconds, found = _timed(
            lambda: normal_equations_of_sets(dataset, projector, halves, executor=executor)
        )
        sent, peaks = executor.bytes_sent(), client.run(peak)
    for one, other in zip(found, wanted, strict=True):
        for name in SUMS:
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
    return {
        "start": started, "seconds": seconds, "sent": list(sent.values()),
        "peak": max(peaks.values()),
    }  # fmt: skip


def _timed(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    main()
