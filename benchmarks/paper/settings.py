"""What an experiment is run on, and where its results go."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLEAN = float("inf")
"""The signal-to-noise ratio of images without noise."""


@dataclass(frozen=True)
class Settings:
    """The data and the folder of an experiment.

    Parameters
    ----------
    model : str
        ``"phantom"``, or a file of atoms or of a map.
    n : int
        Images of a data set.
    size : int
        Box in pixels.
    pixel_size : float
        Angstrom.
    output : Path
        Folder of figures and numbers.
    data : Path
        Folder in which simulated sets are kept for the next command.
    snr : tuple of float
        Signal-to-noise ratios; `CLEAN` for none.
    seed : int
    options : dict
        What belongs to one experiment.
    """

    model: str
    n: int
    size: int
    pixel_size: float
    output: Path
    data: Path
    snr: tuple[float, ...]
    seed: int
    options: dict[str, Any]

    def figure_path(self, name: str) -> Path:
        """Return the file of a figure."""
        return self.output / f"{name}.png"

    def summary(self) -> dict[str, Any]:
        """Return what the numbers depend on, for the report."""
        return {
            "model": Path(self.model).name,
            "n": self.n,
            "size": self.size,
            "pixel_size": self.pixel_size,
            "snr": [noise_name(snr) for snr in self.snr],
            "seed": self.seed,
            **self.options,
        }


def noise_name(snr: float) -> str:
    """Name a noise level: ``"clean"``, or the ratio.

    Examples
    --------
    >>> noise_name(CLEAN), noise_name(0.04)
    ('clean', '0.04')
    """
    return "clean" if snr == CLEAN else f"{snr:g}"


def noise_title(snr: float) -> str:
    """Say a noise level in the title of a figure."""
    return "no noise" if snr == CLEAN else f"SNR {snr:g}"


def write_report(settings: Settings, name: str, report: dict[str, Any]) -> Path:
    """Write the numbers of an experiment, and return their file."""
    path = settings.output / f"{name}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    return path
