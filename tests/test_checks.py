"""Inverted contrast and images that are there twice get their sentence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fslice.postprocess.checks import (
    duplicate_images,
    duplicates_warning,
    map_sign,
    sign_warning,
)
from fslice.postprocess.masks import mask_from_map, soft_spherical_mask
from fslice.simulation import phantom


@given(offset=st.floats(-5, 5), level=st.floats(0, 1))
def test_the_sign_is_that_of_the_object_over_its_surroundings(offset, level):
    mask = soft_spherical_mask(24, 7, 3)
    noise = np.random.default_rng(0).normal(size=mask.shape)
    volume = mask + level * noise + offset
    assert map_sign(volume, mask) == 1
    assert map_sign(-volume, mask) == -1
    assert sign_warning(volume, mask) is None
    assert "contrast of the images is inverted" in sign_warning(-volume, mask)


def test_the_mask_of_an_inverted_map_shows_its_sign():
    volume = phantom(32, 4.0).volume(32, 4.0)
    with pytest.warns(UserWarning, match="contrast inverted"):
        mask = mask_from_map(-volume, 4.0)
    assert map_sign(-volume, mask) == -1


def test_a_mask_of_ones_compares_with_zero():
    ones = np.ones((4, 4, 4))
    assert map_sign(ones, ones) == 1
    assert map_sign(-ones, ones) == -1


@given(
    number=st.integers(1, 12),
    batch=st.integers(1, 15),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(["f4", "f8", "i2"]),
)
def test_copies_are_found_whatever_the_batches(number, batch, seed, dtype):
    rng = np.random.default_rng(seed)
    distinct = (100 * rng.normal(size=(number, 5, 5))).astype(dtype)
    order = rng.integers(0, number, 20)
    expected = [int(np.flatnonzero(order == image)[0]) for image in order]
    found = duplicate_images(distinct[order], batch_size=batch)
    np.testing.assert_array_equal(found, expected)


def test_one_bit_makes_another_image():
    images = np.zeros((2, 6, 6), np.float32)
    images[1, 3, 3] = 1e-30
    np.testing.assert_array_equal(duplicate_images(images), [0, 1])


def test_images_are_read_a_batch_at_a_time():
    class Stack:
        longest = 0

        def __len__(self):
            return 10

        def __getitem__(self, rows):
            images = np.zeros((10, 4, 4))[rows]
            self.longest = max(self.longest, len(images))
            return images

    stack = Stack()
    np.testing.assert_array_equal(duplicate_images(stack, batch_size=3), np.zeros(10))
    assert stack.longest == 3


def test_copies_are_counted_and_those_across_halves_named():
    first = np.array([0, 1, 0, 3, 1])
    assert duplicates_warning(first) == "2 of 5 images are copies of others"
    words = duplicates_warning(first, np.array([1, 1, 1, 2, 2]))
    assert "1 of them in the other half set" in words
    assert duplicates_warning(np.arange(4), np.array([1, 2, 1, 2])) is None


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        duplicate_images(np.zeros((2, 3, 3)), batch_size=0)
    with pytest.raises(ValueError, match=r"volume: expected shape \(4, 4, 4\)"):
        map_sign(np.zeros((4, 4, 3)), np.zeros((4, 4, 4)))
