"""Section 5.2: map and poses together, from random starts, beside known poses."""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

import fslice
from benchmarks.paper.data import Images, simulated
from benchmarks.paper.fig6 import GROUP, error_in_group
from benchmarks.paper.figures import draw_correlations, new_figure, save
from benchmarks.paper.fits import EDGE, RADIUS, errors
from benchmarks.paper.settings import Settings, noise_name, noise_title
from fslice.alignment.joint import Joint
from fslice.cli._progress import fit_bar
from fslice.metrics import MapAlignment, align_maps
from fslice.posterior.result import Posterior
from fslice.postprocess.masks import soft_spherical_mask

SNR = (0.04, 0.01)
N = 1000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what belongs to this experiment."""
    parser.add_argument("--starts", type=int, default=2, help="random maps to begin with")
    parser.add_argument("--symmetry", default="C1", help=f"that is found and imposed, as {GROUP}")


def run(settings: Settings) -> dict[str, Any]:
    """Find map and poses, lay the map upon the truth, and compare with known poses."""
    figure = new_figure((4.6 * len(settings.snr), 3.8))
    panels = figure.subplots(1, len(settings.snr), squeeze=False)[0]
    report = {}
    for axes, snr in zip(panels, settings.snr, strict=True):
        data = simulated(settings, snr)
        known, known_seconds = _timed(data)
        joint = Joint(
            starts=settings.options["starts"], seed=settings.seed,
            symmetry=settings.options["symmetry"],
        )  # fmt: skip
        found, seconds = _timed(data, poses="unknown", joint=joint)
        laid = align_maps(found.mean, data.truth, hand=True)
        curves = {
            "known poses": fslice.fsc(known.mean, data.truth),
            "poses found with the map": laid.curve,
        }
        draw_correlations(axes, curves, data.size, data.pixel_size)
        axes.set_title(f"{len(data)} images, {noise_title(snr)}")
        axes.legend(frameon=False)
        report[noise_name(snr)] = {
            "known": {"seconds": known_seconds, **errors(known.mean, data)},
            "found": {
                "seconds": seconds,
                "mirrored": laid.mirrored,
                "nats_for_this_hand": laid.hand_nats,
                **errors(np.asarray(laid.volume), data),
                **_poses(found, laid, data),
            },
            "curves": {name: np.round(curve, 4) for name, curve in curves.items()},
        }
    save(figure, settings.figure_path("joint"))
    return {"levels": report}


def _timed(data: Images, **options: Any) -> tuple[Posterior, float]:
    """Reconstruct inside a sphere, and measure the time."""
    mask = soft_spherical_mask(data.size, RADIUS * data.size, EDGE * data.size, dtype="float32")
    start = time.perf_counter()
    with fit_bar() as progress:
        found = fslice.reconstruct(data.dataset(), mask=mask, progress=progress, **options)
    return found, time.perf_counter() - start


def _poses(found: Posterior, laid: MapAlignment, data: Images) -> dict[str, Any]:
    """Return how far the poses are from the truth, once the map is laid upon it."""
    joint: Any = found.joint
    own = joint.poses.best().rotations
    if laid.mirrored:  # v(x, y, -z) is seen from (R with z negated on both sides) as v is from R
        flip = np.diag([1.0, 1.0, -1.0])
        own = flip @ own @ flip
    # the aligned map at x is the map at Q x: its slice at R is the map's at Q R
    off = error_in_group(laid.rotation.T @ own, data.rotations.astype(np.float64))
    return {
        "start_chosen": joint.chosen,
        "held_out_nats_above_a_ball": [start.above_sphere for start in joint.starts],
        "median_pose_error_degrees": float(np.median(off)),
        "share_within_5_degrees": float((off < 5).mean()),
    }
