"""Progress bars on stderr, shown where it is a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

from tqdm import tqdm


class Progress(Protocol):
    """What a fit tells about itself."""

    @property
    def stage(self) -> str:
        """``"reading"`` for the first pass over the images, ``"fitting"`` after it."""

    @property
    def done(self) -> int:
        """Images of this pass that are done."""

    @property
    def total(self) -> int:
        """Images of a pass."""

    @property
    def epoch(self) -> int:
        """The pass, from 1."""

    @property
    def epochs(self) -> int:
        """How many there will be at most."""

    @property
    def elbo(self) -> float | None:
        """The latest estimate, in nats."""


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
            passes = progress.epochs if fitting else 1
            before = (progress.epoch - 1) * progress.total if fitting else 0
            if progress.stage not in bars:
                open_bars.close()
                bar = _bar(f"{label}: {progress.stage}", progress.total * passes, before)
                bars[progress.stage] = open_bars.enter_context(bar)
            bar = bars[progress.stage]
            if fitting:
                elbo = "" if progress.elbo is None else f", ELBO {progress.elbo:.6g}"
                bar.set_postfix_str(f"epoch {progress.epoch}/{passes}{elbo}", refresh=False)
            bar.update(before + progress.done - bar.n)

        yield show


def _bar(label: str, total: int, initial: int = 0) -> tqdm:
    return tqdm(
        desc=label,
        total=total,
        initial=initial,  # where an interrupted fit goes on: left out of the rate
        unit=" images",
        unit_scale=True,
        dynamic_ncols=True,
        disable=None,  # off where stderr is no terminal
    )
