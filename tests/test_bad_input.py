"""What every operator refuses: the same faults, one at a time, in every array that it takes.

The message names an argument and says what was expected. `operators_table` lists the operators;
the tests of each module hold what is particular to it.
"""

import re
import sys
import types

import numpy as np
import pytest
from operators_table import OPERATORS

import fslice

CASES = [(name, argument) for name, op in OPERATORS.items() for argument in op.arrays]


class LooksLikeCupy(np.ndarray):
    """An array that claims another library."""

    __module__ = "cupy._core"


@pytest.fixture
def cupy(monkeypatch):
    """Have a library of that name."""
    module = types.ModuleType("cupy")
    module.__getattr__ = lambda name: getattr(np, name)
    monkeypatch.setitem(sys.modules, "cupy", module)


def refused(name, argument, value, error):
    """Return the message with which an operator refuses one of its arguments."""
    operator = OPERATORS[name]
    with pytest.raises(error) as caught:
        operator.call(**operator.arrays | {argument: value})
    return str(caught.value)


def names_an_argument(message, name):
    return any(f"{argument}:" in message for argument in OPERATORS[name].arrays)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_table_holds_arguments_that_are_taken(name):
    operator = OPERATORS[name]
    operator.call(**operator.arrays)


@pytest.mark.parametrize(("name", "argument"), CASES)
def test_lists_are_refused(name, argument):
    value = OPERATORS[name].arrays[argument].tolist()
    message = refused(name, argument, value, TypeError)
    assert message.startswith(f"{argument}: expected ")
    assert message.endswith("got list")


@pytest.mark.parametrize("dtype", ["int64", "float16"])
@pytest.mark.parametrize(
    ("name", "argument"), [case for case in CASES if case[1] not in OPERATORS[case[0]].any_real]
)
def test_integers_and_half_precision_are_refused(name, argument, dtype):
    value = OPERATORS[name].arrays[argument].real.astype(dtype)
    message = refused(name, argument, value, TypeError)
    assert message.startswith(f"{argument}: expected dtype ")
    assert message.endswith(f"got {dtype}")


@pytest.mark.parametrize(("name", "argument"), CASES)
def test_complex_for_real_and_real_for_complex_are_refused(name, argument):
    array = OPERATORS[name].arrays[argument]
    value = array.real.copy() if array.dtype.kind == "c" else array + 0j
    message = refused(name, argument, value, TypeError)
    assert message.startswith(f"{argument}: expected ")


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        case
        for case in CASES
        if case[1] not in OPERATORS[case[0]].any_precision and len(OPERATORS[case[0]].arrays) > 1
    ],
)
def test_mixed_precisions_are_refused(name, argument):
    array = OPERATORS[name].arrays[argument]
    value = array.astype("complex64" if array.dtype.kind == "c" else "float32")
    message = refused(name, argument, value, TypeError)
    assert message.startswith("precisions differ: ")
    single = "(float32|complex64)"  # images are named by their spectra
    assert re.search(rf"\b{argument}(_ft)? is {single}\b", message)


@pytest.mark.parametrize(
    ("name", "argument"), [case for case in CASES if len(OPERATORS[case[0]].arrays) > 1]
)
def test_mixed_array_libraries_are_refused(name, argument, cupy):
    value = OPERATORS[name].arrays[argument].view(LooksLikeCupy)
    assert refused(name, argument, value, TypeError).startswith("array libraries are mixed: ")


@pytest.mark.parametrize(("name", "argument"), CASES)
def test_empty_batches_are_refused(name, argument):
    value = OPERATORS[name].arrays[argument][:0]
    assert names_an_argument(refused(name, argument, value, ValueError), name)


@pytest.mark.parametrize(
    ("name", "argument"), [case for case in CASES if case[1] not in OPERATORS[case[0]].any_shape]
)
def test_wrong_shapes_are_refused(name, argument):
    value = OPERATORS[name].arrays[argument][..., :-1].copy()
    message = refused(name, argument, value, ValueError)
    assert names_an_argument(message, name)
    assert "expected" in message


@pytest.mark.parametrize(("name", "argument"), [case for case in CASES if "rotation" in case[1]])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rotations_that_are_not_finite_are_refused(name, argument, value):
    rotations = OPERATORS[name].arrays[argument].copy()
    rotations[..., 0, 1] = value
    message = refused(name, argument, rotations, ValueError)
    assert message.startswith(f"{argument}: ")
    assert "NaN or infinite" in message


def test_no_public_function_is_missing():
    """Of those that take arrays; the others take numbers, models, files or generators."""
    without_arrays = {
        "CTF", "ExactSolution", "GaussianModel", "NormalEquations", "Progress",
        "Projector", "Reconstruction", "Simulation", "grid_rotations", "half_sets",
        "model_from_atoms", "hermitian_weights", "phantom", "random_rotations", "rotations_in_cone",
        "shell_frequencies", "simulate", "solve_exact", "symmetry_rotations",
    }  # fmt: skip
    assert set(fslice.__all__) - set(OPERATORS) == without_arrays
    methods = {name for name in dir(fslice.Projector) if not name.startswith("_")}
    methods -= {"size", "oversampling", "interpolation", "max_radius", "padded_size"}
    methods -= {"geometry", "operator", "operator_ft"}
    tested = {name.partition(".")[2].partition(" ")[0] for name in OPERATORS if "Projector" in name}
    assert methods == tested
