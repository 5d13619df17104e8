"""The normal equations against dense matrices."""

import dataclasses
import importlib.util

import numpy as np
import pytest
from dense import accumulate, dense_problem, real_matrix
from hypothesis import given
from hypothesis import strategies as st

import fslice
from fslice._kernels import Filters, Views
from fslice._kernels.numpy import KERNELS as gram_numpy
from fslice.fourier import inner_product, radii, rfft2, rfft3, shell_sum, transform
from fslice.posterior.stencil import StencilEquations, no_images

MODULES = [gram_numpy]
if importlib.util.find_spec("numba") is not None:
    from fslice._kernels.numba import KERNELS as gram_numba

    MODULES.append(gram_numba)


def add_gram(kernels, total, weights, rotations, geometry):
    """Add slices with an image of weights each, or with one for all."""
    groups = np.arange(len(weights)) if len(weights) > 1 else None
    views = Views(rotations, np.zeros((len(rotations), 2), rotations.dtype))
    kernels.add_gram(total, views, Filters(weights=weights, group_of=groups), geometry)


@pytest.mark.parametrize("size", [4, 5])
@pytest.mark.parametrize("oversampling", [1, 2])
def test_sums_equal_the_dense_gram_matrix_and_back_projection(size, oversampling):
    if (size, oversampling) == (5, 2):
        size = 3
    inputs, design, data = dense_problem(size, oversampling)
    normal = accumulate(**inputs)
    gram = design.T @ design
    assert (
        abs(real_matrix(normal.apply, normal.projector.padded_size) - gram).max()
        < 1e-12 * gram.max()
    )
    box = normal.projector.padded_size
    expected = rfft3((design.T @ data).reshape(box, box, box))
    assert np.allclose(normal.b, expected, rtol=0, atol=1e-12 * abs(expected).max())
    assert np.isclose(normal.squares.sum(), data @ data, rtol=1e-12)


def test_lines_have_normal_equations_too():
    inputs, design, _ = dense_problem(7, 1, 9, dimension=2)
    normal = accumulate(**inputs)
    gram = design.T @ design
    assert abs(real_matrix(normal.apply, 7, 2) - gram).max() < 1e-12 * gram.max()


@given(
    size=st.integers(2, 9),
    oversampling=st.sampled_from([1, 2]),
    max_radius=st.one_of(st.none(), st.floats(0, 8)),
    dimension=st.sampled_from([2, 3]),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 99),
)
def test_both_implementations_give_the_gram_matrix_of_the_slices(
    size, oversampling, max_radius, dimension, dtype, seed
):
    rng = np.random.default_rng(seed)
    projector = fslice.Projector(size, oversampling, max_radius=max_radius)
    geometry = projector.geometry(dimension)
    rotations = fslice.random_rotations(5, rng).astype(dtype)
    if dimension == 2:
        rotations[:] = 0
        angles = rng.uniform(0, 7, 5)
        rotations[:, 0, 0] = rotations[:, 1, 1] = np.cos(angles)
        rotations[:, 1, 0] = np.sin(angles)
        rotations[:, 0, 1] = -np.sin(angles)
        rotations[:, 2, 2] = 1
    weights = rng.random((5, *geometry.slice_shape)).astype(dtype)
    box = projector.padded_size
    volume = transform(rng.normal(size=[box] * dimension).astype(dtype), dimension)
    volume = volume.reshape(geometry.volume_shape)
    views = Views(rotations, np.zeros((5, 2), dtype))
    kernels = fslice._kernels.kernels_for(volume)
    slices = kernels.gather(volume, views, 1.0, geometry)
    expected = kernels.scatter(weights * slices, views, 1.0, geometry)
    eps = np.finfo(dtype).eps
    for module in MODULES:
        total = module.new_gram(geometry, dtype)
        for part in (slice(2), slice(2, 5)):
            add_gram(module, total, weights[part], rotations[part], geometry)
        stencil = module.stencil_of(total, geometry)
        assert stencil.dtype == dtype
        for other in MODULES:
            got = other.apply_stencil(stencil, volume)
            assert got.dtype == volume.dtype
            assert abs(got - expected).max() <= 100 * eps * max(abs(expected).max(), 1)


def test_one_image_of_weights_serves_all_slices(rng):
    geometry = fslice.Projector(8).geometry(3)
    rotations = fslice.random_rotations(5, rng)
    weights = rng.random((1, *geometry.slice_shape))
    stencils = []
    for module in MODULES:
        for given_weights in (weights, np.repeat(weights, 5, 0)):
            total = module.new_gram(geometry, "float64")
            add_gram(module, total, given_weights, rotations, geometry)
            stencils.append(module.stencil_of(total, geometry))
    for stencil in stencils[1:]:
        assert np.allclose(stencil, stencils[0], rtol=0, atol=1e-13)


