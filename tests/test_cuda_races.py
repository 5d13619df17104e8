"""Races between the threads of a block, found by g++'s thread sanitizer on the CUDA source.

Every thread of a block is a fiber to it, and nothing but barriers orders what they do: shuffles and
ballots do not, as on a GPU.
"""

import os
import pathlib
import subprocess
import sys

import cuda_host
import pytest
from cuda_mutants import MUTANTS

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        cuda_host.compiler() is None, reason="there is no C++ compiler to run the CUDA source with"
    ),
]
TESTS = pathlib.Path(__file__).parent
SCRIPT = """
import sys
from cuda_host.build import THREAD
from cuda_mutants import MUTANTS
from test_cuda_mutants import PROBES, mutated, noticed
name, seeded = sys.argv[1:]
faults = [mutant for mutant in MUTANTS if mutant.name == seeded]
print(noticed(PROBES[name], mutated(*faults) if faults else {}, THREAD))
"""
PROBES = (
    "gather", "slopes", "scatter", "bricks", "many", "dense", "chunks", "squares", "stencil",
    "moments", "dense moments", "product", "ctf", "views", "misfit", "pose", "curvature", "peaks",
)  # fmt: skip
RACES = {
    "samples of one cell together", "taps not in step", "queue cleared late",
    "queue read before it is written",
    "moments read before they are written", "moments overwritten before they are read",
    "sums read before they are written", "peaks: best read before it is written",
    "peaks: best overwritten before it is read",
}  # fmt: skip


def sanitized(probe, seeded=""):
    """Run a probe in a process with the thread sanitizer; return its output and its reports."""
    library = subprocess.run(
        [cuda_host.compiler(), "-print-file-name=libtsan.so"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    if not pathlib.Path(library).is_file():
        pytest.skip("the C++ compiler has no thread sanitizer")
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    environment = os.environ | {
        "LD_PRELOAD": library, "PYTHONPATH": paths, "TSAN_OPTIONS": "exitcode=66",
        "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, probe, seeded],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return found.returncode, found.stdout.strip(), found.stderr


@pytest.mark.parametrize("probe", PROBES)
def test_no_kernel_has_a_race(probe):
    assert sanitized(probe) == (0, "nothing", "")


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name in RACES], ids=lambda m: m.name)
def test_a_seeded_race_is_reported(mutant):
    code, _, report = sanitized(mutant.probe, mutant.name)
    assert code == 66
    assert "data race" in report


def test_the_seeded_races_are_there():
    assert {mutant.name for mutant in MUTANTS} >= RACES
