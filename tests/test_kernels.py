"""The kernels, each against a dense matrix, and all implementations against the definition.

The matrix is built from the definition in the textbook and shares no code with the kernels: sums
of B-splines over every frequency of the full spectrum, without half spaces, taps or traversals.
"""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Case, noise, poses, precisions, random_ctf, seeds

from fslice import _kernels
from fslice._arrays import complex_dtype, to_numpy
from fslice._kernels import CUBIC, LINEAR, Filters, SliceGeometry, Views
from fslice._kernels.composed import ComposedKernels
from fslice._kernels.numpy import KERNELS as with_numpy
from fslice._kernels.select import DEFAULTS
from fslice.geometry import euler_to_matrix


@pytest.fixture(params=["numpy", "numba", "numba in plain loops", "cupy"])
def backend(request):
    """Have one implementation compute, the fallback of another among them; return its library."""
    if request.param != "numba in plain loops":
        yield from request.getfixturevalue("computed_by")(request.param)
        return
    compiled = pytest.importorskip("fslice._kernels.numba", reason="Numba is not installed")
    with _kernels.use_kernels(compiled.NumbaKernels(plain=True)):
        yield np


TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
"""Largest difference between implementations, relative to the largest value."""


@dataclasses.dataclass(frozen=True)
class KernelCase(Case):
    """What the kernels take."""

    geometry: SliceGeometry
    volume: Any
    slices: Any
    rotations: Any
    shifts: Any
    ctf: Any
    precision: Any
    amplitude: float

    @property
    def pose(self):
        """Return views, amplitude and geometry: the last arguments of most kernels."""
        return Views(self.rotations, self.shifts), self.amplitude, self.geometry


@st.composite
def geometrys(draw, largest):
    """Draw cubes, the two-dimensional case, and boxes and slices of any sides."""
    taps = draw(st.sampled_from([LINEAR, CUBIC]))
    kind = draw(st.sampled_from(["cube", "image", "any"]))
    sides = st.integers(1, largest)
    if kind == "any":
        nz, ny, nx, rows, columns = (draw(sides) for _ in range(5))
        scale = draw(st.sampled_from([0.5, 1.0, 1.7]))
    else:
        columns = draw(sides)
        nx = draw(st.integers(columns, largest))
        ny, nz, rows = (nx, nx, columns) if kind == "cube" else (nx, 1, 1)
        scale = nx / columns
    default = (columns - 1) // 2
    radius = draw(st.sampled_from([0.0, default / 2, float(default), default + 0.6, 2.0 * columns]))
    return SliceGeometry(nz, ny, nx, rows, columns, scale, radius, taps)


def rotations_of(rng, geometry, kind):
    """Return three rotations: at random, or by right angles, which hit grid points.

    Where the sine of a right angle is off by rounding, a sample may lie on either side of its
    grid point: right for values, but nothing to compare derivatives with.
    """
    turns = 90.0 * rng.integers(-4, 5, (3, 3))
    angles = rng.uniform(-180, 180, (3, 3)) if kind == "random" else turns
    if geometry.nz == geometry.rows == 1:
        angles[:, :2] = 0  # in the plane
    rotations = euler_to_matrix(angles)
    return np.rint(rotations) if kind == "exact" else rotations


@st.composite
def kernel_cases(draw, largest=9, kinds=("random", "exact")):
    """Draw a `KernelCase`; half spectra of slices are unrestricted."""
    rng = np.random.default_rng(draw(seeds))
    geometry, dtype = draw(geometrys(largest)), draw(precisions)
    rotations = rotations_of(rng, geometry, draw(st.sampled_from(kinds)))
    box = (geometry.nz, geometry.ny, geometry.nx)
    half = (3, *geometry.slice_shape)
    return KernelCase(
        geometry=geometry,
        volume=np.fft.rfftn(noise(rng, box), norm="ortho").astype(complex_dtype(dtype)),
        slices=noise(rng, half, complex_dtype(dtype)),
        rotations=rotations.astype(dtype),
        shifts=noise(rng, (3, 2), dtype),
        ctf=noise(rng, half, dtype),
        precision=abs(noise(rng, geometry.slice_shape, dtype)),
        amplitude=float(rng.uniform(0.5, 2)),
    )


