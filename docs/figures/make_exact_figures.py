"""Make the figure of predicted correlations in docs/inference.md and print its table.

It needs 10,000 images of GroEL-GroES (PDB 1AON), as the README makes them, and some minutes:

    fslice simulate 1aon.pdb.gz -o run --size 128 --pixel-size 2.8 -n 10000 --snr 0.04
    python docs/figures/make_exact_figures.py run
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fslice
from fslice.fourier import shell_sum
from fslice.io import read_particles, read_volume
from fslice.metrics import credible_band, fsc_from_snr, shell_frequencies, spectral_snr
from fslice.postprocess.masks import soft_spherical_mask

IMAGES, SAMPLES = 10_000, 4
RADIUS, EDGE = 44 / 128, 6 / 128  # of the mask, as shares of the box
SHELLS = np.array([4, 10, 20, 28, 36, 44, 52, 60]) / 64  # as shares of Nyquist


def resolution(curve, pixel_size):
    """Return where a correlation falls below a half, in Angstrom and in shells."""
    size = 2 * (len(curve) - 1)
    reached = fslice.resolution(curve, size, pixel_size)
    return round(float(reached), 2), round(float(size * pixel_size / reached), 1)


def scalar(images, poses, truth):
    """Return what one prior for all shells makes of the map and predicts by s, and its errors."""
    result = fslice.reconstruct(images, *poses, prior="scalar")
    predicted = fsc_from_snr(spectral_snr(result.latent_mean, result.posterior_std))
    size = len(result.latent_mean)
    error = abs(result.latent_mean - fslice.Projector(size).transform(truth)) ** 2
    ratio = shell_sum(error, size, 3) / shell_sum(result.posterior_std.astype(float) ** 2, size, 3)
    return predicted, fslice.fsc(result.mean, truth), ratio


def learned(images, poses, truth):
    """Return what a prior per shell inside a sphere makes of the map and predicts by samples."""
    size = len(truth)
    mask = soft_spherical_mask(size, RADIUS * size, EDGE * size, dtype="float32")
    result = fslice.reconstruct(images, *poses, mask=mask, solver=fslice.Exact(samples=SAMPLES))
    return result.fsc_samples, fslice.fsc(result.mean, truth), result.noise_variance


def draw(axes, frequencies, curves, actual, scalar_curves):
    """Draw one panel."""
    recipe, recipe_actual = scalar_curves
    axes.plot(frequencies, actual, color="#0072B2", lw=1.8, label="learned, sphere: with the truth")
    axes.plot(
        frequencies, curves.mean(0), "--", color="#D55E00", lw=1.8, label="... predicted by samples"
    )
    axes.fill_between(frequencies, *credible_band(curves), color="#D55E00", alpha=0.3, lw=0)
    axes.plot(frequencies, recipe_actual, color="0.3", lw=1.2, label="scalar prior: with the truth")
    axes.plot(frequencies, recipe, ":", color="0.3", lw=1.8, label=r"... $\alpha/(1+\alpha)$")
    axes.axhline(0.5, color="0.6", lw=0.8)
    axes.set(xlabel="spatial frequency [1/Å]", ylim=(-0.03, 1.03))


def compare(axes, snr, images, poses, truth, pixel_size):
    """Draw and print what is predicted beside what is; return the noise variance."""
    curves, actual, noise = learned(images, poses, truth)
    recipe, recipe_actual, ratio = scalar(images, poses, truth)
    named = {
        "learned, with the truth": actual,
        "learned, predicted": curves.mean(0),
        "scalar, with the truth": recipe_actual,
        "scalar, alpha/(1+alpha)": recipe,
    }
    shells = (SHELLS * (len(truth) // 2)).astype(int)
    print(f"SNR {snr}: resolution [A] and shell at 0.5", flush=True)
    for name, curve in named.items():
        print(f"  {name}: {resolution(curve, pixel_size)}, {curve[shells].round(2)}")
    print(f"  squared error over s^2 in shells {shells}: {ratio[shells].round(1)}")
    draw(axes, shell_frequencies(len(truth), pixel_size), curves, actual, (recipe, recipe_actual))
    axes.set_title(f"{len(images):,} images, SNR {snr:g}")
    return noise


def main():
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder made by fslice simulate")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help="for the figure")
    arguments = parser.parse_args()
    particles = read_particles(arguments.data / "particles.star")
    truth, pixel_size = read_volume(arguments.data / "truth.mrc")
    images = np.array(particles.images[:IMAGES])
    poses = particles.rotations[:IMAGES], particles.shifts[:IMAGES]
    figure = Figure(figsize=(9.5, 3.6), dpi=120, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    noise = compare(panels[0], 0.04, images, poses, truth, pixel_size)
    rng = np.random.default_rng(0)
    for image in images:
        image += np.sqrt(3 * noise) * rng.standard_normal(image.shape, dtype=np.float32)
    compare(panels[1], 0.01, images, poses, truth, pixel_size)
    panels[0].set_ylabel("shell correlation")
    panels[0].legend(frameon=False, fontsize=8, loc="lower left")
    figure.savefig(arguments.folder / "exact.png")


if __name__ == "__main__":
    main()
