"""Before any test: what to collect."""

import importlib.util
import pathlib
import re

NEEDS_NUMBA = re.compile(r"^(import|from) (numba|llvmlite|fslice\._kernels\.numba)\b", re.MULTILINE)
KERNELS = pathlib.Path(__file__).parent / "fslice" / "_kernels"
INTEROP = pathlib.Path(__file__).parent / "fslice" / "interop"


# the doctests of a file are found by importing it
collect_ignore = [
    str(INTEROP / f"{name}.py") for name in ("torch", "jax") if not importlib.util.find_spec(name)
]
if not importlib.util.find_spec("numba"):
    collect_ignore += [str(p) for p in KERNELS.rglob("*.py") if NEEDS_NUMBA.search(p.read_text())]
