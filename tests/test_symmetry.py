"""Point groups, averages over them, and what they do to simulation and reconstruction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fslice
from fslice.data.dataset import Dataset
from fslice.data.passes import sum_over
from fslice.data.poses import Poses
from fslice.geometry import angle_between
from fslice.postprocess.masks import soft_spherical_mask
from fslice.solvers.adam import Adam
from fslice.solvers.exact import Exact
from fslice.solvers.wiener import Wiener
from fslice.symmetry._shears import permute, turn, turn_adjoint
from fslice.symmetry.average import GroupAverage, symmetrize
from fslice.symmetry.groups import symmetry_name, symmetry_rotations
from fslice.testing import check_adjoint

ORDERS = {"T": 12, "O": 24, "I": 60, "I1": 60, "I2": 60, "I3": 60, "I4": 60}
ORDERS |= {f"C{n}": n for n in (1, 2, 3, 7, 12, 40)} | {f"D{n}": 2 * n for n in (1, 2, 3, 7, 12)}


@pytest.mark.parametrize(("name", "order"), ORDERS.items())
def test_a_point_group_is_a_group_of_rotations_of_its_order(name, order):
    group = symmetry_rotations(name)
    assert group.shape == (order, 3, 3)
    assert np.array_equal(group[0], np.eye(3))
    assert np.allclose(group.transpose(0, 2, 1) @ group, np.eye(3), atol=1e-13)
    assert np.allclose(np.linalg.det(group), 1)
    between = abs(group[:, None] - group[None]).max((2, 3)) + 9 * np.eye(order)
    assert between.min() > 0.1  # all different
    products = (group[:, None] @ group[None]).reshape(-1, 1, 3, 3)
    assert abs(products - group).max((2, 3)).min(1).max() < 1e-12


def folds(name, axis):
    """Return how many rotations of the group leave an axis in place."""
    axis = np.array(axis) / np.linalg.norm(axis)
    return int(np.isclose(symmetry_rotations(name) @ axis, axis, atol=1e-6).all(1).sum())


@pytest.mark.parametrize(
    ("name", "axis", "fold"),
    [
        ("C7", (0, 0, 1), 7),
        ("D7", (0, 0, 1), 7),
        ("D7", (1, 0, 0), 2),
        ("D7", (0, 1, 0), 1),
        ("T", (0, 0, 1), 3),
        ("T", (0, 0.816496, 0.577350), 2),
        ("O", (1, 1, 1), 3),
        ("O", (0, 0, 1), 4),
        # RELION's table of axes, to the digits that it gives
        ("I2", (0, 0, 1), 2),
        ("I2", (0.525731114, 0, 0.850650807), 5),
        ("I2", (0, 0.356822076, 0.934172364), 3),
        ("I1", (1, 0, 0), 2),
        ("I1", (0.85065080702670, 0, -0.5257311142635), 5),
        ("I1", (0.9341723640, 0.3568220765, 0), 3),
        ("I3", (-0.5257311143, 0, 0.8506508070), 2),
        ("I3", (0, 0, 1), 5),
        ("I3", (-0.4911234778630044, 0.3568220764705179, 0.7946544753759428), 3),
        ("I4", (0.5257311143, 0, 0.8506508070), 2),
        ("I4", (0.8944271932547096, 0, 0.4472135909903704), 5),
        ("I4", (0.4911234778630044, 0.3568220764705179, 0.7946544753759428), 3),
    ],
)
def test_axes_are_those_of_relion(name, axis, fold):
    assert folds(name, axis) == fold


def test_names_are_read_in_either_case_and_have_one_form():
    assert symmetry_name("d12") == "D12"
    assert np.array_equal(symmetry_rotations("i"), symmetry_rotations("I2"))


@pytest.mark.parametrize(
    "name", ["", "C", "C0", "C100", "D", "I5", "C7v", "S4", "7", " C7", "C7\n"]
)
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="symmetry: expected C1 to C99, D1 to D99, T, O, I or I1"):
        symmetry_rotations(name)
    with pytest.raises(TypeError, match="symmetry: expected a name such as 'C7', got 7"):
        symmetry_rotations(7)


@given(size=st.integers(2, 9), seed=st.integers(0, 99))
def test_turning_is_undone_by_its_adjoint(size, seed):
    rng = np.random.default_rng(seed)
    volume, other = rng.normal(size=(2, size, size, size))
    rotation = fslice.random_rotations(1, rng)[0]
    check_adjoint(lambda v: turn(v, rotation), lambda v: turn_adjoint(v, rotation), volume, other)
    if size % 2:  # nothing is lost at Nyquist
        assert np.allclose(turn_adjoint(turn(volume, rotation), rotation), volume)


@pytest.mark.parametrize("size", [6, 7])
def test_rotations_of_the_grid_move_voxels(size):
    """Each voxel is read where the definition says, the box being periodic."""
    volume = np.random.default_rng(0).normal(size=(size,) * 3)
    z, y, x = np.indices(volume.shape) - size // 2
    for rotation in symmetry_rotations("O"):
        u = np.rint(np.tensordot(rotation, np.stack([x, y, z]), 1)).astype(int) + size // 2
        u %= size
        expected = volume[u[2], u[1], u[0]]
        assert np.array_equal(permute(volume, rotation), expected)
        assert np.array_equal(turn(volume, rotation), expected)


def gaussians(rng, count=12, spread=14.0):
    return fslice.simulation.GaussianModel(
        rng.normal(size=(count, 3)) * spread, rng.uniform(0.5, 1, count), np.full(count, 60.0)
    )


@pytest.mark.parametrize("size", [48, 49])
def test_turned_volumes_are_those_of_turned_models(size, rng):
    model = gaussians(rng)
    volume = model.volume(size, 4.0)
    for rotation in fslice.random_rotations(4, rng):
        expected = model.rotate(rotation.T).volume(size, 4.0)
        error = np.linalg.norm(turn(volume, rotation) - expected) / np.linalg.norm(expected)
        assert error < 1e-6


@pytest.mark.parametrize("name", ["C2", "C7", "D3", "D4", "D7", "T", "O", "I", "I3"])
@pytest.mark.parametrize("size", [48, 49])
def test_symmetrized_volumes_are_those_of_symmetrized_models(name, size, rng):
    model = gaussians(rng)
    expected = fslice.simulate(model, 1, size, 4.0, symmetry=name).truth
    for volume, tolerance in (
        (model.volume(size, 4.0), 1e-6),
        (model.volume(size, 4.0, dtype=np.float32), 3e-6),
    ):
        found = symmetrize(volume, name)
        assert found.dtype == volume.dtype
        assert np.linalg.norm(found - expected) < tolerance * np.linalg.norm(expected)
        again = symmetrize(found, name)
        assert np.linalg.norm(again - found) < tolerance * np.linalg.norm(found)


def test_symmetrizing_reaches_the_edges_of_sphere_and_band(rng):
    """White noise of the band inside the sphere: a projection, to what the sharp edge spreads."""
    size = 32
    mask = soft_spherical_mask(size, 11, 4)
    band = fslice.fourier.radii(size, 3) <= 14
    volume = mask * fslice.irfft3(band * fslice.rfft3(rng.normal(size=(size,) * 3)))
    once = symmetrize(volume, "C7")
    assert np.linalg.norm(symmetrize(once, "C7") - once) < 2e-2 * np.linalg.norm(once)
    assert abs(np.vdot(once, once) / np.vdot(once, volume) - 1) < 1e-3  # orthogonal


@pytest.mark.parametrize("name", ["C3", "D4", "T", "I"])
def test_the_average_has_an_adjoint_and_the_trace_of_its_degrees(name, rng):
    average = GroupAverage(name)
    assert average.order == len(symmetry_rotations(name))
    volumes = rng.normal(size=(2, 9, 9, 9))
    check_adjoint(average, average.adjoint, *volumes)
    # in a ball, the average of N degrees of freedom keeps about N / order, more on the axes
    mask = soft_spherical_mask(9, 3, 0.1)
    units = [e.reshape(9, 9, 9) for e in np.eye(729)[mask.ravel() > 0]]
    trace = sum(float((average(e) * e).sum()) for e in units)
    axes = len(units) ** (1 / 3)
    assert len(units) / average.order < trace < len(units) / average.order + 2 * axes


def test_groups_of_the_grid_are_exact(rng):
    volume = rng.normal(size=(8, 8, 8))
    for name in ("C1", "C2", "C4", "D2", "D4", "O"):
        once = symmetrize(volume, name)
        assert np.allclose(symmetrize(once, name), once, rtol=0, atol=1e-14)
        for rotation in symmetry_rotations(name):
            assert np.allclose(permute(once, rotation), once, rtol=0, atol=1e-14)


def test_the_model_is_averaged_before_it_is_projected(rng):
    """Images from symmetry-related directions are the same, of Gaussians and of maps."""
    model = gaussians(rng)
    group = symmetry_rotations("C7")
    volume = model.volume(48, 4.0)
    for given_model in (model, volume):
        data = fslice.simulate(given_model, 3, 48, 4.0, symmetry="C7", seed=1)
        projector = fslice.Projector(48, 2, "cubic")
        rotations = (group[3] @ data.rotations).astype(np.float32)
        related = projector.project(data.truth, rotations)
        assert np.linalg.norm(related - data.images()) < 2e-3 * np.linalg.norm(related)


def test_a_pass_gives_each_image_from_all_directions(rng):
    images = rng.normal(size=(5, 6, 6))
    rotations = fslice.random_rotations(5, rng)
    dataset = Dataset(images, Poses(rotations), symmetry="D3")
    assert (len(dataset), dataset.order) == (5, 6)
    seen = []
    sum_over(dataset, lambda batch: seen.append(batch) or 0, batch_size=2)
    assert [len(batch.rotations) for batch in seen] == [12, 12, 6]
    group = symmetry_rotations("D3")
    for batch in seen:
        assert np.allclose(batch.images_ft, fslice.rfft2(images[batch.rows]))
        views = batch.rotations.reshape(6, -1, 3, 3)
        assert np.allclose(views, group[:, None] @ rotations[batch.rows])
        assert np.array_equal(batch.image_of, np.tile(np.arange(len(batch.rows)), 6))


@pytest.mark.parametrize("solver", [Adam(), Exact(), Wiener()])
def test_imposing_the_symmetry_improves_the_map(solver):
    data = fslice.simulate(fslice.phantom(32, 4.0), 250, 32, 4.0, snr=0.1, seed=2)
    progress = []
    kept = {
        group: fslice.reconstruct(
            data.images(), data.rotations, solver=solver, symmetry=group, progress=progress.append
        )
        for group in ("C1", "c7")
    }
    error = {
        group: fslice.metrics.mean_squared_error(result.mean, data.truth)
        for group, result in kept.items()
    }
    assert kept["c7"].symmetry == "C7"
    assert error["c7"] < 0.45 * error["C1"]
    # beyond the sphere rotations leave the box
    mean, inside = kept["c7"].mean, soft_spherical_mask(32, 12, 2)
    asymmetric = inside * (symmetrize(mean, "C7") - mean)
    assert np.linalg.norm(asymmetric) < 0.003 * np.linalg.norm(inside * mean)
    assert max(step.done for step in progress if step.stage == "reading") == 250
    assert abs(kept["c7"].noise_variance / data.noise_variance - 1) < 0.03
    # each image counts once: the bounds of both models are of the same images
    gain = {group: result.elbo - result.elbo_prior for group, result in kept.items()}
    assert gain["c7"] > 0
    assert abs(kept["c7"].elbo / kept["C1"].elbo - 1) < 0.01
    assert kept["c7"].elbo_trace[-1] == kept["c7"].elbo


def test_a_stochastic_fit_under_symmetry_reaches_the_exact_one():
    data = fslice.simulate(fslice.phantom(24, 4.0), 150, 24, 4.0, snr=0.2, seed=2)
    fits = [
        fslice.reconstruct(
            data.images(), data.rotations, symmetry="D2", solver=solver, prior="scalar"
        )
        for solver in (Adam(), Exact())
    ]
    gain = fits[1].elbo - fits[1].elbo_prior
    assert abs(fits[0].elbo - fits[1].elbo) < 1e-3 * gain
    assert np.median(abs(np.log(fits[0].posterior_std / fits[1].posterior_std))) < 0.02


def test_angles_within_a_cyclic_group_are_multiples():
    angles = angle_between(np.eye(3)[None], symmetry_rotations("C5"))
    assert np.allclose(sorted(angles), [0, 72, 72, 144, 144])
