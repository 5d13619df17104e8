"""Make the figures of docs/inference.md and print its tables.

Run it as ``python docs/figures/make_figures.py``. Takes some minutes on two processors; with
``--images 200 --box 32 --folder DIR`` it is a test of itself.
"""

import argparse
import itertools
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fslice
from fslice.metrics import credible_band, fsc_from_snr, shell_frequencies, spectral_snr
from fslice.postprocess.masks import soft_spherical_mask

PIXEL_SIZE = 4.0
SAMPLES = 8
STYLES = "-", "--", "-.", ":", (0, (1, 3))


def simulated(snr, n, size, radius=0.55, **options):
    """Return a simulation of the phantom."""
    model = fslice.phantom(size, PIXEL_SIZE, radius=radius)
    return fslice.simulate(model, n, size, PIXEL_SIZE, snr=snr, seed=1, **options)


def half_sets(n):
    """Return 1 or 2 for each image."""
    labels = np.empty(n, int)
    for label, half in enumerate(fslice.metrics.split_half_sets(n, np.random.default_rng(0)), 1):
        labels[half] = label
    return labels


def draw_cone(n, box):
    """Draw the uncertainty that images from a cone of 60 degrees leave, beside that of all."""
    figure = Figure(figsize=(9.5, 3.4), dpi=120, layout="constrained")
    panels = figure.subplots(1, 3)
    cases = ("all directions", None), ("60 degree cone about z", 60.0)
    for axes, (title, cone) in zip(panels[:2], cases, strict=True):
        data = simulated(0.1, n, box, cone=cone)
        with warnings.catch_warnings():  # that the cone leaves frequencies unseen
            warnings.simplefilter("ignore", UserWarning)
            result = fslice.reconstruct(data.images(), data.rotations, prior="scalar")
        ratio = result.posterior_std_grid()[:, box // 2] / np.sqrt(result.prior_variance)
        edge = (box // 2 + 0.5) / (box * PIXEL_SIZE)
        extent = (-edge, edge, -edge, edge)
        picture = axes.imshow(ratio, origin="lower", vmin=0, vmax=1, extent=extent)
        axes.set(title=title, xlabel="$k_x$ [1/Å]", ylabel="$k_z$ [1/Å]")
        frequencies = shell_frequencies(box, PIXEL_SIZE)
        label = "all" if cone is None else "cone"
        panels[2].plot(frequencies, fslice.fsc(result.mean, data.truth), label=label, lw=1.8)
    figure.colorbar(picture, ax=panels[:2], label="s over that of the prior", shrink=0.9)
    panels[2].axhline(0.5, color="0.5", lw=0.8)
    panels[2].set(xlabel="spatial frequency [1/Å]", ylabel="FSC with the truth", xlim=(0, 0.12))
    panels[2].legend(frameon=False, loc="upper right")
    return figure


def predictions(data):
    """Return curves with their thresholds: what the correlation is, and what is predicted."""
    options = {"half_sets": half_sets(len(data)), "solver": fslice.Exact(samples=SAMPLES)}
    result = fslice.reconstruct(data.images(), data.rotations, **options)
    scalar = fslice.reconstruct(data.images(), data.rotations, prior="scalar")
    curves = {
        "with the truth": (fslice.fsc(result.mean, data.truth), 0.5),
        "between half maps": (fslice.fsc(*result.half_maps), 0.143),
        "predicted by samples": (result.fsc_samples.mean(0), 0.5),
        "from s": (from_std(result), 0.5),
        "from s, one prior for all shells": (from_std(scalar), 0.5),
    }
    return curves, credible_band(result.fsc_samples), fslice.fsc(scalar.mean, data.truth)


def from_std(result):
    """Return what independent coefficients predict for the correlation with the truth."""
    return np.sqrt(fsc_from_snr(spectral_snr(result.latent_mean, result.posterior_std)))


def draw_predictions(n, box):
    """Draw what is predicted for the shell correlation beside what it is."""
    figure = Figure(figsize=(9.5, 3.4), dpi=120, layout="constrained")
    for axes, snr in zip(figure.subplots(1, 2, sharey=True), (0.1, 10.0), strict=True):
        curves, band, scalar = predictions(simulated(snr, n, box))
        print(f"SNR {snr}:")
        frequencies = shell_frequencies(box, PIXEL_SIZE)
        for (label, (curve, threshold)), style in zip(curves.items(), STYLES, strict=True):
            axes.plot(frequencies, curve, linestyle=style, label=label, lw=1.8)
            reached = fslice.resolution(curve, box, PIXEL_SIZE, threshold)
            print(f"  {label}: {reached:.1f} A at {threshold}")
        reached = fslice.resolution(scalar, box, PIXEL_SIZE)
        print(f"  one prior for all shells, with the truth: {reached:.1f} A at 0.5")
        axes.fill_between(frequencies, *band, color="C2", alpha=0.25, lw=0)
        axes.axhline(0.5, color="0.5", lw=0.8)
        axes.axhline(0.143, color="0.5", lw=0.8)
        axes.set(title=f"{n} images, SNR {snr:g}", xlabel="spatial frequency [1/Å]")
        axes.set(xlim=(0, 0.12), ylim=(-0.03, 1.03))
    figure.axes[0].set_ylabel("shell correlation")
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def sphere(box, radius):
    """Return a soft sphere that holds the phantom."""
    inner = min(radius * box / 2 + 1, 0.4375 * box)
    return soft_spherical_mask(box, inner, min(4, box / 2 - inner), dtype="float32")


def print_oversampling(n, box):
    """Print what oversampling does to maps of objects of two sizes, at three noise levels."""
    print("radius  SNR    mask    oversampling  resolution [A]  squared error / squared truth")
    cases = itertools.product((0.55, 0.9), (None, 1.0, 0.05), (False, True), (1, 2))
    for radius, snr, masked, oversampling in cases:
        if masked and snr is None:
            continue  # what is known within rounding takes many iterations
        data = simulated(snr, n, box, radius=radius)
        result = fslice.reconstruct(
            data.images(),
            data.rotations,
            oversampling=oversampling,
            mask=sphere(box, radius) if masked else None,
        )
        curve = fslice.fsc(result.mean, data.truth)
        reached = fslice.resolution(curve, box, PIXEL_SIZE)
        error = fslice.metrics.mean_squared_error(result.mean, data.truth)
        error /= np.mean(np.square(data.truth, dtype=float))
        print(
            f"{radius:6}  {snr!s:5}  {masked!s:5} {oversampling:13}  {reached:14.1f}  {error:.1e}"
        )


def main():
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    n, box, folder = arguments.images, arguments.box, arguments.folder
    draw_cone(n, box).savefig(folder / "cone.png")
    draw_predictions(n, box).savefig(folder / "predicted.png")
    print_oversampling(3 * n // 4, 48)


if __name__ == "__main__":
    main()
