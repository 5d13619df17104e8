"""SciPy's rotations wherever rotations are taken; draws and grids where `like` says."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fslice import geometry, operators, random_rotations
from fslice.geometry import as_matrices, grid_rotations, rotations_in_cone
from fslice.simulation import phantom, random_ctf
from fslice.symmetry import symmetry_rotations

SIZE, COUNT = 6, 3
OBJECTS = Rotation.random(COUNT, random_state=1)
MATRICES = OBJECTS.as_matrix()
rng = np.random.default_rng(0)
VOLUME, IMAGES = rng.normal(size=(SIZE,) * 3), rng.normal(size=(COUNT, SIZE, SIZE))
VOLUMES, ENTRIES = rng.normal(size=(COUNT, *VOLUME.shape)), rng.normal(size=(COUNT, 3, 3))
MODEL = phantom(SIZE, 4.0)

TAKE_ROTATIONS = {
    "angle_between": lambda r: geometry.angle_between(np.eye(3), r),
    "angle_between, first": lambda r: geometry.angle_between(r, np.eye(3)),
    "angle_between, both": lambda r: geometry.angle_between(r, r),
    "tangent_vjp": lambda r: geometry.tangent_vjp(r, cotangent=ENTRIES).tangent,
    "matrix_to_euler": geometry.matrix_to_euler,
    "matrix_to_quaternion": geometry.matrix_to_quaternion,
    "matrix_to_rotvec": geometry.matrix_to_rotvec,
    "project_direct": lambda r: operators.project_direct(VOLUME, r),
    "backproject_direct": lambda r: operators.backproject_direct(IMAGES, r),
    "project_direct_vjp": lambda r: (
        operators.project_direct_vjp(VOLUME, r, cotangent=IMAGES).rotations
    ),
    "project_realspace": lambda r: operators.project_realspace(VOLUME, r),
    "backproject_realspace": lambda r: operators.backproject_realspace(IMAGES, r),
    "project_realspace_vjp": lambda r: (
        operators.project_realspace_vjp(VOLUME, r, cotangent=IMAGES).rotations
    ),
    "rotate_volume": lambda r: operators.rotate_volume(VOLUME, r),
    "rotate_volume_adjoint": lambda r: operators.rotate_volume_adjoint(VOLUMES, r),
    "rotate_volume_vjp": lambda r: (
        operators.rotate_volume_vjp(VOLUME, r, cotangent=VOLUMES).rotations
    ),
    "GaussianModel.project": lambda r: MODEL.project(r, SIZE, 4.0),
    "GaussianModel.project_ft": lambda r: MODEL.project_ft(r, SIZE, 4.0),
    "GaussianModel.rotate": lambda r: MODEL.rotate(r[0]).positions,
}

DRAWS = {
    "random_rotations": lambda **where: random_rotations(4, np.random.default_rng(1), **where),
    "rotations_in_cone": lambda **where: rotations_in_cone(4, 9, np.random.default_rng(1), **where),
    "grid_rotations": lambda **where: grid_rotations(4, **where),
    "symmetry_rotations": lambda **where: symmetry_rotations("D3", **where),
}


@pytest.mark.parametrize("name", TAKE_ROTATIONS)
def test_a_scipy_rotation_is_as_good_as_its_matrix(name):
    function = TAKE_ROTATIONS[name]
    np.testing.assert_array_equal(function(OBJECTS), function(MATRICES))


def test_a_scipy_rotation_takes_the_precision_of_the_volume():
    images = operators.project_direct(VOLUME.astype(np.float32), OBJECTS)
    assert images.dtype == np.float32


def test_a_scipy_rotation_goes_to_the_device_of_the_volume(device):
    volume = device.asarray(VOLUME.astype(np.float32))
    matrices = as_matrices(OBJECTS, like=volume)
    assert isinstance(matrices, device.ndarray)
    assert matrices.dtype == np.float32
    np.testing.assert_array_equal(matrices.get(), MATRICES.astype(np.float32))


@pytest.mark.parametrize("name", DRAWS)
def test_draws_and_grids_are_rounded_to_the_precision_that_is_asked_for(name):
    expected = DRAWS[name]()
    assert expected.dtype == np.float64
    for where in ({"dtype": "float32"}, {"like": np.zeros(1, np.complex64)}):
        found = DRAWS[name](**where)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected.astype(np.float32))
    with pytest.raises(ValueError, match="dtype: expected 'float32' or 'float64', got 'int64'"):
        DRAWS[name](dtype=int)
    with pytest.raises(TypeError, match="like: expected a NumPy or CuPy array, got list"):
        DRAWS[name](like=[1.0])


@pytest.mark.parametrize("name", DRAWS)
def test_draws_and_grids_lie_on_the_device_that_is_asked_for(name, device):
    found = DRAWS[name](like=device.zeros(1, np.float32))
    assert isinstance(found, device.ndarray)
    np.testing.assert_array_equal(found.get(), DRAWS[name]().astype(np.float32))


def test_a_drawn_ctf_lies_on_the_device_that_is_asked_for(device):
    found = random_ctf(4, 2.0, np.random.default_rng(1), like=device.zeros(1, np.float32))
    expected = random_ctf(4, 2.0, np.random.default_rng(1))
    assert isinstance(found.defocus_u, device.ndarray)
    np.testing.assert_array_equal(found.defocus_u.get(), expected.defocus_u)