def test_threads_do_not_change_a_bit(rng):
    pytest.importorskip("numba")
    rotations = fslice.random_rotations(40, rng).astype("f4")
    geometry = fslice.Projector(16).geometry(3)
    weights = rng.random((40, *geometry.slice_shape)).astype("f4")
    totals = []
    for threads in (1, 2):
        kernels = dataclasses.replace(gram_numba, threads=threads)
        totals.append(kernels.new_gram(geometry, "f4"))
        add_gram(kernels, totals[-1], weights, rotations, geometry)
    assert np.array_equal(*totals)


def test_many_slabs_hold_every_sample_once(rng):
    pytest.importorskip("numba")
    rotations = fslice.geometry.rotations_in_cone(40, 10, rng)
    geometry = fslice.Projector(9).geometry(3)
    weights = rng.random((40, *geometry.slice_shape))
    one, many = (gram_numba.new_gram(geometry, "f8") for _ in range(2))
    add_gram(dataclasses.replace(gram_numba, threads=1), one, weights, rotations, geometry)
    add_gram(dataclasses.replace(gram_numba, threads=7), many, weights, rotations, geometry)
    assert np.array_equal(one, many)


def test_diagonal_is_that_of_the_operator_on_single_frequencies():
    inputs, _, _ = dense_problem(6)
    normal = accumulate(**inputs)
    diagonal = normal.diagonal()
    for index in [(0, 0, 0), (1, 2, 1), (5, 1, 2), (2, 0, 1)]:
        unit = np.zeros_like(normal.b)
        unit[index] = 1
        assert np.isclose(normal.apply(unit)[index], diagonal[index], rtol=1e-12)
    # on the plane kx = 0 both mates are stored, and each has its own coefficient
    assert np.allclose(diagonal[1:, 1:, 0], diagonal[1:, 1:, 0][::-1, ::-1])


def test_sets_of_images_add_and_subtract(rng):
    inputs, _, _ = dense_problem(6, n=8)
    whole = accumulate(**inputs)
    per_image = ("images", "rotations", "shifts", "ctf", "noise_variance")

    def part(index):
        return accumulate(**{k: v[index] if k in per_image else v for k, v in inputs.items()})

    first, second = part(slice(0, 3)), part(slice(3, None))
    for got, want in ((first + second, whole), (whole - first, second)):
        for name in ("b", "stencil", "squares", "degrees", "log_weights", "count"):
            expected = getattr(want, name)
            assert np.allclose(getattr(got, name), expected, rtol=0, atol=1e-10), name
    with pytest.raises(ValueError, match="expected at most 3 images, got 8"):
        first - whole
    with pytest.raises(ValueError, match=r"^\+: expected Projector\(size=6, .*got Projector"):
        whole + no_images(fslice.Projector(8))
    with pytest.raises(TypeError, match="expected StencilEquations, got int"):
        whole + 1


def test_saved_normal_equations_load_alike(tmp_path):
    inputs, _, _ = dense_problem(5)
    for projector in (fslice.Projector(5, 1.2, max_radius=2.0), fslice.Projector(5, 2)):
        normal = accumulate(**{**inputs, "projector": projector})
        normal.save(tmp_path / "normal.npz")
        loaded = StencilEquations.load(tmp_path / "normal.npz")
        assert loaded.projector == projector
        for name in ("b", "stencil", "squares", "degrees", "log_weights", "count"):
            assert np.array_equal(getattr(loaded, name), getattr(normal, name))
        assert [path.name for path in tmp_path.iterdir()] == ["normal.npz"]


def test_another_file_is_no_normal_equations(tmp_path):
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(ValueError, match=r"other.npz: expected normal equations, format 3"):
        StencilEquations.load(tmp_path / "other.npz")


@pytest.mark.parametrize("plain", [True, False])
def test_batches_order_and_memory_maps_do_not_matter(plain, tmp_path):
    inputs, _, _ = dense_problem(6, n=20, full=not plain)
    whole = accumulate(**inputs)
    mapped = np.memmap(tmp_path / "images", "f8", "w+", shape=inputs["images"].shape)
    mapped[:] = inputs["images"]
    done = []
    for change in ({"batch_size": 3, "progress": done.append}, {"images": mapped, "batch_size": 7}):
        other = accumulate(**{**inputs, **change})
        for name in ("b", "stencil", "squares", "log_weights"):
            expected = getattr(whole, name)
            assert np.allclose(getattr(other, name), expected, rtol=0, atol=1e-12 * 20), name
    assert done == [3, 3, 3, 3, 3, 3, 2]


def test_single_precision_agrees_with_double():
    inputs, _, _ = dense_problem(8, n=50)
    double = accumulate(**inputs)
    single = accumulate(**{**inputs, "images": inputs["images"].astype("f4")})
    assert single.b.dtype == np.complex64
    assert single.stencil.dtype == np.float32
    for name in ("b", "stencil", "squares"):
        expected = getattr(double, name)
        error = abs(getattr(single, name) - expected).max()
        assert error < 1e-5 * abs(expected).max()


