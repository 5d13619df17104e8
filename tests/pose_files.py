"""A map and images of it in files, as the tests of ``fslice poses`` take them."""

import numpy as np

from fslice.cli import main
from fslice.io import write_volume
from fslice.simulation import GaussianModel


def simulated_run(
    folder, count, size=16, pixel_size=7.0, *, atoms=(20, 25.0, 60.0), snr=3, shift_std=0.5
):
    """Write a map, and images of it with CTF and shifts; return the folder that has them.

    `atoms`: how many, the half side of the cube that holds them, and their squared width, in
    Angstrom.
    """
    rng, (number, half, square) = np.random.default_rng(3), atoms
    model = GaussianModel(
        half * rng.uniform(-1, 1, (number, 3)), rng.uniform(0.5, 1.5, number),
        np.full(number, square),
    )  # fmt: skip
    volume = model.volume(size, pixel_size, dtype=np.float32)
    write_volume(folder / "model.mrc", volume, pixel_size)
    words = "simulate", folder / "model.mrc", "-o", folder / "run", "-n", count, "--snr", snr
    assert main([str(word) for word in (*words, "--shift-std", shift_std, "--ctf")]) == 0
    return folder / "run"
