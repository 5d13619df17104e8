"""Images that were multiplied by their CTF: what they do not hold counts nowhere."""

from dataclasses import replace

import numpy as np
import pytest

import fslice
from fslice import Projector
from fslice.alignment.band import Band
from fslice.alignment.band_images import read_band
from fslice.alignment.joint.starts import random_map
from fslice.alignment.noise import mean_power, outer_variance
from fslice.data import image_ctf
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.fourier import hermitian_weights, radii, shells
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.posterior.power import pixel_variance
from fslice.posterior.sums import normal_equations
from fslice.simulation.draws import random_ctf

N, SIZE, PIXEL = 400, 16, 3.0


@pytest.fixture(scope="module")
def pair():
    """Return images of noise alone, of variance 1, and the same multiplied by their CTF."""
    rng = np.random.default_rng(5)
    ctf, poses = random_ctf(N, PIXEL, rng), Poses(fslice.random_rotations(N, rng))
    plain = Dataset(rng.normal(size=(N, SIZE, SIZE)), poses, ctf, groups=np.arange(N) % 2)
    spectra = ctf.evaluate(SIZE) * fslice.rfft2(plain.images)
    images = fslice.irfft2(fslice.fourier.hermitian_part(spectra, 2))
    return plain, replace(plain, images=images, ctf_applied="premultiplied")


def held_per_shell(dataset, rows):
    """Return the degrees of freedom per shell of the coefficients whose CTF is not near zero."""
    values = abs(dataset.ctf.evaluate(SIZE)[rows]) >= 0.01
    weights = hermitian_weights(SIZE) * (radii(SIZE, 2) <= (SIZE - 1) // 2)
    counts = (values * weights).sum(0).ravel()
    shell = np.minimum(shells(SIZE, 2), SIZE // 2).ravel()
    return np.bincount(shell, counts, minlength=SIZE // 2 + 1)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("coloured", [False, True])
def test_degrees_and_normalisation_count_what_the_images_hold(pair, interpolation, coloured):
    dataset, rows, log_weights = pair[1], np.arange(3, N), 0.0
    degrees = held_per_shell(dataset, rows)
    if coloured:
        noise = GaussianNoise(np.linspace(1, 2, 9) * np.array([[1.0], [3.0]]), dataset.groups)
        dataset = dataset.with_noise(noise)
        for group in (0, 1):
            own = held_per_shell(dataset, rows[dataset.groups[rows] == group])
            log_weights -= (own * np.log(noise.variances[group])).sum()
    normal = normal_equations(dataset, Projector(SIZE, 1, interpolation), rows=rows)
    plain = normal_equations(replace(dataset, ctf_applied="none"), Projector(SIZE), rows=rows)
    assert 0.98 < degrees.sum() / plain.degrees.sum() < 0.999
    assert np.array_equal(normal.degrees, degrees)
    assert normal.log_weights == pytest.approx(log_weights, rel=1e-12)


def test_noise_has_the_variance_that_it_had_before(pair):
    """Without the count of what is left out, 0.6 % too little; the same coefficients: 0.1 %."""
    plain, multiplied = pair
    found, given = (
        pixel_variance(normal_equations(data, Projector(SIZE))) for data in (multiplied, plain)
    )
    assert found == pytest.approx(given, rel=1.5e-3)
    assert outer_variance(multiplied) == pytest.approx(outer_variance(plain), rel=3e-3)
    inner = slice(2, SIZE // 2)
    left = mean_power(multiplied)[inner].mean() / mean_power(plain)[inner].mean()
    assert left == pytest.approx(1, abs=1.5e-3)
    band = Band(SIZE, 6)
    found, given = (read_band(data, band).mean_power()[2:].mean() for data in (multiplied, plain))
    assert found == pytest.approx(given, rel=1.5e-3)


def test_the_noise_of_a_shell_that_no_image_holds_follows_the_others(pair):
    """Without amplitude contrast the CTF is 0 in shell 0."""
    plain = replace(pair[0], ctf=pair[0].ctf.replace(amplitude_contrast=np.zeros(N)))
    spectra = plain.ctf.evaluate(SIZE) * fslice.rfft2(plain.images)
    images = fslice.irfft2(fslice.fourier.hermitian_part(spectra, 2))
    read = read_band(
        replace(plain, images=images, ctf_applied="premultiplied"),
        Band(SIZE, 6, interpolation="linear"),
    )
    assert read.degrees()[0] == 0
    power = read.mean_power()
    assert power[0] == power[1] == pytest.approx(1, abs=0.1)
    start = random_map(read, 5.0, np.random.default_rng(0))
    assert np.isfinite(start.volume).all()


@pytest.mark.parametrize("counted", [1, 1 << 23])
def test_degrees_are_counted_a_few_images_at_a_time(pair, counted, monkeypatch):
    monkeypatch.setattr(image_ctf, "_VALUES", counted)
    band = np.ones((SIZE, SIZE // 2 + 1))
    rows = np.arange(5)
    found = image_ctf.shell_degrees(pair[1], rows, band, pair[1].groups, 2)
    assert np.array_equal(found.sum(0)[:7], held_per_shell(pair[1], rows)[:7])  # whole shells


@pytest.mark.parametrize("noise", ["shell", "group"])
def test_learned_noise_spectra_are_those_of_the_images_before(pair, noise):
    options = {"prior": 1e-6, "noise": noise}
    given, found = (fslice.reconstruct(data, **options).noise_variance for data in pair)
    assert found == pytest.approx(given, rel=0.01)
    assert np.mean(found[..., 2:8]) == pytest.approx(np.mean(given[..., 2:8]), rel=1.5e-3)


def test_coefficients_that_are_not_held_say_nothing_of_the_map(pair):
    """Neither images nor CTF are there: A and b are those of the CTF that is zero there."""
    plain, multiplied = pair
    values = plain.ctf.evaluate(SIZE)
    values = np.where(abs(values) < 0.01, 0, values)
    found = normal_equations(multiplied, Projector(SIZE))
    expected = normal_equations(replace(plain, ctf=values), Projector(SIZE))
    assert np.allclose(found.b, expected.b, atol=1e-9 * abs(expected.b).max())
    assert np.allclose(found.stencil, expected.stencil, atol=1e-12 * expected.stencil.max())
