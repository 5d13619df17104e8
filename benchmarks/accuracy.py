"""Error of a projection against the time it takes: every kernel and oversampling, and the peers.

    pip install -e ".[bench]"
    python benchmarks/accuracy.py --figure accuracy.png

The truth is the phantom, whose projections are known in closed form. Each setting projects it
from real space to real space: the transforms of the volume and of the images are in the time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from timing import in_turns, machine

import fslice
from fslice.fourier import pad

PIXEL_SIZE = 4.0
OVERSAMPLINGS = (1, 1.5, 2, 3)
Setting = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Projects a volume in the given orientations to real images."""


def main() -> None:
    arguments = parse()
    model = fslice.phantom(arguments.size, PIXEL_SIZE, radius=arguments.radius)
    rotations = fslice.random_rotations(arguments.images, np.random.default_rng(0))
    exact = model.project(rotations, arguments.size, PIXEL_SIZE)
    volume = model.volume(arguments.size, PIXEL_SIZE).astype(np.float32)
    settings = all_settings(volume, rotations.astype(np.float32))
    errors = {
        name: float(np.linalg.norm(project() - exact) / np.linalg.norm(exact))
        for name, project in settings.items()
    }
    samples = in_turns(settings, arguments.repeats)
    rows = [
        {
            "setting": name,
            "error": errors[name],
            "milliseconds per image": 1e3 * median(s[0] for s in seconds) / arguments.images,
            "seconds": [round(s[0], 5) for s in seconds],
        }
        for name, seconds in samples.items()
    ]
    print(f"box {arguments.size}, radius {arguments.radius} of half the box\n")
    print(f"{'setting':42}{'error':>10}{'ms per image':>14}")
    for row in rows:
        milliseconds = row["milliseconds per image"]
        print(f"{row['setting']:42}{row['error']:10.1e}{milliseconds:14.3f}")
    if arguments.output:
        report = {"machine": arguments.machine, "arguments": str(arguments), "results": rows}
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")
    if arguments.figure:
        draw(rows, arguments.figure)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64, help="box, in pixels")
    parser.add_argument("--radius", type=float, default=0.5, help="of the phantom: of half the box")
    parser.add_argument("--images", type=int, default=512, help="images of a call")
    parser.add_argument("--repeats", type=int, default=5, help="samples of each (median)")
    parser.add_argument("--output", type=Path, help="JSON file with every sample")
    parser.add_argument("--figure", type=Path, help="picture of error against time")
    arguments = parser.parse_args()
    arguments.machine = machine()
    return arguments


def all_settings(volume: np.ndarray, rotations: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Return what is measured, by name: its family, a comma, its oversampling."""
    found: dict[str, Setting] = {}
    for interpolation in ("linear", "cubic"):
        for oversampling in OVERSAMPLINGS:
            projector = fslice.Projector(len(volume), oversampling, interpolation)
            found[f"fslice {interpolation}, {oversampling:g}"] = projector.project
    for family in (torch_projectors_settings, torch_fourier_slice_settings):
        try:
            found |= family(len(volume))
        except (ImportError, OSError) as error:
            print(f"left out: {error}".splitlines()[0])
    return {
        name: (lambda project=project: project(volume, rotations))
        for name, project in found.items()
    }


def torch_projectors_settings(size: int) -> dict[str, Setting]:
    """Pad and transform as its documentation says; it offers no deconvolution."""
    import torch
    from torch_projectors import project_3d_to_2d_forw

    def setting(interpolation: str, oversampling: float) -> Setting:
        box = int(size * oversampling)

        def project(volume, rotations):
            spectrum = torch.tensor(fslice.fourier.transform(pad(volume, box, 3), 3))[None]
            slices = project_3d_to_2d_forw(
                spectrum,
                torch.tensor(rotations)[None],
                output_shape=(size, size),
                interpolation=interpolation,
                oversampling=oversampling,
                fourier_radius_cutoff=float((size - 1) // 2),
            )
            return fslice.irfft2(slices[0].numpy() * np.float32(box**1.5 / size))

        return project

    return {
        f"torch-projectors {interpolation}, {oversampling:g}": setting(interpolation, oversampling)
        for interpolation in ("linear", "cubic")
        for oversampling in OVERSAMPLINGS
        if size * oversampling % 2 == 0
    }


def torch_fourier_slice_settings(size: int) -> dict[str, Setting]:
    """Take its own function, which deconvolves, and transforms images of the padded box."""
    import torch
    from torch_fourier_slice import project_3d_to_2d

    def setting(oversampling: float) -> Setting:
        def project(volume, rotations):
            at_once = max(1, 2**22 // int(size * oversampling) ** 2)  # it takes gigabytes for more
            parts, volume = torch.tensor(rotations).split(at_once), torch.tensor(volume)
            images = [project_3d_to_2d(volume, part, pad_factor=oversampling) for part in parts]
            return torch.cat(images).numpy()

        return project

    return {f"torch-fourier-slice linear, {o:g}": setting(o) for o in OVERSAMPLINGS}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw error against time: a line for each family, a point for each oversampling."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 5), layout="constrained")
    families: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault(row["setting"].rpartition(",")[0], []).append(row)
    for family, points in families.items():
        times = [point["milliseconds per image"] for point in points]
        errors = [point["error"] for point in points]
        style = "o-" if family.startswith("fslice") else "s--"
        axes.loglog(times, errors, style, label=family)
        for point, time, error in zip(points, times, errors, strict=True):
            oversampling = point["setting"].rpartition(",")[2]
            axes.annotate(oversampling, (time, error), (4, 4), textcoords="offset points")
    axes.set(
        xlabel="milliseconds per image, from volume to images",
        ylabel="relative error of the images",
        title="Numbers at the points: oversampling",
    )
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