def misfit_arguments(case, ctf):
    """Return the arguments of `misfit`."""
    views, amplitude, geometry = case.pose
    filters = Filters(ctf, case.precision[None])
    return case.volume, case.slices, views, filters, amplitude, geometry


def run_all(kernels, case):
    """Return the results of all kernels by name."""
    names = ("by volume", "by rotation", "by shift")
    slices, slopes = kernels.gather_slopes(case.volume, *case.pose)
    derivatives = kernels.gather_vjp(case.volume, case.slices, *case.pose)
    losses, grad_volume = kernels.misfit(*misfit_arguments(case, case.ctf))
    all_at_once = kernels.misfit_gradients(*misfit_arguments(case, case.ctf))
    without = kernels.misfit_gradients(*misfit_arguments(case, None))
    assert without[-1] is None
    weights = abs(case.ctf)
    return {
        "gather": kernels.gather(case.volume, *case.pose),
        "gather beside its slopes": slices,
        "slopes: by rotation": slopes,
        "scatter": kernels.scatter(case.slices, *case.pose),
        "scatter_squares": kernels.scatter_squares(weights, case.pose[0], case.geometry),
        **dict(zip(names, derivatives, strict=True)),
        "losses": losses,
        "losses without a CTF": kernels.misfit(*misfit_arguments(case, None))[0],
        "gradient of the losses": grad_volume,
        **{f"{name}, of the losses": g for name, g in zip(names, all_at_once[1:], strict=False)},
        **{f"{name}, without a CTF": g for name, g in zip(names, without[1:], strict=False)},
        "losses beside their gradients": all_at_once[0],
        "losses alone beside their gradients": without[0],
        "by CTF": all_at_once[-1],
        "gram": kernels.gram(case.volume, *misfit_arguments(case, case.ctf)[2:]),
        "pose_gram: by rotation": kernels.pose_gram(*misfit_arguments(case, case.ctf)),
    }


def assert_close(name, found, expected, tolerance):
    """Assert that two arrays are equal but for `tolerance` of the largest value."""
    found, expected = to_numpy(found), to_numpy(expected)
    assert found.dtype == expected.dtype, name
    # noise of size one goes in: a residual or a sum that cancels to less than a tenth is no scale
    scale = max(abs(expected).max(), 0.1)
    assert abs(found - expected).max() <= tolerance * scale, name


@settings(max_examples=200)
@given(case=kernel_cases())
def test_implementations_agree_with_the_definition(backend, case):
    moved = case.on(backend)
    found = run_all(_kernels.kernels_for(moved.volume), moved)
    for name, expected in run_all(with_numpy, case).items():
        assert_close(name, found[name], expected, TOLERANCE[case.rotations.dtype.name])


@given(case=kernel_cases(kinds=("rounded",)))
def test_implementations_agree_where_rounding_decides_the_cell(backend, case):
    moved = case.on(backend)
    found = run_all(_kernels.kernels_for(moved.volume), moved)
    expected = run_all(with_numpy, case)
    for name, value in expected.items():
        if "rotation" in name:  # either side's derivative is right on the face of a cell
            continue
        assert_close(name, found[name], value, TOLERANCE[case.rotations.dtype.name])


# views, filters, and the composition --------------------------------------------------------------

IMAGES, VIEWS, GROUPS = 3, 5, 2


