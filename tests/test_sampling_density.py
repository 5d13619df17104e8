"""Densities of slices: counted, in closed form, and by the definition."""

import numpy as np
import pytest

import fslice
from fslice.fourier import radii
from fslice.geometry import rotations_in_cone
from fslice.postprocess.sampling_density import cone_sampling_density, sampling_density

SIZE = 24


@pytest.mark.parametrize("max_tilt", [15, 60, 120, 180])
def test_the_closed_form_is_what_many_slices_count(max_tilt, rng):
    n = 5000
    counted = sampling_density(rotations_in_cone(n, max_tilt, rng, dtype="float32"), SIZE) / n
    expected = cone_sampling_density(SIZE, max_tilt)
    distance = radii(SIZE, 3)
    inside = (distance > 5) & (distance < 10)
    # the kernel spreads a sample over neighbours: compare what shells hold, and shapes
    assert counted[inside].sum() == pytest.approx(expected[inside].sum(), rel=0.03)
    assert np.corrcoef(counted[inside], expected[inside])[0, 1] > (0.98 if max_tilt < 180 else 0.9)


def test_all_directions_are_sampled_as_one_over_twice_the_distance():
    density, distance = cone_sampling_density(SIZE, 180), radii(SIZE, 3)
    outside = distance > 0
    assert np.allclose(density[outside], 1 / (2 * distance[outside]))


def test_nothing_is_sampled_about_the_axis_of_a_cone():
    density = cone_sampling_density(SIZE, 15)
    kz, ky, kx = np.meshgrid(
        *[np.fft.fftfreq(SIZE) * SIZE] * 2, np.arange(SIZE // 2 + 1), indexing="ij"
    )
    tilt = np.degrees(np.arctan2(np.hypot(kx, ky), abs(kz)))
    away = kx**2 + ky**2 + kz**2 > 0
    assert np.array_equal((density == 0)[away], (tilt <= 75 + 1e-9)[away])


def test_the_density_of_one_slice_is_its_ones_inserted(rng):
    rotation = fslice.random_rotations(1, rng)
    ones = np.ones((1, SIZE, SIZE // 2 + 1), complex)
    assert np.allclose(
        sampling_density(rotation, SIZE), fslice.insert_slices(ones, rotation, size=SIZE).real
    )


def test_a_cone_without_width_is_refused():
    with pytest.raises(ValueError, match=r"max_tilt: expected an angle above 0 .* got 0"):
        cone_sampling_density(SIZE, 0)
