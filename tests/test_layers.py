"""Imports point downward, and optional packages are imported where they belong, when needed."""

import ast
import importlib.util
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "fslice"

# Each module may import those of the rows above it and those to its left. A package counts as one
# module. To add one, put it to the right of what it imports.
LAYERS = {
    "arrays": "_arrays _devices _lazy _threads _large _sums",
    "primitives": "fourier geometry optim _kernels testing",
    "operators": "operators symmetry",
    "objects": "simulation",
    "files": "io",
    "statistics": "metrics postprocess plot likelihoods data posterior",
    "fits": "solvers alignment reconstruction",
    "names": "__init__",
    "programs": "certify interop cli __main__",
}
ORDER = " ".join(LAYERS.values()).split()

ALWAYS_INSTALLED = {"numpy", "scipy", "mrcfile", "tqdm", "gemmi"}
OPTIONAL = {
    "numba": "_kernels",
    "llvmlite": "_kernels",
    "matplotlib": "plot",
    "torch": "interop",
    "jax": "interop",
    "cupy": None,
    "distributed": "data",
    "dask": "data",
    "psutil": "data",
}
"""The modules that may import each optional package; CuPy is never imported."""


def modules():
    """Return the path of every module by its name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def member(name):
    """Return the name that stands for a module in `LAYERS`."""
    return [*name.split("."), "__init__"][1]


def place(name):
    """Return how far down a module is."""
    assert member(name) in ORDER, f"{name} has no place in LAYERS"
    return ORDER.index(member(name))


def imports(path):
    """Return what a file imports, anywhere in it, by full names."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (inner & set(MODULES)) or {node.module}
    return names


def test_every_module_has_its_place():
    present = {member(name) for name in MODULES}
    unplaced = sorted(present - set(ORDER))
    assert not unplaced, f"put {', '.join(unplaced)} into LAYERS, to the right of what they import"
    gone = sorted(set(ORDER) - present)
    assert not gone, f"take {', '.join(gone)} out of LAYERS, there are no such modules"
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_downward(name):
    own = member(name)
    for imported in imports(MODULES[name]):
        if imported.partition(".")[0] == "fslice" and member(imported) != own:
            assert place(imported) < place(name), f"{name} imports {imported}"


def test_no_module_of_a_package_imports_one_that_imports_it():
    """Within the packages, which count as one module above."""
    edges = {name: imports(path) & set(MODULES) - {name} for name, path in MODULES.items()}
    for package in {name for name, path in MODULES.items() if path.name == "__init__.py"}:
        for name in edges:
            if name.startswith(package + "."):
                edges[name] -= {package}  # asks the package for names, not for modules
    done = set()
    while ready := {name for name in edges if edges[name] <= done} - done:
        done |= ready
    assert done == set(edges), f"in a circle: {sorted(set(edges) - done)}"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_packages_are_imported_where_they_belong(name):
    for imported in imports(MODULES[name]):
        top = imported.partition(".")[0]
        if top in OPTIONAL:
            assert member(name) in (OPTIONAL[top] or "").split(), f"{name} imports {imported}"
        else:
            known = top == "fslice" or top in sys.stdlib_module_names | ALWAYS_INSTALLED
            assert known, f"{name} imports {imported}, which is no dependency"


def test_no_file_of_the_package_exceeds_300_lines():
    sources = [path for path in PACKAGE.rglob("*") if path.suffix in {".py", ".cu", ".cuh"}]
    lines = {path: len(path.read_text().splitlines()) for path in sources}
    assert not {str(path): count for path, count in lines.items() if count > 300}


def test_no_module_imports_unittest():
    """It is for tests: the package chooses implementations by values, not by patches."""
    users = {
        name
        for name, path in MODULES.items()
        if any(imported.partition(".")[0] == "unittest" for imported in imports(path))
    }
    assert not users


def run(code):
    """Run code in a fresh interpreter in which every warning is an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )


def test_importing_fslice_imports_no_optional_package():
    found = run(f"import fslice, sys; print(*({set(OPTIONAL)} & set(sys.modules)))")
    assert (found.stdout.strip(), found.stderr, found.returncode) == ("", "", 0)


def test_all_modules_are_imported_without_a_warning():
    pytest.importorskip("numba", reason="Numba is not installed")
    names = [name for name in MODULES if not name.endswith("__main__")]
    absent = {name for name in ("torch", "jax") if importlib.util.find_spec(name) is None}
    names = [name for name in names if name.removeprefix("fslice.interop.") not in absent]
    found = run(f"import {', '.join(names)}")
    assert (found.stderr, found.returncode) == ("", 0)


def test_public_names_exist_and_are_documented():
    import fslice

    assert fslice.__all__ == sorted(fslice.__all__)
    for name in fslice.__all__:
        assert getattr(fslice, name).__doc__, name
