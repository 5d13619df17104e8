"""What ``fslice reconstruct`` writes and says."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fslice.cli._arguments import given
from fslice.cli._environment import versions
from fslice.cli._inputs import Inputs
from fslice.cli._maps import describe_resolution
from fslice.cli._outputs import write_json
from fslice.io import write_volume
from fslice.io._files import atomic_write
from fslice.metrics import (
    credible_band,
    fsc,
    fsc_from_snr,
    mean_squared_error,
    resolution,
    shell_frequencies,
    spectral_snr,
)
from fslice.plot import Curve, summary_figure
from fslice.posterior.result import Posterior

NAMES = (
    "mean.mrc",
    "sigma.mrc",
    "voxel_sigma.mrc",
    "half1.mrc",
    "half2.mrc",
    "summary.png",
    "result.json",
)

_TRUTH, _HALVES = "against the truth", "between half maps"
_PREDICTED = r"predicted from s, $\alpha/(1+\alpha)$"
_SAMPLES = "predicted by samples"
_KEYS = {_TRUTH: "truth", _HALVES: "halves", _PREDICTED: "predicted", _SAMPLES: "samples"}


def write_results(
    folder: Path,
    arguments: argparse.Namespace,
    inputs: Inputs,
    fit: Posterior,
) -> dict[str, Any]:
    """Write all files into `folder`; return the content of ``result.json``."""
    start = time.perf_counter()
    pixel_size = inputs.particles.pixel_size
    write_volume(folder / "mean.mrc", fit.mean, pixel_size)
    if fit.posterior_std is not None:
        grid = fit.posterior_std_grid()
        write_volume(folder / "sigma.mrc", grid, 1 / (len(grid) * pixel_size))
    if fit.voxel_std is not None:
        write_volume(folder / "voxel_sigma.mrc", fit.voxel_std, pixel_size)
    for name, half_map in zip(("half1", "half2"), fit.half_maps or (), strict=False):
        write_volume(folder / f"{name}.mrc", half_map, pixel_size)
    curves = _curves(inputs, fit)
    _write_summary(folder / "summary.png", inputs, fit, curves)
    results = _numbers(inputs, fit, curves)
    results["seconds"] = _seconds(inputs, fit, time.perf_counter() - start)
    results |= {"versions": versions(), "arguments": given(arguments)}
    write_json(folder / "result.json", results)
    return results


def _curves(inputs: Inputs, fit: Posterior) -> list[Curve]:
    size, pixel_size = inputs.size, inputs.particles.pixel_size
    frequencies = shell_frequencies(size, pixel_size)
    pairs = []
    if inputs.truth is not None:
        pairs.append((_TRUTH, fit.mean, inputs.truth, 0.5))
    if fit.half_maps is not None:
        pairs.append((_HALVES, *fit.half_maps, 0.143))
    curves = []
    for label, a, b, threshold in pairs:
        values = fsc(a, b, inputs.mask)
        reached = resolution(values, size, pixel_size, threshold)
        curves.append(Curve(label, frequencies, values, threshold, reached))
    if fit.posterior_std is not None:
        predicted = fsc_from_snr(spectral_snr(fit.latent_mean, fit.posterior_std))
        box = fit.latent_mean.shape[0]
        grid = shell_frequencies(box, pixel_size)
        curves.append(Curve(_PREDICTED, grid, predicted, reliable=False))
    if fit.fsc_samples is not None and inputs.mask is None:
        values = fit.fsc_samples.mean(0)
        reached = resolution(values, size, pixel_size)
        band = credible_band(fit.fsc_samples)
        curves.append(Curve(_SAMPLES, frequencies, values, 0.5, reached, band))
    return curves


def _write_summary(path: Path, inputs: Inputs, fit: Posterior, curves: list[Curve]) -> None:
    images = inputs.particles.images
    size, pixel_size = inputs.size, inputs.particles.pixel_size
    try:
        figure = summary_figure(
            fit.mean,
            pixel_size,
            sigma=None if fit.posterior_std is None else fit.posterior_std_grid(),
            prior_variance=fit.prior_variance,
            curves=curves,
            particles=images[: min(3, len(images))],  # type: ignore[index, arg-type]
            elbo_gains=[bound - fit.elbo_prior for bound in fit.elbo_trace],
            title=f"{len(inputs.particles):,} images, box {size} pixels of {pixel_size:g} Å",
        )
    except ImportError as error:
        print(f"{path.name} is left out: {error}", file=sys.stderr)
        return
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def _numbers(inputs: Inputs, fit: Posterior, curves: list[Curve]) -> dict[str, Any]:
    resolutions = {_KEYS[c.label]: c.resolution for c in curves if c.threshold is not None}
    numbers: dict[str, Any] = {
        "images": len(inputs.particles),
        "size": inputs.size,
        "pixel_size": inputs.particles.pixel_size,
        "symmetry": fit.symmetry,
        "elbo": fit.elbo,
        "elbo_prior": fit.elbo_prior,
        "elbo_trace": list(fit.elbo_trace),
        "solver": fit.solver,
        "iterations": fit.iterations,
        "converged": fit.converged,
        "noise_variance": fit.noise_variance,
        "prior_variance": fit.prior_variance,
    }
    if resolutions:
        numbers["resolution_angstrom"] = next(iter(resolutions.values()))
        numbers["resolutions_angstrom"] = resolutions
    if fit.evidence is not None:
        numbers["log_evidence"] = {"value": fit.evidence.value, "error": fit.evidence.error}
    if inputs.truth is not None:
        numbers["mean_squared_error"] = mean_squared_error(fit.mean, inputs.truth)
    numbers["fsc"] = {
        _KEYS[curve.label]: {
            "frequency_per_angstrom": curve.frequencies,
            "value": curve.values,
            "threshold": curve.threshold,
            **({} if curve.band is None else {"band_95_percent": list(curve.band)}),
        }
        for curve in curves
    }
    return numbers


def _seconds(inputs: Inputs, fit: Posterior, writing: float) -> dict[str, float]:
    seconds = {"opening": inputs.seconds, **fit.seconds, "writing": writing}
    return {stage: round(taken, 3) for stage, taken in seconds.items()}


def describe_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Say in a few lines what came out."""
    written = ", ".join(name for name in NAMES if (folder / name).exists())
    print(f"{folder}: wrote {written}")
    state = "converged" if results["converged"] else "stopped before it had converged"
    count = results["iterations"]
    iterations = f"{count} iteration{'s' * (count != 1)}"
    print(
        f"fit: {state} after {iterations}; ELBO {results['elbo']:.6g} "
        f"(prior: {results['elbo_prior']:.6g}), noise variance {_few(results['noise_variance'])}"
    )
    if "log_evidence" in results:
        found = results["log_evidence"]
        print(f"log evidence: {found['value']:.9g} +- {found['error']:.2g} nats")
    for label, key in _KEYS.items():
        if key in results.get("resolutions_angstrom", {}):
            reached, curve = results["resolutions_angstrom"][key], results["fsc"][key]
            words = describe_resolution(reached, curve["value"], curve["threshold"])
            print(f"resolution {label}: {words}")


def _few(variance: Any) -> str:
    """Say a variance, or those of all shells by their extremes."""
    if np.ndim(variance) == 0:
        return f"{variance:.4g}"
    return f"{np.min(variance):.4g} to {np.max(variance):.4g}"
