"""The certificate's questions, put to torch-projectors and torch-fourier-slice as well.

    pip install -e ".[bench]"
    python benchmarks/certify_peers.py --output peers.json

One row is one question, with the bound that fslice has for itself; the peers have promised no
such bound, so a figure above it (marked with an asterisk) is a finding and not a failure. Where a
convention leaves a choice, such as the inner product, every sensible one is tried and the
smallest figure counts.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from peers import (
    Fslice,
    Setting,
    TorchFourierSlice,
    TorchProjectors,
    TorchProjectorsDeconvolved,
    present,
)
from timing import machine

import fslice
from fslice.certify import Line
from fslice.certify._analytic import BOUNDS
from fslice.certify._analytic import SIZES as ANALYTIC_SIZES
from fslice.certify._checks import GRADIENT_BOUND, draw_rotations, generator, noise, rounding_bound

CONTESTANTS = (Fslice, TorchProjectors, TorchProjectorsDeconvolved, TorchFourierSlice)
SIZE, COUNT = 8, 3
STEPS = (1e-4, 1e-5, 1e-6)
"""Of central differences: the one with the smallest error counts, as round-off differs."""

Product = Callable[[np.ndarray, np.ndarray], float]
Answer = Callable[[Any], float]


def stored(a: np.ndarray, b: np.ndarray) -> float:
    """Return the inner product that counts every stored number once."""
    return float((a.astype(complex).conj() * b).real.sum())


def half(a: np.ndarray, b: np.ndarray) -> float:
    """Return the inner product of the real arrays that half spectra belong to."""
    return float(
        ((a.astype(complex).conj() * b).real * fslice.fourier.hermitian_weights(a.shape[-2])).sum()
    )


PRODUCTS: dict[str, Product] = {"stored numbers": stored, "half spectra": half}


class Case:
    """Random input in one precision: noise everywhere, samples inside cells."""

    def __init__(self, dtype: str, seed: str):
        rng, self.size = generator("peers", seed), SIZE
        shape = (COUNT, SIZE, SIZE)
        complex_ = np.result_type(dtype, np.complex64)
        self.rotations = draw_rotations(rng, COUNT, 3, 1.0, SIZE).astype(dtype)
        self.shifts = noise(rng, (COUNT, 2), dtype)
        self.of_real = fslice.rfft3(noise(rng, (SIZE,) * 3, dtype))
        self.images_of_real = fslice.rfft2(noise(rng, shape, dtype))
        self.volume_ft = noise(rng, self.of_real.shape, complex_)
        self.images_ft = noise(rng, self.images_of_real.shape, complex_)
        self.turned = noise(rng, self.rotations.shape)
        self.moved = noise(rng, self.shifts.shape)

    @property
    def pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Rotations and shifts."""
        return self.rotations, self.shifts


def mismatch(
    product: Product, ax: np.ndarray, y: np.ndarray, x: np.ndarray, ay: np.ndarray
) -> float:
    """Return how far two maps are from adjoint, as a share of the norms."""
    scale = math.sqrt(product(ax, ax) * product(y, y)) + math.sqrt(product(x, x) * product(ay, ay))
    return abs(product(ax, y) - product(x, ay)) / scale


def insertion(peer: Any, setting: Setting, dtype: str, no_mean: bool = False) -> float:
    """Return how far insertion is from the adjoint, in the kindest inner product."""
    case, figures = Case(dtype, "insert"), []
    for product, x, y in (
        (stored, case.volume_ft, case.images_ft),
        (half, case.of_real, case.images_ft),
        (half, case.of_real, case.images_of_real),
    ):
        x = x.copy()
        if no_mean:
            x[0, 0, 0] = 0
        ax, ay = peer.project(setting, x, *case.pose), peer.insert(setting, y, *case.pose)
        figures.append(mismatch(product, ax, y, x, ay))
    return min(figures)


def volume_gradient(peer: Any, setting: Setting, dtype: str) -> float:
    """Return how far the gradient in the volume, which is linear, is from the adjoint."""
    case, product = Case(dtype, "volume"), PRODUCTS[peer.product]
    x = case.of_real if product is half else case.volume_ft
    ax = peer.project(setting, x, *case.pose)
    ay = peer.vjp(setting, x, *case.pose, case.images_ft)[0]
    return mismatch(product, ax, case.images_ft, x, ay)


def pose_gradient(peer: Any, setting: Setting, dtype: str, argument: str) -> float:
    """Return how far the gradient in the pose is from central differences.

    These are made in double precision: by the contestant, or by fslice where it computes in single
    precision only.
    """
    case, exact = Case(dtype, "pose"), Case("float64", "pose")
    gradients = peer.vjp(setting, case.of_real, *case.pose, case.images_ft)
    gradient = gradients[("rotations", "shifts").index(argument) + 1]
    product, reference = PRODUCTS[peer.product], peer
    try:
        reference.project(setting, exact.of_real, *exact.pose)
    except RuntimeError:
        if dtype == "float64":
            raise
        reference = Fslice()
    direction = {"rotations": exact.turned, "shifts": exact.moved}[argument]

    def value(step: float) -> float:
        pose = {"rotations": case.rotations, "shifts": case.shifts}
        pose = {name: array.astype(float) for name, array in pose.items()}
        pose[argument] = pose[argument] + step * direction
        slices = reference.project(setting, case.of_real.astype(complex), **pose)
        return product(slices, case.images_ft)

    claimed = float((gradient * direction).sum())
    scale = np.linalg.norm(gradient) * np.linalg.norm(direction)
    quotients = [(value(step) - value(-step)) / (2 * step) for step in STEPS]
    return min(abs(quotient - claimed) for quotient in quotients) / scale


