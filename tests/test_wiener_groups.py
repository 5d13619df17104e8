"""The conventional map of optics groups: each counts by what its images say."""

import numpy as np
import pytest

import fslice
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.solvers.wiener import Wiener

SIZE, N = 20, 300
RED, BLUE = np.exp(-np.arange(SIZE // 2 + 1) / 3), np.exp(np.arange(SIZE // 2 + 1) / 3)


@pytest.fixture(scope="module")
def images():
    """Return images of a phantom with white noise, and their poses."""
    data = fslice.simulate(fslice.phantom(SIZE, 4.0), N, SIZE, 4.0, snr=0.2, seed=3)
    return data.images().astype(float), data.rotations


def wiener_map(images, variances, groups=None):
    pixels, rotations = images
    noise = GaussianNoise(np.array(variances), groups)
    dataset = Dataset(pixels[: len(rotations)], Poses(rotations), noise=noise)
    return fslice.reconstruct(dataset, solver=Wiener(), prior=0.01, noise_variance=1.0).mean


def apart(one, other):
    return np.linalg.norm(one - other) / np.linalg.norm(other)


def test_a_group_may_be_split_into_parts_of_any_size(images):
    two, three = (np.arange(N) >= 200).astype(int), np.full(N, 1)
    three[:200] = 0
    three[:7] = 2
    one = wiener_map(images, [RED, 2 * BLUE], two)
    other = wiener_map(images, [RED, 2 * BLUE, RED], three)
    assert apart(other, one) < 1e-9


def test_a_few_images_of_another_noise_hardly_change_the_map(images):
    """They have a share of 1 in 100 of the images; as one group of two it was half."""
    few = (np.arange(N) >= N - 3).astype(int)
    others = images[0][: N - 3], images[1][: N - 3]
    assert apart(wiener_map(images, [RED, BLUE], few), wiener_map(others, [RED])) < 0.1


def test_a_loud_group_says_little(images):
    """Its images count by their number over their noise: 1 in 100 again."""
    half = np.arange(N) % 2
    others = images[0][half == 0], images[1][half == 0]
    assert apart(wiener_map(images, [RED, 100 * BLUE], half), wiener_map(others, [RED])) < 0.1
