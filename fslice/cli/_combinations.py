"""Which options of ``fslice reconstruct`` belong together."""

from __future__ import annotations

import argparse

from fslice.cli._cluster import uses_cluster


def check_solver(arguments: argparse.Namespace) -> None:
    """Raise where an option belongs to another solver, before anything is read."""
    belongs = {
        "exact": {
            "support auto": arguments.support == "auto",
            "prior": arguments.prior == "shell",
            "samples": arguments.samples > 0,
            "evidence": arguments.evidence,
        },
        "exact or wiener": {"robust": arguments.robust},
        "exact or adam": {"support": arguments.support is not None},
        "adam": {
            "epochs": arguments.epochs is not None,
            "batch-size": arguments.batch_size is not None,
        },
    }
    if not uses_cluster(arguments) and arguments.poses == "known":
        belongs["adam"]["resume"] = arguments.resume
    for solvers, options in belongs.items():
        for name, requested in options.items():
            if requested and arguments.solver not in solvers:
                raise ValueError(f"--{name}: expected --solver {solvers}, got {arguments.solver}")
    _check_statistics(arguments)


def _check_statistics(arguments: argparse.Namespace) -> None:
    """Raise where options contradict each other."""
    for name in ("samples", "evidence"):
        if getattr(arguments, name) and arguments.posterior != "gaussian":
            raise ValueError(f"--{name}: expected --posterior gaussian, got {arguments.posterior}")
    if arguments.evidence and arguments.symmetry != "C1":
        raise ValueError(
            f"--evidence: expected --symmetry C1, got {arguments.symmetry}: groups are compared by "
            "fslice.posterior.evidence.symmetry_evidence"
        )
    if arguments.prior == "shell" and arguments.prior_variance is not None:
        raise ValueError(
            f"--prior-variance: expected auto with --prior shell, got {arguments.prior_variance:g}"
        )
    if arguments.noise != "white" and arguments.noise_variance is not None:
        raise ValueError(
            f"--noise-variance: expected auto with --noise {arguments.noise}, got "
            f"{arguments.noise_variance:g}"
        )
