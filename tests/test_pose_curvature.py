"""The curvature of a misfit in the pose: against differences, the gradients, and noise itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import half_inner, noise, projector_cases, random_ctf, seeds

from fslice import Projector, phantom, random_rotations, rfft2
from fslice.fourier import hermitian_weights
from fslice.geometry import angle_between, rotvec_to_matrix, tangent_vjp
from fslice.operators.pose_curvature import PoseCurvature, pose_curvature, pose_deviations


def arguments(case, weights=1.0):
    return (case.projector, case.volume_ft, case.images_ft, *case.pose, weights)


def draw_weights(case):
    return abs(case.images_ft.reshape(-1, *case.images_ft.shape[case.rotations.ndim - 2 :])[0])


def turned(rotations, w):
    """Return ``R @ exp([w]x)`` in two or three dimensions."""
    if rotations.shape[-1] == 3:
        return rotations @ rotvec_to_matrix(w)
    cosine, sine = np.cos(w[..., 0]), np.sin(w[..., 0])
    turn = np.stack([cosine, -sine, sine, cosine], -1).reshape(*w.shape[:-1], 2, 2)
    return rotations @ turn


@given(case=projector_cases(smooth=True))
def test_chi_squared_and_gradient_are_those_of_the_misfit(backend, case):
    case = case.on(backend)
    weights = draw_weights(case)
    found = pose_curvature(*arguments(case, weights))
    power, _ = case.projector.misfit(case.volume_ft, case.images_ft, *case.pose, weights)
    assert np.allclose(found.chi_squared, power, rtol=1e-10)
    shifts = case.shifts
    if shifts is None:
        shifts = backend.zeros((*case.rotations.shape[:-2], case.volume.ndim - 1))
    residual = case.projector.project_ft(case.volume_ft, *case.pose) - case.images_ft
    chain = case.projector.project_ft_vjp(
        case.volume_ft, case.rotations, shifts, case.ctf, cotangent=residual * weights
    )
    turns = chain.rotations
    if case.volume.ndim == 3:
        turns = tangent_vjp(case.rotations, cotangent=turns).tangent
    else:
        product = case.rotations.swapaxes(-1, -2) @ turns
        turns = (product[..., 1, 0] - product[..., 0, 1])[..., None]
    expected = backend.concatenate([turns, chain.shifts], -1)
    assert np.allclose(found.gradient, expected, rtol=1e-9, atol=1e-9 * abs(expected).max())


@given(case=projector_cases(smooth=True))
def test_the_matrix_is_made_of_the_derivatives_of_projections(backend, case):
    case = case.on(backend)
    weights, batch = draw_weights(case), case.rotations.shape[:-2]
    dimension, step = case.volume.ndim, 1e-6
    free = 3 if dimension == 3 else 1
    shifts = backend.zeros((*batch, dimension - 1)) if case.shifts is None else case.shifts

    def images(change):
        change = backend.broadcast_to(change, (*batch, free + dimension - 1))
        return case.projector.project_ft(
            case.volume_ft,
            turned(case.rotations, change[..., :free]),
            shifts + change[..., free:],
            case.ctf,
        )

    columns = [
        (images(step * unit) - images(-step * unit)) / (2 * step)
        for unit in backend.eye(free + dimension - 1)
    ]
    pairs = (hermitian_weights(case.projector.size, backend) * weights)[..., : weights.shape[-1]]
    inside = tuple(range(len(batch), columns[0].ndim))
    expected = backend.array(
        [[(pairs * (a.conj() * b).real).sum(inside) for a in columns] for b in columns]
    )
    found = np.moveaxis(pose_curvature(*arguments(case, weights)).matrix, (-2, -1), (0, 1))
    assert np.allclose(found, expected, rtol=0, atol=1e-7 * max(1e-3, abs(expected).max()))


@given(case=projector_cases())
def test_both_precisions_and_any_layout_are_taken(backend, case):
    case = case.on(backend)
    found = pose_curvature(*arguments(case))
    coordinates = {2: 2, 3: 5}[case.volume.ndim]
    batch = case.rotations.shape[:-2]
    assert found.chi_squared.shape == batch
    assert found.gradient.shape == (*batch, coordinates)
    assert found.matrix.shape == (*batch, coordinates, coordinates)
    assert {array.dtype for array in found[:3]} == {np.dtype("float64")}
    assert np.linalg.eigvalsh(found.matrix).min() >= -1e-4 * abs(found.matrix).max()


@given(case=projector_cases())
def test_the_implementations_agree(case):
    pytest.importorskip("numba", reason="Numba is not installed")
    from fslice import _kernels

    found = []
    for name in ("numba", "numpy"):
        with _kernels.use_kernels(_kernels.host_kernels()[name]):
            found.append(pose_curvature(*arguments(case))[:3])
    tolerance = 200 * np.finfo(case.volume.dtype).eps
    for a, b in zip(*found, strict=True):
        assert np.allclose(a, b, rtol=0, atol=tolerance * max(abs(b).max(), 1e-30))


@pytest.fixture(scope="module")
def scene():
    """Return a projector, a volume, and clean images with CTF."""
    rng = np.random.default_rng(3)
    projector = Projector(24, 2, "cubic")
    volume_ft = projector.transform(phantom(24, 1.0).volume(24, 1.0))
    rotations, shifts = random_rotations(6, rng), rng.uniform(-1, 1, (6, 2))
    ctf = random_ctf(rng, 6)
    return projector, volume_ft, rotations, shifts, ctf


def test_gauss_newton_finds_the_pose(host_backend, scene, rng):
    projector, volume_ft, rotations, shifts, ctf = scene
    images_ft = projector.project_ft(volume_ft, rotations, shifts, ctf)
    r = rotations @ rotvec_to_matrix(0.02 * rng.normal(size=(6, 3)))
    t = shifts + 0.2 * rng.normal(size=(6, 2))
    for _ in range(6):
        found = pose_curvature(projector, volume_ft, images_ft, r, t, ctf)
        step = -np.linalg.solve(found.matrix, found.gradient[..., None])[..., 0]
        r, t = r @ rotvec_to_matrix(step[:, :3]), t + step[:, 3:]
    assert angle_between(r, rotations).max() < 1e-6
    assert abs(t - shifts).max() < 1e-8


def test_noise_scatters_the_poses_as_the_deviations_say(scene, rng):
    projector, volume_ft, rotations, shifts, ctf = scene
    one, at, own = rotations[:1], shifts[:1], ctf[0]
    clean = projector.project_ft(volume_ft, one, at, own)
    sigma = 0.05 * np.linalg.norm(clean) / 24
    noisy = clean + rfft2(sigma * rng.normal(size=(400, 24, 24)))
    found = pose_curvature(
        projector, volume_ft, noisy, np.repeat(one, 400, 0), np.repeat(at, 400, 0), own, sigma**-2
    )
    # one linear step from the truth: the estimate to first order in the noise
    steps = -np.linalg.solve(found.matrix, found.gradient[..., None])[..., 0]
    expected = pose_deviations(PoseCurvature(*(array[0] for array in found[:3])))
    assert np.allclose(steps.std(0) / expected, 1, atol=0.12)


def test_what_an_image_does_not_show_has_no_finite_deviation():
    matrix = np.diag([1.0, 4.0, 0.0, 1e8, 1.0])
    matrix[0, 4] = matrix[4, 0] = 1  # wx and ty cannot be told apart
    found = pose_deviations(PoseCurvature(np.zeros(1), np.zeros((1, 5)), matrix[None]))
    assert found.shape == (1, 5)
    assert list(np.isfinite(found[0])) == [False, True, False, True, False]
    assert np.allclose(found[0, [1, 3]], [0.5, 1e-4])


@given(seed=seeds, size=st.integers(3, 6))
def test_one_ctf_serves_all_images_and_a_number_all_frequencies(seed, size):
    rng = np.random.default_rng(seed)
    projector = Projector(size, interpolation="cubic")
    volume_ft = projector.transform(noise(rng, (size,) * 3))
    images_ft = noise(rng, (2, size, size // 2 + 1), "complex128")
    rotations, ctf = random_rotations(2, rng), random_ctf(rng, 1)
    one = pose_curvature(projector, volume_ft, images_ft, rotations, None, ctf, 3.0)
    weights = np.full((size, size // 2 + 1), 3.0)
    values = np.repeat(ctf.evaluate(size), 2, axis=0)
    many = pose_curvature(
        projector, volume_ft, images_ft, rotations, np.zeros((2, 2)), values, weights
    )
    for a, b in zip(one[:3], many[:3], strict=True):
        assert np.allclose(a, b, rtol=1e-12)
    residual = projector.project_ft(volume_ft, rotations, None, values) - images_ft
    inside = residual * (projector.project_ft(0 * volume_ft + 1, rotations) != 0)
    assert np.isclose(one.chi_squared.sum(), 3 * half_inner(size)(inside, inside))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images_ft": np.zeros((2, 4, 3), complex)}, ValueError,
         r"images_ft: expected shape \(1, 4, 3\)"),
        ({"images_ft": np.zeros((1, 4, 3), "c8")}, TypeError, "precisions differ"),
        ({"volume_ft": np.zeros((4, 4, 4), complex)}, ValueError,
         r"volume_ft: expected shape \(4, 4, 3\)"),
        ({"weights": np.ones(3)}, ValueError, r"weights: expected shape \(4, 3\), got \(3,\)"),
        ({"shifts": np.full((1, 2), np.nan)}, ValueError, "shifts: 2 of 2"),
        ({"rotations": 2 * np.eye(3)[None]}, ValueError, "rotations: expected orthonormal"),
    ],
)  # fmt: skip
def test_bad_input_is_named(change, error, message):
    good = {
        "volume_ft": np.ones((4, 4, 3), complex),
        "images_ft": np.ones((1, 4, 3), complex),
        "rotations": np.eye(3)[None],
    }
    with pytest.raises(error, match=message):
        pose_curvature(Projector(4), **(good | change))
