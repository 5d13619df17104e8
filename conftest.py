"""Before any test: a compile cache that knows all of the kernels' sources, and what to collect."""

import hashlib
import importlib.util
import os
import pathlib
import re
import tempfile

NEEDS_NUMBA = re.compile(r"^(import|from) (numba|llvmlite|fslice\._kernels\.numba)\b", re.MULTILINE)
KERNELS = pathlib.Path(__file__).parent / "fslice" / "_kernels"
INTEROP = pathlib.Path(__file__).parent / "fslice" / "interop"


def _cache_folder() -> str:
    """Name a folder after the kernels' sources.

    Numba's own cache looks only at the file that holds a kernel, and would run stale code after
    a change in a file that the kernel calls into.
    """
    digest = hashlib.sha256(os.path.expanduser("~").encode())  # users share the temporary folder
    for path in sorted(KERNELS.rglob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return os.path.join(tempfile.gettempdir(), f"fslice-numba-{digest.hexdigest()[:16]}")


os.environ["NUMBA_CACHE_DIR"] = _cache_folder()

# the doctests of a file are found by importing it
collect_ignore = [
    str(INTEROP / f"{name}.py") for name in ("torch", "jax") if not importlib.util.find_spec(name)
]
if not importlib.util.find_spec("numba"):
    collect_ignore += [str(p) for p in KERNELS.rglob("*.py") if NEEDS_NUMBA.search(p.read_text())]
