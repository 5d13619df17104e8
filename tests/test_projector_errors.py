"""What the projector refuses, each with one line that names the argument."""

import numpy as np
import pytest
from strategies import random_ctf

from fslice import Projector, rfft2, rfft3


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((6.0,), TypeError, r"size: expected an integer, got 6\.0"),
        ((1,), ValueError, "size: expected at least 2, got 1"),
        ((6, 0.5), ValueError, "oversampling: expected a number from 1 to 64 that makes size"),
        ((6, 1.2), ValueError, r"size \* oversampling whole, got 1\.2 for size 6"),
        ((6, np.nan), ValueError, "whole, got nan for size 6"),
        ((6, np.inf), ValueError, "whole, got inf for size 6"),
        ((6, "2"), TypeError, "oversampling: expected a number, got '2'"),
        ((6, 1, "nearest"), ValueError, "interpolation: expected 'linear' or 'cubic', got 'neare"),
        ((6, 1, "linear", -1), ValueError, "max_radius: expected a finite number of at least 0, g"),
        ((6, 1, "linear", "2"), TypeError, "max_radius: expected a number, got '2'"),
    ],
)
def test_projectors_out_of_range_are_refused(arguments, kind, message):
    with pytest.raises(kind, match=message):
        Projector(*arguments)


def test_oversampling_may_be_a_fraction_that_floats_round():
    assert Projector(50, 1.1).padded_size == 55
    assert Projector(6, 1.5).padded_size == 9


VOLUME, ROTATIONS = np.ones((6, 6, 6)), np.tile(np.eye(3), (2, 1, 1))
IMAGES, SHIFTS, CTF_VALUES = np.ones((2, 6, 6)), np.zeros((2, 2)), np.ones((2, 6, 4))
CALLS = {
    "project": lambda p, v, y, *pose: p.project(v, *pose),
    "backproject": lambda p, v, y, *pose: p.backproject(y, *pose),
    "project_vjp": lambda p, v, y, *pose: p.project_vjp(v, *pose, cotangent=y),
    "project_ft": lambda p, v, y, *pose: p.project_ft(rfft3(v), *pose),
    "backproject_ft": lambda p, v, y, *pose: p.backproject_ft(rfft2(y), *pose),
    "project_ft_vjp": lambda p, v, y, *pose: p.project_ft_vjp(rfft3(v), *pose, cotangent=rfft2(y)),
    "misfit": lambda p, v, y, *pose: p.misfit(rfft3(v), rfft2(y), *pose),
    "misfit_gradients": lambda p, v, y, *pose: p.misfit_gradients(rfft3(v), rfft2(y), *pose),
}
POSES = {
    "rotations that are a list": (
        (ROTATIONS.tolist(),),
        TypeError,
        "rotations: expected a NumPy or CuPy array, got list",
    ),
    "rotations of integers": (
        (ROTATIONS.astype(int),),
        TypeError,
        "rotations: expected dtype float32 or float64, got int64",
    ),
    "rotations that are vectors": (
        (np.ones(3),),
        ValueError,
        r"rotations: expected shape \(..., 3, 3\), got \(3,\)",
    ),
    "no rotations": (
        (ROTATIONS[:0],),
        ValueError,
        r"rotations: expected at least one element, got shape \(0, 3, 3\)",
    ),
    "rotations that are not finite": (
        (ROTATIONS * np.array([1, np.nan, 1]),),
        ValueError,
        r"rotations: 6 of 18 values are NaN or infinite, the first at index \(0, 0, 1\)",
    ),
    "rotations that are not orthonormal": (
        (1.1 * ROTATIONS,),
        ValueError,
        r"rotations: expected orthonormal matrices within 0.001, got one off by 0.21 at index",
    ),
    "reflections": (
        (ROTATIONS * np.array([1.0, 1, -1]),),
        ValueError,
        r"rotations: expected determinant \+1, got -1 \(a reflection\) at index \(0,\)",
    ),
    "rotations of another precision": (
        (ROTATIONS.astype("f4"),),
        TypeError,
        r"precisions differ: (volume|images) is float64, rotations is float32|"
        r"precisions differ: (volume|images)_ft is complex128, .*rotations is float32",
    ),
    "shifts of integers": (
        (ROTATIONS, SHIFTS.astype(int)),
        TypeError,
        "shifts: expected dtype float32 or float64, got int64",
    ),
    "shifts that are a list": (
        (ROTATIONS, SHIFTS.tolist()),
        TypeError,
        "shifts: expected a NumPy or CuPy array, got list",
    ),
    "shifts of another precision": (
        (ROTATIONS, SHIFTS.astype("f4")),
        TypeError,
        "precisions differ: .* shifts is float32",
    ),
    "shifts of another shape": (
        (ROTATIONS, SHIFTS[0]),
        ValueError,
        r"shifts: expected shape \(2, 2\), got \(2,\)",
    ),
    "shifts that are not finite": (
        (ROTATIONS, SHIFTS + np.inf),
        ValueError,
        r"shifts: 4 of 4 values are NaN or infinite, the first at index \(0, 0\)",
    ),
    "a CTF of another shape": (
        (ROTATIONS, SHIFTS, CTF_VALUES[0]),
        ValueError,
        r"ctf: expected shape \(2, 6, 4\), got \(6, 4\)",
    ),
    "a CTF of another precision": (
        (ROTATIONS, SHIFTS, CTF_VALUES.astype("f4")),
        TypeError,
        "precisions differ: rotations is float64, ctf is float32",
    ),
    "a complex CTF": (
        (ROTATIONS, SHIFTS, CTF_VALUES + 0j),
        TypeError,
        "ctf: expected dtype float32 or float64, got complex128",
    ),
    "a number as CTF": (
        (ROTATIONS, SHIFTS, 1.0),
        TypeError,
        "ctf: expected a NumPy or CuPy array, got float",
    ),
    "CTFs of another number of images": (
        (ROTATIONS, SHIFTS, random_ctf(np.random.default_rng(0), 3)),
        ValueError,
        r"ctf: expected one per image, \(2,\), got 3",
    ),
}


