"""Kernels of the search for poses, each against a brute-force definition, in every backend."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import noise, seeds

from fslice import _kernels, random_rotations, rfft2, rfft3
from fslice._arrays import to_numpy
from fslice._devices import map_arrays
from fslice._kernels import Filters, Views
from fslice._kernels.interface import SliceGeometry
from fslice.geometry import angle_between, rotvec_to_matrix
from fslice.operators.sampling import slice_geometry


class OnDevice:
    """Kernels of a device that take and give arrays of the host."""

    def __init__(self, kernels, xp):
        self.kernels, self.xp = kernels, xp

    def __getattr__(self, name):
        def call(*arguments):
            found = getattr(self.kernels, name)(*map_arrays(arguments, self.xp.asarray))
            return map_arrays(found, to_numpy)

        return call


@pytest.fixture(params=["numpy", "numba", "numba in plain loops", "cuda"])
def kernels(request):
    """Return one implementation."""
    if request.param == "numpy":
        return _kernels.host_kernels()["numpy"]
    if request.param == "cuda":
        xp = request.getfixturevalue("gpu")
        return OnDevice(_kernels.select.DEFAULTS["cupy"](), xp)
    compiled = pytest.importorskip("fslice._kernels.numba", reason="Numba is not installed")
    return compiled.NumbaKernels(plain=request.param.endswith("loops"))


def problem(seed, size, interpolation):
    """Return what `pose_curvature` takes: five views of three images, with CTF and weights."""
    rng, padded = np.random.default_rng(seed), 2 * size - size % 2
    geometry = slice_geometry(3, padded, size, interpolation, (size - 1) / 2.2)
    views = Views(random_rotations(5, rng), noise(rng, (5, 2)), np.array([2, 0, 1, 1, 0]))
    images = rfft2(noise(rng, (3, size, size)))
    filters = Filters(noise(rng, images.shape), 0.5 + rng.random((1, *images.shape[1:])))
    return rfft3(noise(rng, (padded,) * 3)), images, views, filters, 1.3, geometry


def turned(views, steps):
    return views._replace(
        rotations=views.rotations @ rotvec_to_matrix(steps[:, :3]),
        shifts=views.shifts + steps[:, 3:],
    )


@settings(max_examples=6)
@given(seed=seeds, size=st.integers(5, 9))
def test_the_curvature_is_the_second_difference_of_chi_squared(kernels, seed, size):
    """Along a geodesic, in any direction of the five: v^T H v is the second derivative."""
    volume, images, views, filters, *rest = problem(seed, size, "cubic")
    gram, residual = kernels.pose_curvature(volume, images, views, filters, *rest)
    direction = noise(np.random.default_rng(seed), (5, 5))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    step = 1e-4

    def chi_squared(along):
        moved = turned(views, along * direction)
        return kernels.pose_gram(volume, images, moved, filters, *rest)[:, 5, 5]

    ahead, here, back = chi_squared(step), chi_squared(0.0), chi_squared(-step)
    expected = (ahead - 2 * here + back) / (2 * step**2)
    found = np.einsum("va,vab,vb->v", direction, gram[:, :5, :5] + residual, direction)
    scale = np.einsum(
        "va,vab,vb->v", abs(direction), abs(gram[:, :5, :5]) + abs(residual), abs(direction)
    )
    assert (abs(found - expected) < 2e-5 * scale).all()


@settings(max_examples=6)
@given(seed=seeds, size=st.integers(4, 9), interpolation=st.sampled_from(["linear", "cubic"]))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_curvatures_are_those_of_the_definition(kernels, dtype, seed, size, interpolation):
    volume, images, views, filters, *rest = problem(seed, size, interpolation)
    complex_ = "complex64" if dtype == "float32" else "complex128"
    filters = Filters(*(part.astype(dtype) for part in filters[:2]))
    arguments = volume.astype(complex_), images.astype(complex_), views, filters, *rest
    definition = _kernels.host_kernels()["numpy"]
    expected = (
        *definition.pose_curvature(*arguments),
        *definition.gather_curvatures(arguments[0], views, *rest),
    )
    found = (
        *kernels.pose_curvature(*arguments), *kernels.gather_curvatures(arguments[0], views, *rest)
    )  # fmt: skip
    for one, other in zip(found, expected, strict=True):
        assert abs(one - other).max() <= 300 * np.finfo(dtype).eps * abs(other).max()


def test_slices_may_be_taller_than_wide(kernels):
    rng, geometry = np.random.default_rng(0), SliceGeometry(32, 32, 32, 40, 6, 1.0, 99.0, (0, 1))
    volume = rfft3(noise(rng, (32,) * 3))
    images = noise(rng, (2, *geometry.slice_shape)) + 0j
    views = Views(random_rotations(2, rng), noise(rng, (2, 2)))
    arguments = volume, images, views, Filters(), 1.0, geometry
    expected = _kernels.host_kernels()["numpy"].pose_gram(*arguments)
    assert np.allclose(kernels.pose_gram(*arguments), expected, atol=1e-12 * abs(expected).max())


@given(seed=seeds, n=st.integers(1, 5), shifts=st.integers(1, 6), count=st.integers(1, 70))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_best_shift_is_the_first_of_the_best(kernels, dtype, seed, n, shifts, count):
    rng = np.random.default_rng(seed)
    cross = rng.integers(-3, 3, (n, shifts, count)).astype(dtype)  # with ties
    norm, prior = (
        rng.normal(size=(n, count)).astype(dtype),
        rng.integers(-2, 2, shifts).astype(dtype),
    )
    best, shift = kernels.best_over_shifts(cross, norm, prior)
    for i in range(n):
        for g in range(count):
            scores = [cross[i, t, g] + prior[t] for t in range(shifts)]
            assert shift[i, g] == scores.index(max(scores))
            assert best[i, g] == max(scores) - norm[i, g]
    assert (best.dtype, shift.dtype) == (np.dtype(dtype), np.dtype("int32"))


def greedy(scores, rotations, most, separation, window):
    """Return what `peaks` should, from angles, one candidate after the other."""
    found = []
    for place in sorted(range(len(scores)), key=lambda g: (-scores[g], g)):
        if len(found) == most or scores[place] < max(scores) - window:
            break
        angles = [np.radians(angle_between(rotations[place], rotations[g])) for g in found]
        if all(angle > separation for angle in angles):
            found.append(place)
    return found + [-1] * (most - len(found))


@settings(max_examples=15)
@given(
    seed=seeds, count=st.integers(1, 60), most=st.integers(1, 8),
    separation=st.floats(0.2, 2.0), window=st.floats(0.5, 6.0),
)  # fmt: skip
def test_peaks_are_greedy_and_apart(kernels, seed, count, most, separation, window):
    rng = np.random.default_rng(seed)
    scores, rotations = rng.normal(size=(3, count)).round(1), random_rotations(count, rng)
    found = kernels.peaks(scores, rotations, most, separation, window)
    expected = [greedy(row.tolist(), rotations, most, separation, window) for row in scores]
    assert found.tolist() == expected


def test_peaks_are_found_beyond_the_first_candidates(kernels, rng):
    """One broad peak has more candidates than are sorted at first."""
    near = rotvec_to_matrix(0.01 * rng.normal(size=(400, 3)))
    rotations = np.concatenate([near, rotvec_to_matrix(np.array([[0.0, 0.0, math.pi / 2]]))])
    scores = np.concatenate([10 + rng.random((1, 400)), [[5.0]]], 1)
    assert kernels.peaks(scores, rotations, 2, 0.5, 8.0).tolist() == [[scores.argmax(), 400]]
