"""The checks at the public edge: what passes, and one line with name, expected and got."""

import numpy as np
import pytest

from fslice._arrays import (
    array_namespace,
    check_alike,
    check_choice,
    check_complex,
    check_finite,
    check_real,
    check_shape,
    check_size,
    complex_dtype,
    real_dtype,
    to_numpy,
)


def test_the_type_of_an_array_decides_its_library(device):
    assert array_namespace(np.ones(1), None, np.float32(1)) is np
    assert array_namespace(device.ones(1), None) is device
    assert array_namespace() is np
    assert array_namespace(None) is np


def test_two_libraries_are_never_mixed(device):
    with pytest.raises(TypeError, match="array libraries are mixed: cupy and numpy"):
        array_namespace(np.ones(1), device.ones(1))


@pytest.mark.parametrize("other", [[1.0], (1.0,), 1.0, "a"])
def test_only_arrays_have_a_library(other):
    message = f"expected a NumPy or CuPy array, got {type(other).__name__}"
    with pytest.raises(TypeError, match=message):
        array_namespace(other)


def test_to_numpy_copies_from_a_device_and_only_then(device):
    copied = to_numpy(device.arange(2.0))
    assert isinstance(copied, np.ndarray)
    assert copied.tolist() == [0.0, 1.0]
    host = np.ones(2)
    assert to_numpy(host) is host


def test_each_real_precision_has_its_complex_one():
    pairs = {"float32": "complex64", "float64": "complex128"}
    for real, half in pairs.items():
        assert real_dtype(half) == real_dtype(real) == np.dtype(real)
        assert complex_dtype(real) == complex_dtype(half) == np.dtype(half)


@pytest.mark.parametrize(
    ("check", "good", "message"),
    [
        (check_real, ("float32", "float64"), "x: expected dtype float32 or float64, got {}"),
        (
            check_complex,
            ("complex64", "complex128"),
            "x: expected dtype complex64 or complex128, got {}",
        ),
    ],
)
def test_dtypes_are_checked_by_kind_and_precision(check, good, message):
    for dtype in ("int8", "int64", "bool", "float16", "float32", "float64", "complex64", "O"):
        array = np.ones(1, dtype)
        if dtype in good:
            check("x", array)
            continue
        with pytest.raises(TypeError, match=message.format(array.dtype)):
            check("x", array)
    with pytest.raises(TypeError, match="x: expected a NumPy or CuPy array, got list"):
        check("x", [1.0])


def test_shapes_are_exact_numbers_any_lengths_or_leading_axes():
    array = np.ones((5, 2, 3))
    for fits in [(5, 2, 3), (..., 2, 3), (..., 3), ("n", 2, 3), (..., "a", "b"), ("a", "b", "c")]:
        check_shape("x", array, fits)
    check_shape("x", array[0, 0], (..., 3))
    for wrong, shown in [
        ((5, 2, 4), r"\(5, 2, 4\)"),
        ((2, 3), r"\(2, 3\)"),
        ((..., 5, 5, 2, 3), r"\(..., 5, 5, 2, 3\)"),
        (("n", 3), r"\(n, 3\)"),
        ((5,), r"\(5,\)"),
    ]:
        with pytest.raises(ValueError, match=rf"x: expected shape {shown}, got \(5, 2, 3\)"):
            check_shape("x", array, wrong)


def test_an_empty_array_is_refused_though_its_shape_fits():
    with pytest.raises(ValueError, match=r"x: expected at least one element, got shape \(0, 3\)"):
        check_shape("x", np.ones((0, 3)), ("n", 3))


def test_precisions_of_real_and_complex_arrays_must_match():
    single, double = np.ones(1, "float32"), np.ones(1)
    check_alike(a=single, b=single.astype("complex64"), c=None)
    check_alike(a=double, b=double.astype("complex128"))
    with pytest.raises(TypeError, match="precisions differ: a is float32, b is complex128"):
        check_alike(a=single, b=double.astype("complex128"), c=None)


def test_the_first_value_that_is_not_finite_is_named():
    array = np.zeros((2, 3))
    check_finite("x", array)
    array[1, 1], array[1, 2] = -np.inf, np.nan
    message = r"x: 2 of 6 values are NaN or infinite, the first at index \(1, 1\)"
    with pytest.raises(ValueError, match=message):
        check_finite("x", array)
    with pytest.raises(ValueError, match=r"the first at index \(0, 0\)"):
        check_finite("x", np.full((1, 1), complex(0, np.nan)))


def test_sizes_are_integers_of_any_kind_but_no_booleans():
    assert check_size("size", 3) == check_size("size", np.int32(3)) == 3
    for wrong in (3.0, "3", True, None, np.float64(3)):
        with pytest.raises(TypeError, match="size: expected an integer, got "):
            check_size("size", wrong)
    with pytest.raises(ValueError, match="size: expected at least 2, got 1"):
        check_size("size", 1, 2)


def test_choices_are_listed():
    assert check_choice("kind", "a", ("a", "b")) == "a"
    with pytest.raises(ValueError, match="kind: expected 'a' or 'b', got 'c'"):
        check_choice("kind", "c", ("a", "b"))
