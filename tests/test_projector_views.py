"""Views of images, groups of weights, and the forms in which a projector is handed on."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from strategies import Case, half_inner, noise, poses, projectors, random_ctf, seeds

from fslice import Projector, rfft2, rfft3
from fslice._arrays import to_numpy
from fslice.fourier import transform
from fslice.operators.pose_curvature import pose_curvature
from fslice.operators.slices import extract_slices, extract_slices_vjp, insert_slices
from fslice.testing import check_adjoint

IMAGES = 3


@dataclasses.dataclass(frozen=True)
class ViewCase(Case):
    """Images, each seen in any number of views, and the noise group of each."""

    projector: Projector
    volume_ft: Any
    images_ft: Any
    rotations: Any
    shifts: Any
    ctf: Any
    weights: Any
    group_of: Any
    image_of: Any
    view_weights: Any

    @property
    def views(self):
        """Return the keyword arguments that say what the views are of."""
        return {"image_of": self.image_of, "view_weights": self.view_weights}

    @property
    def compared(self):
        """Return the arguments of a comparison, and its keyword arguments."""
        arrays = (self.volume_ft, self.images_ft, self.rotations, self.shifts, self.ctf)
        return (*arrays, self.weights), {"group_of": self.group_of, **self.views}


@st.composite
def view_cases(draw):
    """Draw a `ViewCase` in double precision, of volumes or of images."""
    rng, projector = np.random.default_rng(draw(seeds)), draw(projectors())
    dimension, batch = draw(st.sampled_from([2, 3])), draw(st.sampled_from([(5,), (2, 3)]))
    size, padded, flat = projector.size, projector.padded_size, dimension - 1
    half = (*[size] * (flat - 1), size // 2 + 1)
    values = noise(rng, (IMAGES, *half))
    ctf = draw(st.sampled_from([None, values, *([random_ctf(rng, IMAGES)] if flat == 2 else [])]))
    return ViewCase(
        projector=projector,
        volume_ft=transform(noise(rng, (padded,) * dimension), dimension),
        images_ft=noise(rng, (IMAGES, *half), "complex128"),
        rotations=poses(rng, batch, dimension),
        shifts=noise(rng, (*batch, flat)),
        ctf=ctf,
        weights=abs(noise(rng, (2, *half))),
        group_of=rng.integers(0, 2, IMAGES),
        image_of=rng.integers(0, IMAGES, batch),
        view_weights=abs(noise(rng, batch)),
    )


def seen_once(case):
    """Yield for each view its index and weight, and the arguments of its image alone."""
    for index in np.ndindex(case.image_of.shape):
        n = int(case.image_of[index])
        ctf = (
            None if case.ctf is None else case.ctf[[n]] if hasattr(case.ctf, "vjp") else case.ctf[n]
        )
        alone = (case.rotations[index], case.shifts[index], ctf)
        yield index, float(case.view_weights[index]), n, alone


def tolerance(expected):
    return 1e-12 * max(1, abs(to_numpy(expected)).max())


def close(found, expected):
    """Tell whether two arrays are equal but for rounding."""
    return np.allclose(to_numpy(found), to_numpy(expected), rtol=0, atol=tolerance(expected))


@given(case=view_cases())
def test_backproject_ft_sums_the_views_of_each_image(backend, case):
    case = case.on(backend)
    found = case.projector.backproject_ft(
        case.images_ft, case.rotations, case.shifts, case.ctf, **case.views
    )
    expected = sum(
        weight * case.projector.backproject_ft(case.images_ft[n], *alone)
        for _, weight, n, alone in seen_once(case)
    )
    assert close(found, expected)


@given(case=view_cases())
def test_a_comparison_is_the_sum_of_those_of_each_view(backend, case):
    case, projector = case.on(backend), case.projector
    arguments, views = case.compared
    found, every = (
        projector.misfit(*arguments, **views),
        projector.misfit_gradients(*arguments, **views),
    )
    curvature = pose_curvature(
        projector, *arguments, group_of=case.group_of, image_of=case.image_of
    )
    total = 0
    for index, weight, n, alone in seen_once(case):
        own = (case.volume_ft, case.images_ft[n], *alone, case.weights[case.group_of[n]])
        one, gradients = projector.misfit(*own), projector.misfit_gradients(*own).gradients
        total = total + weight * one.volume_ft
        assert np.isclose(found.chi_squared[index], one.chi_squared, rtol=1e-12)
        assert np.isclose(every.chi_squared[index], one.chi_squared, rtol=1e-12)
        assert close(every.gradients.rotations[index], weight * gradients.rotations)
        assert close(every.gradients.shifts[index], weight * gradients.shifts)
        if gradients.ctf is not None:
            assert close(every.gradients.ctf[index], weight * gradients.ctf)
        for a, b in zip(curvature[:3], pose_curvature(projector, *own)[:3], strict=True):
            assert close(a[index], b)
    assert close(found.volume_ft, total)
    assert close(every.gradients.volume_ft, total)


@given(case=view_cases())
def test_gram_projects_weights_and_back_projects(backend, case):
    case, projector = case.on(backend), case.projector
    found = projector.gram(
        case.volume_ft, case.rotations, case.ctf, case.weights, group_of=case.group_of, **case.views
    )
    plain = projector.gram(case.volume_ft, case.rotations, case.ctf, **case.views)
    expected, unweighted = 0, 0
    for _, weight, n, (rotation, shift, ctf) in seen_once(case):
        image = weight * projector.project_ft(case.volume_ft, rotation, shift, ctf)
        unweighted = unweighted + projector.backproject_ft(image, rotation, shift, ctf)
        image = image * case.weights[case.group_of[n]]
        expected = expected + projector.backproject_ft(image, rotation, shift, ctf)
    assert close(found, expected)
    assert close(plain, unweighted)


@given(case=view_cases())
def test_diagonal_and_density_sum_the_views(backend, case):
    case, projector = case.on(backend), case.projector
    for function in (projector.gram_diagonal, projector.sampling_density):
        found = function(case.rotations, case.ctf, **case.views)
        expected = sum(
            weight * function(rotation, ctf) for _, weight, _, (rotation, _, ctf) in seen_once(case)
        )
        assert close(found, expected)
        without = function(case.rotations, view_weights=case.view_weights)
        expected = sum(
            weight * function(rotation) for _, weight, _, (rotation, *_) in seen_once(case)
        )
        assert close(without, expected)


def test_one_ctf_serves_all_images_of_views(host_backend, rng):
    projector, ctf, rotations = Projector(6), random_ctf(rng, 1), poses(rng, (4,))
    volume_ft, image_of = rfft3(noise(rng, (6, 6, 6))), np.array([2, 0, 0, 2])
    found = projector.gram(volume_ft, rotations, ctf, image_of=image_of)
    assert close(found, projector.gram(volume_ft, rotations, ctf))


def test_a_projection_is_written_where_the_caller_wants(host_backend, rng):
    projector, volume_ft, rotations = Projector(6), rfft3(noise(rng, (6, 6, 6))), poses(rng, (2, 2))
    ctf, out = noise(rng, (2, 2, 6, 4)), np.full((2, 2, 6, 4), np.nan + 0j)
    found = projector.project_ft(volume_ft, rotations, None, ctf, out=out)
    assert np.shares_memory(found, out)
    assert np.array_equal(out, projector.project_ft(volume_ft, rotations, None, ctf))
    for wrong, kind, message in [
        (out[0], ValueError, r"out: expected shape \(2, 2, 6, 4\), got \(2, 6, 4\)"),
        (out.astype("c8"), TypeError, "volume_ft is complex128, out is complex64"),
        (out.real, TypeError, "out: expected dtype complex64 or complex128, got float64"),
        (np.zeros((2, 2, 6, 8), complex)[..., ::2], ValueError, "out: expected a contiguous array"),
    ]:
        with pytest.raises(kind, match=message):
            projector.project_ft(volume_ft, rotations, None, ctf, out=wrong)


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_operator_of_given_poses_is_the_projector(host_backend, dimension, rng):
    projector = Projector(6, 1.5)
    rotations, shifts = poses(rng, (4,), dimension), noise(rng, (4, dimension - 1))
    ctf = noise(rng, (4, *[6] * (dimension - 2), 4))
    volume, images = noise(rng, (6,) * dimension), noise(rng, (4, *[6] * (dimension - 1)))
    A = projector.operator(rotations, shifts, ctf)
    check_adjoint(A, A.H, volume, images)
    assert np.array_equal(A(volume), projector.project(volume, rotations, shifts, ctf))
    if dimension == 2:
        return
    A_ft, volume_ft, images_ft = projector.operator_ft(rotations, shifts, ctf), None, rfft2(images)
    volume_ft = projector.transform(volume)
    check_adjoint(A_ft, A_ft.H, volume_ft, images_ft, inner_x=half_inner(9), inner_y=half_inner(6))
    assert np.array_equal(A_ft(volume_ft), projector.project_ft(volume_ft, rotations, shifts, ctf))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scipy_rotations_are_taken_wherever_matrices_are(host_backend, dtype, rng):
    turns = Rotation.random(3, rng)
    matrices = turns.as_matrix().astype(dtype)
    projector, volume = Projector(6), noise(rng, (6, 6, 6), dtype)
    volume_ft, images = rfft3(volume), noise(rng, (3, 6, 6), dtype)
    images_ft = rfft2(images)
    calls = [
        lambda r: projector.project(volume, r),
        lambda r: projector.backproject(images, r),
        lambda r: projector.project_vjp(volume, r, cotangent=images),
        lambda r: projector.project_ft(volume_ft, r),
        lambda r: projector.backproject_ft(images_ft, r),
        lambda r: projector.project_ft_vjp(volume_ft, r, cotangent=images_ft),
        lambda r: projector.misfit(volume_ft, images_ft, r),
        lambda r: projector.misfit_gradients(volume_ft, images_ft, r).gradients,
        lambda r: projector.gram(volume_ft, r),
        lambda r: pose_curvature(projector, volume_ft, images_ft, r),
        lambda r: extract_slices(volume_ft, r),
        lambda r: insert_slices(images_ft, r),
        lambda r: extract_slices_vjp(volume_ft, r, cotangent=images_ft),
    ]
    if dtype == "float64":
        calls += [projector.gram_diagonal, projector.sampling_density]
        calls += [lambda r: projector.operator(r)(volume)]
    for call in calls:
        found, expected = call(turns), call(matrices)
        arrays = (
            zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
        )
        for one, other in arrays:
            assert np.array_equal(one, other)
            assert one is None or one.dtype == other.dtype


INDICES = np.array([0, 1, 1, 2])


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"image_of": INDICES[:3]}, ValueError, r"image_of: expected shape \(4,\), got \(3,\)"),
        ({"image_of": INDICES + 1}, ValueError, "image_of: expected integers from 0 to 2, got 1 t"),
        ({"image_of": INDICES - 1}, ValueError, "image_of: expected integers from 0 to 2, got -1"),
        ({"image_of": INDICES + 0.0}, TypeError, "image_of: expected integers, got float64"),
        ({"image_of": [0, 1, 1, 2]}, TypeError, "image_of: expected a NumPy or CuPy array, got l"),
        ({"view_weights": np.ones(3)}, ValueError, r"view_weights: expected shape \(4,\), got "),
        ({"view_weights": -np.ones(4)}, ValueError, "view_weights: expected at least 0, got -1.0"),
        ({"view_weights": np.full(4, np.nan)}, ValueError, "view_weights: 4 of 4 values are NaN"),
        ({"view_weights": INDICES}, TypeError, "view_weights: expected dtype float32 or float64"),
        ({"group_of": INDICES[:3]}, ValueError, r"weights: expected shape \(groups, 6, 4\), got "),
        ({"weights": 2.0, "group_of": INDICES[:3]}, ValueError, "group_of: expected None beside a"),
        (
            {"weights": np.ones((2, 6, 4)), "group_of": INDICES[[0, 1, 3]]},
            ValueError,
            "group_of: expected integers from 0 to 1, got 0 to 2",
        ),
        ({"ctf": np.ones((4, 6, 4))}, ValueError, r"ctf: expected shape \(3, 6, 4\), got \(4, 6, "),
    ],
)  # fmt: skip
def test_views_and_groups_that_do_not_fit_are_refused_by_name(change, kind, message):
    good = {
        "volume_ft": np.ones((6, 6, 4), complex),
        "images_ft": np.ones((3, 6, 4), complex),
        "rotations": np.tile(np.eye(3), (4, 1, 1)),
        "image_of": INDICES,
        "weights": np.ones((6, 4)),
    }
    Projector(6).misfit(**good)
    with pytest.raises(kind, match=message):
        Projector(6).misfit(**(good | change))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda p, r: p.project(np.ones((6, 6, 6), "f4"), r), "volume is float32, rotations is f"),
        (lambda p, r: p.backproject(np.ones((6, 6), "f4"), r), "images is float32, rotations is f"),
        (
            lambda p, r: p.project_vjp(
                np.ones((6, 6, 6), "f4"), r, cotangent=np.ones((6, 6), "f4")
            ),
            "volume is float32, rotations is float64",
        ),
    ],
)
def test_precisions_that_differ_are_told_by_the_names_of_the_caller(call, named):
    with pytest.raises(TypeError, match=f"precisions differ: {named}"):
        call(Projector(6), np.eye(3))