@st.composite
def cases_of_views(draw):
    """Draw a `KernelCase` with views and filters of all kinds that the interface has."""
    case, rng = draw(kernel_cases(6)), np.random.default_rng(draw(seeds))
    dtype, many = case.rotations.dtype, draw(st.booleans())
    count = VIEWS if many else IMAGES
    kind = draw(st.sampled_from(["random", "exact"]))
    rotations = np.concatenate([rotations_of(rng, case.geometry, kind) for _ in range(2)])
    views = Views(
        rotations[:count].astype(dtype),
        noise(rng, (count, 2), dtype),
        rng.integers(0, IMAGES, count) if many else None,
        draw(st.sampled_from([None, abs(noise(rng, count, dtype))])),
    )
    coefficients = 0.3 * noise(rng, (IMAGES, 7))
    table = abs(noise(rng, (GROUPS, *case.geometry.slice_shape), dtype))
    weights, group_of = draw(
        st.sampled_from([(None, None), (table, None), (table, rng.integers(0, GROUPS, IMAGES))])
    )
    ctf = draw(st.sampled_from([None, case.ctf, coefficients]))
    return case, views, Filters(ctf, weights, group_of)


def moved(backend, *tuples):
    """Return named tuples with their arrays in the library of a backend."""
    return [
        type(one)(*(None if array is None else backend.asarray(array) for array in one))
        for one in tuples
    ]


def of_view(v, views, filters):
    """Return one view, unweighted, as of the only image, and that image's filters."""
    n = v if views.image_of is None else int(views.image_of[v])
    alone = Views(views.rotations[v : v + 1], views.shifts[v : v + 1])
    row = 0 if filters.group_of is None else int(filters.group_of[n])
    return n, alone, Filters(
        None if filters.ctf is None else filters.ctf[n : n + 1],
        None if filters.weights is None else filters.weights[row : row + 1],
    )  # fmt: skip


def sums_over(kernels, case, views, filters):
    """Return what every kernel gives for views, by name."""
    pose = case.amplitude, case.geometry
    losses, grad_volume = kernels.misfit(case.volume, case.slices, views, filters, *pose)
    found = kernels.misfit_gradients(case.volume, case.slices, views, filters, *pose)
    assert (found[-1] is None) == (filters.ctf is None)
    linear = case.geometry._replace(taps=LINEAR)
    gram = kernels.new_gram(linear, case.ctf.dtype)
    kernels.add_gram(gram, views, filters, linear)
    return {
        "scatter": kernels.scatter(case.slices, views, *pose),
        "scatter_squares": kernels.scatter_squares(abs(case.ctf), views, case.geometry),
        "stencil": kernels.stencil_of(gram, linear),
        "losses": losses,
        "by volume": grad_volume,
        "losses beside gradients": found[0],
        "by volume beside the others": found[1],
        "by rotation": found[2],
        "by shift": found[3],
        "by CTF": found[4] if found[4] is not None else case.ctf[:0],
        "gram": kernels.gram(case.volume, views, filters, *pose),
        "pose_gram": kernels.pose_gram(case.volume, case.slices, views, filters, *pose),
    }


PER_VIEW = {"by rotation", "by shift", "by CTF"}
UNWEIGHTED = {"losses", "losses beside gradients", "pose_gram"}


@settings(max_examples=100)
@given(drawn=cases_of_views())
def test_a_sum_over_views_is_the_weighted_sum_of_images_seen_once(backend, drawn):
    case, views, filters = drawn[0].on(backend), *moved(backend, *drawn[1:])
    kernels = _kernels.kernels_for(case.volume)
    expected = {}
    for v in range(len(views.rotations)):
        n, alone, own = of_view(v, views, filters)
        image = dataclasses.replace(case, slices=case.slices[n : n + 1], ctf=case.ctf[n : n + 1])
        weight = 1.0 if views.weights is None else float(views.weights[v])
        for name, value in sums_over(kernels, image, alone, own).items():
            weighted = value if name in UNWEIGHTED else value * case.ctf.dtype.type(weight)
            if name in PER_VIEW | UNWEIGHTED:
                expected[name] = [*expected.get(name, []), weighted]
            else:
                expected[name] = expected.get(name, 0) + weighted
    for name, value in sums_over(kernels, case, views, filters).items():
        wanted = backend.concatenate(expected[name]) if type(expected[name]) is list else None
        wanted = expected[name] if wanted is None else wanted
        if wanted.size:
            assert_close(name, value, wanted, 10 * TOLERANCE[case.rotations.dtype.name])


