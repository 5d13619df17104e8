"""The files that ``fslice reconstruct`` writes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fslice.cli._arguments import given
from fslice.cli._assessment import Assessment
from fslice.cli._environment import versions
from fslice.cli._inputs import Inputs, ctf_applied
from fslice.cli._messages import Messages
from fslice.cli._outputs import write_json
from fslice.io import write_volume
from fslice.io._files import atomic_write
from fslice.io.fsc_files import write_fsc_star, write_fsc_xml
from fslice.metrics import (
    credible_band,
    fsc_from_snr,
    resolution,
    shell_frequencies,
    spectral_snr,
)
from fslice.plot import Curve, half_map_curves, summary_figure
from fslice.posterior.result import Posterior
from fslice.postprocess.fsc import HalfMapFSC
from fslice.postprocess.local_resolution import local_resolution
from fslice.postprocess.orientations import orientation_distribution
from fslice.solvers.progress import Reporter
from fslice.symmetry.groups import symmetry_rotations

NAMES = (
    "mean.mrc",
    "sigma.mrc",
    "voxel_sigma.mrc",
    "half1.mrc",
    "half2.mrc",
    "half1_unfil.mrc",
    "half2_unfil.mrc",
    "mask.mrc",
    "fsc.xml",
    "fsc.star",
    "particles.star",
    "poses.npz",
    "summary.png",
    "result.json",
)
"""All files that a run may write."""

_OF_HALVES = ("corrected", "unmasked", "masked", "randomized")


def write_results(
    folder: Path,
    arguments: argparse.Namespace,
    inputs: Inputs,
    fit: Posterior,
    assessment: Assessment,
    messages: Messages,
    report: Reporter,
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Write all files into `folder`; return the content of ``result.json``, and `more` of it."""
    start = time.perf_counter()
    _write_maps(folder, inputs, fit, assessment)
    if assessment.halves is not None:
        _write_fsc(folder, inputs, assessment.halves)
    curves = _curves(inputs, fit, assessment)
    with report.stage("drawing", 3, "steps") as advance:
        _write_summary(folder / "summary.png", inputs, fit, assessment, curves, advance)
    results = _numbers(inputs, fit, assessment, curves) | dict(more)
    seconds = {"opening": inputs.seconds, **fit.seconds, **report.seconds}
    seconds["writing"] = time.perf_counter() - start
    results["seconds"] = {stage: round(taken, 3) for stage, taken in seconds.items()}
    results |= {"warnings": messages.warnings, "notes": messages.notes}
    results |= {"versions": versions(), "arguments": given(arguments)}
    write_json(folder / "result.json", results)
    return results


def _write_maps(folder: Path, inputs: Inputs, fit: Posterior, assessment: Assessment) -> None:
    maps: dict[str, np.ndarray | None] = {"mean": fit.mean, "voxel_sigma": fit.voxel_std}
    for kind, pair in (("", fit.half_maps), ("_unfil", fit.unfiltered_half_maps)):
        for number, half in zip((1, 2), pair or (), strict=False):
            maps[f"half{number}{kind}"] = half
    maps["mask"] = assessment.mask
    for name, volume in maps.items():
        if volume is not None:
            write_volume(folder / f"{name}.mrc", volume, inputs.pixel_size)
    if fit.posterior_std is not None:
        grid = fit.posterior_std_grid()
        write_volume(folder / "sigma.mrc", grid, 1 / (len(grid) * inputs.pixel_size))