def test_ctf_objects_serve_one_image_or_all(rng):
    ctf = fslice.CTF(
        defocus_u=rng.uniform(10000, 20000, 3), defocus_v=15000, astigmatism_angle=20,
        voltage=300, spherical_aberration=2.7, amplitude_contrast=0.1, pixel_size=3.0,
    )  # fmt: skip
    images, rotations = rng.normal(size=(3, 8, 8)), fslice.random_rotations(3, rng)
    projector = fslice.Projector(8)
    for given_ctf in (ctf, ctf[0]):
        values = np.broadcast_to(given_ctf.evaluate(8), (3, 8, 5)).copy()
        normal = accumulate(images, rotations, ctf=given_ctf, projector=projector)
        expected = accumulate(images, rotations, ctf=values, projector=projector)
        assert np.allclose(normal.stencil, expected.stencil)
        assert np.allclose(normal.b, expected.b)


def test_power_and_degrees_are_per_shell_of_the_images(rng):
    images, rotations = rng.normal(size=(4, 9, 9)), fslice.random_rotations(4, rng)
    normal = accumulate(images, rotations, projector=fslice.Projector(9))
    images_ft = rfft2(images)
    expected = shell_sum((abs(images_ft) ** 2).sum(0), 9, 2)
    assert np.allclose(normal.squares[:4], expected[:4])  # shell 4 reaches beyond the band
    assert np.isclose(normal.degrees.sum(), 4 * 49)  # integer points with |k| <= 4


def test_normal_equations_of_no_images_are_the_zero(rng):
    projector = fslice.Projector(6)
    inputs, _, _ = dense_problem(6)
    nothing = no_images(projector)
    normal = accumulate(**inputs)
    assert nothing.unobserved() == 1
    assert np.array_equal((normal + nothing).stencil, normal.stencil)


def test_a_single_orientation_leaves_all_but_one_plane_of_the_band_unobserved():
    rotations = np.broadcast_to(np.eye(3), (5, 3, 3))
    normal = accumulate(np.ones((5, 16, 16)), rotations, projector=fslice.Projector(16))
    band = radii(16, 3) <= 7
    assert np.isclose(normal.unobserved(), 1 - band[0].sum() / band.sum())  # kz = 0 is seen


def test_wrong_inputs_are_named(rng):
    images, rotations = rng.normal(size=(3, 8, 8)), fslice.random_rotations(3, rng)
    projector = fslice.Projector(8)
    bad = images.copy()
    bad[1, 2, 3] = np.nan
    cases = [
        ({"images": bad}, r"image 1: 1 of 64 values are NaN.*the first at index \(2, 3\)"),
        ({"images": images[:, :7]}, r"images: expected shape \(n, D, D\) .*, got \(3, 7, 8\)"),
        ({"images": images[:, :7, :7]}, "projector: expected size 7, got 8"),
        ({"rotations": rotations[:2]}, "poses: expected one for each of the 3 images, got 2"),
        ({"shifts": np.zeros((3, 3))}, r"shifts: expected shape \(3, 2\), got \(3, 3\)"),
        ({"ctf": np.zeros((3, 8, 8))}, r"ctf: expected shape \(3, 8, 5\), got \(3, 8, 8\)"),
        ({"noise_variance": np.zeros((3, 1))}, "variances: expected finite values above 0"),
        ({"noise_variance": np.ones((2, 5))}, r"noise: expected shape \(3,\), got \(2,\)"),
        ({"batch_size": -1}, "batch_size: expected at least 1, got -1"),
    ]
    for change, message in cases:
        with pytest.raises(ValueError, match=message):
            accumulate(
                **{"images": images, "rotations": rotations, "projector": projector, **change}
            )
    with pytest.raises(TypeError, match="images: expected real numbers, got complex128"):
        accumulate(images + 0j, rotations, projector=projector)
    with pytest.raises(ValueError, match=r"volume_ft: expected shape \(8, 8, 5\), got"):
        accumulate(images, rotations, projector=projector).apply(np.zeros((8, 8, 8), complex))


def test_a_bad_pixel_of_a_stream_is_named_with_its_batch(rng, tmp_path):
    mapped = np.memmap(tmp_path / "images", "f4", "w+", shape=(7, 8, 8))
    mapped[5, 1, 2] = np.inf
    message = r"image 5: 1 of 64 values are NaN or infinite, the first at index \(1, 2\)"
    with pytest.raises(ValueError, match=message):
        accumulate(
            mapped, fslice.random_rotations(7, rng), projector=fslice.Projector(8), batch_size=2
        )


def test_apply_is_symmetric(rng):
    inputs, _, _ = dense_problem(7)
    normal = accumulate(**inputs)
    a, b = (rfft3(v) for v in rng.normal(size=(2, 7, 7, 7)))
    assert np.isclose(
        inner_product(a, normal.apply(b)), inner_product(normal.apply(a), b), rtol=1e-12
    )
