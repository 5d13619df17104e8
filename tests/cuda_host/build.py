"""Compiling the kernels for the CPU, once for each source and each set of options."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile

from fslice._kernels.cuda.sources import SOURCES, Instantiation, expression, source_of

RUNTIME = pathlib.Path(__file__).parent / "runtime.hpp"
COMMON = (
    "-std=c++20", "-O1", "-g1", "-shared", "-fPIC", "-ffp-contract=off", "-U_FORTIFY_SOURCE",
    "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Werror",
)  # fmt: skip
UNDEFINED = ("-fsanitize=undefined,float-cast-overflow", "-DUNDEFINED")
"""Findings of this sanitizer are errors of a launch; every build has it but the next."""
THREAD = ("-fsanitize=thread",)
"""For races between the threads of a block; its library must be loaded before Python's."""


@functools.cache
def compiler() -> str | None:
    """Return the C++ compiler, or None where there is none."""
    return shutil.which(os.environ.get("CXX", "g++"))


@functools.cache
def folder() -> pathlib.Path:
    """Return where compiled kernels are kept: a folder that no other user can write to."""
    path = pathlib.Path(tempfile.gettempdir()) / f"fslice-cuda-host-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
        return pathlib.Path(tempfile.mkdtemp(prefix="fslice-cuda-host-"))
    return path


@functools.lru_cache(256)
def library(
    entry: str,
    flags: tuple[str, ...],
    source: str | None = None,
    only: Instantiation | None = None,
) -> ctypes.CDLL:
    """Return the compiled kernel, of all types or of some; `source` replaces its text."""
    chosen = SOURCES[entry].instantiations if only is None else (only,)
    text = _program(entry, source_of(entry) if source is None else source, chosen)
    compiled = folder() / f"{entry}-{_digest(text, flags)}.so"
    if not compiled.exists():
        with tempfile.TemporaryDirectory(dir=folder()) as scratch:
            program = pathlib.Path(scratch) / "kernels.cpp"
            program.write_text(text)
            part = program.with_suffix(".so")
            command = [str(compiler()), *COMMON, *flags, f"-I{RUNTIME.parent}"]
            found = subprocess.run(
                [*command, str(program), "-o", str(part)],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if found.returncode:
                raise RuntimeError(f"{entry} does not compile:\n{found.stderr[:4000]}")
            part.replace(compiled)
    return ctypes.CDLL(str(compiled))


def _program(entry: str, source: str, instantiations: tuple[Instantiation, ...]) -> str:
    """Return a program with one function that launches the kernel by its name."""
    names = [expression(entry, values) for values in instantiations]
    table = "\n".join(
        f'  else if (!std::strcmp(name, "{name}")) '
        f"host::checked({name}, shape, count, sizes, arguments);"
        for name in names
    )
    return f"""#include "runtime.hpp"
{source}
#line 1 "launch"
extern "C" const char* launch(
    const char* name, const unsigned* shape, int count, const size_t* sizes, void** arguments) {{
  host::failure.clear();
  if (false) {{}}
{table}
  else host::fail("no such kernel");
  return host::failure.c_str();
}}
"""


def _digest(text: str, flags: tuple[str, ...]) -> str:
    parts = text, RUNTIME.read_text(), repr((compiler(), COMMON, flags))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
