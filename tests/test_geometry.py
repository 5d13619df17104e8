"""Conversions between descriptions of rotations, pinned to SciPy, and their derivatives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from fslice.geometry import (
    angle_between,
    check_rotations,
    euler_to_matrix,
    euler_to_matrix_vjp,
    matrix_to_euler,
    matrix_to_quaternion,
    matrix_to_rotvec,
    quaternion_to_matrix,
    quaternion_to_matrix_vjp,
    random_rotations,
    rotvec_to_matrix,
    rotvec_to_matrix_vjp,
    tangent_vjp,
)
from fslice.testing import check_gradient

MAPS = {
    "euler": (euler_to_matrix, euler_to_matrix_vjp, matrix_to_euler),
    "quaternion": (quaternion_to_matrix, quaternion_to_matrix_vjp, matrix_to_quaternion),
    "rotvec": (rotvec_to_matrix, rotvec_to_matrix_vjp, matrix_to_rotvec),
}
each_map = pytest.mark.parametrize("kind", list(MAPS))
batches = st.sampled_from([(), (1,), (5,), (2, 3)])
dtypes = st.sampled_from(["float32", "float64"])
seeds = st.integers(0, 2**32 - 1)


def draw(kind, batch, seed, dtype="float64"):
    """Draw parameters of all magnitudes that the map takes."""
    rng = np.random.default_rng(seed)
    if kind == "euler":
        parameters = rng.uniform(-400, 400, (*batch, 3))
    elif kind == "quaternion":
        parameters = rng.normal(size=(*batch, 4)) * 10 ** rng.uniform(-2, 2)
    else:
        parameters = rng.normal(size=(*batch, 3)) * 10 ** rng.uniform(-9, 0.5, (*batch, 1))
    return parameters.astype(dtype)


def scipy_matrix(kind, parameters):
    flat = parameters.reshape(-1, parameters.shape[-1]).astype("float64")
    rotation = {
        "euler": lambda: Rotation.from_euler("ZYZ", flat, degrees=True),
        "quaternion": lambda: Rotation.from_quat(flat),
        "rotvec": lambda: Rotation.from_rotvec(flat),
    }[kind]()
    return rotation.as_matrix().reshape(*parameters.shape[:-1], 3, 3)


@each_map
@given(batch=batches, seed=seeds, dtype=dtypes)
def test_the_matrix_is_that_of_scipy_in_the_precision_of_the_input(kind, batch, seed, dtype):
    parameters = draw(kind, batch, seed, dtype)
    rotations = MAPS[kind][0](parameters)
    assert rotations.dtype == dtype
    # A rounded angle of 400 degrees is off by 7 radians times eps.
    tolerance = 20 * np.finfo(dtype).eps
    assert np.allclose(rotations, scipy_matrix(kind, parameters), rtol=0, atol=tolerance)


@each_map
@given(batch=batches, seed=seeds, dtype=dtypes)
def test_converting_a_matrix_and_back_gives_the_matrix(kind, batch, seed, dtype):
    to_matrix, _, from_matrix = MAPS[kind]
    rotations = to_matrix(draw(kind, batch, seed, dtype))
    parameters = from_matrix(rotations)
    assert parameters.dtype == dtype
    tolerance = 10 * np.finfo(dtype).eps
    assert np.allclose(to_matrix(parameters), rotations, rtol=0, atol=tolerance)


SINGULAR = {
    "tilt 0": Rotation.from_euler("ZYZ", [40, 0, 30], degrees=True),
    "tilt 180": Rotation.from_euler("ZYZ", [40, 180, 30], degrees=True),
    "tilt 1e-7": Rotation.from_euler("ZYZ", [40, 1e-7, 30], degrees=True),
    "tilt 180 - 1e-7": Rotation.from_euler("ZYZ", [40, 180 - 1e-7, 30], degrees=True),
    "angle 0": Rotation.identity(),
    "angle 1e-12": Rotation.from_rotvec([6e-13, 0, 8e-13]),
    "angle pi about x": Rotation.from_rotvec([np.pi, 0, 0]),
    "angle pi about y": Rotation.from_rotvec([0, np.pi, 0]),
    "angle pi about z": Rotation.from_rotvec([0, 0, np.pi]),
    "angle pi about a diagonal": Rotation.from_rotvec(np.pi * np.array([2, -1, 2]) / 3),
    "angle pi - 1e-9": Rotation.from_rotvec((np.pi - 1e-9) * np.array([1, 2, 2]) / 3),
}


@each_map
@pytest.mark.parametrize("case", list(SINGULAR))
def test_a_singular_point_is_no_exception(kind, case):
    to_matrix, _, from_matrix = MAPS[kind]
    rotation = SINGULAR[case].as_matrix()
    assert np.allclose(to_matrix(from_matrix(rotation)), rotation, rtol=0, atol=2e-15)


@pytest.mark.parametrize("case", [case for case in SINGULAR if case.startswith("angle")])
def test_rotation_vectors_are_accurate_near_zero_and_near_pi(case):
    vector = matrix_to_rotvec(SINGULAR[case].as_matrix())
    expected = SINGULAR[case].as_rotvec()  # at pi of two, that with the largest entry positive
    assert np.allclose(vector, expected, rtol=0, atol=1e-15 + 1e-15 * np.linalg.norm(expected))


def test_a_tiny_rotation_vector_keeps_its_relative_accuracy():
    vectors = np.array([[1e-200, 0, 0], [0, -3e-17, 4e-17], [1e-8, 2e-8, -1e-8]])
    assert np.allclose(matrix_to_rotvec(rotvec_to_matrix(vectors)), vectors, rtol=1e-15, atol=0)


@given(seed=seeds)
def test_euler_angles_come_back_within_their_ranges(seed):
    angles = np.random.default_rng(seed).uniform([-180, 1, -180], [180, 179, 180], (7, 3))
    assert np.allclose(matrix_to_euler(euler_to_matrix(angles)), angles, rtol=0, atol=1e-11)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_rot_is_zero_where_the_tilt_is_zero(zero):
    rotation = np.array([[0, -1, zero], [1, 0, zero], [zero, zero, 1]])
    assert np.allclose(matrix_to_euler(rotation), [0, 0, 90], rtol=0, atol=1e-13)


@given(seed=seeds)
def test_quaternions_come_back_with_unit_length_and_nonnegative_scalar(seed):
    quaternion = draw("quaternion", (20,), seed)
    back = matrix_to_quaternion(quaternion_to_matrix(quaternion))
    unit = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    assert np.allclose(back, unit * np.where(unit[:, 3:] < 0, -1, 1), rtol=0, atol=1e-15)


@pytest.mark.parametrize("scale", [1e-200, -1.0, 3.0, 1e200])
def test_the_length_and_sign_of_a_quaternion_have_no_effect(scale, rng):
    quaternion = rng.normal(size=(4, 4))
    scaled = quaternion_to_matrix(scale * quaternion)
    assert np.allclose(scaled, quaternion_to_matrix(quaternion), rtol=0, atol=1e-15)


@each_map
@given(batch=batches, seed=seeds)
def test_the_vjp_is_the_gradient(kind, batch, seed):
    to_matrix, vjp, _ = MAPS[kind]
    parameters = draw(kind, batch, seed)
    rng = np.random.default_rng(seed)
    cotangent = rng.normal(size=(*batch, 3, 3))
    direction = rng.normal(size=parameters.shape)
    if kind == "quaternion":  # the curvature grows as the length falls
        direction *= np.linalg.norm(parameters, axis=-1, keepdims=True)
    check_gradient(
        lambda p: np.vdot(cotangent, to_matrix(p)),
        vjp(parameters, cotangent=cotangent)[0],
        parameters,
        direction,
    )


NEAR = {
    "euler": [[0, 0, 0], [10, 0, 20], [10, 180, 20], [10, 1e-9, 20], [180, 90, -180]],
    "quaternion": [[0, 0, 0, 1], [1, 0, 0, 0], [0, 1e-9, 0, -2], [0.5, -0.5, 0.5, 0]],
    "rotvec": [
        [0, 0, 0],
        [1e-200, 0, 0],
        [1e-9, -1e-9, 2e-9],
        [1e-3, 0, 0],
        [0.6, 0, 0.799999],
        [0.6, 0, 0.800001],
        [0, np.pi, 0],
        [0, 0, 2 * np.pi],
        [5, 6, 7],
    ],
}


@each_map
def test_the_vjp_is_the_gradient_at_and_near_special_points(kind, rng):
    to_matrix, vjp, _ = MAPS[kind]
    for point in np.array(NEAR[kind], dtype="float64"):
        for direction in np.eye(point.size):
            cotangent = rng.normal(size=(3, 3))
            (gradient,) = vjp(point, cotangent=cotangent)
            check_gradient(
                lambda p, c=cotangent: np.vdot(c, to_matrix(p)), gradient, point, direction
            )


@given(angle=st.floats(1e-12, 6.0))
def test_the_gradient_of_an_entry_is_accurate_at_every_angle(angle):
    entry = np.zeros((3, 3))
    entry[2, 0] = 1  # by Rodrigues' formula -(sin t / t) y + ((1 - cos t) / t^2) x z
    gradient = rotvec_to_matrix_vjp(np.array([angle, 0.0, 0.0]), cotangent=entry).vectors
    expected = [0, -np.sin(angle) / angle, 2 * np.sin(angle / 2) ** 2 / angle]
    assert np.allclose(gradient, expected, rtol=2e-15, atol=2e-15 * min(angle, 1))


@each_map
@given(seed=seeds)
def test_the_vjp_keeps_single_precision(kind, seed):
    parameters = draw(kind, (4,), seed)
    cotangent = np.random.default_rng(seed).normal(size=(4, 3, 3))
    vjp = MAPS[kind][1]
    (double,) = vjp(parameters, cotangent=cotangent)
    (single,) = vjp(parameters.astype("float32"), cotangent=cotangent.astype("float32"))
    assert single.dtype == "float32"
    assert np.allclose(single, double, rtol=0, atol=1e-5 * abs(double).max())


@given(batch=batches, seed=seeds)
def test_the_tangent_vjp_is_the_gradient_of_a_turn_of_the_image(batch, seed):
    rng = np.random.default_rng(seed)
    rotations = random_rotations(max(1, int(np.prod(batch))), rng).reshape(*batch, 3, 3)
    cotangent = rng.normal(size=(*batch, 3, 3))
    check_gradient(
        lambda w: np.vdot(cotangent, rotations @ rotvec_to_matrix(w)),
        tangent_vjp(rotations, cotangent=cotangent).tangent,
        np.zeros((*batch, 3)),
        rng.normal(size=(*batch, 3)),
    )


def test_the_inputs_may_lie_anyhow_in_memory(rng):
    cotangent = rng.normal(size=(3, 3, 8)).transpose(2, 1, 0)[::2]
    for kind, (to_matrix, vjp, from_matrix) in MAPS.items():
        strided = np.asfortranarray(draw(kind, (8,), 1))[::2]
        packed = np.ascontiguousarray(strided)
        assert np.array_equal(to_matrix(strided), to_matrix(packed))
        (gradient,) = vjp(strided, cotangent=cotangent)
        # Older NumPy adds the products of such arrays in another order
        expected = vjp(packed, cotangent=cotangent.copy())[0]
        assert np.allclose(gradient, expected, rtol=0, atol=8 * np.finfo(float).eps)
        rotations = to_matrix(packed)
        assert np.array_equal(from_matrix(np.asfortranarray(rotations)), from_matrix(rotations))


@given(seed=seeds, degrees=st.sampled_from([0, 1e-10, 1e-3, 30, 90, 179.999, 180]))
def test_the_angle_between_orientations_is_the_angle_of_the_turn(seed, degrees):
    rng = np.random.default_rng(seed)
    start = random_rotations(3, rng)
    axis = rng.normal(size=(3, 3))
    axis *= np.deg2rad(degrees) / np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = angle_between(start, start @ rotvec_to_matrix(axis))
    assert np.allclose(angle, degrees, rtol=1e-13, atol=1e-13)


def test_the_angle_broadcasts_over_leading_dimensions(rng):
    a, b = random_rotations(4, rng), random_rotations(3, rng)
    table = angle_between(a[:, None], b)
    assert table.shape == (4, 3)
    assert np.allclose(table[2, 1], angle_between(a[2], b[1]))


@pytest.mark.parametrize(
    ("rotations", "message"),
    [
        (np.eye(4), r"R: expected shape \(\.\.\., 3, 3\), got \(4, 4\)"),
        (np.zeros((0, 3, 3)), r"R: expected at least one element, got shape \(0, 3, 3\)"),
        (np.full((2, 3, 3), np.nan), r"R: 18 of 18 values are NaN or infinite.*\(0, 0, 0\)"),
        (
            np.stack([np.eye(3), 2 * np.eye(3)]),
            r"R: expected orthonormal matrices within 0.001, got one off by 3 at index \(1,\)",
        ),
        (-np.eye(3), r"R: expected determinant \+1, got -1 \(a reflection\) at index \(\)"),
    ],
)
def test_what_is_no_rotation_is_refused(rotations, message):
    with pytest.raises(ValueError, match=message):
        check_rotations("R", rotations)


def test_matrices_rounded_to_four_digits_are_rotations(rng):
    check_rotations("R", random_rotations(100, rng).round(4))


@pytest.mark.parametrize("kind", [np.eye(3, dtype=int), np.eye(3).tolist(), np.eye(3) + 0j])
def test_only_real_floating_arrays_are_rotations(kind):
    with pytest.raises(TypeError, match=r"^R: expected "):
        check_rotations("R", kind)


@each_map
def test_wrong_input_is_refused_in_one_line(kind):
    to_matrix, vjp, from_matrix = MAPS[kind]
    good = draw(kind, (2,), 0)
    with pytest.raises(
        ValueError, match=rf"expected shape \(\.\.\., {good.shape[-1]}\), got \(2, 7\)"
    ):
        to_matrix(np.ones((2, 7)))
    with pytest.raises(ValueError, match="NaN or infinite, the first at index"):
        to_matrix(good * np.nan)
    with pytest.raises(TypeError, match="expected dtype float32 or float64, got int64"):
        to_matrix(np.ones(good.shape, dtype="int64"))
    with pytest.raises(ValueError, match="expected at least one element"):
        to_matrix(good[:0])
    with pytest.raises(ValueError, match=r"cotangent: expected shape \(2, 3, 3\), got \(3, 3\)"):
        vjp(good, cotangent=np.eye(3))
    with pytest.raises(TypeError, match=r"precisions differ: \w+ is float64, cotangent is float32"):
        vjp(good, cotangent=np.ones((2, 3, 3), dtype="float32"))
    with pytest.raises(ValueError, match="rotations: expected orthonormal matrices"):
        from_matrix(np.ones((3, 3)))


def test_a_zero_quaternion_is_refused():
    with pytest.raises(ValueError, match="quaternions: expected nonzero quaternions, got 1 that"):
        quaternion_to_matrix(np.array([[0.0, 0, 0, 0], [0, 0, 0, 1]]))


def test_the_tangent_vjp_refuses_cotangents_of_other_shapes():
    with pytest.raises(ValueError, match=r"cotangent: expected shape \(3, 3\), got \(2, 3, 3\)"):
        tangent_vjp(np.eye(3), cotangent=np.ones((2, 3, 3)))
