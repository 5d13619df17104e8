"""Progress bars on stderr, shown where it is a terminal."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator

from tqdm import tqdm

from fslice.solvers.results import Progress


@contextlib.contextmanager
def image_bar(label: str, total: int) -> Iterator[Callable[[int], object]]:
    """Yield what is told each time how many more of `total` images are done."""
    with _bar(label, total) as bar:
        yield bar.update


@contextlib.contextmanager
def fit_bar(label: str) -> Iterator[Callable[[Progress], None]]:
    """Yield what a fit reports to: a bar for each stage, with ELBO, images/s and time left."""
    with contextlib.ExitStack() as open_bars:
        bars: dict[str, tqdm] = {}

        def show(progress: Progress) -> None:
            fitting = progress.stage == "fitting"
            passes = progress.epochs + 1 if fitting else 1  # the last one measures the end
            before = progress.epoch * progress.total
            if progress.stage not in bars:
                open_bars.close()
                bar = _bar(f"{label}{progress.stage}", progress.total * passes, before)
                bars[progress.stage] = open_bars.enter_context(bar)
            bar = bars[progress.stage]
            if fitting:
                elbo = "" if progress.elbo is None else f", ELBO {progress.elbo:.5g}"
                bar.set_postfix_str(
                    f"epoch {progress.epoch}/{progress.epochs}{elbo}", refresh=False
                )
            bar.update(before + progress.done - bar.n)

        yield show
        for bar in bars.values():  # done, though a fit may converge before its last epoch
            bar.total = bar.n


def _bar(label: str, total: int, initial: int = 0) -> tqdm:
    columns, lines = shutil.get_terminal_size()  # tqdm's own hides bars if they are unknown
    return tqdm(
        desc=label,
        total=total,
        initial=initial,  # where an interrupted fit goes on: left out of the rate
        unit=" images",
        unit_scale=True,
        ncols=columns,
        nrows=lines,
        bar_format="{desc} {percentage:3.0f}%|{bar}| {rate_fmt}, {remaining} left{postfix}",
        disable=None,  # off where stderr is no terminal
    )