OVERRIDABLE = ("gather_vjp", "misfit", "misfit_gradients", "gram", "pose_gram")


@settings(max_examples=100)
@given(drawn=cases_of_views())
def test_what_a_backend_overrides_is_the_composition_of_its_primitives(backend, drawn):
    case, views, filters = drawn[0].on(backend), *moved(backend, *drawn[1:])
    kernels = _kernels.kernels_for(case.volume)
    compared = views, filters, case.amplitude, case.geometry
    cotangent = kernels.gather(case.volume, views, case.amplitude, case.geometry) * 1j
    arguments = dict.fromkeys(OVERRIDABLE, (case.volume, case.slices, *compared))
    arguments["gram"] = (case.volume, *compared)
    arguments["gather_vjp"] = (case.volume, cotangent, views, case.amplitude, case.geometry)
    for name, given_arguments in arguments.items():
        found = getattr(kernels, name)(*given_arguments)
        expected = getattr(ComposedKernels, name)(kernels, *given_arguments)
        pairs = zip(found, expected, strict=True) if type(found) is tuple else [(found, expected)]
        for number, (one, other) in enumerate(pairs):
            assert (one is None) == (other is None), name
            if one is not None:
                tolerance = 10 * TOLERANCE[case.rotations.dtype.name]
                assert_close(f"{name}, {number}", one, other, tolerance)


