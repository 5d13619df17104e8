"""Figure 6 and section 6.4: poses by gradient descent, and the posterior that a search finds."""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

import fslice
from benchmarks.paper.data import Images, simulated
from benchmarks.paper.descent import Landscape, descend, descend_angles
from benchmarks.paper.figures import NORMAL, SMALL, new_figure, save
from benchmarks.paper.settings import Settings, noise_name, noise_title
from fslice.alignment.find import find_poses
from fslice.alignment.posterior import PosePosterior
from fslice.cli._progress import image_bar
from fslice.geometry import angle_between, euler_to_matrix, matrix_to_euler
from fslice.symmetry import symmetry_rotations

SNR = (1.0, 0.04, 0.01)
N = 1000

GROUP = "C7"
"""The symmetry of the complex, nearly: seven poses of each image are as good."""
NEAR = 5.0
"""Degrees within which a pose counts as found."""
SURFACE = 3.0
"""Degrees between points of the error surface."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what belongs to this experiment."""
    parser.add_argument("--targets", type=int, default=25, help="images whose poses are descended")
    parser.add_argument("--starts", type=int, default=10, help="random starts of each")
    parser.add_argument("--steps", type=int, default=150, help="of a descent")


def run(settings: Settings) -> dict[str, Any]:
    """Descend from random starts, then search; draw one error surface with its descents."""
    sets = {snr: simulated(settings, snr) for snr in settings.snr}
    figure = new_figure((11.0, 4.6))
    _draw_surface(figure, next(iter(sets.values())), settings)
    save(figure, settings.figure_path("fig6"))
    return {
        "levels": {
            noise_name(snr): {
                "descent": {
                    kernel: _descents(data, kernel, settings) for kernel in ("linear", "cubic")
                },
                "search": _searched(data, snr),
            }
            for snr, data in sets.items()
        }
    }


def landscape(data: Images, rows: np.ndarray, kernel: str) -> Landscape:
    """Return the misfit of some images to the truth, over poses."""
    projector = fslice.Projector(data.size, 1 if kernel == "linear" else 2, kernel)
    images_ft = fslice.rfft2(np.ascontiguousarray(data.images[rows]))
    weight = 1 / max(data.noise_variance, 1e-6 * data.signal_variance)
    return Landscape(projector, projector.transform(data.truth), images_ft, weight)


def _descents(data: Images, kernel: str, settings: Settings) -> dict[str, Any]:
    """Return what share of random starts a descent takes to the pose."""
    options = settings.options
    rows = np.arange(min(options["targets"], len(data)))
    targets = np.repeat(rows, options["starts"])
    misfit = landscape(data, rows, kernel)
    rng = np.random.default_rng(settings.seed)
    begun = fslice.random_rotations(len(targets), rng)
    start = time.perf_counter()
    with image_bar(f"descending, {kernel}", options["steps"]) as advance:
        found, chi = descend(misfit, targets, begun, options["steps"], advance)
    seconds = time.perf_counter() - start
    truth = data.rotations[targets].astype(np.float64)
    at_truth = misfit(targets, truth).chi_squared
    off, off_at_start = (error_in_group(r, truth) for r in (found, begun))
    return {
        "starts": len(targets),
        "share_within_5_degrees": float((off < NEAR).mean()),
        "share_of_starts_that_were_so_near": float((off_at_start < NEAR).mean()),
        "share_with_a_misfit_not_above_the_truth_s": float((chi <= at_truth * (1 + 1e-6)).mean()),
        "images_found_from_any_start": float((off.reshape(len(rows), -1) < NEAR).any(1).mean()),
        "median_error_degrees": float(np.median(off)),
        "milliseconds_per_descent": 1000 * seconds / len(targets),
    }


def error_in_group(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the angle in degrees between poses, up to the symmetry of the complex."""
    mates = symmetry_rotations(GROUP)[:, None] @ truth
    return np.min([angle_between(found, mate) for mate in mates], axis=0)


def _searched(data: Images, snr: float) -> dict[str, Any]:
    """Return what the search finds of the posterior over poses, its symmetry unknown."""
    images = np.ascontiguousarray(data.images)
    start = time.perf_counter()
    with image_bar(f"searching, {noise_title(snr)}", len(data)) as advance:
        found = find_poses(images, data.truth, progress=advance)
    seconds = time.perf_counter() - start
    return {**_posterior_numbers(found, data), "milliseconds_per_image": 1000 * seconds / len(data)}


def _posterior_numbers(found: PosePosterior, data: Images) -> dict[str, Any]:
    truth = data.rotations.astype(np.float64)
    off = error_in_group(found.best().rotations, truth)
    mass = np.bincount(
        found.image_of,
        weights=found.weights * (error_in_group(found.rotations, truth[found.image_of]) < NEAR),
        minlength=len(found),
    )
    return {
        "images": len(found),
        "share_within_2_degrees": float((off < 2).mean()),
        "share_within_5_degrees": float((off < NEAR).mean()),
        "median_error_degrees": float(np.median(off)),
        "modes_per_image": float(found.mode_counts.mean()),
        "mean_probability_within_5_degrees": float(mass.mean()),
        "entropy_of_modes_over_log_7": float(found.entropy().mean() / np.log(7)),
        "median_deviation_degrees": float(np.degrees(np.median(found.deviations()[:, :3]))),
    }


def _draw_surface(figure: Any, data: Images, settings: Settings) -> None:
    """Draw the misfit of one image over two Euler angles, with descents from several starts."""
    panels = figure.subplots(1, 2, width_ratios=(1, 2.6))
    panels[0].imshow(data.images[0], cmap="gray", origin="lower")
    panels[0].set_axis_off()
    panels[0].set_title("the image", fontsize=NORMAL)
    misfit = landscape(data, np.arange(1), "cubic")
    rot, tilt, psi = matrix_to_euler(data.rotations[0].astype(np.float64))
    rots, tilts = np.arange(-180, 180, SURFACE), np.arange(0, 180 + SURFACE / 2, SURFACE)
    grid = np.stack(np.broadcast_arrays(rots[None], tilts[:, None], psi), -1).reshape(-1, 3)
    surface = misfit(np.zeros(len(grid), int), euler_to_matrix(grid)).chi_squared
    picture = panels[1].pcolormesh(
        rots, tilts, surface.reshape(len(tilts), -1) / surface.min(), shading="nearest",
        cmap="viridis",
    )  # fmt: skip
    rng = np.random.default_rng(settings.seed)
    begun = np.stack([rng.uniform(-180, 180, 8), np.degrees(np.arccos(rng.uniform(-1, 1, 8)))], 1)
    paths = descend_angles(misfit, begun, psi, settings.options["steps"])
    for path in paths.swapaxes(0, 1):
        angles = np.stack([(path[:, 0] + 180) % 360 - 180, path[:, 1]], 1)
        jumps = np.flatnonzero(abs(np.diff(angles[:, 0])) > 180) + 1
        for piece in np.split(angles, jumps):
            panels[1].plot(*piece.T, color="#D55E00", lw=1.4)
        panels[1].plot(*angles[0], "o", color="white", ms=4)
        panels[1].plot(*angles[-1], ".", color="#D55E00")
    panels[1].plot(rot, tilt, "*", color="red", ms=14, mec="white")
    panels[1].set(xlabel="rot [degrees]", ylabel="tilt [degrees]", xlim=(-180, 180), ylim=(0, 180))
    panels[1].set_title(
        "misfit over two Euler angles, the third known; descents; the pose", fontsize=NORMAL
    )
    bar = figure.colorbar(picture, ax=panels[1])
    bar.set_label("misfit over its least", fontsize=SMALL)
