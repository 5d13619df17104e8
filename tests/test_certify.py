"""The certificate: all is within bounds, everything is listed, and what fails is said."""

import json

import numpy as np
import pytest

from fslice import certify as package
from fslice import cli
from fslice.certify import Line, _backends, certify, present_backends, report, row, table
from fslice.certify._checks import Check, Setting, measured
from fslice.cli import certify as command

BACKENDS = present_backends()


@pytest.fixture(scope="module", params=BACKENDS)
def lines(request):
    """Return all lines but the analytic ones of one backend."""
    return list(certify([request.param], ["definition", "gradient", "dot"]))


def test_every_line_is_within_its_bound(lines):
    assert [row(line) for line in lines if not line.passed] == []


def test_every_line_is_another_question(lines):
    questions = [line[:7] for line in lines]
    assert len(set(questions)) == len(questions)


def test_figures_leave_room(lines):
    """Bounds that rounding on another machine could pass would cry wolf."""
    assert max(line.figure / line.bound for line in lines) < 0.5


def test_all_kernels_parities_precisions_and_oversamplings_are_there(lines):
    own = [line for line in lines if line.subject == "Projector.project" and line.test == "dot"]
    found = {(line.kernel, line.size % 2, line.dtype, line.oversampling) for line in own}
    assert len(found) == len(own) == 16


def test_bounds_are_those_of_the_documents(lines):
    for line in lines:
        rounding = 100 * np.finfo(line.dtype).eps
        assert line.bound == (1e-6 if line.test == "gradient" else rounding)


@pytest.mark.parametrize("backend", BACKENDS)
def test_analytic_accuracy_is_within_its_bound(backend):
    found = [line for line in certify([backend], ["analytic"]) if line.dtype == "float64"]
    assert [row(line) for line in found if not line.passed] == []
    direct = [line.figure for line in found if line.subject.startswith("project_direct")]
    assert max(direct) < 1e-10


def test_a_finding_is_a_line_whatever_was_raised():
    def broken():
        raise RuntimeError("two\nlines")

    line = measured(Check("dot", "nothing", Setting(), 1.0, broken))
    assert (line.passed, line.figure, line.note) == (False, np.inf, "RuntimeError: two lines")
    assert row(line).startswith("FAIL")
    assert row(line).endswith("two lines")
    assert not measured(Check("dot", "nothing", Setting(), 1.0, lambda: float("nan"))).passed


def test_nothing_is_computed_before_it_is_asked_for(monkeypatch):
    def refuse(check):
        raise AssertionError("computed")

    monkeypatch.setattr(package, "measured", refuse)
    certify(["numpy"])


def test_the_choice_of_a_backend_ends_with_its_block():
    from fslice import _kernels

    before = _kernels.kernels_for(np.zeros(1))
    with _backends.computed_by("numpy"):
        assert _kernels.kernels_for(np.zeros(1)).name == "numpy"
    assert _kernels.kernels_for(np.zeros(1)) is before


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"backends: expected numpy.*, got 'fortran'"):
        certify(["fortran"])
    with pytest.raises(ValueError, match=r"tests: expected definition or .*, got 'speed'"):
        certify(tests=["speed"])


GOOD = Line("dot", "rfft (2-D)", "-", "float64", 8, "-", "-", 1e-16, 2e-14)
BAD = GOOD._replace(figure=1.0)


def test_the_report_counts_and_lists():
    found = report([GOOD, BAD])
    assert (found["passed"], found["count"], found["failed"]) == (False, 2, 1)
    assert [line["passed"] for line in found["lines"]] == [True, False]
    assert report([GOOD])["passed"]
    assert not report([])["passed"]  # nothing was shown


def test_the_table_is_aligned():
    header, *rows = table([GOOD, BAD]).splitlines()
    assert {len(line) for line in rows} == {len(header)}


@pytest.fixture
def run(monkeypatch, capsys):
    """Return what runs the command on given lines; gives its status and what it printed."""

    def run(lines, *words):
        monkeypatch.setattr(command, "certify", lambda backends: iter(lines))
        if command not in cli._COMMANDS:
            monkeypatch.setattr(cli, "_COMMANDS", (*cli._COMMANDS, command))
        return cli.main(["certify", *map(str, words)]), capsys.readouterr().out

    return run


def test_the_command_prints_all_lines_and_a_verdict(run):
    status, printed = run([GOOD, GOOD])
    assert status == 0
    assert printed.count("\nok ") == 2
    assert printed.splitlines()[-1].endswith("all within their bounds")


def test_the_command_exits_with_1_if_a_line_fails(run, tmp_path):
    status, printed = run([GOOD, BAD], "--json", "-o", tmp_path / "certificate.json")
    assert status == 1
    assert printed.splitlines()[-2].endswith("1 FAILED")
    for text in (printed.splitlines()[-1], (tmp_path / "certificate.json").read_text()):
        found = json.loads(text)
        assert (found["count"], found["failed"], found["lines"][1]["figure"]) == (2, 1, 1.0)


def test_the_command_can_print_a_summary(run):
    odd = GOOD._replace(size=7, figure=1e-15)
    status, printed = run([GOOD, odd, GOOD._replace(dtype="float32")], "--summary")
    assert status == 0
    assert [line.split()[6] for line in printed.splitlines()[1:-1]] == ["7", "8"]
    _, printed = run([BAD, BAD._replace(size=7)], "--summary")
    assert printed.count("FAIL ") == 2  # what fails is shown always
