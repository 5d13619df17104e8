"""What every operator refuses: the same faults, one at a time, in every array that it takes.

The message names an argument and says what was expected. `operators_table` lists the operators;
the tests of each module hold what is particular to it. A test goes through the whole table and
then names all that failed.
"""

import functools
import inspect
import re

import numpy as np
import pytest
from operators_table import OPERATORS
from test_devices import ON_THE_HOST

import fslice

CASES = [(name, argument) for name, op in OPERATORS.items() for argument in op.arrays]
TOGETHER = [case for case in CASES if len(OPERATORS[case[0]].arrays) > 1]


@pytest.fixture(params=["numpy", "cuda"])
def check_refused(request):
    """Return `check_all_refused` for arrays of the host, or of a GPU."""
    xp = np if request.param == "numpy" else request.getfixturevalue("gpu")
    return functools.partial(check_all_refused, xp)


def outcome(xp, name, argument, value, error):
    """Return the message with which an operator refuses a value, or what it did instead."""
    operator = OPERATORS[name]
    given = operator.arrays | {argument: value}
    moved = {key: xp.asarray(one) if type(one) is np.ndarray else one for key, one in given.items()}
    try:
        operator.call(**moved)
    except error as refusal:
        return str(refusal)
    except Exception as other:
        return f"<{type(other).__name__} instead of {error.__name__}> {other}"
    return "<was taken>"


def check_all_refused(xp, cases, change, error, fits):
    """Assert that each case's changed array is refused with a message that fits the case."""
    assert cases
    failed = []
    for name, argument in cases:
        if xp is not np and name in ON_THE_HOST:
            continue
        message = outcome(xp, name, argument, change(OPERATORS[name].arrays[argument]), error)
        if message.startswith("<") or not fits(message, name, argument):
            failed.append(f"{name}({argument}): {message}")
    assert not failed, f"{len(failed)} of {len(cases)}:\n" + "\n".join(failed)


def names_an_argument(message, name, _):
    return any(f"{argument}:" in message for argument in OPERATORS[name].arrays)


@pytest.mark.filterwarnings("ignore:.*were seen by no image")
def test_the_table_holds_arguments_that_are_taken():
    for operator in OPERATORS.values():
        operator.call(**operator.arrays)


def test_lists_are_refused(check_refused):
    def fits(message, _, argument):
        return message.startswith(f"{argument}: expected ") and message.endswith("got list")

    check_refused(CASES, np.ndarray.tolist, TypeError, fits)


@pytest.mark.parametrize("dtype", ["int64", "float16"])
def test_integers_and_half_precision_are_refused(dtype, check_refused):
    def fits(message, _, argument):
        beginning = f"{argument}: expected dtype "
        return message.startswith(beginning) and message.endswith(f"got {dtype}")

    cases = [case for case in CASES if case[1] not in OPERATORS[case[0]].any_real]
    check_refused(cases, lambda array: array.real.astype(dtype), TypeError, fits)


def test_complex_for_real_and_real_for_complex_are_refused(check_refused):
    def of_the_other_kind(array):
        return array.real.copy() if array.dtype.kind == "c" else array + 0j

    def fits(message, _, argument):
        return message.startswith(f"{argument}: expected ")

    check_refused(CASES, of_the_other_kind, TypeError, fits)


def test_mixed_precisions_are_refused(check_refused):
    def single(array):
        return array.astype("complex64" if array.dtype.kind == "c" else "float32")

    def fits(message, _, argument):  # images are named by their spectra
        named = re.search(rf"\b{argument}(_ft)? is (float32|complex64)\b", message)
        return message.startswith("precisions differ: ") and named

    cases = [case for case in TOGETHER if case[1] not in OPERATORS[case[0]].any_precision]
    check_refused(cases, single, TypeError, fits)


def test_mixed_array_libraries_are_refused(device):
    def fits(message, *_):
        return message.startswith("array libraries are mixed: ")

    check_all_refused(np, TOGETHER, device.asarray, TypeError, fits)


def test_empty_batches_are_refused(check_refused):
    check_refused(CASES, lambda array: array[:0], ValueError, names_an_argument)


def test_wrong_shapes_are_refused(check_refused):
    def fits(message, name, argument):
        return names_an_argument(message, name, argument) and "expected" in message

    cases = [case for case in CASES if case[1] not in OPERATORS[case[0]].any_shape]
    check_refused(cases, lambda array: array[..., :-1].copy(), ValueError, fits)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rotations_that_are_not_finite_are_refused(value, check_refused):
    def spoilt(rotations):
        rotations = rotations.copy()
        rotations[..., 0, 1] = value
        return rotations

    def fits(message, _, argument):
        return message.startswith(f"{argument}: ") and "NaN or infinite" in message

    cases = [case for case in CASES if "rotation" in case[1]]
    check_refused(cases, spoilt, ValueError, fits)


NAMESPACES = (
    fslice, fslice.fourier, fslice.geometry, fslice.metrics, fslice.operators, fslice.optim,
    fslice.simulation, fslice.symmetry,
)  # fmt: skip
NOT_AT_THE_EDGE = {
    "adam_init": "takes parameters of any shape",
    "axis_transform": "for operators that have checked their input",
    "full_axis_transform": "for operators that have checked their input",
    "crop": "for operators that have checked their input",
    "inverse_full_axis_transform": "for operators that have checked their input",
    "inverse_axis_transform": "for operators that have checked their input",
    "inverse_transform_about_zero": "for operators that have checked their input",
    "transform_about_zero": "for operators that have checked their input",
    "inverse_transform": "for operators that have checked their input",
    "pad": "for operators that have checked their input",
    "shell_sum": "for operators that have checked their input",
    "transform": "for operators that have checked their input",
    "align_maps": "its own tests refuse all of these",
    "fsc_from_spectra": "for `fsc`, which has checked its input",
    "credible_band": "its own tests refuse all of these",
    "simulate": "a model may be an array, or no array",
}


def takes_arrays(function):
    """Return whether an argument is an array; `like` only says where results are to lie."""
    parameters = inspect.signature(function).parameters.values()
    return any("Array" in str(p.annotation) for p in parameters if p.name != "like")


def test_no_public_function_that_takes_arrays_is_missing():
    public = {
        name: value
        for namespace in NAMESPACES
        for name, value in vars(namespace).items()
        if inspect.isfunction(value) and not name.startswith("_")
        if value.__module__.startswith(namespace.__name__) and takes_arrays(value)
    }
    assert len(public) > 40
    assert set(public) - set(OPERATORS) - set(NOT_AT_THE_EDGE) == set()
    assert set(NOT_AT_THE_EDGE) <= set(public), "no longer there"


def test_no_method_of_the_projector_is_missing():
    methods = {name for name in dir(fslice.Projector) if not name.startswith("_")}
    methods -= {"size", "oversampling", "interpolation", "max_radius", "padded_size"}
    methods -= {"geometry", "operator", "operator_ft"}
    tested = {name.partition(".")[2].partition(" ")[0] for name in OPERATORS if "Projector" in name}
    assert methods == tested