def definition(peer: Any, setting: Setting, dtype: str) -> float:
    """Return how far slices are from fslice's, which `fslice certify` compares with the formula."""
    case, exact = Case(dtype, "definition"), Fslice()
    found = peer.project(setting, case.of_real, *case.pose)
    double = [array.astype(float) for array in case.pose]
    expected = exact.project(setting, case.of_real.astype(complex), *double)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@functools.cache
def phantom(size: int, radius: float) -> tuple[np.ndarray, ...]:
    """Return the phantom, poses, and its projections in closed form."""
    model, rng = fslice.phantom(size, 1.0, radius=radius), generator("phantom", size)
    rotations, shifts = fslice.random_rotations(8, rng), rng.uniform(-2, 2, (8, 2))
    exact = fslice.fourier.inverse_transform(
        model.project_ft(rotations, size, 1.0, shifts), 2, size
    )
    return model.volume(size, 1.0), rotations, shifts, exact


def accuracy(peer: Any, setting: Setting, dtype: str, radius: float) -> float:
    """Return how far projections are from the truth."""
    *given, exact = phantom(setting.size, radius)
    found = peer.images(setting, *(array.astype(dtype) for array in given))
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def questions() -> Iterator[tuple[str, str, Setting, str, float, Answer]]:
    """Yield test, subject, setting, dtype, bound, and what answers it for a contestant."""
    for kernel in ("linear", "cubic"):
        band, corners = Setting(SIZE, kernel), Setting(SIZE, kernel, max_radius=float(SIZE))
        for dtype in ("float64", "float32"):
            rounding = rounding_bound(dtype)
            bound = GRADIENT_BOUND if dtype == "float64" else rounding
            asked: list[tuple[str, str, Setting, float, Any, tuple[Any, ...]]] = [
                ("dot", "insertion, whole square", corners, rounding, insertion, ()),
                ("dot", "insertion, in the band", band, rounding, insertion, ()),
                ("dot", "insertion, zero mean", band, rounding, insertion, (True,)),
                ("dot", "gradient in the volume", corners, rounding, volume_gradient, ()),
                ("gradient", "rotations", band, bound, pose_gradient, ("rotations",)),
                ("gradient", "shifts", band, bound, pose_gradient, ("shifts",)),
            ]
            if kernel == "linear":
                asked.append(("definition", "slices", band, rounding, definition, ()))
            for test, subject, setting, limit, ask, more in asked:
                answer = functools.partial(_ask, ask, setting, dtype, more)
                yield test, subject, setting, dtype, limit, answer
    for (kernel, oversampling, radius), bound in BOUNDS.items():
        for size in ANALYTIC_SIZES:
            for dtype in ("float64", "float32"):
                setting = Setting(size, kernel, oversampling)
                answer = functools.partial(_ask, accuracy, setting, dtype, (radius,))
                yield "analytic", f"radius {radius}", setting, dtype, bound, answer


def _ask(ask: Any, setting: Setting, dtype: str, more: tuple[Any, ...], peer: Any) -> float:
    return ask(peer, setting, dtype, *more)


def answers(contestants: list[Any]) -> Iterator[list[Line]]:
    """Yield, for each question, the lines of the contestants that have the kernel."""
    for test, subject, setting, dtype, bound, answer in questions():
        lines = []
        for peer in contestants:
            if setting.kernel not in peer.kernels or test not in peer.tests:
                continue
            figure, note = answered(answer, peer)
            shape = setting.size, setting.oversampling, setting.kernel
            lines.append(Line(test, subject, peer.name, dtype, *shape, figure, bound, note))
        yield lines


def answered(answer: Answer, peer: Any) -> tuple[float, str]:
    """Return the figure, or infinity and why it was refused."""
    try:
        return answer(peer), ""
    except (RuntimeError, ValueError) as error:
        return math.inf, " ".join(str(error).split())


def row(lines: list[Line], names: list[str]) -> str:
    """Lay out one question."""
    first, cells = lines[0], {line.backend: cell(line) for line in lines}
    return (
        f"{first.test:12}{first.subject:25}{first.dtype:9}{first.size:3}  {first.oversampling:4}  "
        f"{first.kernel:6}{first.bound:9.1e}"
        + "".join(f"{cells.get(name, '- '):>{width(name)}}" for name in names)
    )


def width(name: str) -> int:
    """Return how wide a contestant's column is."""
    return max(len(name), 9) + 2


def cell(line: Line) -> str:
    """Return a figure, with an asterisk if it is above the bound; "refused" if it was."""
    if line.note:
        return "refused "
    return f"{line.figure:.1e}" + (" " if line.passed else "*")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="JSON file with every line")
    arguments = parser.parse_args()
    contestants = present(CONTESTANTS)
    names, lines = [peer.name for peer in contestants], []
    versions = {peer.name: peer.version for peer in contestants}
    print(*(f"{name} {number}" for name, number in versions.items()), sep="\n")
    title = f"\n{'test':12}{'subject':25}{'dtype':9}box  over  {'kernel':6}{'bound':>9}"
    print(title + "".join(f"{name:>{width(name)}}" for name in names))
    for asked in answers(contestants):
        print(row(asked, names), flush=True)
        lines += asked
    for note in sorted({f"{line.backend}: {line.note}" for line in lines if line.note}):
        print(f"refused by {note}")
    if arguments.output:
        report = {
            "machine": machine(),
            "versions": versions,
            # JSON has no infinity
            "lines": [
                {**line._asdict(), "figure": None if line.note else line.figure} for line in lines
            ],
        }
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