@given(case=kernel_cases(6), seed=seeds)
def test_the_seven_coefficients_are_those_of_the_formula(backend, case, seed):
    c = noise(np.random.default_rng(seed), (4, 7))
    geometry, dtype = case.geometry, case.rotations.dtype
    values = _kernels.kernels_for(case.volume).ctf_values(c, geometry, dtype)
    assert (values.dtype, values.shape) == (dtype, (4, *geometry.slice_shape))
    ky, kx = signed(geometry.rows)[:, None], np.arange(geometry.columns // 2 + 1)
    for own, found in zip(c, values, strict=True):
        gamma = own[0] * kx**2 + own[1] * kx * ky + own[2] * ky**2
        gamma = gamma + own[3] * (kx**2 + ky**2) ** 2 + own[4]
        expected = -own[6] * np.sin(gamma) * np.exp(-own[5] * (kx**2 + ky**2))
        scale = abs(own[6]) * max(1, np.exp(-own[5] * (kx**2 + ky**2)).max())
        assert abs(found - expected).max() <= 100 * np.finfo(dtype).eps * scale


@pytest.mark.parametrize("size", [7, 8])
def test_the_coefficients_of_a_ctf_give_its_values(backend, size, rng):
    ctf = random_ctf(rng, 300)
    geometry = SliceGeometry(size, size, size, size, size, 1.0, size, LINEAR)
    for dtype in ("float32", "float64"):
        kernels = _kernels.kernels_for(np.zeros(1))
        found = kernels.ctf_values(ctf.coefficients(size), geometry, dtype)
        assert abs(found - ctf.evaluate(size, dtype)).max() < 200 * np.finfo(dtype).eps


def test_a_result_can_be_written_where_the_caller_wants(backend, rng):
    geometry = SliceGeometry(8, 8, 8, 8, 8, 1.0, 3.0, LINEAR)
    volume, views = noise(rng, (8, 8, 5), complex), Views(poses(rng, (3,)), noise(rng, (3, 2)))
    out = np.full((3, 8, 5), np.nan + 0j)
    kernels = _kernels.kernels_for(volume)
    found = kernels.gather(volume, views, 2.0, geometry, out=out)
    assert found is out
    assert np.array_equal(out, kernels.gather(volume, views, 2.0, geometry))


# against a dense matrix --------------------------------------------------------------------------


def b_spline(x, degree):
    """Return the B-spline of degree 1 or 3, in closed form."""
    x = abs(x)
    if degree == 1:
        return np.maximum(1 - x, 0)
    return np.where(x < 1, 2 / 3 - x**2 + x**3 / 2, np.maximum(2 - x, 0) ** 3 / 6)


def signed(size):
    """Return the frequencies of an axis in the order of the FFT."""
    return np.rint(np.fft.fftfreq(size) * size)


def box_of(geometry):
    return geometry.nz, geometry.ny, geometry.nx


def spectra_of_unit_volumes(geometry):
    """Return the full spectra of all volumes of one voxel, (voxels, nz, ny, nx)."""
    box = box_of(geometry)
    voxels = int(np.prod(box))
    return np.fft.fftn(np.eye(voxels).reshape(voxels, *box), axes=(1, 2, 3), norm="ortho")


def slices_of_unit_volumes(case):
    """Return the slices of all volumes of one voxel, (n, rows, columns//2 + 1, voxels)."""
    geometry = case.geometry
    kx, ky = np.arange(geometry.columns // 2 + 1), signed(geometry.rows)[:, None]
    k = np.stack(np.broadcast_arrays(kx, ky, 0.0), -1)
    positions = geometry.scale * np.einsum("nij,rcj->nrci", case.rotations.astype(float), k)
    weights = []
    for axis, size in enumerate((geometry.nx, geometry.ny, geometry.nz)):
        q = signed(size)
        spline = b_spline(positions[..., axis, None] - q, len(geometry.taps) - 1)
        inside = np.where(abs(q) <= (size - 1) // 2, spline, 0)
        weights.append(inside if size > 1 else np.ones_like(spline))  # a plane: constant across
    spectra = spectra_of_unit_volumes(geometry)
    values = np.einsum("nrcx,nrcy,nrcz,vzyx->nrcv", *weights, spectra, optimize=True)
    turns = kx * case.shifts[:, 0, None, None].astype(float) / geometry.columns
    turns = turns + ky * case.shifts[:, 1, None, None].astype(float) / geometry.rows
    used = (abs(ky) <= (geometry.rows - 1) // 2) & (kx <= (geometry.columns - 1) // 2)
    used = used & (kx**2 + ky**2 <= geometry.max_radius**2)
    return values * (used * case.amplitude * np.exp(-2j * np.pi * turns))[..., None]


def pairs(geometry):
    """Return how many frequencies of the full plane each column of a slice stands for."""
    kx = np.arange(geometry.columns // 2 + 1)
    return np.where((kx == 0) | (2 * kx == geometry.columns), 1, 2)


def to_real(half_ft, geometry):
    """Return the real volume of a half spectrum, flat; its origin is voxel 0."""
    return np.fft.irfftn(half_ft, s=box_of(geometry), axes=(0, 1, 2), norm="ortho").ravel()


def transposed(matrix, slices, geometry):
    """Apply the transposed matrix, in the inner product of half spectra."""
    products = (slices[..., None].conj() * matrix).real.sum((0, 1))
    return np.tensordot(pairs(geometry), products, 1)


def assert_is(found, expected, case):
    """Assert that a result is what the matrix gives."""
    tolerance = 10 * TOLERANCE[case.rotations.dtype.name]
    assert_close("", found, expected.astype(found.dtype), tolerance)


small = kernel_cases(largest=4)


@given(case=small)
def test_gather_is_the_b_spline_sum_over_the_full_spectrum(backend, case):
    moved = case.on(backend)
    found = _kernels.kernels_for(moved.volume).gather(moved.volume, *moved.pose)
    expected = slices_of_unit_volumes(case) @ to_real(case.volume, case.geometry)
    assert_is(found, expected, case)


@given(case=small)
def test_scatter_is_the_transposed_matrix(backend, case):
    moved = case.on(backend)
    kernels = _kernels.kernels_for(moved.volume)
    expected = transposed(slices_of_unit_volumes(case), case.slices, case.geometry)
    grad_volume, _, _ = kernels.gather_vjp(moved.volume, moved.slices, *moved.pose)
    for found in (kernels.scatter(moved.slices, *moved.pose), grad_volume):
        assert_is(to_real(to_numpy(found), case.geometry), expected, case)


@given(case=small)
def test_scatter_squares_is_the_diagonal_of_the_gram_matrix(backend, case):
    """At each frequency the mean over the two phases of a wave."""
    moved = case.on(backend)
    weights, geometry = abs(case.ctf), case.geometry
    kernels = _kernels.kernels_for(moved.volume)
    found = kernels.scatter_squares(abs(moved.ctf), moved.pose[0], geometry)
    still = dataclasses.replace(case, shifts=0 * case.shifts, amplitude=1.0)
    matrix = slices_of_unit_volumes(still)
    weighted = (weights * pairs(geometry))[..., None] * matrix
    axes = ((0, 1, 2), (0, 1, 2))
    gram = np.tensordot(weighted.conj(), matrix, axes).real  # between voxels
    waves = spectra_of_unit_volumes(geometry)[..., : geometry.nx // 2 + 1].reshape(len(gram), -1)
    expected = np.einsum("vk,vw,wk->k", waves.conj(), gram, waves, optimize=True).real
    assert_is(found.ravel(), expected, case)


@given(case=small, with_ctf=st.booleans())
def test_misfit_is_the_weighted_squared_residual_and_its_gradient(backend, case, with_ctf):
    moved = case.on(backend)
    ctf = case.ctf if with_ctf else np.ones_like(case.ctf)
    kernels = _kernels.kernels_for(moved.volume)
    arguments = misfit_arguments(moved, moved.ctf if with_ctf else None)
    losses, grad_volume = kernels.misfit(*arguments)
    matrix = slices_of_unit_volumes(case) * ctf[..., None]
    residual = matrix @ to_real(case.volume, case.geometry) - case.slices
    residual *= _kernels.band(case.geometry)
    weighted = residual * case.precision
    powers = (residual.conj() * weighted).real.sum(1) @ pairs(case.geometry)
    assert_is(losses, powers, case)
    expected = transposed(matrix, weighted, case.geometry)
    assert_is(to_real(to_numpy(grad_volume), case.geometry), expected, case)


def test_band_is_where_slices_are_not_zero(backend):
    geometry = SliceGeometry(9, 9, 9, 8, 8, 9 / 8, 2.9, LINEAR)
    volume = backend.ones(geometry.volume_shape, complex)
    pose = Views(backend.eye(3)[None], backend.zeros((1, 2))), 1.0, geometry
    slices = _kernels.kernels_for(volume).gather(volume, *pose)
    band = _kernels.band(geometry, backend)
    assert backend.array_equal(slices[0] != 0, band)
    assert band.sum() == 3 * 5  # kx to 2, |ky| to 2: the next, at 3, is beyond 2.9


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_number_of_threads_changes_no_more_than_rounding(threads, rng):
    compiled = pytest.importorskip("fslice._kernels.numba", reason="Numba is not installed")
    geometry = SliceGeometry(8, 8, 8, 8, 8, 1.0, 3.0, LINEAR)
    slices = noise(rng, (5, 8, 5), complex)
    pose = Views(poses(rng, (5,)), noise(rng, (5, 2))), 1.0, geometry
    found = compiled.NumbaKernels(threads=threads).scatter(slices, *pose)
    assert abs(found - with_numpy.scatter(slices, *pose)).max() < 1e-13


def test_private_volumes_are_cleared_between_calls_and_not_shared_by_calls_at_once(rng):
    compiled = pytest.importorskip("fslice._kernels.numba", reason="Numba is not installed")
    kernels = compiled.NumbaKernels(threads=2)
    problems = []
    for size in (8, 8, 6):  # one kind of private volumes after another
        slices = noise(rng, (5, size, size // 2 + 1), complex)
        geometry = SliceGeometry(size, size, size, size, size, 1.0, (size - 1) // 2, LINEAR)
        views = Views(poses(rng, (5,)), noise(rng, (5, 2)))
        problems.append((slices, views, 1.0, geometry))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda problem: kernels.scatter(*problem), problems * 20))
    for problem, volume in zip(problems * 20, found, strict=True):
        assert abs(volume - with_numpy.scatter(*problem)).max() < 1e-13


@pytest.mark.parametrize("stretch", [0.5, 1.0, 1.6])
def test_private_volumes_are_cleared_as_far_as_samples_were_added(stretch, rng):
    compiled = pytest.importorskip("fslice._kernels.numba", reason="Numba is not installed")
    kernels = compiled.NumbaKernels(threads=3)
    geometry = SliceGeometry(12, 12, 12, 12, 12, 1.0, 3.0, LINEAR)
    slices = noise(rng, (6, 12, 7), complex)
    rotations, shifts = poses(rng, (6,)), noise(rng, (6, 2))
    stretched = Views(stretch * rotations, shifts)
    found = kernels.scatter(slices, stretched, 1.0, geometry)
    expected = with_numpy.scatter(slices, stretched, 1.0, geometry)
    assert abs(found - expected).max() < 1e-12
    views, zeros = Views(rotations, shifts), np.zeros_like(slices)
    assert not kernels.scatter(zeros, views, 1.0, geometry).any()


def test_no_more_private_volumes_lie_idle_than_the_limit_allows():
    workspace = pytest.importorskip(
        "fslice._kernels.numba.workspace", reason="Numba is not installed"
    )
    volumes = workspace.PrivateVolumes(kept_bytes=100)
    first, second, third = (np.zeros(40, np.uint8) for _ in range(3))
    volumes.keep([first, second, third])
    taken = [volumes.take(first) for _ in range(3)]
    assert {id(v) for v in taken[:2]} == {id(first), id(second)}
    assert all(taken[2] is not v for v in (first, second, third))


def test_plain_loops_take_over_with_a_warning_where_the_instructions_do_not_compile(monkeypatch):
    probe = pytest.importorskip("fslice._kernels.numba.probe", reason="Numba is not installed")
    assert probe.vectors_compile()

    def refuse(*_):
        raise NotImplementedError("no such instruction")

    monkeypatch.setattr(probe, "_read_and_add", refuse)
    with pytest.warns(RuntimeWarning, match="plain ones are used: no such instruction"):
        assert not probe.vectors_compile()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_ctf_is_right_to_rounding_after_hundreds_of_radians(dtype):
    kernels = pytest.importorskip("fslice._kernels.numba", reason="Numba is not installed").KERNELS
    geometry = SliceGeometry(1, 1, 64, 1, 64, 1.0, 31.0, LINEAR)
    phases = np.linspace(-500, 500, 1001)
    coefficients = np.zeros((len(phases), 7))
    coefficients[:, 4], coefficients[:, 6] = phases, -1
    values = kernels.ctf_values(coefficients, geometry, dtype)
    assert (
        abs(values - np.sin(phases)[:, None, None]).max()
        < {"float32": 1e-6, "float64": 1e-13}[dtype]
    )


def test_what_is_no_array_of_a_known_library_has_no_kernels():
    with pytest.raises(TypeError, match="expected a NumPy or CuPy array, got list"):
        _kernels.kernels_for([1.0])


def test_kernels_are_chosen_by_the_library_of_the_arrays(device, monkeypatch):
    monkeypatch.delitem(DEFAULTS, "cupy")
    array = device.zeros(1)
    with pytest.raises(TypeError, match="the kernels take NumPy arrays, got arrays of cupy"):
        _kernels.kernels_for(array)
    before = _kernels.kernels_for(np.zeros(1))
    ours = dataclasses.replace(with_numpy, name="ours")
    with _kernels.use_kernels(ours, "cupy"):
        assert _kernels.kernels_for(array) is ours
        assert _kernels.kernels_for(np.zeros(1)) is before
        with _kernels.use_kernels(with_numpy):
            assert _kernels.kernels_for(array) is ours
            assert _kernels.kernels_for(np.zeros(1)) is with_numpy
    monkeypatch.setitem(DEFAULTS, "cupy", lambda: ours)
    with ThreadPoolExecutor(1) as pool:  # registered for every thread
        assert pool.submit(_kernels.kernels_for, array).result() is ours


def test_every_backend_has_a_name_of_its_own():
    found = _kernels.host_kernels()
    assert [kernels.name for kernels in found.values()] == list(found)
    assert next(iter(found.values())) is with_numpy
