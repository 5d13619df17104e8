"""What ``fslice reconstruct`` prints at the end: the resolution first, then what it rests on."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fslice.cli._assessment import Assessment
from fslice.cli._inputs import Inputs
from fslice.cli._results import NAMES
from fslice.metrics import resolution
from fslice.posterior.result import Posterior

Rows = list[tuple[str, str]]


def print_report(
    folder: Path,
    arguments: argparse.Namespace,
    inputs: Inputs,
    fit: Posterior,
    assessment: Assessment,
    results: Mapping[str, Any],
) -> None:
    """Print a table, the notes, and the names of the files."""
    rows = [*_resolutions(inputs, fit, assessment), *_basis(arguments, inputs, fit)]
    rows += _course(fit, results)
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:{width}}  {text}")
    for note in results["notes"]:
        print(f"note: {note}")
    written = ", ".join(name for name in NAMES if (folder / name).exists())
    print(f"{folder}: wrote {written}")


def plain(words: str) -> str:
    """Return words that every terminal can show.

    Examples
    --------
    >>> plain("6.91 Å at 0.143")
    '6.91 Angstrom at 0.143'
    """
    return words.replace("Å", "Angstrom")


def _resolutions(inputs: Inputs, fit: Posterior, assessment: Assessment) -> Rows:
    rows: Rows = []
    if (halves := assessment.halves) is not None:
        found = halves.resolutions
        rows.append(("resolution", f"{plain(found['corrected'].words)} (half maps, corrected)"))
        rows.append(("  unmasked", plain(found["unmasked"].words)))
    if (truth := assessment.truth) is not None:
        rows.append(("against the truth", plain(truth.resolutions["masked"].words)))
        rows.append(("  unmasked", plain(truth.resolutions["unmasked"].words)))
        rows.append(("  error", f"{truth.relative_error:.3g} of the truth's power, in the mask"))
    if (samples := fit.fsc_samples) is not None:
        low, high = (np.quantile(samples, q, axis=0) for q in (0.025, 0.975))
        middle, worst, best = (
            resolution(curve, inputs.size, inputs.pixel_size)
            for curve in (samples.mean(0), low, high)
        )
        rows.append(
            (
                "predicted",
                f"{middle:.2f} Angstrom at 0.5 by {len(samples)} samples, unmasked; 95 % band "
                f"{best:.2f} to {worst:.2f}",
            )
        )
    return rows


def _basis(arguments: argparse.Namespace, inputs: Inputs, fit: Posterior) -> Rows:
    images = f"{len(inputs.images):,} of {inputs.size} x {inputs.size} pixels of "
    images += f"{inputs.pixel_size:g} Angstrom, "
    if inputs.particles.ctf is None:
        images += "no CTF"
    else:
        applied = inputs.dataset.ctf_applied
        images += "CTF" if applied == "none" else f"{applied} by the CTF"
    if fit.images < len(inputs.images):
        images += f", {len(inputs.images) - fit.images} of them left out"
    support = {} if arguments.support is None else {"support": str(arguments.support)}
    return [
        ("images", images),
        ("symmetry", fit.symmetry),
        *support.items(),
        ("prior variance", _few(fit.prior_variance)),
        ("noise variance", _few(fit.noise_variance)),
    ]


def _course(fit: Posterior, results: Mapping[str, Any]) -> Rows:
    state = "converged" if fit.converged else "stopped before it had converged"
    count = fit.iterations
    seconds = results["seconds"]
    listed = ", ".join(f"{name} {taken:.1f}" for name, taken in seconds.items() if taken >= 0.05)
    rows = [
        ("fit", f"{fit.solver}, {state} after {count} iteration{'s' * (count != 1)}"),
        ("seconds", listed or "less than 0.1"),
        ("ELBO", f"{fit.elbo:.6g} nats (prior: {fit.elbo_prior:.6g})"),
    ]
    if fit.evidence is not None:
        rows.append(("log evidence", f"{fit.evidence.value:.9g} +- {fit.evidence.error:.2g} nats"))
    return rows


def _few(variance: Any) -> str:
    """Say a variance, or those of all shells by their extremes."""
    if np.ndim(variance) == 0:
        return f"{variance:.4g}"
    low, high = np.min(variance), np.max(variance)
    groups = f" of {len(variance)} optics groups" if np.ndim(variance) == 2 else ""
    return f"{low:.4g} to {high:.4g}, per shell{groups}"