def _write_fsc(folder: Path, inputs: Inputs, found: HalfMapFSC) -> None:
    """Write the shells of which the words speak: that of Nyquist, in an even box, has no mates."""
    title = "half maps, corrected for the mask"
    shells = slice((inputs.size - 1) // 2 + 1)
    frequencies = found.frequencies[shells]
    write_fsc_xml(folder / "fsc.xml", frequencies, found.corrected[shells], title)
    curves = {name: getattr(found, name)[shells] for name in _OF_HALVES}
    write_fsc_star(folder / "fsc.star", frequencies, curves, found.resolution)


def _curves(inputs: Inputs, fit: Posterior, assessment: Assessment) -> dict[str, Curve]:
    """Return all shell correlations by their keys in ``result.json``, the one to report first."""
    frequencies = shell_frequencies(inputs.size, inputs.pixel_size)
    curves: dict[str, Curve] = {}
    if assessment.halves is not None:
        curves |= zip(_OF_HALVES, _in_order(half_map_curves(assessment.halves)), strict=True)
    if (truth := assessment.truth) is not None:
        for key, label in (("truth", "truth, in the mask"), ("truth_unmasked", "truth")):
            kind = "unmasked" if key.endswith("unmasked") else "masked"
            reached = truth.resolutions[kind].first_falls
            curves[key] = Curve(label, frequencies, getattr(truth, kind), 0.5, reached)
    if fit.fsc_samples is not None:
        values = fit.fsc_samples.mean(0)
        reached = resolution(values, inputs.size, inputs.pixel_size)
        curves["samples"] = Curve(
            "predicted by samples", frequencies, values, 0.5, reached,
            credible_band(fit.fsc_samples),
        )  # fmt: skip
    if fit.posterior_std is not None:
        predicted = fsc_from_snr(spectral_snr(fit.latent_mean, fit.posterior_std))
        grid = shell_frequencies(fit.latent_mean.shape[0], inputs.pixel_size)
        label = r"predicted from s, $\alpha/(1+\alpha)$"
        curves["predicted"] = Curve(label, grid, predicted, reliable=False)
    return curves


def _in_order(curves: list[Curve]) -> list[Curve]:
    """Return the curves of half maps in the order of their keys here."""
    corrected, masked, unmasked, randomized = curves
    return [corrected, unmasked, masked, randomized]


def _write_summary(
    path: Path,
    inputs: Inputs,
    fit: Posterior,
    assessment: Assessment,
    curves: dict[str, Curve],
    advance: Any,
) -> None:
    local = None
    if assessment.half_maps is not None:
        shown = _central_planes(assessment.mask)
        local = local_resolution(*assessment.half_maps, shown, inputs.pixel_size)
    advance()
    views = None
    if inputs.dataset.order > 1:
        views = symmetry_rotations(inputs.dataset.symmetry)
    orientations = orientation_distribution(inputs.particles.rotations, views=views)
    advance()
    hidden = {"truth_unmasked"} | ({"predicted"} if assessment.halves is not None else set())
    images = inputs.images[: min(3, len(inputs.images))]
    try:
        figure = summary_figure(
            fit.mean,
            inputs.pixel_size,
            voxel_std=fit.voxel_std,
            local_resolution=local,
            mask=assessment.mask,
            curves=[curve for key, curve in curves.items() if key not in hidden],
            orientations=orientations,
            particles=images,
            elbo_gains=_gains(fit),
            title=f"{len(inputs.images):,} images, box {inputs.size} pixels of "
            f"{inputs.pixel_size:g} Å",
        )
    except ImportError as error:
        print(f"{path.name} is left out: {error}", file=sys.stderr)
        return
    canvas: Any = figure.canvas
    with atomic_write(path) as file:
        # `savefig` draws twice, first for the layout alone; the level makes files a tenth larger
        canvas.print_png(file, pil_kwargs={"compress_level": 1})
    advance()


def _central_planes(mask: np.ndarray) -> np.ndarray:
    """Return a mask that is left only where the picture shows it: elsewhere takes long."""
    shown = np.zeros_like(mask)
    for axis in range(3):
        plane = [slice(None)] * 3
        plane[axis] = slice(len(mask) // 2, len(mask) // 2 + 1)
        shown[tuple(plane)] = mask[tuple(plane)]
    return shown


def _gains(fit: Posterior) -> list[float]:
    """Return what the bound gained over the prior, where there is a course of it to show."""
    return [bound - fit.elbo_prior for bound in fit.elbo_trace] if len(fit.elbo_trace) > 2 else []


def _numbers(
    inputs: Inputs, fit: Posterior, assessment: Assessment, curves: dict[str, Curve]
) -> dict[str, Any]:
    particles, halves, truth = inputs.particles, assessment.halves, assessment.truth
    numbers: dict[str, Any] = {}
    if halves is not None:
        numbers["resolution_angstrom"] = halves.resolution
        numbers["resolution_limit"] = halves.resolutions["corrected"].limit
    numbers["resolutions_angstrom"] = {
        key: curve.resolution for key, curve in curves.items() if curve.threshold is not None
    }
    numbers |= {
        "images": fit.images,
        "size": inputs.size,
        "pixel_size": inputs.pixel_size,
        "symmetry": fit.symmetry,
        "ctf": "none" if particles.ctf is None else "used",
        "images_are": ctf_applied(particles),
        "half_sets": _half_sets(inputs),
        "prior_variance": fit.prior_variance,
        "noise_variance": fit.noise_variance,
        "elbo": fit.elbo,
        "elbo_prior": fit.elbo_prior,
        "elbo_trace": list(fit.elbo_trace),
        "solver": fit.solver,
        "iterations": fit.iterations,
        "converged": fit.converged,
    }
    if fit.evidence is not None:
        numbers["log_evidence"] = {"value": fit.evidence.value, "error": fit.evidence.error}
    if truth is not None:
        numbers["mean_squared_error"] = truth.mean_squared_error
        numbers["relative_error"] = truth.relative_error
    numbers["fsc"] = {key: _curve(curve) for key, curve in curves.items()}
    return numbers


def _half_sets(inputs: Inputs) -> str | None:
    if inputs.dataset.half_sets is None:
        return None
    return "random" if inputs.particles.half_set is None else "of the file"


def _curve(curve: Curve) -> dict[str, Any]:
    return {
        "frequency_per_angstrom": curve.frequencies,
        "value": curve.values,
        "threshold": curve.threshold,
        **({} if curve.band is None else {"band_95_percent": list(curve.band)}),
    }
