"""Cost of a projection in position space, which visits voxels, and in Fourier space, pixels.

    python benchmarks/position_space.py --output position_space.json --figure cost.png

Prints milliseconds per image over the box, and the exponents that fit them best. In Fourier space
the volume has been transformed beforehand, once for all images; what that takes is its own column.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from timing import in_turns, machine

import fslice
from fslice.operators.realspace import project_realspace

METHODS = (
    "position space",
    "Fourier space, linear",
    "Fourier space, cubic",
    "transform of the volume",
)


def main() -> None:
    arguments = parse()
    rows = [measure(size, arguments) for size in arguments.sizes]
    exponents = {method: exponent(rows, method) for method in METHODS}
    print(table(rows, exponents))
    report = {"machine": arguments.machine, "exponents": exponents, "results": rows}
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")
    if arguments.figure:
        draw(rows, exponents, arguments.figure)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[32, 48, 64, 96, 128, 192], help="boxes, in pixels"
    )
    parser.add_argument("--images", type=int, default=256, help="images of a call, Fourier space")
    parser.add_argument("--repeats", type=int, default=3, help="samples of each (median)")
    parser.add_argument("--output", type=Path, help="JSON file with every sample")
    parser.add_argument("--figure", type=Path, help="picture of the cost over the box")
    arguments = parser.parse_args()
    arguments.machine = machine()
    return arguments


def measure(size: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the milliseconds of every method for one box, in single precision."""
    rng = np.random.default_rng(0)
    volume = rng.normal(size=(size,) * 3).astype(np.float32)
    rotations = fslice.random_rotations(arguments.images, rng).astype(np.float32)
    few = rotations[:2]  # an image takes long enough by itself
    linear, cubic = fslice.Projector(size), fslice.Projector(size, interpolation="cubic")
    spectra = linear.transform(volume), cubic.transform(volume)

    def in_fourier_space(projector: fslice.Projector, volume_ft: np.ndarray) -> np.ndarray:
        slices = projector.project_ft(volume_ft, rotations)
        return fslice.fourier.inverse_transform(slices, 2, size)

    calls = {
        "position space": lambda: project_realspace(volume, few),
        "Fourier space, linear": lambda: in_fourier_space(linear, spectra[0]),
        "Fourier space, cubic": lambda: in_fourier_space(cubic, spectra[1]),
        "transform of the volume": lambda: linear.transform(volume),
    }
    counts = dict(zip(METHODS, (len(few), len(rotations), len(rotations), 1), strict=True))
    for call in calls.values():
        call()  # the first one compiles
    samples = in_turns(calls, arguments.repeats)
    return {"size": size} | {
        method: 1e3 * median(wall for wall, _ in seconds) / counts[method]
        for method, seconds in samples.items()
    }


def exponent(rows: list[dict[str, Any]], method: str) -> float:
    """Return the slope of log time over log D, by least squares."""
    if len(rows) < 2:
        return float("nan")
    logs = np.log([[row["size"], row[method]] for row in rows])
    return float(np.polyfit(*logs.T, 1)[0])


def table(rows: list[dict[str, Any]], exponents: dict[str, float]) -> str:
    """Lay out milliseconds, the ratio of the first two, and exponents."""
    width = 2 + max(map(len, METHODS))
    lines = ["milliseconds per image", f"{'box':8}" + "".join(f"{m:>{width}}" for m in METHODS)]
    for row in rows:
        figures = "".join(f"{row[method]:{width}.4g}" for method in METHODS)
        ratio = row["position space"] / row["Fourier space, linear"]
        lines.append(f"{row['size']:<8}{figures}   position / Fourier: {ratio:.0f}")
    slopes = "".join(f"{exponents[method]:{width}.2f}" for method in METHODS)
    return "\n".join([*lines, f"{'exponent':8}{slopes}"])


def draw(rows: list[dict[str, Any]], exponents: dict[str, float], path: Path) -> None:
    """Draw the cost over the box, both axes logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    sizes = [row["size"] for row in rows]
    for method in METHODS:
        label = f"{method}: $D^{{{exponents[method]:.1f}}}$"
        axes.loglog(sizes, [row[method] for row in rows], "o-", label=label)
    axes.set_xticks(sizes, map(str, sizes), minor=False)
    axes.minorticks_off()
    axes.set(xlabel="box D [pixels]", ylabel="milliseconds per image")
    axes.legend(frameon=False, fontsize=9)
    axes.grid(alpha=0.3)
    figure.savefig(path)


if __name__ == "__main__":
    main()
