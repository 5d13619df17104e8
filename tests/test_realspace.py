import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fslice.geometry import random_rotations
from fslice.operators.realspace import (
    backproject_realspace,
    project_realspace,
    project_realspace_vjp,
    rotate_volume,
    rotate_volume_adjoint,
    rotate_volume_vjp,
)
from fslice.simulation.phantoms import phantom
from fslice.testing import check_adjoint, check_gradient


@dataclasses.dataclass
class Case:
    """A volume, poses of n images, and random arrays like the images and rotated volumes."""

    volume: np.ndarray
    rotations: np.ndarray
    shifts: np.ndarray  # of the rotated volume
    images: np.ndarray
    volumes: np.ndarray

    @property
    def image_shifts(self):
        return self.shifts[..., :-1].copy()


def random_poses(rng, dimension, count):
    if dimension == 3:
        return random_rotations(count, rng)
    angles = rng.uniform(0, 2 * np.pi, count)
    rows = [[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]]
    return np.moveaxis(np.array(rows), -1, 0)


def positions(rotations, shifts, size):
    """Return R (x - t) of all points of the box in voxels, (n, d, D**d), x first."""
    dimension = rotations.shape[-1]
    grid = np.indices((size,) * dimension)[::-1].reshape(dimension, -1) - size // 2
    return rotations @ (grid - shifts[..., None]) + size // 2


@st.composite
def cases(draw, dtypes=(np.float32, np.float64), smooth=False):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dimension, size, count = (draw(st.integers(*ends)) for ends in ((2, 3), (1, 8), (1, 3)))
    dtype = draw(st.sampled_from(dtypes))
    while True:
        rotations = random_poses(rng, dimension, count)
        shifts = rng.normal(size=(count, dimension))
        shifts[:, -1] *= not smooth  # gradients of a projection are taken without a shift in z
        found = positions(rotations, shifts, size)
        if not smooth or abs(found - np.rint(found)).min() > 2e-4:  # inside cells, no kink near
            break
    box = (size,) * dimension
    arrays = (
        rng.normal(size=box),
        rotations,
        shifts,
        rng.normal(size=(count, *box[1:])),
        rng.normal(size=(count, *box)),
    )
    return Case(*(array.astype(dtype) for array in arrays))


@given(case=cases())
def test_backproject_is_the_adjoint_of_project(case):
    check_adjoint(
        lambda v: project_realspace(v, case.rotations, case.image_shifts),
        lambda y: backproject_realspace(y, case.rotations, case.image_shifts),
        case.volume,
        case.images,
    )


@given(case=cases())
def test_rotate_volume_has_an_exact_adjoint(case):
    check_adjoint(
        lambda v: rotate_volume(v, case.rotations, case.shifts),
        lambda w: rotate_volume_adjoint(w, case.rotations, case.shifts),
        case.volume,
        case.volumes,
    )


def check_all_gradients(apply, vjp, arguments, cotangent, rng):
    """Check the gradient of <apply(volume, rotations, shifts), cotangent> in each argument."""
    gradients = vjp(*arguments, cotangent=cotangent)
    for i, gradient in enumerate(gradients):

        def loss(value, i=i):
            changed = [*arguments[:i], value, *arguments[i + 1 :]]
            return np.vdot(apply(*changed), cotangent)

        direction = rng.normal(size=arguments[i].shape)
        check_gradient(loss, gradient, arguments[i], direction)


@given(case=cases(dtypes=(np.float64,), smooth=True))
def test_project_has_exact_gradients_in_volume_rotation_and_translation(case):
    arguments = [case.volume, case.rotations, case.image_shifts]
    rng = np.random.default_rng(case.images.size)
    check_all_gradients(project_realspace, project_realspace_vjp, arguments, case.images, rng)


@given(case=cases(dtypes=(np.float64,), smooth=True))
def test_rotate_volume_has_exact_gradients_in_volume_rotation_and_translation(case):
    arguments = [case.volume, case.rotations, case.shifts]
    rng = np.random.default_rng(case.images.size)
    check_all_gradients(rotate_volume, rotate_volume_vjp, arguments, case.volumes, rng)


def equation_5(rotation, shift, size):
    """Return the dense matrix of the paper's eq. (5): every point against every voxel."""
    dimension = len(rotation)
    voxels = np.indices((size,) * dimension)[::-1].reshape(dimension, -1)
    distances = abs(positions(rotation, shift, size)[:, :, None] - voxels[:, None, :])
    return np.maximum(0, 1 - distances).prod(0)


@given(case=cases(dtypes=(np.float64,)))
def test_rotate_volume_is_the_matrix_of_equation_5(case):
    size = case.volume.shape[-1]
    expected = [
        (equation_5(rotation, shift, size) @ case.volume.ravel()).reshape(case.volume.shape)
        for rotation, shift in zip(case.rotations, case.shifts, strict=True)
    ]
    rotated = rotate_volume(case.volume, case.rotations, case.shifts)
    np.testing.assert_allclose(rotated, expected, atol=1e-12)


