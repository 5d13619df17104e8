"""The certificate as a table and as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fslice.certify._checks import Line

_HEADER = (
    f"{'':4}  {'test':10}  {'operator':40}  {'backend':7}  {'dtype':7}  {'box':>3}  "
    f"{'over':>4}  {'kernel':6}  {'figure':>8}  {'bound':>8}"
)


def table(lines: Iterable[Line]) -> str:
    """Return the lines as a table, one below the other under a header.

    Examples
    --------
    >>> print(table([Line("dot", "rfft (2-D)", "-", "float64", 8, "-", "-", 1e-16, 2e-14)]))
    ... # doctest: +NORMALIZE_WHITESPACE
          test        operator     backend  dtype    box  over  kernel    figure     bound
    ok    dot         rfft (2-D)   -        float64    8     -  -        1.0e-16   2.0e-14
    """
    return "\n".join([_HEADER, *(row(line) for line in lines)])


def header() -> str:
    """Return the first line of the table."""
    return _HEADER


def row(line: Line) -> str:
    """Return one line of the table; what was raised comes last."""
    verdict = "ok" if line.passed else "FAIL"
    text = (
        f"{verdict:4}  {line.test:10}  {line.subject:40}  {line.backend:7}  {line.dtype:7}  "
        f"{line.size:3d}  {line.oversampling!s:>4}  {line.kernel:6}  {line.figure:8.1e}  "
        f"{line.bound:8.1e}"
    )
    return f"{text}  {line.note}".rstrip()


def nearest(lines: Iterable[Line]) -> list[Line]:
    """Return, of lines that differ in box and oversampling only, the one nearest to its bound.

    Examples
    --------
    >>> even = Line("dot", "rfft (2-D)", "-", "float64", 8, "-", "-", 1e-16, 2e-14)
    >>> odd = even._replace(size=7, figure=2e-16)
    >>> [line.size for line in nearest([even, odd])]
    [7]
    """
    chosen: dict[tuple[str, ...], Line] = {}
    for line in lines:
        key = (line.test, line.subject, line.backend, line.dtype, line.kernel)
        if key not in chosen or not _ratio(line) <= _ratio(chosen[key]):
            chosen[key] = line
    return list(chosen.values())


def _ratio(line: Line) -> float:
    return line.figure / line.bound


def report(lines: Sequence[Line]) -> dict[str, Any]:
    """Return the certificate as JSON can hold it.

    Returns
    -------
    dict
        ``passed``, whether all lines did; ``count`` and ``failed``, how many there are and how
        many failed; ``lines``, the fields of each and its ``passed``.

    Examples
    --------
    >>> report([Line("dot", "rfft (2-D)", "-", "float64", 8, "-", "-", 1.0, 2e-14)])["failed"]
    1
    """
    failed = sum(not line.passed for line in lines)
    return {
        "passed": bool(lines) and not failed,
        "count": len(lines),
        "failed": failed,
        "lines": [{**line._asdict(), "passed": line.passed} for line in lines],
    }
