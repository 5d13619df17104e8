"""Proof that the operators of this installation are what they are said to be.

Four kinds of test, each blind to what another sees:

- **dot**: an operator and its adjoint agree, on random input without restriction (blind to both
  being wrong in the same way);
- **gradient**: a derivative agrees with central differences (blind to the function itself);
- **definition**: a kernel agrees with its formula, written out over every pair of sample and grid
  point (blind to an unfit formula);
- **analytic**: projections agree with the closed form of a sum of Gaussians (blind to what a
  smooth object does not excite).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from fslice._devices import gpu_library
from fslice.certify._analytic import analytic_checks, general_analytic_checks
from fslice.certify._backends import computed_by, present_backends
from fslice.certify._checks import Check, Line, measured
from fslice.certify._definition import definition_checks
from fslice.certify._definition_general import general_definition_checks
from fslice.certify._dot import dot_checks, general_dot_checks
from fslice.certify._gradient import gradient_checks
from fslice.certify._gradient_general import general_gradient_checks
from fslice.certify._report import header, nearest, report, row, table

__all__ = ["Line", "certify", "header", "nearest", "present_backends", "report", "row", "table"]

_BY_BACKEND: tuple[Callable[..., Iterator[Check]], ...] = (
    definition_checks,
    gradient_checks,
    dot_checks,
    analytic_checks,
)
_GENERAL: tuple[Callable[[], Iterator[Check]], ...] = (
    general_definition_checks,
    general_gradient_checks,
    general_dot_checks,
    general_analytic_checks,
)


def certify(
    backends: Sequence[str] | None = None, tests: Sequence[str] | None = None
) -> Iterator[Line]:
    """Test every operator, one line at a time.

    Parameters
    ----------
    backends : sequence of str, optional
        Who computes the kernels: of "numpy", "numba" and "cuda". Default: all that are present.
    tests : sequence of str, optional
        Of "definition", "gradient", "dot" and "analytic". Default: all.

    Yields
    ------
    Line
        What was tested, the figure and its bound. Nothing is computed before it is asked for.

    Raises
    ------
    ValueError
        A backend is not present, or there is no such test.
    ImportError, OSError
        The backend is "cuda", and what a GPU needs is missing: the message says what.

    Examples
    --------
    >>> line = next(certify(["numpy"], ["dot"]))
    >>> line.subject, line.passed
    ('extract_slices', True)
    """
    present = present_backends()
    chosen = present if backends is None else tuple(backends)
    for name in chosen:
        if name == "cuda" and name not in present:
            gpu_library()
        if name not in present:
            raise ValueError(f"backends: expected {' or '.join(present)}, got {name!r}")
    names = ("definition", "gradient", "dot", "analytic")
    for name in tests or ():
        if name not in names:
            raise ValueError(f"tests: expected {' or '.join(names)}, got {name!r}")
    return _lines(chosen, names if tests is None else tuple(tests))


def _lines(backends: Sequence[str], tests: Sequence[str]) -> Iterator[Line]:
    for backend in backends:
        for generate in _BY_BACKEND:
            with computed_by(backend) as xp:
                for check in generate(backend, xp):
                    if check.test in tests:
                        yield measured(check)
    for generate in _GENERAL:
        for check in generate():
            if check.test in tests:
                yield measured(check)
