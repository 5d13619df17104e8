"""Sums without atomics: the same bits whatever runs first, right for every matrix and plan."""

import cuda_host
import numpy as np
import pytest
import standin
from hypothesis import given
from hypothesis import strategies as st
from strategies import noise, poses, seeds
from test_cuda_kernels import assert_agree
from test_kernels import kernel_cases, run_all

from fslice._arrays import to_numpy
from fslice._kernels import CUBIC, LINEAR, Filters, SliceGeometry, Views
from fslice._kernels.cuda.plan import plan_for
from fslice._kernels.cuda.structs import geometry_struct
from fslice._kernels.numpy import KERNELS as DEFINITION

pytestmark = pytest.mark.skipif(
    cuda_host.compiler() is None, reason="there is no C++ compiler to run the CUDA source with"
)


@pytest.fixture
def cupy():
    """Have the CuPy-like library in CuPy's place."""
    with standin.installed() as library:
        yield library


def cube(size, taps, padded=None):
    """Return the geometry of a cube and its slices."""
    padded = padded or size
    sides = padded, padded, padded, size, size
    return SliceGeometry(*sides, padded / size, (size - 1) // 2, taps)


def sums_of(kernels, xp, geometry, rotations, shifts, slices, weights=None):
    """Return all sums over views: of slices, of squares, and of moments."""
    given_poses = xp.asarray(rotations), xp.asarray(shifts), None, xp.asarray(weights)
    views, slices = Views(*given_poses), xp.asarray(slices)
    linear = geometry._replace(taps=LINEAR)
    filters = Filters(abs(slices), abs(slices[:1]))
    total = kernels.new_gram(linear, filters.ctf.dtype)
    kernels.add_gram(total, views, filters, linear)
    return {
        "scatter": kernels.scatter(slices, views, 1.5, geometry),
        "squares": kernels.scatter_squares(filters.ctf, views, geometry),
        "stencil": kernels.stencil_of(total, linear),
    }


def many_views(rng, geometry, count, dtype=np.float64, stretch=1.0):
    """Return rotations, shifts, slices and weights of many views."""
    slices = noise(rng, (count, *geometry.slice_shape), complex)
    return (
        stretch * poses(rng, (count,)).astype(dtype),
        noise(rng, (count, 2)).astype(dtype),
        slices.astype(np.complex64 if dtype == np.float32 else complex),
        rng.uniform(0, 2, count).astype(dtype),
    )


def assert_sums_agree(cupy, kernels, geometry, arrays):
    """Assert that the sums are those of the definition."""
    found = sums_of(kernels, cupy, geometry, *arrays)
    for name, expected in sums_of(DEFINITION, np, geometry, *arrays).items():
        assert_agree(name, found[name], expected, arrays[0].dtype)


# bits --------------------------------------------------------------------------------------------


@given(case=kernel_cases(8), first=st.integers(1, 9), second=st.integers(1, 9))
def test_the_order_of_threads_and_blocks_changes_no_bit(cupy, case, first, second):
    on, results = case.on(cupy), []
    for order in (0, first, 10 + second):
        results.append(run_all(cuda_host.host_kernels(order=order), on))
    for name, value in results[0].items():
        for other in results[1:]:
            assert cupy.array_equal(value, other[name]), name


@pytest.mark.parametrize("taps", [LINEAR, CUBIC])
def test_the_order_changes_no_bit_where_many_views_share_a_brick(cupy, taps, rng):
    geometry = cube(7, taps)
    arrays = many_views(rng, geometry, 300, np.float32)
    found = [sums_of(cuda_host.host_kernels(order=o), cupy, geometry, *arrays) for o in (0, 1, 7)]
    for name, value in found[0].items():
        assert cupy.array_equal(value, found[1][name]), name
        assert cupy.array_equal(value, found[2][name]), name


# every brick, part and chunk ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("size", "padded", "taps"), [(24, 24, LINEAR), (19, 23, CUBIC)])
def test_sums_over_several_bricks_are_right(cupy, size, padded, taps, dtype, rng):
    geometry = cube(size, taps, padded)
    assert len(plan_for(geometry, (8, 8, 8), 4).slots) > 10
    arrays = many_views(rng, geometry, 4, dtype)
    assert_sums_agree(cupy, cuda_host.host_kernels(order=3), geometry, arrays)


@pytest.mark.parametrize("most_views", [1 << 16, 100, 7])
def test_parts_and_chunks_of_views_add_up(cupy, most_views, rng):
    geometry = cube(6, LINEAR)
    arrays = many_views(rng, geometry, 300)
    if most_views > 300:
        assert plan_for(geometry, (8, 8, 8), 512).further > 5
    kernels = cuda_host.host_kernels(order=2, most_views=most_views)
    assert_sums_agree(cupy, kernels, geometry, arrays)


def test_chunks_of_the_fused_kernels_add_up(cupy, rng):
    geometry = cube(6, CUBIC)
    rotations, shifts, slices, weights = many_views(rng, geometry, 9)
    volume = np.fft.rfftn(noise(rng, (6, 6, 6)), norm="ortho")
    image_of = rng.integers(0, 9, 9)

    def results(kernels, xp):
        arrays = (xp.asarray(a) for a in (rotations, shifts, image_of, weights))
        views, images = Views(*arrays), xp.asarray(slices)
        filters = Filters(abs(images), None, None)
        pose = xp.asarray(volume), images, views, filters, 1.2, geometry
        return [*kernels.misfit_gradients(*pose), kernels.pose_gram(*pose)]

    bytes_of_two = 2 * slices[0].nbytes
    expected = results(DEFINITION, np)
    for options in ({"most_bytes": bytes_of_two}, {"most_views": 4}, {"most_bytes": 1}):
        found = results(cuda_host.host_kernels(**options), cupy)
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_agree(f"{options}, {number}", one, other, weights.dtype)


def test_the_same_views_in_one_brick_only(cupy, rng):
    """All views are alike: some parts have all of the work, others none."""
    geometry = cube(16, LINEAR)
    rotations, shifts, slices, weights = many_views(rng, geometry, 130)
    rotations[:] = rotations[:1]
    arrays = rotations, shifts, slices, weights
    assert_sums_agree(cupy, cuda_host.host_kernels(), geometry, arrays)


# every matrix ------------------------------------------------------------------------------------


@given(case=kernel_cases(9), stretch=st.sampled_from([0.0, 0.2, 0.5, 1.6, 30.0, 1e15]), seed=seeds)
def test_sums_are_right_for_stretched_rotations(cupy, case, stretch, seed):
    geometry, dtype = case.geometry, case.rotations.dtype
    arrays = many_views(np.random.default_rng(seed), geometry, 3, dtype, dtype.type(stretch))
    assert_sums_agree(cupy, cuda_host.host_kernels(order=3), geometry, arrays)


@given(case=kernel_cases(9), kind=st.sampled_from(["any", "parallel", "column", "sheared"]))
def test_sums_are_right_for_matrices_that_are_no_rotations(cupy, case, kind):
    rng, geometry = np.random.default_rng(7), case.geometry
    rotations, *others = many_views(rng, geometry, 3, case.rotations.dtype)
    if kind == "any":
        rotations[:] = rng.standard_normal(rotations.shape)
    elif kind == "column":
        rotations[:, :, 0] = 0
    else:
        beside = 0.01 if kind == "sheared" else 0.0
        rotations[:, :, 1] = 0.7 * rotations[:, :, 0] + beside * rotations[:, :, 2]
    arrays = rotations, *others
    assert_sums_agree(cupy, cuda_host.host_kernels(order=3), geometry, arrays)


def test_huge_rotations_leave_no_sample_but_the_origin_in_a_plane(cupy, rng):
    """Entries are held to what keeps cells integers: two that differ must not become alike."""
    geometry = SliceGeometry(1, 8, 8, 9, 9, 1.0, 4.0, LINEAR)
    arrays = many_views(rng, geometry, 30, stretch=1e12)
    assert_sums_agree(cupy, cuda_host.host_kernels(), geometry, arrays)


@pytest.mark.parametrize("ratio", [2.0, -0.5, 1.0])
def test_samples_that_huge_entries_cancel_stay_at_the_origin(cupy, ratio, rng):
    geometry = cube(9, CUBIC)
    rotations, *others = many_views(rng, geometry, 3)
    rotations[:] = 3e8 * np.array([1.0, ratio, 0]) * np.array([[1.0], [-2.0], [3.0]])
    assert_sums_agree(cupy, cuda_host.host_kernels(), geometry, (rotations, *others))


def test_every_cell_belongs_to_one_brick():
    for geometry in (cube(7, LINEAR), cube(24, CUBIC), SliceGeometry(1, 9, 4, 1, 4, 1.0, 1, CUBIC)):
        plan = plan_for(geometry, (4, 4, 8), 1)
        low, count = plan.bricks["low"][0], plan.bricks["count"][0]
        origins = {tuple(origin) for origin in plan.items["origin"].tolist()}
        axes = (
            range(first, first + step * n, step)
            for first, n, step in zip(low, count, (4, 4, 8), strict=True)
        )
        x, y, z = (list(axis) for axis in axes)
        assert origins == {(a, b, c) for a in x for b in y for c in z}
        assert len(plan.items) == len(origins)


def test_every_part_has_a_slot_and_every_slot_is_collected_once():
    plan = plan_for(cube(32, LINEAR), (8, 8, 8), 1 << 12)
    assert plan.further > 100
    slots = sorted(plan.items["slot"].tolist())
    assert slots == list(range(len(plan.items)))
    own = plan.slots[:, 0].tolist()
    further = [i for _, first, last in plan.slots.tolist() for i in range(first, last)]
    assert sorted(own + further) == slots
    for item in plan.items[plan.items["part"] > 0]:
        brick = plan.items[
            (plan.items["origin"] == item["origin"]).all(1) & (plan.items["part"] == 0)
        ]
        _, first, last = plan.slots[brick["slot"][0]]
        assert first <= item["slot"] < last
        assert item["parts"] == last - first + 1


def test_items_with_more_work_start_first():
    parts = plan_for(cube(64, LINEAR), (8, 8, 8), 1 << 14).items["parts"]
    assert (np.diff(parts) <= 0).all()


def test_slices_of_too_many_pixels_are_refused():
    geometry = SliceGeometry(8, 8, 8, 8, 40_000, 1.0, 3.0, LINEAR)
    with pytest.raises(ValueError, match="slices: expected at most 32768 pixels a side"):
        geometry_struct(geometry)


@pytest.mark.parametrize("order", [0, 5])
def test_atomic_sums_are_right_but_for_rounding(cupy, order, rng):
    geometry = cube(7, CUBIC)
    arrays = many_views(rng, geometry, 40)
    kernels = cuda_host.host_kernels(order=order, deterministic=False)
    assert_sums_agree(cupy, kernels, geometry, arrays)


def test_equal_calls_give_equal_bits_from_reused_buffers(cupy, rng):
    geometry = cube(7, LINEAR)
    kernels = cuda_host.host_kernels()
    arrays = many_views(rng, geometry, 20)
    first = sums_of(kernels, cupy, geometry, *arrays)
    other = cube(12, CUBIC)
    sums_of(kernels, cupy, other, *many_views(rng, other, 5))
    for name, value in sums_of(kernels, cupy, geometry, *arrays).items():
        assert np.array_equal(to_numpy(value), to_numpy(first[name])), name
