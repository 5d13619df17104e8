"""Poses from a known map: how many are found, how fast, and whether their error bars are right.

The folder is one that ``fslice simulate ... --shift-std 2 --ctf`` has written. "missed" are images
where the mode next to the truth has more mass than the best that was found elsewhere. The last
lines are the paper's way (section 6.4): from one random pose uphill, with the true map.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from timing import machine

import fslice
from fslice.alignment.filters import defocused
from fslice.alignment.find import PoseModel, pose_model, poses_as_posterior
from fslice.alignment.importance import check_posterior
from fslice.alignment.level import Level
from fslice.alignment.newton import Starts, climb
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.prepare import prepare
from fslice.alignment.search import PoseSearch
from fslice.data.passes import make_batch
from fslice.fourier import rfft2
from fslice.geometry import angle_between, matrix_to_rotvec
from fslice.io import read_particles, read_volume
from fslice.symmetry import symmetry_rotations

ELSEWHERE = 6.0  # degrees from the truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-n", type=int, default=1000, help="images (default: 1000)")
    parser.add_argument("--symmetry", default="C1", help="of which poses are searched")
    parser.add_argument("--equivalent", help="group by which poses count as one (default: that)")
    parser.add_argument("--shift-std", type=float, help="pixels (default: learned)")
    parser.add_argument(
        "--defocus-std", type=float, help="Angstrom: errors of the defocus, which is refined then"
    )
    parser.add_argument("--check", type=int, default=0, help="images by importance sampling")
    parser.add_argument("--baseline", action="store_true", help="also from one random pose each")
    parser.add_argument("--output", type=Path, help="JSON with all figures")
    arguments = parser.parse_args()
    data, volume, truth = read(arguments.folder, arguments.n)
    offset = None
    if arguments.defocus_std is not None:
        offset = arguments.defocus_std * np.random.default_rng(1).standard_normal(len(data))
        data = dataclasses.replace(data, ctf=defocused(data.ctf, -offset))
    group = symmetry_rotations(arguments.equivalent or arguments.symmetry)
    report: dict[str, Any] = {"machine": machine(), "settings": vars(arguments)}
    model, found, report["speed"] = searched(arguments, data, volume)
    report["recovery"] = recovery(model, found, truth, group)
    report["calibration"] = calibration(found, truth, group, offset)
    if offset is not None:
        error = offset - found.defocus[found.best_modes()]
        report["recovery"]["defocus error, Angstrom"] = round(float(error.std()), 1)
    if arguments.check and offset is None:
        report["importance"] = importance(model, found, truth, group, arguments.check)
    if arguments.baseline:
        report["one random start"] = one_start(model, volume, truth, group)
    for part in list(report)[2:]:
        for name, value in report[part].items():
            print(f"{part:18} {name:34} {value}")
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2, default=str) + "\n")


def read(folder: Path, n: int) -> tuple[fslice.Dataset, np.ndarray, fslice.Poses]:
    """Return images without their poses, the true map, and the true poses."""
    particles = read_particles(folder / "particles.star")[:n]
    volume, _ = read_volume(folder / "truth.mrc")
    poses = fslice.Poses(np.tile(np.eye(3), (len(particles), 1, 1)))
    data = fslice.Dataset(np.asarray(particles.images), poses, particles.ctf)
    return data, volume, fslice.Poses(particles.rotations, particles.shifts)


def searched(
    arguments: argparse.Namespace, data: fslice.Dataset, volume: np.ndarray
) -> tuple[PoseModel, PosePosterior, dict[str, float]]:
    """Search once more than is timed, as kernels are compiled the first time."""
    search = PoseSearch(defocus_std=arguments.defocus_std)
    options = {
        "symmetry": arguments.symmetry, "shift_std": arguments.shift_std, "search": search,
    }  # fmt: skip
    pose_model(data, volume, **options).find(np.arange(4))
    start, spent = time.perf_counter(), time.process_time()
    model = pose_model(data, volume, **options)
    ready = time.perf_counter()
    found = model.find()
    wall, cpu = time.perf_counter() - start, time.process_time() - spent
    return model, found, {
        "images per second": round(len(data) / wall, 1),
        "without set-up": round(len(data) / (wall - (ready - start)), 1),
        "CPU milliseconds per image": round(1e3 * cpu / len(data), 2),
    }  # fmt: skip


def errors(
    found: PosePosterior, truth: fslice.Poses, group: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps from the best modes to the truth, (n, 5), and the angles in degrees."""
    best = found.best()
    mates = np.einsum("gij,njk->ngik", group, truth.rotations)
    nearest = np.einsum("nij,ngij->ng", best.rotations, mates).argmax(1)
    mate = mates[np.arange(len(truth)), nearest]
    turn = matrix_to_rotvec(best.rotations.swapaxes(1, 2) @ mate)
    steps = np.concatenate([turn, truth.shifts - best.shifts], 1)
    return steps, angle_between(best.rotations, mate)


