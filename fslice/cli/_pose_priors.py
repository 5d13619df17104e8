"""Options of ``fslice poses`` for what is free in each image beside its pose, and its prior."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from fslice._arrays import array_namespace, to_numpy
from fslice.alignment.model import PoseModel
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.search import MOST_CONTRAST, PoseSearch
from fslice.cli._arguments import positive
from fslice.cli._messages import Messages
from fslice.fourier import hermitian_weights
from fslice.io import Particles
from fslice.postprocess.healpix import bin_directions


def add_priors(parser: argparse._ArgumentGroup) -> None:
    """Add the options."""
    parser.add_argument(
        "--refine-defocus",
        type=positive,
        metavar="A",
        help="refine the defocus of each image too, an offset of this standard deviation, "
        "Angstrom, along both axes (default: the defocus of the file holds)",
    )
    parser.add_argument(
        "--contrast",
        type=positive,
        metavar="STD",
        help="let the contrast of each image be free, a factor of this standard deviation about "
        "1, and learn the scale of the map (default: the map has the contrast of the images)",
    )
    parser.add_argument(
        "--prior-directions",
        choices=("uniform", "learned"),
        default="uniform",
        help="density of directions of view before an image is seen: even, or learned from up to "
        "1024 images (default: uniform)",
    )


def check_priors(
    arguments: argparse.Namespace, particles: Particles, messages: Messages
) -> None:  # fmt: skip
    """Raise where the particles lack what an option needs, or its value is out of range.

    Warn where the CTF that will be written is not the one by which the images were corrected.
    """
    if arguments.refine_defocus is not None and particles.ctf is None:
        raise ValueError(f"--refine-defocus: expected a CTF, got none in {arguments.particles}")
    if (arguments.contrast or 0) > MOST_CONTRAST:
        raise ValueError(
            f"--contrast: expected at most {MOST_CONTRAST}, as a contrast is positive, got "
            f"{arguments.contrast:g}"
        )
    corrected = particles.phase_flipped or particles.premultiplied
    if arguments.refine_defocus is not None and corrected:
        what = "--refine-defocus: the defocus"
    elif arguments.contrast is not None and particles.premultiplied:
        what = "--contrast: the scale of the CTF"
    else:
        return
    messages.warn(
        f"{what} in particles.star will not be that by which the images were corrected: give it to "
        "images that are not"
    )


def search_of(arguments: argparse.Namespace, radius: float | None) -> PoseSearch:
    """Return how poses are searched for."""
    return PoseSearch(
        radius=radius, defocus_std=arguments.refine_defocus, contrast_std=arguments.contrast,
        prior_directions=arguments.prior_directions,
    )  # fmt: skip


def prior_numbers(model: PoseModel, found: PosePosterior) -> dict[str, Any]:
    """Return what was learned of defocus, contrast and directions, for ``result.json``."""
    best, numbers = found.best_modes(), dict[str, Any]()
    deviations = dict(zip(found.columns, np.median(to_numpy(found.deviations()), 0), strict=True))
    for name, values in found.parameters.items():
        numbers[name] = {
            "mean": float(values[best].mean()),
            "std": float(values[best].std()),
            "predicted_error": float(deviations[name]),
        }
    if found.contrast is not None:
        numbers["map_scale"] = model.scale
    directions = model.prepared.directions
    if directions is not None:
        every = bin_directions(16, array_namespace(directions.weights))
        density = np.exp(to_numpy(directions.at(every)))
        numbers["direction_density"] = {"least": density.min(), "most": density.max()}
    return numbers


def noise_numbers(model: PoseModel) -> dict[str, Any]:
    """Return the variance of a pixel's noise, and of each shell where that was learned."""
    noise, size = model.dataset.noise, model.dataset.size
    if noise is None:
        return {"noise_variance": model.noise_variance}
    weights = hermitian_weights(size)
    variances = model.noise_variance * to_numpy(noise.evaluate(size))[0]
    return {
        "noise_variance": float((weights * variances).sum() / size**2),
        "noise_variance_of_shells": model.noise_variance * to_numpy(noise.variances)[0],
    }


def prior_arrays(model: PoseModel) -> dict[str, np.ndarray]:
    """Return what is kept of the priors beside a posterior, for ``posterior.npz``."""
    directions = model.prepared.directions
    return {} if directions is None else {
        "direction_weights": to_numpy(directions.weights)
    }  # fmt: skip
