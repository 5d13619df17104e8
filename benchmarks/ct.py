"""A unit square from a sinogram of 16 angles: least squares beside filtered back-projection.

    python benchmarks/ct.py FOLDER

FOLDER holds TomoPy's test phantom: ``angle.npy`` (16,) in radians and ``proj.npy`` (16, rows, 48),
the parallel-beam scan of a square of 32 pixels about the detector's middle. Filtered
back-projection is scikit-image's ``iradon`` with each of its filters; its lines are shifted by
Fourier interpolation, because it wants the axis on a pixel. Prints a table, and JSON as the last
line.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time
from collections.abc import Callable

import numpy as np
from scipy.sparse.linalg import lsmr

from fslice import Projector
from fslice.operators.linop import LinearOperator
from fslice.operators.spaces import Space

SIZE, MIDDLE = 48, -0.5
"""Box, and where the middle of the square and of the detector lies from the origin."""

FILTERS = ("ramp", "shepp-logan", "cosine", "hamming", "hann")


def scanner(angles: np.ndarray) -> tuple[LinearOperator, np.ndarray]:
    """Return the scan of an image with the square's middle on the axis, and its rotations."""
    cosine, sine = np.cos(angles), np.sin(angles)
    rotations = np.stack([cosine, -sine, sine, cosine], axis=-1).reshape(-1, 2, 2)
    shifts = MIDDLE - rotations[:, :, :1].sum(1) * MIDDLE
    projector = Projector(SIZE, 2, "cubic")
    return LinearOperator(
        Space((SIZE, SIZE), "float64"),
        Space((len(angles), SIZE), "float64"),
        lambda image: projector.project(image, rotations, shifts),
        lambda lines: projector.backproject(lines, rotations, shifts),
    ), rotations


def least_squares(scan: LinearOperator, sinogram: np.ndarray) -> np.ndarray:
    """Return the damped least-squares image."""
    return lsmr(scan.to_scipy(), sinogram.ravel(), damp=0.3)[0].reshape(SIZE, SIZE)


def not_negative(scan: LinearOperator, sinogram: np.ndarray, iterations: int = 300) -> np.ndarray:
    """Return the least-squares image that has no negative pixel, by accelerated gradients."""
    x = np.random.default_rng(0).normal(size=(SIZE, SIZE))
    for _ in range(20):
        x = scan.H(scan(x / np.linalg.norm(x)))
    step = 1 / np.linalg.norm(x)
    image = ahead = np.zeros((SIZE, SIZE))
    for count in range(iterations):
        gradient = scan.H(scan(ahead) - sinogram)
        before, image = image, np.maximum(ahead - step * gradient, 0)
        ahead = image + count / (count + 3) * (image - before)
    return image


def filtered(rotations: np.ndarray, sinogram: np.ndarray, name: str) -> np.ndarray:
    """Return scikit-image's filtered back-projection, the square where it is in the others."""
    from skimage.transform import iradon

    # `iradon` turns its y axis the other way: seen there, the middle is at (MIDDLE, -MIDDLE)
    there = rotations[:, 0, 0] * MIDDLE - rotations[:, 1, 0] * MIDDLE
    phases = np.exp(-2j * np.pi * np.fft.rfftfreq(SIZE) * (there - MIDDLE)[:, None])
    moved = np.fft.irfft(np.fft.rfft(sinogram, axis=1) * phases, SIZE, axis=1)
    degrees = np.degrees(np.arctan2(rotations[:, 1, 0], rotations[:, 0, 0]))
    return iradon(moved.T, theta=degrees, filter_name=name, circle=True)


def main(folder: pathlib.Path) -> None:
    """Reconstruct by all methods, and print their errors inside the disc that all views see."""
    angles = np.load(folder / "angle.npy")
    sinogram = np.load(folder / "proj.npy")[:, 4].astype(float)
    square = np.zeros((SIZE, SIZE))
    square[8:40, 8:40] = 1
    scan, rotations = scanner(angles)
    x, y = np.meshgrid(*[np.arange(SIZE) - SIZE // 2 - MIDDLE] * 2)
    disc = x**2 + y**2 <= (SIZE / 2) ** 2
    methods: dict[str, Callable[[], np.ndarray]] = {
        "fslice, least squares": lambda: least_squares(scan, sinogram),
        "fslice, not negative": lambda: not_negative(scan, sinogram),
    }
    for name in FILTERS:
        methods[f"scikit-image, {name}"] = lambda name=name: filtered(rotations, sinogram, name)
    results = {
        "projection": float(np.linalg.norm(scan(square) - sinogram) / np.linalg.norm(sinogram))
    }
    print(f"projection of the square: relative error {results['projection']:.4f}")
    for label, method in methods.items():
        started = time.perf_counter()
        found = method()
        seconds = time.perf_counter() - started
        error = float(np.linalg.norm((found - square)[disc]) / np.linalg.norm(square[disc]))
        results[label] = error
        print(f"{label:28}  relative error {error:.3f}  {1000 * seconds:6.0f} ms")
    print(json.dumps(results))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
