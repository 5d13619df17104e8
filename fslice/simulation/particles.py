"""Simulated particle images with known truth, made batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from fslice import fourier
from fslice._arrays import Array, check_size
from fslice.operators.ctf import CTF
from fslice.simulation._clean_spectra import Spectra, clean_spectra
from fslice.simulation.draws import add_noise, draw_ctf, draw_rotations, draw_shifts
from fslice.simulation.gaussians import GaussianModel, check_box
from fslice.simulation.models import symmetrized_model
from fslice.symmetry.average import symmetrize
from fslice.symmetry.groups import symmetry_name

_BLOCK = 64
"""Images made together; fixed, so that the batch size changes no bit of them."""

_PORTION = 512
"""Small batches are cut from at least so many images: a block cut in two is made twice."""


@dataclass(frozen=True, eq=False)
class Simulation:
    """Simulated images and all that is known about them; made by `simulate`.

    Parameters
    ----------
    size : int
        Box D, in pixels.
    pixel_size : float
        Angstrom.
    rotations : (n, 3, 3) float64 array
        Image to volume coordinates, acting on (x, y, z).
    shifts : (n, 2) float64 array
        Where the particles sit, (x, y) in pixels.
    ctf : CTF or None
        Of the n images.
    truth : (D, D, D) float32 array
        The volume that is projected, limited to the band ``|k| <= (D - 1) // 2``, as images are.
    noise_variance : float
        Of each pixel; 0 for clean images.
    signal_variance : float or None
        Variance of the clean images over all pixels of all images; None if nobody asked.
    seed : int
        Image i has the same noise whatever the batch it is made in.

    Examples
    --------
    >>> from fslice.simulation.phantoms import phantom
    >>> simulation = simulate(phantom(32, 4.0), 100, 32, 4.0, snr=0.5, seed=1)
    >>> [batch.shape for batch in simulation.batches(64)]
    [(64, 32, 32), (36, 32, 32)]
    """

    size: int
    pixel_size: float
    rotations: np.ndarray
    shifts: np.ndarray
    ctf: CTF | None
    truth: np.ndarray = field(repr=False)
    noise_variance: float
    signal_variance: float | None
    seed: int
    _spectra: Spectra = field(repr=False)

    def __len__(self) -> int:
        """Return the number of images n."""
        return len(self.rotations)

    @property
    def snr(self) -> float | None:
        """Signal variance over noise variance; None where either is unknown or 0."""
        if self.signal_variance is None or self.noise_variance == 0:
            return None
        return self.signal_variance / self.noise_variance

    def batches(self, batch_size: int = 1024) -> Iterator[np.ndarray]:
        """Yield all images in order, (batch_size, D, D) float32 at a time."""
        check_size("batch_size", batch_size)
        portion = batch_size * -(-_PORTION // batch_size)
        for first in range(0, len(self), portion):
            images = self.images(first, min(first + portion, len(self)))
            for start in range(0, len(images), batch_size):
                yield images[start : start + batch_size]

    def images(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Make the images `start` to `stop`: (stop - start, D, D) float32, in [y, x].

        Images are the same, bit for bit, in whatever portions they are made.
        """
        return self._make(start, stop, self.noise_variance**0.5)

    def clean_images(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Make the same images without noise."""
        return self._make(start, stop, 0.0)

    def _make(self, start: int, stop: int | None, deviation: float) -> np.ndarray:
        stop = len(self) if stop is None else stop
        if not 0 <= start < stop <= len(self):
            raise ValueError(
                f"start, stop: expected 0 <= start < stop <= {len(self)}, got {start}, {stop}"
            )
        images = np.empty((stop - start, self.size, self.size), np.float32)
        for rows in _blocks(start, stop, len(self)):
            block = fourier.irfft2(self._clean_spectra(rows))
            first, last = max(start, rows.start), min(stop, rows.stop)
            images[first - start : last - start] = block[first - rows.start : last - rows.start]
        if deviation > 0:
            add_noise(images, deviation, self.seed, first=start)
        return images

    def _clean_spectra(self, rows: slice) -> np.ndarray:
        spectra = self._spectra(self.rotations[rows], self.shifts[rows])
        if self.ctf is not None:
            spectra *= self.ctf[rows].evaluate(self.size, np.float32)
        return spectra

    def measure_signal(self, progress: Callable[[int], object] | None = None) -> float:
        """Return the variance of the clean images over all pixels of all images, exactly.

        Notes
        -----
        By Parseval from the half spectra, so a pass over all images without their inverse
        transforms and without noise. Poses, shifts and CTFs are those of the images; a
        sample of them would be off by the spread among images over the root of their number.
        """
        energy = total = 0.0
        for rows in _blocks(0, len(self), len(self)):
            spectra = self._clean_spectra(rows)
            energy += fourier.inner_product(spectra, spectra)
            total += float(spectra[:, 0, 0].real.sum(dtype=np.float64)) * self.size
            if progress is not None:
                progress(len(spectra))
        pixels = len(self) * self.size**2
        return energy / pixels - (total / pixels) ** 2


def simulate(
    model: GaussianModel | Array,
    n: int,
    size: int,
    pixel_size: float,
    *,
    snr: float | None = None,
    noise_variance: float | None = None,
    cone: float | None = None,
    shift_std: float = 0.0,
    ctf: CTF | tuple[float, float] | None = None,
    symmetry: str = "C1",
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Simulation:
    """Draw poses, and prepare the noisy projections of a model under them.

    Parameters
    ----------
    model : GaussianModel, or (D, D, D) real array
        What to project. For volumes in another box see `resample_map`.
    n : int
        Number of images.
    size : int
        Box D, in pixels.
    pixel_size : float
        Angstrom.
    snr : float, optional
        Variance of the clean images over all pixels, after the CTF, over that of the noise.
    noise_variance : float, optional
        Of each pixel, instead of `snr`. With neither, images are clean.
    cone : float, optional
        Full angle in degrees of the cone about z that holds the directions of
        projection: tilts are at most half of it. All directions by default.
    shift_std : float, optional
        Standard deviation in pixels of the shifts along x and along y.
    ctf : CTF of n images, or (lowest, highest) underfocus in Angstrom, optional
        For a range see `random_ctf`.
    symmetry : str, optional
        Point group over which the model is averaged first, as in
        `fslice.symmetry.symmetry_rotations`.
    seed : int, optional
        Of everything that is drawn.
    progress : callable, optional
        Told the number of images each time that so many more have been measured for `snr`.

    Returns
    -------
    Simulation
        Images are made when asked for, so that a set larger than memory can be streamed.

    Raises
    ------
    ValueError
        A number is out of its range, both `snr` and `noise_variance` are given, the model is
        larger than the box, or a clean image is all there could be to measure a `snr` by.
    TypeError
        `model` is neither of the two.

    Notes
    -----
    Up to 200 Gaussians are projected in closed form. Other models are interpolated by the
    cubic kernel at oversampling 2; for atoms, in the spectrum of a wider band that tapers
    off. The projections of 1AON in 128 pixels of 2.8 Angstrom are then within
    1.4e-4 of the exact ones (relative L2; 2.5e-4 in the worst shell), where the linear
    kernel, with which images are usually reconstructed, is within 7e-2.

    The noise for an `snr` needs the variance of all clean images, hence a pass over them
    before the first image is made; see `Simulation.measure_signal`.

    Examples
    --------
    >>> from fslice.simulation.phantoms import phantom
    >>> simulation = simulate(phantom(32, 4.0), 10, 32, 4.0, snr=0.5)
    >>> simulation.images().shape, round(simulation.snr, 3)
    ((10, 32, 32), 0.5)
    """
    n, seed = check_size("n", n), check_size("seed", seed, 0)
    size, pixel_size = check_box(size, pixel_size)
    _check_noise(snr, noise_variance)
    rotations = draw_rotations(n, cone, seed)
    shifts = draw_shifts(n, shift_std, seed)
    if isinstance(ctf, tuple):
        ctf = draw_ctf(n, pixel_size, ctf, seed)
    _check_ctf(ctf, n, pixel_size)
    truth, spectra = clean_spectra(_symmetric(model, symmetry), size, pixel_size)
    arguments = size, pixel_size, rotations, shifts, ctf, truth
    if snr is None:
        return Simulation(*arguments, float(noise_variance or 0.0), None, seed, spectra)
    signal = Simulation(*arguments, 0.0, None, seed, spectra).measure_signal(progress)
    if not signal > 0:
        raise ValueError("snr: expected a model whose projections vary, got a constant")
    return Simulation(*arguments, signal / snr, signal, seed, spectra)


def _symmetric(model: GaussianModel | Array, symmetry: str) -> GaussianModel | Array:
    if symmetry_name(symmetry) == "C1":
        return model
    if isinstance(model, GaussianModel):
        return symmetrized_model(model, symmetry)
    return symmetrize(model, symmetry)


def _blocks(start: int, stop: int, count: int) -> Iterator[slice]:
    """Yield the blocks, which begin at multiples of their length, that hold start to stop."""
    for begin in range(start - start % _BLOCK, stop, _BLOCK):
        yield slice(begin, min(begin + _BLOCK, count))


def _check_noise(snr: float | None, noise_variance: float | None) -> None:
    if snr is not None and noise_variance is not None:
        raise ValueError("snr, noise_variance: expected at most one of them, got both")
    if snr is not None and not (np.isfinite(snr) and snr > 0):
        raise ValueError(f"snr: expected a number above 0, got {snr:g}")
    if noise_variance is not None and not (np.isfinite(noise_variance) and noise_variance >= 0):
        raise ValueError(f"noise_variance: expected at least 0, got {noise_variance:g}")


def _check_ctf(ctf: CTF | None, n: int, pixel_size: float) -> None:
    if ctf is None:
        return
    if len(ctf) != n:
        raise ValueError(f"ctf: expected one for each of the {n} images, got {len(ctf)}")
    if not np.allclose(ctf.pixel_size, pixel_size):
        got = ctf.pixel_size[np.argmax(np.abs(ctf.pixel_size - pixel_size))]
        raise ValueError(f"ctf: expected a pixel_size of {pixel_size:g}, got {got:g}")