def recovery(
    model: PoseModel, found: PosePosterior, truth: fslice.Poses, group: np.ndarray
) -> dict[str, float]:
    """Return how many poses are right, how many the posterior predicts, and how many it missed."""
    steps, angle = errors(found, truth, group)
    near = (angle < 2) & (np.hypot(*steps[:, 3:].T) < 0.5)
    rng = np.random.default_rng(0)
    roots = np.linalg.cholesky(found.covariance[found.best_modes(), :5, :5])
    drawn = np.einsum("nij,snj->sni", roots, rng.standard_normal((200, len(truth), 5)))
    predicted = (np.linalg.norm(drawn[..., :3], axis=-1) < np.radians(2)) & (
        np.linalg.norm(drawn[..., 3:], axis=-1) < 0.5
    )
    plain = dataclasses.replace(
        model, prepared=dataclasses.replace(model.prepared, symmetry="C1", templates=None)
    )
    refined = plain.refine(poses_as_posterior(truth))
    order = len(symmetry_rotations(model.prepared.symmetry))
    gain = top_mass(refined) - (top_mass(found) - np.log(order))
    return {
        "within 2 degrees and 0.5 pixels": round(float(near.mean()), 4),
        "predicted share": round(float(predicted.mean()), 4),
        "median error, degrees": round(float(np.median(angle)), 3),
        "median error, pixels": round(float(np.median(np.hypot(*steps[:, 3:].T))), 3),
        "missed": int(((angle > ELSEWHERE) & (gain > 0)).sum()),
        "missed by over a nat": int(((angle > ELSEWHERE) & (gain > 1)).sum()),
        "modes per image": round(len(found.weights) / len(found), 2),
    }


def top_mass(found: PosePosterior) -> np.ndarray:
    """Return the log mass of each image's best mode."""
    return found.evidence + np.log(found.weights[found.best_modes()])


def calibration(
    found: PosePosterior, truth: fslice.Poses, group: np.ndarray, offset: np.ndarray | None
) -> dict[str, Any]:
    """Return the variances of the whitened errors, near the truth, and their sum of squares."""
    steps, angle = errors(found, truth, group)
    best = found.best_modes()
    if offset is not None:
        steps = np.concatenate([steps, (offset - found.defocus[best])[:, None]], 1)
    precision = np.linalg.inv(found.covariance[best])
    white = np.einsum("nji,nj->ni", np.linalg.cholesky(precision), steps)[angle < ELSEWHERE]
    return {
        "variances of whitened errors": white.var(0).round(2).tolist(),
        f"mean chi-squared of {steps.shape[1]}": round(float((white**2).sum(1).mean()), 2),
    }


def importance(
    model: PoseModel, found: PosePosterior, truth: fslice.Poses, group: np.ndarray, number: int
) -> dict[str, float]:
    """Return how far the posterior is from the exact one, for some images."""
    some = np.arange(len(found))[:: max(1, len(found) // number)][:number]
    part, rng = found[some], np.random.default_rng(0)
    plain = check_posterior(model, part, rng, draws=200)
    wide = check_posterior(model, part, rng, draws=600, degrees=6.0)
    steps, angle = errors(found, truth, group)
    rest = steps[some] - wide.mean
    squares = np.einsum("ni,ni->n", rest, np.linalg.solve(wide.covariance, rest[..., None])[..., 0])
    squares = squares[angle[some] < ELSEWHERE]
    return {
        "effective samples, median": round(float(np.median(plain.effective)), 3),
        "KL, median nats": round(float(np.median(plain.divergence)), 4),
        "KL, mean nats": round(float(plain.divergence.mean()), 4),
        "evidence less Laplace's, nats": round(float((plain.evidence - part.evidence).mean()), 3),
        "corrected chi-squared of 5": round(float(squares.mean()), 2),
        "its standard error": round(float(squares.std() / len(squares) ** 0.5), 2),
    }  # fmt: skip


def one_start(
    model: PoseModel, volume: np.ndarray, truth: fslice.Poses, group: np.ndarray
) -> dict[str, float]:
    """Return the share of images that one random start, uphill in one band, brings within 10."""
    data, n = model.dataset, len(truth)
    spectra = rfft2(np.asarray(data.images, data.dtype))
    batch = make_batch(data, np.arange(n), spectra)
    found = {}
    for radius in (8.0, 16.0, 32.0):
        search = PoseSearch(radius=radius, radii=(radius,), coarse_radius=min(radius, 8.0))
        prepared = prepare(volume, search, templates=False, dtype=data.dtype.name)
        level = prepared.level(batch, 0, model.noise_variance)
        found[f"within 10 degrees, K = {radius:g}"] = climbed(level, truth, group)
    return found


def climbed(level: Level, truth: fslice.Poses, group: np.ndarray) -> float:
    n = len(truth)
    starts = Starts(
        np.arange(n), fslice.random_rotations(n, np.random.default_rng(0)), np.zeros((n, 2))
    )
    ends, _ = climb(level, starts, 60, np.radians(15))
    mates = np.einsum("gij,njk->ngik", group, truth.rotations)
    trace = np.einsum("nij,ngij->ng", ends.rotations, mates).max(1)
    return round(float((trace > 1 + 2 * np.cos(np.radians(10))).mean()), 3)


if __name__ == "__main__":
    main()