@given(case=cases(dtypes=(np.float64,)))
def test_a_projection_is_the_rotated_volume_summed_along_its_first_axis(case):
    shifts = case.shifts * ([1] * (case.shifts.shape[-1] - 1) + [0])
    expected = rotate_volume(case.volume, case.rotations, shifts).sum(1)
    projected = project_realspace(case.volume, case.rotations, case.image_shifts)
    np.testing.assert_allclose(projected, expected, atol=1e-12)


def rotations_of_the_cube():
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            if np.linalg.det(matrix) > 0:
                yield order, signs, matrix


@pytest.mark.parametrize("size", [5, 6])
def test_quarter_turns_are_exactly_transposes_and_flips(size, rng):
    volume = rng.normal(size=(size,) * 3)
    if size % 2 == 0:  # the plane at -D/2 has no mirror image in an even box
        volume[0] = volume[:, 0] = volume[:, :, 0] = 0
    poses = list(rotations_of_the_cube())
    assert len(poses) == 24
    for order, signs, matrix in poses:
        turned = volume.transpose(2, 1, 0)  # indexed (x, y, z)
        for axis, sign in enumerate(signs):
            if sign < 0:
                turned = np.flip(turned, axis)
                turned = turned if size % 2 else np.roll(turned, 1, axis)
        expected = turned.transpose(np.argsort(order)).transpose(2, 1, 0)
        np.testing.assert_array_equal(rotate_volume(volume, matrix), expected)
        np.testing.assert_array_equal(project_realspace(volume, matrix).shape, (size, size))
        np.testing.assert_allclose(project_realspace(volume, matrix), expected.sum(0), atol=1e-14)


def test_a_quarter_turn_of_an_odd_image_is_rot90(rng):
    image = rng.normal(size=(7, 7))
    quarter_turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    np.testing.assert_array_equal(rotate_volume(image, quarter_turn), np.rot90(image))


