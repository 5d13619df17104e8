"""Speed of projecting, inserting and differentiating: fslice and its peers, in turns.

    pip install -e ".[bench]"
    python benchmarks/projection.py

First checks that all contestants compute the same thing, then times them, and prints tables.
See benchmarks/README.md for what is measured and how.
"""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path
from statistics import median
from typing import Any

from problem import Problem, difference, make_problem
from timing import in_turns, machine, sample
from with_fslice import Fslice
from with_torch_fourier_slice import TorchFourierSlice
from with_torch_projectors import TorchProjectors

CONTESTANTS = {
    "numba": functools.partial(Fslice, "numba"),
    "numpy": functools.partial(Fslice, "numpy"),
    "torch-projectors": TorchProjectors,
    "torch-fourier-slice": TorchFourierSlice,
}
PEER = "torch-projectors"
OPERATIONS = (
    "project",
    "insert",
    "project, all gradients",
    "misfit, volume gradient",
    "misfit, all gradients",
)
BATCHES = (16, 64, 256, 1024)
PIXELS = 1024 * 128**2
"""Of the largest batch that is tried."""
ENOUGH = 5.0
"""Seconds of one call beyond which no larger batch is tried."""


def main() -> None:
    arguments = parse()
    contestants = present(arguments.contestants)
    results = []
    print("\n".join(f"{c.name} {c.version}" for c in contestants))
    for interpolation in ("linear", "cubic") if arguments.cubic else ("linear",):
        taking_part = [c for c in contestants if interpolation in c.interpolations]
        for size in arguments.sizes:
            different = differences(taking_part, make_problem(size, 16, interpolation))
            rates = measure(taking_part, size, interpolation, arguments)
            for row in rates:
                row["difference"] = different[row["contestant"]][row["operation"]]
            print(
                f"\nbox {size}, {interpolation}, {rates[0]['samples per image']} samples an image"
            )
            print(table(rates))
            results += rates
    report = {"machine": arguments.machine, "versions": {c.name: c.version for c in contestants}}
    if arguments.output:
        arguments.output.write_text(json.dumps(report | {"results": results}, indent=1) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[64, 128, 256], help="boxes, in pixels"
    )
    parser.add_argument(
        "--batch", type=int, default=256, help="images of a call; 0: what each does best at"
    )
    parser.add_argument(
        "--contestants", nargs="+", choices=CONTESTANTS, default=[*CONTESTANTS], help="who runs"
    )
    parser.add_argument("--repeats", type=int, default=7, help="samples of each (median)")
    parser.add_argument("--cubic", action="store_true", help="measure the cubic kernels too")
    parser.add_argument("--output", type=Path, help="JSON file with every sample")
    arguments = parser.parse_args()
    arguments.machine = machine()
    return arguments


def present(names: list[str]) -> list[Any]:
    """Return the contestants that are installed; say which are not."""
    found = []
    for name in names:
        try:
            found.append(CONTESTANTS[name]())
        except (ImportError, OSError) as error:
            print(f"left out: {error}".splitlines()[0])
    return found


def differences(contestants: list[Any], problem: Problem) -> dict[str, dict[str, float | None]]:
    """Return by how much each contestant's answers differ from the first one's."""
    first, found = {}, {}
    for contestant in contestants:
        operations = contestant.operations(problem)
        answers = {
            name: contestant.answer(name, call(), problem) for name, call in operations.items()
        }
        first = first or answers
        found[contestant.name] = {
            name: difference(answer, first[name]) for name, answer in answers.items()
        }
    return found


def measure(
    contestants: list[Any], size: int, interpolation: str, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """Return one row for each contestant and operation."""
    calls, batches = {}, {}
    problems = functools.cache(lambda batch: make_problem(size, batch, interpolation))
    for contestant in contestants:
        for name, (batch, call) in best_batches(contestant, problems, size, arguments).items():
            calls[contestant.name, name], batches[contestant.name, name] = call, batch
    grouped = {key: calls[key] for key in sorted(calls, key=lambda key: OPERATIONS.index(key[1]))}
    samples = in_turns(grouped, arguments.repeats)
    band = int((abs(problems(16).images_ft[0]) > 0).sum())
    return [
        {
            "size": size,
            "interpolation": interpolation,
            "contestant": contestant,
            "operation": operation,
            "batch": batches[contestant, operation],
            "samples per image": band,
            "images per second": batches[contestant, operation] / median(s[0] for s in seconds),
            "seconds": [round(s[0], 5) for s in seconds],
            "processor seconds": [round(s[1], 5) for s in seconds],
        }
        for (contestant, operation), seconds in samples.items()
    ]


def best_batches(
    contestant: Any, problems: Any, size: int, arguments: argparse.Namespace
) -> dict[str, tuple[int, Any]]:
    """Return, for each operation, the number of images with the highest rate, and its call.

    Of those asked for, as far as the contestant takes so many.
    """
    best, rates = {}, {}
    most = min(PIXELS // size**2, contestant.largest_batch)
    wanted = (arguments.batch,) if arguments.batch else BATCHES
    for batch in sorted({min(batch, most) for batch in wanted}):
        for name, call in contestant.operations(problems(batch)).items():
            if rates.get(name, (0, 0))[1] > ENOUGH:
                continue
            call()  # the first one compiles
            seconds = median(sample(call)[0] for _ in range(3))
            if batch / seconds > rates.get(name, (0, 0))[0]:
                best[name] = batch, call
            rates[name] = max(batch / seconds, rates.get(name, (0, 0))[0]), seconds
    return best


def table(rows: list[dict[str, Any]]) -> str:
    """Lay out images per second, their ratio to torch-projectors, differences and batches."""
    found = {(row["contestant"], row["operation"]): row for row in rows}

    def rate(row: dict[str, Any]) -> str:
        peer = found.get((PEER, row["operation"]))
        return f"{row['images per second']:,.0f}" + (f" ({ratio(row, peer):.2g}x)" if peer else "")

    def deviation(row: dict[str, Any]) -> str:
        return "-" if row["difference"] is None else f"{row['difference']:.1e}"

    lines = []
    for title, entry in {
        "images per second": rate,
        "relative difference": deviation,
        "images of a call": lambda row: str(row["batch"]),
    }.items():
        lines.append([title, *OPERATIONS])
        for name in dict.fromkeys(row["contestant"] for row in rows):
            lines.append([name, *(entry(found[name, operation]) for operation in OPERATIONS)])
        lines.append([])
    return "\n".join(
        "  ".join(cell.rjust(24) if i else cell.ljust(22) for i, cell in enumerate(line))
        for line in lines[:-1]
    )


def ratio(row: dict[str, Any], peer: dict[str, Any]) -> float:
    """Return how many times faster a row is: the median over the rounds, as rounds differ."""
    return (
        row["batch"]
        / peer["batch"]
        * median(theirs / own for own, theirs in zip(row["seconds"], peer["seconds"], strict=True))
    )


if __name__ == "__main__":
    main()
