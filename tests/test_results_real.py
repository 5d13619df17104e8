"""GroEL-GroES: what half maps say of the resolution is what the truth says."""

import numpy as np
import pytest

import fslice
from fslice.io import read_atoms
from fslice.metrics import fsc, resolution, split_half_sets
from fslice.postprocess.fsc import corrected_fsc
from fslice.postprocess.local_resolution import local_resolution
from fslice.postprocess.masks import mask_from_map


def solved(data, n, size, pixel_size, snr):
    """Return the truth, the map of all images, and those of two halves."""
    model = fslice.simulation.GaussianModel.from_atoms(read_atoms(data / "atomic" / "1aon.pdb.gz"))
    simulation = fslice.simulate(
        model, n, size, pixel_size, snr=snr, shift_std=2.0, ctf=(10_000.0, 25_000.0)
    )
    labels = np.full(n, 2)
    labels[split_half_sets(n, np.random.default_rng(0))[0]] = 1
    fit = fslice.reconstruct(
        simulation.images(), simulation.rotations, simulation.shifts, simulation.ctf,
        half_sets=labels,
    )  # fmt: skip
    return simulation.truth, fit.mean, *fit.half_maps


def check(found, pixel_size, tolerance):
    """The corrected resolution at 0.143 is that against the truth at 0.5, in the same mask."""
    truth, whole, *halves = found
    mask = mask_from_map(whole, pixel_size)
    assert (mask * truth).sum() > 0.99 * truth.sum()
    curves = corrected_fsc(*halves, mask, pixel_size)
    expected = resolution(fsc(whole, truth, mask), len(truth), pixel_size, 0.5)
    assert curves.resolution == pytest.approx(expected, rel=tolerance)
    # Of two halves that correlate by F, the mean correlates with the truth by this.
    halved = np.clip(curves.corrected, 0, 1)
    seen = slice(1, int(len(truth) * pixel_size / expected) + 1)
    predicted = np.sqrt(2 * halved / (1 + halved))[seen]
    np.testing.assert_allclose(predicted, fsc(whole, truth, mask)[seen], atol=0.08)
    assert curves.resolutions["unmasked"].first_falls > 1.03 * curves.resolution
    local = local_resolution(*halves, mask, pixel_size)
    middle = np.nanmedian(local)
    assert 0.9 * curves.resolution < middle < 1.3 * curves.resolution


def test_halves_of_few_noisy_images_agree_with_the_truth(data):
    check(solved(data, 400, 64, 5.6, 0.05), 5.6, 0.05)


@pytest.mark.long
def test_halves_agree_with_the_truth_to_three_percent(data):
    check(solved(data, 600, 128, 2.8, 0.04), 2.8, 0.03)


@pytest.mark.long
def test_many_images_are_limited_by_the_pixel(data):
    _, whole, *halves = solved(data, 5000, 128, 2.8, 0.04)
    found = corrected_fsc(*halves, mask_from_map(whole, 2.8), 2.8).resolutions["corrected"]
    assert "limited by the pixel" in found.words
