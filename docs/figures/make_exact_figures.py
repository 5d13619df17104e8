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
from fslice.metrics import credible_band
from fslice.posterior.accumulate import accumulate
from fslice.posterior.hyperparameters import learn_supported
from fslice.posterior.masked import soft_sphere
from fslice.posterior.samples import posterior_deviations, predicted_fsc
from fslice.posterior.solve import solve_exact
from fslice.solvers.closed_form import statistics_of
from fslice.solvers.variational import signal_variance

HERE = Path(__file__).parent
IMAGES, RADIUS, EDGE, SAMPLES = 10_000, 44.0, 6.0, 4
SHELLS = 4, 10, 20, 28, 36, 44, 52, 60


def resolution(curve, pixel_size):
    """Return where a correlation falls below a half, in Angstrom and in shells."""
    size = 2 * (len(curve) - 1)
    reached = fslice.resolution(curve, size, pixel_size)
    return reached, size * pixel_size / reached


def paper(normal, truth, noise):
    """Return the curve of the scalar prior and independent coefficients, and what is true."""
    solution = solve_exact(normal, signal_variance(statistics_of(normal)), noise)
    alpha = fslice.spectral_snr(solution.mean_ft, solution.sigma)
    curve = fslice.fsc_from_snr(alpha)[: len(truth) // 2 + 1]
    error = abs(solution.mean_ft - normal.projector.transform(truth)) ** 2
    box = normal.projector.padded_size
    ratio = shell_sum(error, box, 3) / shell_sum(solution.sigma.astype(float) ** 2, box, 3)
    return curve, fslice.fsc(solution.volume(), truth), ratio


def learned(normal, truth, radius):
    """Return what learning prior and noise inside a sphere makes of the map and predicts."""
    mask = soft_sphere(len(truth), radius, EDGE, "float32")
    solution = learn_supported(normal, mask)
    deviations = posterior_deviations(solution.precision, SAMPLES, np.random.default_rng(0))
    curves = predicted_fsc(solution.precision, solution.mean_ft, deviations)
    return curves, fslice.fsc(solution.volume(), truth), solution.precision.noise_variance


def draw(axes, title, frequencies, curves, actual, scalar):
    """Draw one panel."""
    recipe, recipe_actual = scalar
    axes.plot(frequencies, actual, color="#0072B2", lw=1.8, label="learned, sphere: with the truth")
    axes.plot(
        frequencies, curves.mean(0), "--", color="#D55E00", lw=1.8, label="... predicted by samples"
    )
    axes.fill_between(frequencies, *credible_band(curves), color="#D55E00", alpha=0.3, lw=0)
    axes.plot(frequencies, recipe_actual, color="0.3", lw=1.2, label="scalar prior: with the truth")
    axes.plot(frequencies, recipe, ":", color="0.3", lw=1.8, label=r"... $\alpha/(1+\alpha)$")
    axes.axhline(0.5, color="0.6", lw=0.8)
    axes.set(title=title, xlabel="spatial frequency [1/Å]", ylim=(-0.03, 1.03))


def main():
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="made by fslice simulate")
    folder = parser.parse_args().folder
    particles = read_particles(folder / "particles.star")
    truth, pixel_size = read_volume(folder / "truth.mrc")
    images = np.array(particles.images[:IMAGES])
    poses = particles.rotations[:IMAGES], particles.shifts[:IMAGES]
    figure = Figure(figsize=(9.5, 3.6), dpi=120, layout="constrained")
    noise, rng = None, np.random.default_rng(0)
    for axes, snr in zip(figure.subplots(1, 2, sharey=True), (0.04, 0.01), strict=True):
        if noise is not None:
            for image in images:
                image += np.sqrt(3 * noise) * rng.standard_normal(image.shape, dtype=np.float32)
        normal = accumulate(images, *poses, projector=fslice.Projector(len(truth)))
        curves, actual, noise = learned(normal, truth, RADIUS)
        recipe, recipe_actual, ratio = paper(normal, truth, noise)
        print(f"SNR {snr}: resolution [A] and shell at 0.5", flush=True)
        named = {
            "learned, with the truth": actual,
            "learned, predicted": curves.mean(0),
            "scalar, with the truth": recipe_actual,
            "scalar, alpha/(1+alpha)": recipe,
        }
        for name, curve in named.items():
            print(f"  {name}: {resolution(curve, pixel_size)}, {curve[list(SHELLS)].round(2)}")
        print(f"  squared error over s^2 in shells {SHELLS}: {ratio[list(SHELLS)].round(1)}")
        frequencies = fslice.shell_frequencies(len(truth), pixel_size)
        title = f"{IMAGES:,} images, SNR {snr:g}"
        draw(axes, title, frequencies, curves, actual, (recipe, recipe_actual))
    figure.axes[0].set_ylabel("shell correlation")
    figure.axes[0].legend(frameon=False, fontsize=8, loc="lower left")
    figure.savefig(HERE / "exact.png")
    # the same without noise from interpolation
    finer = accumulate(images, *poses, projector=fslice.Projector(len(truth), 2))
    ratio = paper(finer, truth, noise)[2]
    print(f"oversampling 2, SNR 0.01: {ratio[[2 * shell for shell in SHELLS]].round(1)}")


if __name__ == "__main__":
    main()
