"""Speed of the CUDA kernels on the GPU at hand: one command, under eight minutes.

    python benchmarks/gpu.py --output gpu.json --document docs/gpu.md

First compares every kernel with NumPy's, and stops where one differs. Then measures what the memory
copies, the kernels, and the peers that are installed; then a map from 40,000 images in host memory.
Writes all figures as JSON, and the table of a page between its two marks.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpu_kernels import check, time_kernels
from gpu_map import time_map
from gpu_peers import PEERS, time_peer
from gpu_timing import copied_per_second, milliseconds

import fslice
from fslice._devices import gpu_library, gpu_names

CASES = (
    # box, images, precision, interpolation
    (128, 40_000, "float32", "linear"),
    (128, 40_000, "float64", "linear"),
    (128, 40_000, "float32", "cubic"),
    (256, 10_000, "float32", "linear"),
    (256, 10_000, "float64", "linear"),
)
MARKS = re.compile(r"(<!-- figures -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def main() -> None:
    arguments, start = parse(), time.perf_counter()
    xp = gpu_library()
    report = machine(xp)
    print(", ".join(f"{name}: {value}" for name, value in report.items()))
    differing = check(xp, arguments.check_size)
    if differing:
        raise SystemExit(f"no figures: {len(differing)} differ from NumPy: {differing}")
    bandwidth = copied_per_second(xp, arguments.megabytes << 20)
    print(f"copy: {bandwidth / 1e9:.0f} GB/s, read and written")
    rows = []
    for case in scaled(arguments):
        for row in measured(xp, case, bandwidth, arguments):
            rows.append(row)
            print(f"{time.perf_counter() - start:4.0f} s: {described(row)}", flush=True)
    maps = time_map(xp, arguments.map_size, arguments.map_images)
    report |= {"copy, bytes per second": bandwidth, "kernels": rows, "map, seconds": maps}
    print("\n".join(lines := table(report)))
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")
    if arguments.document:
        write_table(arguments.document, lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="JSON file with all figures")
    parser.add_argument("--document", type=Path, help="page whose table is written anew")
    parser.add_argument("--repeats", type=int, default=7, help="calls of each (median)")
    parser.add_argument("--check-size", type=int, default=16, help="box of the comparison")
    parser.add_argument("--sizes", type=int, nargs="+", help="only cases of these boxes")
    parser.add_argument("--images", type=int, help="instead of those of the cases")
    parser.add_argument("--megabytes", type=int, default=4096, help="that are copied")
    parser.add_argument("--map-size", type=int, default=128)
    parser.add_argument("--map-images", type=int, default=40_000)
    parser.add_argument("--torch-device", default="cuda", help="where the peers compute")
    return parser.parse_args()


def machine(xp: Any) -> dict[str, Any]:
    """Describe where and when this is measured."""
    runtime = xp.cuda.runtime
    return {
        "GPU": gpu_names(xp)[0],
        "driver, CUDA": runtime.driverGetVersion(),
        "runtime, CUDA": runtime.runtimeGetVersion(),
        "fslice": fslice.__version__,
        "CuPy": xp.__version__,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def scaled(arguments: argparse.Namespace) -> list[tuple[int, int, str, str]]:
    """Return the cases, of other boxes and numbers of images where these are given."""
    sizes = arguments.sizes or sorted({case[0] for case in CASES})
    known = {case[0] for case in CASES}
    chosen = [case for case in CASES if case[0] in sizes]
    chosen += [(size, *CASES[0][1:]) for size in sizes if size not in known]
    return [(size, arguments.images or count, *rest) for size, count, *rest in chosen]


def measured(
    xp: Any, case: tuple[int, int, str, str], bandwidth: float, arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield a row for each kernel of a case, and for each operation of each peer."""
    size, count, dtype, interpolation = case
    named = {"box": size, "images": count, "precision": dtype, "interpolation": interpolation}
    for name, call, moved in time_kernels(xp, *case):
        spent = milliseconds(xp, call, arguments.repeats)
        yield {
            **named,
            "contestant": "fslice",
            "operation": name,
            "milliseconds": spent,
            "of the copy": moved / bandwidth / spent * 1e3 if moved else None,
        }
    xp.get_default_memory_pool().free_all_blocks()  # the peers have their own
    for make in PEERS:
        for volumes in (1, 8):
            for row in time_peer(make, volumes, case, arguments.torch_device, arguments.repeats):
                yield {**named, "volumes": volumes, **row}


def described(row: dict[str, Any]) -> str:
    """Return a row as a line."""
    case = f"{row['box']} {row['precision']} {row['interpolation']}"
    return f"{case}: {contestant(row)}, {row['operation']}: {row['milliseconds']:.2f} ms"


def contestant(row: dict[str, Any]) -> str:
    """Return who took part, with how many volumes."""
    volumes = row.get("volumes", 1)
    return row["contestant"] + (f", {volumes} volumes" if volumes > 1 else "")


def table(report: dict[str, Any]) -> list[str]:
    """Return the lines of the page's table."""
    driver = report["driver, CUDA"]
    lines = [
        f"{report['GPU']}, driver for CUDA {driver // 1000}.{driver % 1000 // 10}, CuPy "
        f"{report['CuPy']}, fslice {report['fslice']}, {report['date'][:10]}. A copy on the device "
        f"moves {report['copy, bytes per second'] / 1e9:.0f} GB/s.",
        "",
        "| box | precision, kernel | images | operation | by | ms | of the copy's speed |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["kernels"]:
        share = row.get("of the copy")
        lines.append(
            f"| {row['box']} | {row['precision']}, {row['interpolation']} | {row['images']:,} | "
            f"{row['operation']} | {contestant(row)} | {row['milliseconds']:.2f} | "
            f"{'' if share is None else f'{share:.0%}'} |"
        )
    first, again = report["map, seconds"]
    lines += ["", f"A map with half sets from images with CTF in host memory: {again:.2f} s "
              f"({first:.2f} s the first time, with the compilation of the kernels)."]  # fmt: skip
    return lines


def write_table(page: Path, lines: list[str]) -> None:
    """Put lines between the marks of a page."""
    text = page.read_text()
    if not MARKS.search(text):
        raise SystemExit(f"{page}: expected the marks <!-- figures --> and <!-- end of figures -->")
    page.write_text(MARKS.sub(lambda m: m[1] + "\n".join(lines) + "\n" + m[2], text))


if __name__ == "__main__":
    main()
