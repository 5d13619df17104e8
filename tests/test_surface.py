"""Pictures of isosurfaces: what they show of bodies whose shape is known."""

import numpy as np
import pytest

import fslice
from fslice.plot.surface import level_of_share, surface_image

SIZE = 24


def cuboid(half):
    """Return 1 in a cuboid with half edges (x, y, z) about the origin, else 0."""
    axis = np.arange(SIZE) - SIZE // 2
    z, y, x = np.ix_(axis, axis, axis)
    return 1.0 * ((abs(x) <= half[0]) & (abs(y) <= half[1]) & (abs(z) <= half[2]))


def extents(picture, sampling):
    rows, columns = np.nonzero(np.isfinite(picture))
    return np.ptp(columns) / sampling, np.ptp(rows) / sampling


@pytest.mark.parametrize(
    ("rotation", "width", "height"),
    [
        (np.eye(3), 12, 8),  # sees x and y
        ([[1, 0, 0], [0, 0, -1], [0, 1, 0]], 12, 4),  # its y is the volume's z
        ([[0, 0, 1], [1, 0, 0], [0, 1, 0]], 8, 4),  # its x and y are the volume's y and z
    ],
)
def test_the_axes_are_those_of_projections(rotation, width, height):
    picture = surface_image(cuboid((6, 4, 2)), 0.5, np.array(rotation, float), sampling=3)
    seen = extents(picture, 3)
    assert seen == pytest.approx((width + 1, height + 1), abs=0.7)


def test_the_outline_is_where_the_projection_is(rng):
    rotation = fslice.random_rotations(1, rng)[0]
    blobs = fslice.phantom(SIZE, 6.0).volume(SIZE, 6.0)
    body = np.where(blobs > 0.2 * blobs.max(), blobs, 0)
    picture = np.isfinite(surface_image(body, 0.2 * blobs.max(), rotation, sampling=1))
    shadow = fslice.Projector(SIZE, 2, "cubic").project(body, rotation[None])[0]
    assert picture.sum() > 20
    assert shadow[picture].mean() > 20 * abs(shadow[~picture]).mean()


def test_what_is_nearer_hides_what_is_farther_and_is_brighter():
    volume = np.zeros((SIZE,) * 3)
    volume[18, 8:16, 8:16] = 1  # the reader is at large z
    volume[6, 2:22, 2:22] = 1
    picture = surface_image(volume, 0.5, sampling=1)
    assert np.isfinite(picture[4, 4])
    assert picture[12, 12] > 1.2 * picture[4, 4]


def test_slopes_towards_the_light_are_brighter():
    axis = np.arange(SIZE) - SIZE // 2
    z, y, x = np.ix_(axis, axis, axis)
    ball = 9 - np.sqrt(x**2 + y**2 + z**2)
    picture = surface_image(ball, 0.0)
    centre, reach = SIZE, 10
    assert picture[centre + reach, centre - reach] > 1.5 * picture[centre - reach, centre + reach]


def test_nothing_above_the_level_is_an_empty_picture():
    assert np.isnan(surface_image(np.zeros((8, 8, 8)), 1.0)).all()


def test_the_level_holds_the_share(rng):
    volume = rng.normal(size=(10, 10, 10))
    assert (volume > level_of_share(volume, 0.03)).mean() == pytest.approx(0.03)
    with pytest.raises(ValueError, match="share: expected a value between 0 and 1, got 2"):
        level_of_share(volume, 2)


def test_a_matrix_that_is_no_rotation_is_refused():
    with pytest.raises(ValueError, match="rotation"):
        surface_image(np.ones((4, 4, 4)), 0.5, 2 * np.eye(3))