@pytest.mark.parametrize("call", list(CALLS))
@pytest.mark.parametrize("fault", list(POSES))
def test_wrong_poses_are_refused_by_name(call, fault):
    pose, kind, message = POSES[fault]
    with pytest.raises(kind, match=message):
        CALLS[call](Projector(6), VOLUME, IMAGES, *pose)


@pytest.mark.parametrize(
    ("call", "volume", "images", "kind", "message"),
    [
        ("project", VOLUME.tolist(), IMAGES, TypeError, "volume: expected a NumPy or CuPy array"),
        ("project", VOLUME.astype(int), IMAGES, TypeError, "volume: expected dtype float32 or"),
        (
            "project",
            VOLUME[:5],
            IMAGES,
            ValueError,
            r"volume: expected shape \(6, 6, 6\), got \(5,",
        ),
        (
            "project",
            VOLUME[0],
            IMAGES,
            ValueError,
            r"volume: expected shape \(6, 6, 6\), got \(6, ",
        ),
        ("project_vjp", VOLUME[0], IMAGES, ValueError, r"volume: expected shape \(6, 6, 6\), got"),
        ("project_vjp", VOLUME, IMAGES[:1], ValueError, r"cotangent: expected shape \(2, 6, 6\)"),
        ("project_vjp", VOLUME, IMAGES + 0j, TypeError, "cotangent: expected dtype float32 or f"),
        ("backproject", VOLUME, IMAGES[0], ValueError, r"images: expected shape \(2, 6, 6\), got"),
        ("backproject", VOLUME, IMAGES + 0j, TypeError, "images: expected dtype float32 or float6"),
        (
            "project_ft",
            np.ones((5, 5, 5)),
            IMAGES,
            ValueError,
            r"volume_ft: expected shape \(6, 6,",
        ),
        (
            "backproject_ft",
            VOLUME,
            np.ones((2, 5, 5)),
            ValueError,
            r"images_ft: expected shape \(2",
        ),
        (
            "project_ft_vjp",
            VOLUME,
            IMAGES[:1],
            ValueError,
            r"cotangent: expected shape \(2, 6, 4\)",
        ),
        (
            "misfit",
            VOLUME,
            IMAGES[:1],
            ValueError,
            r"images_ft: expected shape \(2, 6, 4\), got \(1",
        ),
        ("misfit", VOLUME, IMAGES.astype("f4"), TypeError, "images_ft is complex64"),
    ],
)
def test_wrong_arrays_are_refused_by_name(call, volume, images, kind, message):
    with pytest.raises(kind, match=message):
        CALLS[call](Projector(6), volume, images, ROTATIONS)


def test_half_spectra_must_be_complex_and_of_the_padded_box():
    projector, volume_ft, images_ft = Projector(6, 2), rfft3(VOLUME), rfft2(IMAGES)
    with pytest.raises(
        ValueError, match=r"volume_ft: expected shape \(12, 12, 7\), got \(6, 6, 4\)"
    ):
        projector.project_ft(volume_ft, ROTATIONS)
    for call in (projector.transform_adjoint, projector.to_volume):
        with pytest.raises(ValueError, match=r"volume_ft: expected shape \(12, 12, 7\), got \(6, "):
            call(volume_ft)
        with pytest.raises(TypeError, match="volume_ft: expected dtype complex64 or complex128"):
            call(VOLUME)
    projector = Projector(6)
    with pytest.raises(TypeError, match="volume_ft: expected dtype complex64 or complex128, got f"):
        projector.project_ft(VOLUME, ROTATIONS)
    with pytest.raises(TypeError, match="images_ft: expected dtype complex64 or complex128, got f"):
        projector.backproject_ft(IMAGES, ROTATIONS)
    with pytest.raises(TypeError, match="images_ft: expected dtype complex64 or complex128, got f"):
        projector.misfit(volume_ft, images_ft.real, ROTATIONS)
    with pytest.raises(TypeError, match="cotangent: expected dtype complex64 or complex128, got f"):
        projector.project_ft_vjp(volume_ft, ROTATIONS, cotangent=images_ft.real)


def test_images_of_two_dimensions_go_with_2_x_2_rotations_only():
    projector, image = Projector(6), np.ones((6, 6))
    with pytest.raises(ValueError, match=r"volume: expected shape \(6, 6\), got \(6, 6, 6\)"):
        projector.project(VOLUME, np.eye(2))
    with pytest.raises(ValueError, match=r"shifts: expected shape \(1,\), got \(2,\)"):
        projector.project(image, np.eye(2), np.zeros(2))
    one = random_ctf(np.random.default_rng(0), 1)
    with pytest.raises(TypeError, match=r"ctf: expected an array of shape \(4,\) for projections"):
        projector.project(image, np.eye(2), np.zeros(1), one)


def test_weights_are_a_number_or_one_per_frequency():
    projector, volume_ft, images_ft = Projector(6), rfft3(VOLUME), rfft2(IMAGES)
    for wrong, kind, message in [
        (np.ones((2, 6, 4)), ValueError, r"weights: expected shape \(6, 4\), got \(2, 6, 4\)"),
        (np.ones((6, 4), int), TypeError, "weights: expected dtype float32 or float64, got int"),
        ([1.0], TypeError, "weights: expected a NumPy or CuPy array, got list"),
    ]:
        with pytest.raises(kind, match=message):
            projector.misfit(volume_ft, images_ft, ROTATIONS, weights=wrong)
