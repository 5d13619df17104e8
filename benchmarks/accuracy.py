"""Error of a projection against the time it takes: every kernel and oversampling, and the peers.

    pip install -e ".[bench]"
    python benchmarks/accuracy.py --output accuracy.json --figure docs/figures/accuracy.png

The truth is the phantom, whose projections are known in closed form. Each setting projects it from
real space to real space, in single precision; the transforms of the volume and of the images are in
the time. The direct sum is in double precision.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from peers import (
    Fslice,
    Setting,
    TorchFourierSlice,
    TorchProjectors,
    TorchProjectorsDeconvolved,
    present,
    transform_back,
)
from timing import in_turns, machine

import fslice
from fslice.fourier import crop, pad

OVERSAMPLINGS = (1, 1.5, 2, 3)
LONGEST = 2.0
"""Seconds of one call: where all images would take longer, there are fewer."""
COMPARED = 32
"""Images whose errors are taken together, for all the same."""

Projection = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Projects a volume in the given orientations to real images."""


class FsliceCut:
    """fslice in the padded box, as torch-fourier-slice does it: more samples, smaller error."""

    name, kernels = "fslice, images cut", ("linear", "cubic")
    version = fslice.__version__

    def images(self, setting, volume, rotations):
        """Project a padded volume, and cut the images."""
        wide = fslice.Projector(setting.box, 1, setting.kernel)
        return crop(wide.project(pad(volume, setting.box, 3), rotations), setting.size, 2)


CONTESTANTS = (
    Fslice,
    FsliceCut,
    TorchProjectors,
    TorchProjectorsDeconvolved,
    TorchFourierSlice,
)


def main() -> None:
    arguments = parse()
    contestants = present(CONTESTANTS)
    families = all_families(contestants, arguments.size)
    given = truth(arguments.size, arguments.radius, arguments.images)
    rows = measure(families, *given, arguments.repeats)
    print(table(rows, arguments))
    report = {
        "machine": arguments.machine,
        "versions": {peer.name: peer.version for peer in contestants},
        "size": arguments.size,
        "radius": arguments.radius,
        "results": rows,
    }
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")
    if arguments.figure:
        draw(report, arguments.figure)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64, help="box, in pixels")
    parser.add_argument("--radius", type=float, default=0.5, help="of the phantom: of half the box")
    parser.add_argument("--images", type=int, default=512, help="images of a call, at most")
    parser.add_argument("--repeats", type=int, default=3, help="samples of each (median)")
    parser.add_argument("--output", type=Path, help="JSON file with every sample")
    parser.add_argument("--figure", type=Path, help="picture of error against time")
    arguments = parser.parse_args()
    arguments.machine = machine()
    return arguments


def truth(size: int, radius: float, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the phantom, rotations, and its projections in closed form, in double precision."""
    model = fslice.phantom(size, 1.0, radius=radius)
    rotations = fslice.random_rotations(count, np.random.default_rng(0))
    exact = transform_back(model.project_ft(rotations, size, 1.0), size)
    return model.volume(size, 1.0), rotations, exact


def all_families(contestants: list[Any], size: int) -> dict[str, dict[float | None, Projection]]:
    """Return how to project, by family and oversampling."""
    found: dict[str, dict[float | None, Projection]] = {}
    for peer in contestants:
        for kernel in peer.kernels:
            family = found.setdefault(f"{peer.name}, {kernel}", {})
            for oversampling in OVERSAMPLINGS:
                setting = Setting(size, kernel, oversampling)
                if "projectors" in peer.name and setting.box % 2:
                    continue  # it takes even boxes only
                if peer.name == FsliceCut.name and oversampling == 1:
                    continue  # nothing to cut
                family[oversampling] = single(peer, setting)
    found["fslice, direct sum"] = {None: fslice.operators.project_direct}
    return found


def single(peer: Any, setting: Setting) -> Projection:
    """Return the contestant's projection in single precision."""

    def project(volume: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        return peer.images(setting, volume.astype(np.float32), rotations.astype(np.float32))

    return project


def measure(
    families: dict[str, dict[float | None, Projection]],
    volume: np.ndarray,
    rotations: np.ndarray,
    exact: np.ndarray,
    repeats: int,
) -> list[dict[str, Any]]:
    """Return one row for each family and oversampling."""
    calls, rows = {}, []
    for family, projections in families.items():
        for oversampling, project in projections.items():
            count = affordable(project, volume, rotations)
            found, wanted = project(volume, rotations[:COMPARED]), exact[:COMPARED]
            calls[len(rows)] = lambda p=project, n=count: p(volume, rotations[:n])
            rows.append(
                {
                    "family": family,
                    "oversampling": oversampling,
                    "images": count,
                    "error": float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted)),
                }
            )
    for index, seconds in in_turns(calls, repeats).items():
        row = rows[index]
        row["seconds"] = [round(wall, 5) for wall, _ in seconds]
        row["milliseconds per image"] = 1e3 * median(row["seconds"]) / row["images"]
    return rows


def affordable(project: Projection, volume: np.ndarray, rotations: np.ndarray) -> int:
    """Return how many images take `LONGEST`, the transform of the volume apart."""
    few, more = rotations[:2], rotations[:10]
    seconds = []
    project(volume, few)  # the first one compiles
    for some in (few, more):
        started = time.perf_counter()
        project(volume, some)
        seconds.append(time.perf_counter() - started)
    each = (seconds[1] - seconds[0]) / max(1, len(more) - len(few))
    return len(rotations) if each * len(rotations) <= LONGEST else max(2, int(LONGEST / each))


def table(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> str:
    """Lay out errors and times."""
    lines = [
        f"box {arguments.size}, radius {arguments.radius} of half the box\n",
        f"{'':40}{'over':>6}{'error':>10}{'ms per image':>14}{'images':>8}",
    ]
    for row in rows:
        lines.append(
            f"{row['family']:40}{row['oversampling'] or '-':>6}{row['error']:10.1e}"
            f"{row['milliseconds per image']:14.3f}{row['images']:8}"
        )
    return "\n".join(lines)


def draw(report: dict[str, Any], path: Path) -> None:
    """Draw error against time: a line for each family, a point for each oversampling."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    families: dict[str, list[dict[str, Any]]] = {}
    for row in report["results"]:
        families.setdefault(row["family"], []).append(row)
    colors = {name: f"C{i}" for i, name in enumerate(dict.fromkeys(map(library, families)))}
    for family, points in families.items():
        style = "--" if family.endswith("linear") else "-"
        axes.loglog(
            [point["milliseconds per image"] for point in points],
            [point["error"] for point in points],
            style,
            marker="o" if family.startswith("fslice") else "s",
            color=colors[library(family)],
            label=family,
        )
        for point in points:
            place = point["milliseconds per image"], point["error"]
            label = "" if point["oversampling"] is None else f"{point['oversampling']:g}"
            axes.annotate(label, place, (4, 4), textcoords="offset points", fontsize=8)
    axes.set(
        xlabel="milliseconds per image, from volume to images",
        ylabel="relative error of the images",
        title=f"Box {report['size']}, object radius {report['radius']} of half the box; "
        "numbers: oversampling",
    )
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(path)


def library(family: str) -> str:
    """Return the family without its kernel."""
    return family.rpartition(",")[0]


if __name__ == "__main__":
    main()
