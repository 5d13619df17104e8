"""Faults seeded into the kernels, one at a time: `certify` must catch every one.

The faults are in `mutants`: wrong signs, indices off by one, forgotten conjugates, borders that
are not seen, factors of a half.
"""

import importlib
import os
import pathlib
import shutil
import subprocess
import sys
import types

import pytest
from mutants import NUMBA, NUMPY

from fslice.certify import certify

MODULES = (
    "splines", "interface", "filters", "derivatives", "scores", "composed",
    "numpy/slices", "numpy/stencil", "numpy/__init__",
)  # fmt: skip
"""What makes up the NumPy kernels, in the order of their imports."""
PACKAGE = pathlib.Path(__file__).parents[1] / "fslice"


def mutated(mutant, source):
    """Return the source with the fault; it must be in one place."""
    assert source.count(mutant.old) == 1, f"{mutant.file}.py has changed: find {mutant.old!r} anew"
    return source.replace(mutant.old, mutant.new)


def named(mutants):
    return pytest.mark.parametrize("mutant", mutants, ids=[m.name for m in mutants])


def module_name(name):
    return f"fslice._kernels.{name}".replace("/", ".").removesuffix(".__init__")


def load(name, mutant=None):
    """Return a fresh copy of a module of kernels, with the fault if it is there."""
    path = PACKAGE / "_kernels" / f"{name}.py"
    source = path.read_text()
    module = types.ModuleType(module_name(name))
    faulty = mutated(mutant, source) if mutant and mutant.file == name else source
    exec(compile(faulty, path, "exec"), vars(module))
    return module


@pytest.fixture
def numpy_kernels(monkeypatch):
    """Return what replaces the NumPy kernels by a copy, all of one make, with a fault."""

    def replace(mutant=None):
        for name in MODULES:
            module = load(name, mutant)
            # `from fslice._kernels import name` reads the attribute, other imports the table
            monkeypatch.setitem(sys.modules, module.__name__, module)
            monkeypatch.setattr(module.__name__, module)

    for name in MODULES:  # so that there is what to restore
        importlib.import_module(module_name(name))
    return replace


def first_failure(backend, test):
    return next((line for line in certify([backend], [test]) if not line.passed), None)


@named(NUMPY)
def test_a_fault_in_the_numpy_kernels_is_caught(numpy_kernels, mutant):
    numpy_kernels(mutant)
    line = first_failure("numpy", mutant.test)
    assert line is not None, "nobody noticed"
    assert line.backend == "numpy"
    assert line.note == ""  # by its figure, not by a crash


@pytest.mark.parametrize("test", ["definition", "gradient", "dot"])
def test_without_a_fault_the_copy_passes(numpy_kernels, test):
    numpy_kernels()
    assert first_failure("numpy", test) is None


SCRIPT = """
import sys, fslice
from fslice.certify import certify, row
assert fslice.__file__.startswith(sys.argv[1]), fslice.__file__
for line in certify(["numba"], [sys.argv[2]]):
    if not line.passed:
        print(row(line))
        sys.exit(1)
"""


def certified_copy(folder, test, mutant=None):
    """Run `SCRIPT` on a copy of the package; return the finished process."""
    shutil.copytree(PACKAGE, folder / "fslice", ignore=shutil.ignore_patterns("__pycache__"))
    if mutant:
        path = folder / "fslice" / "_kernels" / f"{mutant.file}.py"
        path.write_text(mutated(mutant, path.read_text()))
    environment = os.environ | {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), test],
        env=environment, cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


@named(NUMBA)
def test_the_place_of_a_fault_in_the_compiled_kernels_is_still_there(mutant):
    assert mutated(mutant, (PACKAGE / "_kernels" / f"{mutant.file}.py").read_text())


@pytest.mark.long
@named(NUMBA)
def test_a_fault_in_the_compiled_kernels_is_caught(tmp_path, mutant):
    pytest.importorskip("numba", reason="Numba is not installed")
    found = certified_copy(tmp_path, mutant.test, mutant)
    assert found.returncode == 1, f"nobody noticed\n{found.stdout}{found.stderr}"
    assert found.stdout.startswith("FAIL"), found.stderr
    assert "Error" not in found.stdout  # by its figure, not by a crash


@pytest.mark.long
@pytest.mark.parametrize("test", ["definition", "gradient", "dot"])
def test_without_a_fault_the_compiled_copy_passes(tmp_path, test):
    pytest.importorskip("numba", reason="Numba is not installed")
    found = certified_copy(tmp_path, test)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
