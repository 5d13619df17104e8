"""Section 5.2 and appendix C: an encoder that proposes poses, beside the exact coarse search."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fslice
from benchmarks.paper.data import Images, simulated
from benchmarks.paper.fig6 import GROUP, error_in_group
from benchmarks.paper.figures import COLOURS, NORMAL, SMALL, new_figure, save
from benchmarks.paper.settings import Settings, noise_name
from fslice.alignment.coarse import Templates, make_templates
from fslice.alignment.encoder import Encoder, train_encoder
from fslice.alignment.find import refine_poses
from fslice.alignment.posterior import PosePosterior
from fslice.cli._progress import image_bar

SNR = (0.04, 0.01)
N = 1000
FIRST = (1, 20, 100)
"""How many proposals of an image are looked at."""
NEAR = 10.0
"""Degrees: a cell so near to the pose is right. Cells of a grid of 4608 are 9 degrees in radius."""
REFINED = 20
"""How many proposals are refined."""
SHIFT = 0.25
"""Deviation of shifts, pixels, that the refinement is told: there are none."""
REPEATS = 3


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what belongs to this experiment."""
    parser.add_argument("--cells", type=int, default=4608, help="of the grid over all rotations")
    parser.add_argument("--radius", type=float, default=8, help="frequencies that are read, 1/box")
    parser.add_argument("--steps", type=int, default=3000, help="of the training")
    parser.add_argument("--hidden", type=int, default=512, help="width of the hidden layers")
    parser.add_argument("--symmetry", default=GROUP, help="of the grid; C1 if it is not known")


def run(settings: Settings) -> dict[str, Any]:
    """Train at each noise level, and compare what is proposed with what all cells score."""
    figure = new_figure((4.4 * len(settings.snr), 3.8))
    panels = figure.subplots(1, len(settings.snr), squeeze=False)[0]
    report = {}
    for axes, snr in zip(panels, settings.snr, strict=True):
        data = simulated(settings, snr)
        encoder, seconds, losses = _trained(data, settings)
        templates = _templates(data, encoder)
        images = encoder.band.flatten(
            encoder.band.crop(fslice.rfft2(np.ascontiguousarray(data.images)))
        )
        ways = {"encoder": _by_encoder(encoder), "exact": _by_templates(templates, data)}
        rows = {name: _judged(propose, images, encoder, data) for name, propose in ways.items()}
        _draw(axes, rows, noise_name(snr))
        report[noise_name(snr)] = {
            "cells": len(encoder.rotations),
            "best_possible_recall": float(_nearest(encoder, data).mean()),
            "training_seconds": seconds,
            "training_images": 512 * settings.options["steps"],
            "loss": {"first": losses[0], "last": float(np.mean(losses[-50:]))},
            **{name: {k: v for k, v in row.items() if k != "recall"} for name, row in rows.items()},
        }
    panels[0].legend(frameon=False, fontsize=SMALL)
    save(figure, settings.figure_path("amortised"))
    return {"levels": report}


def _trained(data: Images, settings: Settings) -> tuple[Encoder, float, list[float]]:
    options, losses = settings.options, []
    start = time.perf_counter()
    with image_bar("training", options["steps"]) as advance:

        def told(count: int, loss: float) -> None:
            losses.append(loss)
            advance(count)

        encoder = train_encoder(
            data.truth, data.noise_variance, symmetry=options["symmetry"], cells=options["cells"],
            radius=options["radius"], hidden=(options["hidden"],) * 2, steps=options["steps"],
            rng=np.random.default_rng(settings.seed + 1), progress=told,
        )  # fmt: skip
    return encoder, time.perf_counter() - start, losses


def _templates(data: Images, encoder: Encoder) -> Templates:
    """Return the slices at the encoder's cells, centred as the images are."""
    rotations = encoder.rotations.astype(np.float32)
    return make_templates(encoder.band.transform(data.truth), encoder.band, rotations, _CENTRED)


_CENTRED = np.zeros((1, 2))

Propose = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""Takes images and a number, and returns cells, the best first, with their probabilities."""


def _by_encoder(encoder: Encoder) -> Propose:
    return lambda images, most: tuple(encoder.propose(images, most))


def _by_templates(templates: Templates, data: Images) -> Propose:
    def propose(images: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
        scores, _ = templates.best_over_shifts(templates.encode(images, None, data.noise_variance))
        order = np.argsort(-scores, axis=1)[:, :most]
        weights = np.exp(np.maximum(scores - scores.max(1, keepdims=True), -60))
        weights /= weights.sum(1, keepdims=True)
        return order, np.take_along_axis(weights, order, 1)

    return propose


def _judged(propose: Propose, images: np.ndarray, encoder: Encoder, data: Images) -> dict[str, Any]:
    """Return recall, time, calibration, and what refining the first proposals finds."""
    most = len(encoder.rotations)
    cells, probabilities = propose(images, most)
    off = _errors(encoder, data)
    right = np.take_along_axis(off < NEAR, cells, 1)
    recall = np.maximum.accumulate(right, 1).mean(0)
    walls = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        propose(images, REFINED)
        walls.append(time.perf_counter() - start)
    return {
        "recall": recall,
        "recall_among_the_first": {str(m): float(recall[min(m, most) - 1]) for m in FIRST},
        "milliseconds_per_image": 1000 * float(np.median(walls)) / len(images),
        "mean_confidence_in_the_first": float(probabilities[:, 0].mean()),
        "mean_confidence_within_10_degrees": float((probabilities * right).sum(1).mean()),
        **_refined(cells[:, :REFINED], encoder, data),
    }


def _errors(encoder: Encoder, data: Images) -> np.ndarray:
    """Return the angle of each cell from each image's pose, (n, G) degrees, up to symmetry."""
    truth = data.rotations.astype(np.float64)
    return np.stack([error_in_group(encoder.rotations, one[None]) for one in truth])


def _nearest(encoder: Encoder, data: Images) -> np.ndarray:
    return _errors(encoder, data).min(1) < NEAR


def _refined(cells: np.ndarray, encoder: Encoder, data: Images) -> dict[str, Any]:
    """Return how many poses are found when the proposals of each image are refined."""
    n, most = cells.shape
    modes = n * most
    starts = PosePosterior(
        np.repeat(np.arange(n), most), encoder.rotations[cells.ravel()], np.zeros((modes, 2)),
        np.full(modes, 1 / most), np.tile(1e-4 * np.eye(5), (modes, 1, 1)), np.zeros(n),
        np.zeros(n),
    )  # fmt: skip
    start = time.perf_counter()
    with image_bar("refining", n) as advance:
        found = refine_poses(
            data.dataset(), data.truth, starts, noise_variance=data.noise_variance,
            shift_std=SHIFT, progress=advance,
        )  # fmt: skip
    seconds = time.perf_counter() - start
    off = error_in_group(found.best().rotations, data.rotations.astype(np.float64))
    return {
        f"within_2_degrees_after_refining_{REFINED}": float((off < 2).mean()),
        "milliseconds_per_image_of_refining": 1000 * seconds / n,
    }


def _draw(axes: Any, rows: dict[str, dict[str, Any]], snr: str) -> None:
    for (name, row), colour in zip(rows.items(), COLOURS, strict=False):
        counts = np.arange(1, len(row["recall"]) + 1)
        axes.semilogx(counts, row["recall"], color=colour, lw=1.8, label=name)
    axes.set_title(f"SNR {snr}", fontsize=NORMAL)
    axes.set(xlabel="proposals of an image", ylim=(0, 1.02))
    axes.set_ylabel("a right one among them", fontsize=NORMAL)
    axes.tick_params(labelsize=SMALL)