@pytest.mark.parametrize("size", [7, 8])
def test_the_content_of_an_image_sits_at_plus_the_shift(size):
    volume = np.zeros((size,) * 3)
    volume[size // 2, size // 2, size // 2] = 1
    image = project_realspace(volume, np.eye(3), np.array([2.0, -1.0]))
    assert np.argwhere(image).tolist() == [[size // 2 - 1, size // 2 + 2]]
    rotated = rotate_volume(volume, np.eye(3), np.array([2.0, -1.0, 1.0]))
    assert np.argwhere(rotated).tolist() == [[size // 2 + 1, size // 2 - 1, size // 2 + 2]]


@pytest.mark.parametrize("distance", [7.0, 1e6, 1e30])
def test_what_is_shifted_out_of_the_box_is_lost(distance):
    volume = np.ones((6, 6, 6), np.float32)
    shifts = np.array([distance, 0.0], np.float32)
    assert not project_realspace(volume, np.eye(3, dtype=np.float32), shifts).any()


def test_leading_axes_and_strides_of_the_input_do_not_matter(rng):
    volume = rng.normal(size=(6, 6, 6)).transpose(1, 2, 0)
    rotations = random_rotations(6, rng).reshape(2, 3, 3, 3).swapaxes(-1, -2)
    shifts = rng.normal(size=(2, 3, 4))[..., ::2]
    images = project_realspace(volume, rotations, shifts)
    assert images.shape == (2, 3, 6, 6)
    single = project_realspace(volume.copy(), rotations[1, 2].copy(), shifts[1, 2].copy())
    np.testing.assert_allclose(images[1, 2], single, rtol=1e-14, atol=1e-14)
    gradients = project_realspace_vjp(volume, rotations, shifts, cotangent=images)
    assert [g.shape for g in gradients] == [volume.shape, rotations.shape, shifts.shape]


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_box_larger_than_one_block_of_points_is_covered(dimension, rng, monkeypatch):
    volume = rng.normal(size=(9,) * dimension)
    rotation = random_poses(rng, dimension, 1)[0]
    whole = project_realspace(volume, rotation), rotate_volume(volume, rotation)
    images, volumes = (rng.normal(size=array.shape) for array in whole)
    adjoint = backproject_realspace(images, rotation), rotate_volume_adjoint(volumes, rotation)
    for points in (5, 9, 50, 200):
        monkeypatch.setattr("fslice.operators.realspace._posed._POINTS", points)
        np.testing.assert_allclose(project_realspace(volume, rotation), whole[0], atol=1e-13)
        np.testing.assert_allclose(rotate_volume(volume, rotation), whole[1], atol=1e-13)
        np.testing.assert_allclose(backproject_realspace(images, rotation), adjoint[0], atol=1e-13)
        np.testing.assert_allclose(rotate_volume_adjoint(volumes, rotation), adjoint[1], atol=1e-13)


@pytest.mark.parametrize(("radius", "bound"), [(0.5, 1.2e-2), (0.9, 2.2e-2)])
def test_projections_of_the_phantom_are_within_the_documented_error(radius, bound, rng):
    model = phantom(64, 2.0, radius=radius)
    rotations, shifts = random_rotations(4, rng), rng.uniform(-2, 2, (4, 2))
    expected = model.project(rotations, 64, 2.0, shifts)
    projected = project_realspace(model.volume(64, 2.0), rotations, shifts)
    assert np.linalg.norm(projected - expected) <= bound * np.linalg.norm(expected)


@pytest.fixture
def ribosome(data):
    """Return the ribosome map, Fourier-cropped from 65 to 64 voxels as RELION projected it."""
    from fslice.fourier import irfft3, rfft3
    from fslice.io import read_volume

    volume_ft = rfft3(read_volume(data / "maps" / "clean70SRibosome_vol_65p.mrc")[0])
    kept = np.r_[0:32, -32:0]
    return irfft3(volume_ft[kept][:, kept][..., :33] * np.float32((64 / 65) ** 1.5))


@pytest.mark.parametrize("name", ["centered", "shifted"])
def test_projections_agree_with_relion(name, ribosome, data):
    from fslice.io import read_particles

    particles = read_particles(data / "particles" / "relion_70S" / f"rln_proj_64_{name}.star")
    shifts = particles.shifts.astype(np.float32)
    projected = project_realspace(ribosome, particles.rotations.astype(np.float32), shifts)
    axis = np.arange(64)
    for image, relion, shift in zip(projected, particles.images[:], shifts, strict=True):
        # RELION shifts in Fourier space: what leaves the box comes in on the other side, and is
        # no part of the comparison.
        x, y = (abs(axis - t - 31.5) <= 32 for t in shift)
        inside = y[:, None] & x[None, :]
        assert np.corrcoef(image[inside], relion[inside])[0, 1] >= 0.9985
        # fine detail is dampened, so RELION's images are stronger, by less than 4 %
        scale = np.vdot(image[inside], relion[inside]) / np.vdot(image[inside], image[inside])
        assert 1 < scale < 1.04


@pytest.mark.parametrize(
    ("volume", "rotations", "shifts", "message"),
    [
        ((4, 4, 5), (3, 3), None, r"volume: expected shape \(5, 5, 5\), got \(4, 4, 5\)"),
        ((4,), (3, 3), None, r"volume: expected 2 or 3 dimensions, got shape \(4,\)"),
        ((4, 4, 4), (2, 2), None, r"rotations: expected shape \(..., 3, 3\), got \(2, 2\)"),
        ((4, 4), (3, 3), None, r"rotations: expected shape \(..., 2, 2\), got \(3, 3\)"),
        ((4, 4, 4), (3, 3), (3,), r"shifts: expected shape \(2,\), got \(3,\)"),
        ((4, 4, 4), (5, 3, 3), (4, 2), r"shifts: expected shape \(5, 2\), got \(4, 2\)"),
        ((4, 4, 4), (0, 3, 3), None, r"rotations: expected at least one element"),
    ],
)
def test_wrong_shapes_are_named(volume, rotations, shifts, message):
    matrices = np.broadcast_to(np.eye(rotations[-1]), rotations)
    vectors = None if shifts is None else np.zeros(shifts)
    with pytest.raises(ValueError, match=message):
        project_realspace(np.zeros(volume), matrices, vectors)


def test_images_that_do_not_fit_their_poses_are_named(rng):
    rotations = random_rotations(2, rng)
    with pytest.raises(ValueError, match=r"images: expected shape \(2, 4, 4\), got \(3, 4, 4\)"):
        backproject_realspace(np.zeros((3, 4, 4)), rotations)
    with pytest.raises(ValueError, match=r"cotangent: expected shape \(2, 4, 4\), got \(2, 5, 5\)"):
        project_realspace_vjp(np.zeros((4, 4, 4)), rotations, cotangent=np.zeros((2, 5, 5)))


def test_poses_that_are_no_rotations_are_refused():
    volume, image = np.zeros((4, 4, 4)), np.zeros((4, 4))
    with pytest.raises(ValueError, match="rotations: expected orthonormal matrices"):
        project_realspace(volume, 2 * np.eye(3))
    with pytest.raises(ValueError, match=r"rotations: expected determinant \+1"):
        project_realspace(image, np.diag([1.0, -1.0]))
    with pytest.raises(ValueError, match=r"rotations: .* NaN or infinite"):
        project_realspace(volume, np.full((3, 3), np.nan))
    with pytest.raises(ValueError, match=r"shifts: .* NaN or infinite"):
        project_realspace(volume, np.eye(3), np.array([np.inf, 0]))


def test_mixed_precisions_and_other_kinds_are_refused():
    volume = np.zeros((4, 4, 4), np.float32)
    message = "precisions differ: volume is float32, rotations is float64"
    with pytest.raises(TypeError, match=message):
        project_realspace(volume, np.eye(3))
    with pytest.raises(TypeError, match="volume: expected dtype float32 or float64, got int64"):
        rotate_volume(volume.astype(int), np.eye(3))
    with pytest.raises(TypeError, match="expected a NumPy or CuPy array, got list"):
        backproject_realspace([[1.0]], np.eye(2))
    with pytest.raises(TypeError, match="precisions differ: volume is float32, cotangent"):
        project_realspace_vjp(volume, np.eye(3, dtype=np.float32), cotangent=np.zeros((4, 4)))
