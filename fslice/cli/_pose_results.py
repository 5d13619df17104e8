"""The files that ``fslice poses`` writes, and what it prints."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fslice.alignment.filters import defocused
from fslice.alignment.importance import PoseCheck
from fslice.alignment.outliers import ParticleShare, outliers
from fslice.alignment.posterior import PosePosterior
from fslice.cli._messages import Messages
from fslice.cli._star import write_star
from fslice.geometry import angle_between
from fslice.io import Particles
from fslice.plot.poses import poses_figure
from fslice.postprocess.orientations import orientation_distribution
from fslice.symmetry.groups import symmetry_rotations

NAMES = ("particles.star", "posterior.npz", "result.json", "poses.png")
"""All files that a run may write."""

_REJECTED = "no_signal_"
REJECTED = tuple(_REJECTED + name for name in NAMES)
"""What they are called where the images do not show the map."""

_FEW = 3


def name_of(name: str, has_signal: bool) -> str:
    """Return what a file is called, depending on the verdict.

    Examples
    --------
    >>> name_of("result.json", True), name_of("result.json", False)
    ('result.json', 'no_signal_result.json')
    """
    return name if has_signal else _REJECTED + name


def numbers_of(
    found: PosePosterior, shown: ParticleShare, checked: PoseCheck | None, pixel_size: float
) -> dict[str, Any]:
    """Return the numbers of ``result.json``."""
    deviations = found.deviations()
    angle = np.degrees(np.sqrt((deviations[:, :3] ** 2).sum(1)))
    shift = np.sqrt((deviations[:, 3:5] ** 2).sum(1))
    results: dict[str, Any] = {
        "images": len(found),
        "modes_per_image": len(found.weights) / len(found),
        "images_with_several_modes": int((found.mode_counts > 1).sum()),
        "median_top_weight": float(np.median(found.weights[found.best_modes()])),
        "predicted_error_degrees": float(np.median(angle)),
        "predicted_error_pixels": float(np.median(shift)),
        "predicted_error_angstrom": float(np.median(shift)) * pixel_size,
        "shift_std_pixels": float(np.sqrt((found.shifts[found.best_modes()] ** 2).mean())),
        "median_evidence": float(np.median(found.evidence)),
        "evidence_for_the_map": shown.gain,
        "share_with_particle": shown.share,
        "outliers": np.flatnonzero(outliers(shown)).tolist(),
        "discarded": float(found.discarded.max()),
    }
    if checked is not None:
        results["check"] = {
            "images": len(checked),
            "effective_sample_share": float(np.median(checked.effective)),
            "divergence_nats": float(np.median(checked.divergence)),
            "evidence_error_nats": float(
                np.median(checked.evidence - found[checked.rows].evidence)
            ),
        }
    return results


def write_star_of(
    path: Path, folder: Path, particles: Particles, found: PosePosterior, messages: Messages
) -> None:
    """Write the best poses with their probabilities, and defocus and contrast if they were free."""
    best, place = found.best(), found.best_modes()
    ctf = particles.ctf
    if ctf is not None and found.defocus is not None:
        ctf = defocused(ctf, found.defocus[place])
    if ctf is not None and found.contrast is not None:
        ctf = ctf.replace(scale=ctf.scale * found.contrast[place])
    posed = dataclasses.replace(particles, rotations=best.rotations, shifts=best.shifts, ctf=ctf)
    columns = {
        "rlnMaxValueProbDistribution": found.weights[place],
        "rlnLogLikeliContribution": found.evidence,
        "rlnNrOfSignificantSamples": found.mode_counts,
    }
    write_star(path, posed, messages, columns=columns, relative_to=folder)


def write_picture(path: Path, found: PosePosterior, symmetry: str, title: str) -> str | None:
    """Write ``poses.png``; return what is to be said where that is not possible."""
    rotations = found.best().rotations
    group = None if symmetry == "C1" else symmetry_rotations(symmetry)
    rng = np.random.default_rng(0)
    order = np.argsort(found.evidence)
    chosen = order[[len(order) // 10, len(order) // 2, 9 * len(order) // 10]][: len(order)]
    examples = []
    for image in chosen[:_FEW]:
        drawn = found.sample(rng, 300, np.array([image])).rotations
        angles = angle_between(drawn, np.broadcast_to(rotations[image], drawn.shape))
        examples.append((drawn[:, :, 2], angles))
    try:
        figure = poses_figure(
            orientation_distribution(rotations, views=group), found.deviations(), found.evidence,
            examples, title,
        )  # fmt: skip
    except ImportError as error:
        return str(error)
    figure.savefig(path)
    return None


def print_pose_report(
    folder: Path, arguments: argparse.Namespace, results: Mapping[str, Any], written: list[str]
) -> None:
    """Print a table, the notes, and the names of the files."""
    empty = len(results["outliers"])
    rows = [
        ("images", f"{results['images']:,}, {results['images_per_second']:.0f} a second"),
        ("modes", f"{results['modes_per_image']:.2f} an image"),
        (
            "predicted error",
            f"{results['predicted_error_degrees']:.2f} degrees, "
            f"{results['predicted_error_pixels']:.2f} pixels (median)",
        ),
        *_parameter_rows(results),
        ("evidence", f"{results['median_evidence']:.1f} nats above noise (median)"),
        ("outliers", f"{empty} images may show no particle" if empty else "none"),
    ]
    if (check := results.get("check")) is not None:
        rows.append(
            (
                "check",
                f"{check['images']} images: {check['divergence_nats']:.3f} nats from the exact "
                f"posterior, effective samples {check['effective_sample_share']:.2f}",
            )
        )
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:{width}}  {text}")
    for note in results["notes"]:
        print(f"note: {note}")
    print(f"{folder}: wrote {', '.join(written)}")
    sys.stdout.flush()


def _parameter_rows(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the lines of what else was free in an image."""
    rows = []
    for name, unit, digits in (("defocus", " Angstrom", 0), ("contrast", "", 3)):
        if (found := results.get(name)) is not None:
            mean, std, error = (
                f"{found[key]:.{digits}f}" for key in ("mean", "std", "predicted_error")
            )
            rows.append((name, f"{mean} +- {std}{unit}, predicted error {error}{unit} (median)"))
    if (scale := results.get("map_scale")) is not None:
        rows.append(("map", f"images are {scale:.3g} times as bright"))
    if (density := results.get("direction_density")) is not None:
        least, most = density["least"], density["most"]
        rows.append(("directions", f"{least:.2f} to {most:.2f} times as many as evenly"))
    return rows


def radius_of(resolution: float | None, size: int, pixel_size: float) -> float | None:
    """Return the frequency of a resolution in Angstrom, in units of 1/D."""
    if resolution is None:
        return None
    radius, most = size * pixel_size / resolution, (size - 1) // 2
    if not 3 <= radius <= most + 1:
        low, high = size * pixel_size / (most + 1), size * pixel_size / 3
        raise ValueError(
            f"--resolution: expected {low:.1f} to {high:.1f} Angstrom, got {resolution:g}"
        )
    return float(min(math.floor(radius), most))
