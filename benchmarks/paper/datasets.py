"""Figure 7: one image at each noise level, in real space and in the first Fourier shells."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.paper.data import PART, Images, simulated
from benchmarks.paper.figures import NORMAL, new_figure, save
from benchmarks.paper.settings import CLEAN, Settings, noise_name, noise_title
from fslice.plot.style import bare

SNR = (1.0, 0.04, 0.01)
SHELLS = 20


def run(settings: Settings) -> dict[str, Any]:
    """Make the sets, measure their signal-to-noise ratios, and draw one image of each."""
    clean = simulated(settings, CLEAN)
    sets = {snr: simulated(settings, snr) for snr in settings.snr}
    figure = new_figure((2.4 * len(sets), 7.2))
    panels = figure.subplots(3, len(sets), squeeze=False)
    for column, (snr, images) in zip(panels.T, sets.items(), strict=True):
        _draw(column, images.images[0], f"{noise_title(snr)}")
    save(figure, settings.figure_path("datasets"))
    return {
        "signal_variance": clean.signal_variance,
        "sets": {
            noise_name(snr): {
                "images": len(images),
                "noise_variance": images.noise_variance,
                "measured_snr": _measured(clean, images),
            }
            for snr, images in sets.items()
        },
    }


def _measured(clean: Images, noisy: Images) -> float:
    """Return the variance of some clean images over that of what was added to them."""
    if noisy.noise_variance == 0:
        return CLEAN
    signal = np.asarray(clean.images[:PART], np.float64)
    return float(signal.var() / (noisy.images[:PART] - signal).var())


def _draw(panels: np.ndarray, image: np.ndarray, title: str) -> None:
    """Draw an image, and the real and imaginary part of its spectrum on a logarithmic scale."""
    size = len(image)
    shells = min(SHELLS, size // 2 - 1)
    inside = slice(size // 2 - shells, size // 2 + shells + 1)
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image.astype(float))))
    panels[0].imshow(image, cmap="gray", origin="lower")
    panels[0].set_title(title, fontsize=NORMAL)
    for axes, part in zip(panels[1:], (spectrum.real, spectrum.imag), strict=True):
        grid = abs(part)[inside, inside]
        axes.imshow(np.log10(grid + 1e-3 * grid.max()), cmap="viridis", origin="lower")
    for axes, label in zip(
        panels, ("image", "log |real part|", "log |imaginary part|"), strict=True
    ):
        bare(axes)
        axes.set_ylabel(label, fontsize=NORMAL)
