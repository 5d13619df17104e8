"""Run one experiment of the paper: figures and numbers into a folder, the numbers to stdout."""

from __future__ import annotations

import argparse
import importlib
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.paper.settings import Settings, write_report
from benchmarks.timing import machine
from fslice.cli._progress import compilation_notice

N = 40_000
"""Images of the paper's sets, where an experiment does not say another number."""

EXPERIMENTS = {
    "datasets": "figure 7: the images, at three noise levels",
    "table1": "section 6.1: Dirac and Gaussian by Adam, the exact solver, back-projection",
    "fig4": "section 6.2: shell correlations, and what predicts them",
    "fig5": "section 6.3, figures 5, 9 and 10: uncertainty where a cone of views leaves gaps",
    "fig6": "section 6.4: poses by gradient descent, and the posterior over them",
    "fig8": "appendix A: rendered maps",
    "data_efficiency": "section 6.2: resolution over the number of images",
    "amortised": "section 5.2, appendix C: an encoder that proposes poses",
}
"""What each command does."""


def main(words: list[str] | None = None) -> dict[str, Any]:
    """Parse the command line, run, and print the numbers as the last line."""
    arguments = vars(_parser().parse_args(words))
    name = arguments.pop("experiment")
    experiment = importlib.import_module(f"benchmarks.paper.{name}")
    settings = _settings(arguments, experiment)
    settings.output.mkdir(parents=True, exist_ok=True)
    start, cpu = time.perf_counter(), time.process_time()
    with compilation_notice():
        numbers = experiment.run(settings)
    report = {
        "experiment": name,
        "settings": settings.summary(),
        "machine": machine(),
        "seconds": {
            "wall": round(time.perf_counter() - start, 1),
            "processor": round(time.process_time() - cpu, 1),
        },
        **finite(numbers),
    }
    path = write_report(settings, name, report)
    print(f"{path} and figures in {settings.output}", file=sys.stderr)
    print(json.dumps(report))
    return report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper", description=__doc__)
    commands = parser.add_subparsers(dest="experiment", required=True, metavar="NAME")
    for name, text in EXPERIMENTS.items():
        command = commands.add_parser(name, help=text, description=text)
        _add_shared(command)
        experiment = importlib.import_module(f"benchmarks.paper.{name}")
        if hasattr(experiment, "add_options"):
            experiment.add_options(command)
    return parser


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the results")
    parser.add_argument(
        "--model", default="1aon.pdb.gz", help="atoms (.pdb, .cif, also .gz) or 'phantom'"
    )
    parser.add_argument(
        "--n",
        type=int,
        nargs="+",
        help="images (default: the paper's 40000; 1000 where poses are unknown)",
    )
    parser.add_argument("--size", type=int, default=128, help="box in pixels")
    parser.add_argument("--pixel-size", type=float, default=2.8, help="Angstrom")
    parser.add_argument(
        "--snr", type=float, nargs="+", help="signal-to-noise ratios; inf: no noise"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--data", type=Path, help="where simulated images are kept (default: data in the output)"
    )


def _settings(arguments: dict[str, Any], experiment: Any) -> Settings:
    """Divide what was given into what all experiments share and what is this one's."""
    output = arguments.pop("output")
    data = arguments.pop("data") or output / "data"
    counts = arguments.pop("n") or list(
        getattr(experiment, "COUNTS", (getattr(experiment, "N", N),))
    )
    snr = tuple(arguments.pop("snr") or experiment.SNR)
    shared = {name: arguments.pop(name) for name in ("model", "size", "pixel_size", "seed")}
    if hasattr(experiment, "COUNTS"):
        arguments["counts"] = sorted(counts)
    return Settings(**shared, n=max(counts), output=output, data=data, snr=snr, options=arguments)


def finite(value: Any) -> Any:
    """Return numbers as JSON has them: plain, rounded to six digits, None for no finite one.

    Examples
    --------
    >>> finite({"a": [float("inf"), 1 / 3]})
    {'a': [None, 0.333333]}
    """
    if isinstance(value, dict):
        return {str(name): finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    if hasattr(value, "tolist"):
        return finite(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


if __name__ == "__main__":
    main()
