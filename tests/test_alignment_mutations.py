"""Faults seeded into the kernels of the search for poses: their tests must notice every one."""

import os
import pathlib
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest
from mutants import Mutant
from test_alignment_kernels import greedy, problem, turned

from fslice import _kernels, random_rotations
from fslice._kernels import composed, scores

PACKAGE = pathlib.Path(__file__).parents[1] / "fslice"
CURVATURE = (
    Mutant("beam not squared", "derivatives", "(0, 0): ky**2 * zz", "(0, 0): ky * zz"),
    Mutant("wrong sign of mixed turns", "derivatives", "(0, 1): -kx * ky", "(0, 1): kx * ky"),
    Mutant("second order of a turn", "derivatives", "(ky * x + kx * y) / 2", "ky * x + kx * y"),
    Mutant("turn in the plane", "derivatives", "- kx * x - ky * y", "- kx * x + ky * y"),
    Mutant("half forgotten", "derivatives", "+ kx * z / 2", "+ kx * z"),
    Mutant("mixed curvature", "derivatives", "- 2 * kx * ky * xy", "- kx * ky * xy"),
    Mutant("shift's rate once", "derivatives", "rate * first[a]", "first[a]"),
    Mutant("Hessian not turned", "derivatives", "geometry.scale**2", "geometry.scale"),
    Mutant("second slope", "derivatives", "across = kx * yz - ky", "across = kx * yz + ky"),
)
SCORES = (
    Mutant("prior forgotten", "scores", "cross + log_prior[:, None]", "cross + 0 * log_prior[0]"),
    Mutant("norm added", "scores", "[:, 0] - norm", "[:, 0] + norm"),
    Mutant("not apart", "scores", ">= near, -xp.inf", "> 9.0, -xp.inf"),
    Mutant("half the angle", "scores", "2 * math.cos(angle)", "2 * math.cos(angle / 2)"),
    Mutant("window forgotten", "scores", "scores.max(1) - window", "scores.max(1) - 1e9"),
)
COMPILED = (
    Mutant("mate's slope", "numba/pose", "mate * (x * dx.real", "(x * dx.real"),
    Mutant("one of a pair", "numba/pose", "(2 * rates * rates", "(rates * rates"),
    Mutant("negative frequency", "numba/pose", "-buffer.kx[-k]", "buffer.kx[-k]"),
    Mutant("turn's sign", "numba/curvature", "- kx * ky * bends[0]", "+ kx * ky * bends[0]"),
    Mutant("mate's Hessian", "numba/curvature", "apply_friedel(buffer, i, h)", "h"),
    Mutant("xy for xz", "numba/curvature_rows", "x.slope(dy), x.slope(dz)", "x.slope(dz), row[0]"),
    Mutant("norm forgotten", "numba/scores", "top[g] -= norm[n, g]", "top[g] -= 0 * norm[n, g]"),
    Mutant("tie to the last", "numba/scores", "score > top[g]", "score >= top[g]"),
    Mutant("nearer than allowed", "numba/scores", "apart = False", "apart = True"),
    Mutant("pool never widened", "numba/scores", "pool *= 4", "break"),
)  # fmt: skip


def mutated(mutant):
    """Return the source of the mutant's file with the fault, which must be in one place."""
    source = (PACKAGE / "_kernels" / f"{mutant.file}.py").read_text()
    assert source.count(mutant.old) == 1, f"{mutant.file}.py has changed: find {mutant.old!r} anew"
    return source.replace(mutant.old, mutant.new)


def loaded(mutant):
    module = types.ModuleType("mutated")
    exec(compile(mutated(mutant), mutant.file, "exec"), vars(module))
    return module


def curvature_error():
    """Return by how much the curvature differs from second differences of chi-squared."""
    kernels = _kernels.host_kernels()["numpy"]
    volume, images, views, filters, *rest = problem(0, 7, "cubic")
    gram, residual = kernels.pose_curvature(volume, images, views, filters, *rest)
    hessian, worst, step = gram[:, :5, :5] + residual, 0.0, 1e-4

    def chi_squared(steps):
        return kernels.pose_gram(volume, images, turned(views, steps), filters, *rest)[:, 5, 5]

    here = chi_squared(np.zeros((5, 5)))
    terms = abs(gram[:, :5, :5]) + abs(residual)
    for a in range(5):
        for b in range(5):
            direction = np.tile(np.eye(5)[a] + np.eye(5)[b], (5, 1))
            expected = chi_squared(step * direction) + chi_squared(-step * direction) - 2 * here
            found = np.einsum("va,vab,vb->v", direction, hessian, direction)
            scale = np.einsum("va,vab,vb->v", direction, terms, direction)
            worst = max(worst, (abs(found - expected / (2 * step**2)) / scale).max())
    return worst


def test_the_curvature_is_right_without_a_fault():
    assert curvature_error() < 1e-5


@pytest.mark.parametrize("mutant", CURVATURE, ids=[m.name for m in CURVATURE])
def test_a_fault_in_second_derivatives_is_noticed(mutant, monkeypatch):
    monkeypatch.setattr(composed, "second_derivatives", loaded(mutant).second_derivatives)
    assert curvature_error() > 1e-4


def scores_are_right(module):
    """Tell whether best shifts and peaks are those of brute force."""
    rng = np.random.default_rng(1)
    cross, norm, prior = rng.normal(size=(2, 3, 40)), rng.normal(size=(2, 40)), rng.normal(size=3)
    best, shift = module.best_over_shifts(cross, norm, prior)
    total = cross + prior[:, None]
    right = np.array_equal(shift, total.argmax(1)) and np.allclose(best, total.max(1) - norm)
    rotations, options = random_rotations(40, rng), (8, 0.9, 2.0)
    peaks = module.peaks(best, rotations, *options)
    return right and peaks.tolist() == [greedy(row.tolist(), rotations, *options) for row in best]


@pytest.mark.parametrize("mutant", [None, *SCORES], ids=["none", *(m.name for m in SCORES)])
def test_a_fault_in_the_best_scores_is_noticed(mutant):
    module = scores if mutant is None else loaded(mutant)
    assert scores_are_right(module) == (mutant is None)


@pytest.mark.parametrize("mutant", COMPILED, ids=[m.name for m in COMPILED])
def test_the_place_of_a_fault_in_the_compiled_kernels_is_still_there(mutant):
    assert mutated(mutant)


@pytest.mark.long
@pytest.mark.parametrize("mutant", COMPILED, ids=[m.name for m in COMPILED])
def test_a_fault_in_the_compiled_kernels_is_noticed(mutant, tmp_path):
    pytest.importorskip("numba", reason="Numba is not installed")
    shutil.copytree(PACKAGE, tmp_path / "fslice", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "fslice" / "_kernels" / f"{mutant.file}.py").write_text(mutated(mutant))
    tests = pathlib.Path(__file__).parent
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{tests}",
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
    }
    # the conftest above the tests would bring the package beside them
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
               f"--confcutdir={tests}", str(tests / "test_alignment_kernels.py"),
               "-k", "numba and not loops"]  # fmt: skip
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout[-2000:]
    assert "AssertionError" in done.stdout or "assert" in done.stdout
