"""One convention for every derivative: ``f_vjp(arguments of f, *, cotangent) -> NamedTuple``."""

import importlib
import inspect
from inspect import Parameter

import pytest
from operators_table import OPERATORS

import fslice

MODULES = ["geometry", "operators"]
IMPLIED = {"size", "dtype", "out"}
"""What a forward function takes and the cotangent says, and where its result is written."""
NO_FORWARD = {"tangent_vjp"}
"""Of ``w -> R @ exp([w]x)`` at w = 0, which needs no function."""


def derivatives():
    """Yield the name, the forward function and the derivative of every pair."""
    for path in MODULES:
        module = importlib.import_module(f"fslice.{path}")
        for name in sorted({name for name in module.__all__ if name.endswith("_vjp")} - NO_FORWARD):
            yield name, getattr(module, name.removesuffix("_vjp")), getattr(module, name)
    for name in ("project_vjp", "project_ft_vjp"):
        owner = fslice.Projector
        forward = getattr(owner, name.removesuffix("_vjp"))
        yield f"Projector.{name}", forward, getattr(owner, name)
    yield "CTF.vjp", fslice.CTF.evaluate, fslice.CTF.vjp


CASES = {name: functions for name, *functions in derivatives()}


def parameters(function, kind):
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.default) for p in found if p.kind is kind and p.name not in IMPLIED]


def test_all_derivatives_are_found():
    assert len(CASES) == 13


@pytest.mark.parametrize("name", CASES)
def test_a_derivative_takes_the_arguments_of_its_function_in_their_order(name):
    forward, vjp = CASES[name]
    expected = parameters(forward, Parameter.POSITIONAL_OR_KEYWORD)
    assert parameters(vjp, Parameter.POSITIONAL_OR_KEYWORD) == expected
    options = dict(parameters(forward, Parameter.KEYWORD_ONLY))
    cotangent = {"cotangent": Parameter.empty}
    assert dict(parameters(vjp, Parameter.KEYWORD_ONLY)) == options | cotangent


@pytest.mark.parametrize("name", [name for name in CASES if name != "CTF.vjp"])
def test_a_derivative_gives_the_gradient_of_each_argument_by_its_name(name):
    operator = OPERATORS[name]
    arguments = {name: value for name, value in operator.arrays.items() if name != "cotangent"}
    gradients = operator.call(**operator.arrays)
    assert set(gradients._fields) == set(arguments)
    for name, value in arguments.items():
        gradient = getattr(gradients, name)
        assert (gradient.shape, gradient.dtype) == (value.shape, value.dtype)


def test_the_gradients_of_a_ctf_are_named_after_its_parameters():
    gradients = OPERATORS["CTF.vjp"].call(**OPERATORS["CTF.vjp"].arrays)
    assert set(gradients._fields) < {*inspect.signature(fslice.CTF).parameters}


@pytest.mark.parametrize(
    "name", ["project_direct_vjp", "project_realspace_vjp", "rotate_volume_vjp"]
)
def test_shifts_that_are_not_given_have_no_gradient(name):
    arguments = OPERATORS[name].arrays | {"shifts": None}
    assert OPERATORS[name].call(**arguments).shifts is None
