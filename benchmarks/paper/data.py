"""Simulated sets of images, made once and kept as files.

A set without noise is projected first; those with noise are the same projections with noise added,
as `fslice.simulate` adds it, so that they differ in nothing but its variance.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import fslice
from benchmarks.paper.settings import CLEAN, Settings, noise_name
from fslice.cli._progress import image_bar
from fslice.io import read_atoms
from fslice.simulation import GaussianModel
from fslice.simulation.draws import add_noise

PART = 1024
"""Images that are made together."""


@dataclass(frozen=True, eq=False)
class Images:
    """Projections in known poses, and the truth."""

    images: np.ndarray
    """(n, D, D) float32, mapped from a file."""
    rotations: np.ndarray
    """(n, 3, 3) float32: image to volume coordinates."""
    truth: np.ndarray
    """(D, D, D) float32."""
    pixel_size: float
    signal_variance: float
    """Of all pixels of the clean images."""
    noise_variance: float

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    @property
    def size(self) -> int:
        """Box in pixels."""
        return int(self.images.shape[1])

    def dataset(self, n: int | None = None, *, halves: bool = False) -> fslice.Dataset:
        """Return the first n images as a data set with known poses, in random halves if asked."""
        n = len(self) if n is None else n
        poses = fslice.Poses(self.rotations[:n])
        return fslice.Dataset(self.images[:n], poses, half_sets=half_labels(n) if halves else None)

    def resolution(self, curve: np.ndarray, threshold: float = 0.5) -> dict[str, float]:
        """Return where a curve falls below a threshold, in Angstrom and as a shell."""
        reached = fslice.resolution(curve, self.size, self.pixel_size, threshold)
        return {"angstrom": reached, "shell": self.size * self.pixel_size / reached}


def half_labels(n: int) -> np.ndarray:
    """Return 1 or 2 for each image, at random."""
    labels = np.empty(n, int)
    for label, half in enumerate(fslice.metrics.split_half_sets(n, np.random.default_rng(0)), 1):
        labels[half] = label
    return labels


def simulated(settings: Settings, snr: float, cone: float | None = None) -> Images:
    """Return a set of images, from its files if it has been made before."""
    folder = _folder(settings, cone)
    if not (folder / "poses.npz").exists():
        _project(settings, cone, folder)
    with np.load(folder / "poses.npz") as known:
        rotations, truth = known["rotations"], known["truth"]
        signal = float(known["signal_variance"])
    noise = 0.0 if snr == CLEAN else signal / snr
    path = folder / f"{noise_name(snr)}.npy"
    if not path.exists():
        _add_noise(folder / "clean.npy", path, noise, settings.seed)
    images = np.load(path, mmap_mode="r")
    return Images(images, rotations.astype(np.float32), truth, settings.pixel_size, signal, noise)


def _folder(settings: Settings, cone: float | None) -> Path:
    model = Path(settings.model).name.partition(".")[0]
    views = "all" if cone is None else f"cone{cone:g}"
    name = f"{model}_{settings.size}_{settings.pixel_size:g}_{settings.n}_{views}_{settings.seed}"
    return settings.data / name


def particle(settings: Settings) -> GaussianModel:
    """Return what is projected: atoms of a file, or the phantom."""
    if settings.model == "phantom":
        return fslice.phantom(settings.size, settings.pixel_size)
    return GaussianModel.from_atoms(read_atoms(settings.model))


def _project(settings: Settings, cone: float | None, folder: Path) -> None:
    """Write the projections, and at last their poses, so that a folder with poses is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    size, model = settings.size, particle(settings)
    made = fslice.simulate(
        model, settings.n, size, settings.pixel_size, cone=cone, seed=settings.seed
    )
    total = squares = 0.0
    with (
        _written(folder / "clean.npy", (len(made), size, size)) as out,
        image_bar("projecting", len(made)) as advance,
    ):
        for start in range(0, len(made), PART):
            part = made.images(start, min(start + PART, len(made)))
            total += float(part.sum(dtype=np.float64))
            squares += float(np.square(part, dtype=np.float64).sum())
            out[start : start + len(part)] = part
            advance(len(part))
    pixels = len(made) * size**2
    np.savez(
        folder / "poses.npz", rotations=made.rotations, truth=made.truth,
        signal_variance=squares / pixels - (total / pixels) ** 2,
    )  # fmt: skip


def _add_noise(clean: Path, path: Path, variance: float, seed: int) -> None:
    images = np.load(clean, mmap_mode="r")
    with _written(path, images.shape) as out, image_bar("adding noise", len(images)) as advance:
        for start in range(0, len(images), PART):
            part = np.array(images[start : start + PART])
            add_noise(part, variance**0.5, seed, first=start)
            out[start : start + len(part)] = part
            advance(len(part))


class _written:
    """A file that has its name once it is complete."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.shape = path, shape
        self.partial = path.with_suffix(".partial")

    def __enter__(self) -> np.memmap:
        return np.lib.format.open_memmap(self.partial, "w+", np.float32, self.shape)

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            os.replace(self.partial, self.path)
        else:
            self.partial.unlink(missing_ok=True)


def parts(n: int) -> Iterator[slice]:
    """Yield the images of a set, some at a time."""
    for start in range(0, n, PART):
        yield slice(start, min(start + PART, n))
