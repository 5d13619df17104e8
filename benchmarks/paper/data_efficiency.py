"""Section 6.2's claim: how many images it takes to know how good a map is."""

from __future__ import annotations

from typing import Any

from benchmarks.paper.data import Images, simulated
from benchmarks.paper.fig4 import (
    ALPHA,
    GAUSSIAN,
    HALF_A,
    HALVES,
    LEARNED,
    PREDICTED,
    all_curves,
)
from benchmarks.paper.figures import COLOURS, DASHES, NORMAL, SMALL, new_figure, save
from benchmarks.paper.fits import half_sums, judge
from benchmarks.paper.settings import Settings, noise_name

SNR = (0.04, 0.01)
COUNTS = (1000, 2000, 5000, 10_000, 20_000, 40_000)
SHOWN = {
    "map of all, truth at 0.5": (GAUSSIAN, 0.5),
    "map of a half, truth at 0.5": (HALF_A, 0.5),
    "halves, 0.143": (HALVES, 0.143),
    "alpha/(1+alpha), 0.5": (ALPHA, 0.5),
    "prior per shell, sphere: truth at 0.5": (LEARNED, 0.5),
    "... predicted, 0.5": (PREDICTED, 0.5),
}
"""What is drawn over the number of images: a curve of `fig4`, and its threshold."""


def run(settings: Settings) -> dict[str, Any]:
    """Fit to the first n images for each n, and read resolutions."""
    figure = new_figure((4.8 * len(settings.snr), 4.8))
    panels = figure.subplots(1, len(settings.snr), squeeze=False)[0]
    report = {}
    for axes, snr in zip(panels, settings.snr, strict=True):
        data = simulated(settings, snr)
        rows = _rows(data, settings.options["counts"])
        _draw(axes, rows, noise_name(snr))
        report[noise_name(snr)] = rows
    lines, names = panels[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=2, frameon=False, fontsize=SMALL)
    panels[0].set_ylabel("resolution [Å]", fontsize=NORMAL)
    save(figure, settings.figure_path("data_efficiency"))
    return {"levels": report}


def _rows(data: Images, counts: list[int]) -> dict[int, dict[str, Any]]:
    """Return what each curve says of the maps of the first n images, which are read once."""
    rows, halves, before = {}, None, 0
    for n in counts:
        more = half_sums(data, before, n)
        halves = more if halves is None else [a + b for a, b in zip(halves, more, strict=True)]
        curves, before = all_curves(judge(halves, data.size), data.truth), n
        rows[n] = {
            name: data.resolution(curves[curve], threshold)
            for name, (curve, threshold) in SHOWN.items()
        }
    return rows


def _draw(axes: Any, rows: dict[int, dict[str, Any]], snr: str) -> None:
    for index, name in enumerate(SHOWN):
        axes.loglog(
            list(rows), [row[name]["angstrom"] for row in rows.values()], label=name, lw=1.6,
            marker=".", color=COLOURS[index % len(COLOURS)], linestyle=DASHES[index % len(DASHES)],
        )  # fmt: skip
    axes.set_title(f"SNR {snr}", fontsize=NORMAL)
    axes.set_xlabel("images", fontsize=NORMAL)
    axes.set_yticks([6, 8, 10, 15, 20, 30], labels=["6", "8", "10", "15", "20", "30"])
    axes.minorticks_off()
    axes.tick_params(labelsize=SMALL)
