"""Make the figures of docs/inference.md and print its tables.

Run it as ``python docs/figures/make_figures.py``. Takes about a minute on two processors.
"""

from pathlib import Path

import numpy as np
from fslice.posterior.accumulate import accumulate
from matplotlib.figure import Figure

import fslice
from fslice.posterior.hyperparameters import learn
from fslice.posterior.samples import posterior_deviations, predicted_fsc

HERE = Path(__file__).parent
BOX, PIXEL_SIZE = 64, 4.0
STYLES = "-", "--", "-.", ":"


def simulated(snr, n=2000, size=BOX, radius=0.55, **options):
    """Return a simulation of the phantom."""
    model = fslice.phantom(size, PIXEL_SIZE, radius=radius)
    return fslice.simulate(model, n, size, PIXEL_SIZE, snr=snr, seed=1, **options)


def draw_cone():
    """Draw the uncertainty that images from a cone of 60 degrees leave, beside that of all."""
    figure = Figure(figsize=(9.5, 3.4), dpi=120, layout="constrained")
    panels = figure.subplots(1, 3)
    cases = ("all directions", None), ("60 degree cone about z", 60.0)
    for axes, (title, cone) in zip(panels[:2], cases, strict=True):
        data = simulated(0.1, cone=cone)
        result = fslice.reconstruct(data.images(), data.rotations)
        ratio = result.sigma_grid()[:, BOX // 2] / np.sqrt(result.prior_variance)
        edge = (BOX // 2 + 0.5) / (BOX * PIXEL_SIZE)
        extent = (-edge, edge, -edge, edge)
        picture = axes.imshow(ratio, origin="lower", vmin=0, vmax=1, extent=extent)
        axes.set(title=title, xlabel="$k_x$ [1/Å]", ylabel="$k_z$ [1/Å]")
        frequencies = fslice.metrics.shell_frequencies(BOX, PIXEL_SIZE)
        label = "all" if cone is None else "cone"
        panels[2].plot(frequencies, fslice.fsc(result.mean, data.truth), label=label, lw=1.8)
    figure.colorbar(picture, ax=panels[:2], label="s over that of the prior", shrink=0.9)
    panels[2].axhline(0.5, color="0.5", lw=0.8)
    panels[2].set(xlabel="spatial frequency [1/Å]", ylabel="FSC with the truth", xlim=(0, 0.12))
    panels[2].legend(frameon=False, loc="upper right")
    figure.savefig(HERE / "cone.png")


def draw_predictions():
    """Draw what s predicts for the shell correlation beside what it is."""
    figure = Figure(figsize=(9.5, 3.4), dpi=120, layout="constrained")
    for axes, snr in zip(figure.subplots(1, 2, sharey=True), (0.1, 10.0), strict=True):
        data = simulated(snr)
        images = data.images()
        result = fslice.reconstruct(images, data.rotations)
        halves = [
            fslice.reconstruct(images[half], data.rotations[half]).mean
            for half in fslice.metrics.split_half_sets(len(data), np.random.default_rng(0))
        ]
        cautious = fslice.metrics.fsc_from_snr(
            fslice.metrics.spectral_snr(result.mean_ft, result.sigma)
        )
        curves = {
            "with the truth": (fslice.fsc(result.mean, data.truth), 0.5),
            "between half maps": (fslice.fsc(*halves), 0.143),
            r"$\sqrt{\alpha/(1+\alpha)}$": (np.sqrt(cautious), 0.5),
            r"$\alpha/(1+\alpha)$": (cautious, 0.5),
        }
        print(f"SNR {snr}:")
        frequencies = fslice.metrics.shell_frequencies(BOX, PIXEL_SIZE)
        for (label, (curve, threshold)), style in zip(curves.items(), STYLES, strict=True):
            axes.plot(frequencies, curve, style, label=label, lw=1.8)
            reached = fslice.resolution(curve, BOX, PIXEL_SIZE, threshold)
            print(f"  {label}: {reached:.1f} A at {threshold}, {curve[24]:.2f} at shell 24")
        axes.axhline(0.5, color="0.5", lw=0.8)
        axes.axhline(0.143, color="0.5", lw=0.8)
        axes.set(title=f"2000 images, SNR {snr:g}", xlabel="spatial frequency [1/Å]")
        axes.set(xlim=(0, 0.12), ylim=(-0.03, 1.03))
    figure.axes[0].set_ylabel("shell correlation")
    figure.axes[0].legend(frameon=False, fontsize=9)
    figure.savefig(HERE / "predicted.png")


def print_learned_prior():
    """Print what a prior learned per shell makes of the same maps, and of their prediction."""
    for snr in (0.1, 10.0):
        data = simulated(snr)
        projector = fslice.Projector(BOX)
        normal = accumulate(data.images(), data.rotations, projector=projector)
        solution = learn(normal)
        samples = posterior_deviations(solution.precision, 8, np.random.default_rng(0))
        predicted = predicted_fsc(solution.precision, solution.mean_ft, samples).mean(0)
        curve = fslice.fsc(solution.volume(), data.truth)
        reached = [fslice.resolution(one, BOX, PIXEL_SIZE) for one in (curve, predicted)]
        print(f"learned prior, SNR {snr}: {reached[0]:.1f} A at 0.5, predicted {reached[1]:.1f} A")


def print_oversampling():
    """Print what oversampling does to maps of objects of two sizes, at three noise levels."""
    print("radius  SNR    oversampling  resolution [A]  squared error / squared truth")
    for radius in (0.55, 0.9):
        for snr in (None, 1.0, 0.05):
            data = simulated(snr, n=1500, size=48, radius=radius)
            for oversampling in (1, 2):
                result = fslice.reconstruct(
                    data.images(), data.rotations, oversampling=oversampling
                )
                curve = fslice.fsc(result.mean, data.truth)
                reached = fslice.resolution(curve, 48, PIXEL_SIZE)
                error = fslice.metrics.mean_squared_error(result.mean, data.truth)
                error /= np.mean(np.square(data.truth, dtype=float))
                print(f"{radius:6}  {snr!s:5}  {oversampling:12}  {reached:14.1f}  {error:.1e}")


if __name__ == "__main__":
    draw_cone()
    draw_predictions()
    print_learned_prior()
    print_oversampling()
