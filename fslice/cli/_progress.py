"""Progress bars on stderr, shown where it is a terminal."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator

from tqdm import tqdm

from fslice.solvers.progress import Progress


@contextlib.contextmanager
def image_bar(label: str, total: int) -> Iterator[Callable[[int], object]]:
    """Yield what is told each time how many more of `total` images are done."""
    with _bar(label, total) as bar:
        yield bar.update


@contextlib.contextmanager
def fit_bar() -> Iterator[Callable[[Progress], None]]:
    """Yield what a fit reports to: a bar for each stage, with its rate, time left and note."""
    with contextlib.ExitStack() as open_bars:
        bars: dict[str, tqdm] = {}

        def show(progress: Progress) -> None:
            if progress.stage not in bars:
                close()
                bar = _bar(progress.stage, progress.total, f" {progress.unit}")
                bars[progress.stage] = open_bars.enter_context(bar)
            bar = bars[progress.stage]
            bar.set_postfix_str(progress.note, refresh=False)
            bar.update(progress.done - bar.n)

        def close() -> None:
            for bar in bars.values():  # done, though a fit may converge before its last epoch
                bar.total = bar.n
            open_bars.close()
            bars.clear()

        yield show
        close()


def _bar(label: str, total: int, unit: str = " images") -> tqdm:
    columns, lines = shutil.get_terminal_size()  # tqdm's own hides bars if they are unknown
    return tqdm(
        desc=label,
        total=total,
        unit=unit,
        unit_scale=True,
        miniters=1,  # else a resumed fit, whose first step is large, is shown in such steps
        ncols=columns,
        nrows=lines,
        bar_format="{desc} {percentage:3.0f}%|{bar}| {rate_fmt}, {remaining} left{postfix}",
        disable=None,  # off where stderr is no terminal
    )
