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
import time

from fslice._kernels.cuda.sources import SOURCES, Instantiation, expression, source_of

RUNTIME = pathlib.Path(__file__).parent / "runtime.hpp"
COMMON = (
    "-std=c++20", "-fPIC", "-ffp-contract=off", "-U_FORTIFY_SOURCE",
    "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Werror",
)  # fmt: skip
UNDEFINED = ("-O1", "-g1", "-fsanitize=undefined,float-cast-overflow", "-DUNDEFINED")
"""Findings of this sanitizer are errors of a launch."""
PLAIN = ("-O0", "-Wno-error")
"""For faults that are seeded: compiled once and run once, and may leave something unused."""
THREAD = ("-O1", "-g1", "-fsanitize=thread")
"""For races between the threads of a block; its library must be loaded before Python's."""


@functools.cache
def compiler() -> str | None:
    """Return the C++ compiler, or None where there is none."""
    return shutil.which(os.environ.get("CXX", "g++"))


@functools.cache
def folder() -> pathlib.Path:
    """Return where compiled kernels are kept: a folder that no other user can write to.

    What is older than a month is removed.
    """
    path = pathlib.Path(tempfile.gettempdir()) / f"fslice-cuda-host-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
        return pathlib.Path(tempfile.mkdtemp(prefix="fslice-cuda-host-"))
    for old in (*path.glob("*.so"), *path.glob("*/*.gch")):
        if time.time() - old.stat().st_mtime > 30 * 24 * 3600:
            old.unlink(missing_ok=True)
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
        include = f"-I{_precompiled(flags).parent}"  # found before the header itself
        options = "-shared", *flags, include, f"-I{RUNTIME.parent}"
        problem = _compile(text, ".cpp", options, compiled)
        if problem:
            raise RuntimeError(f"{entry} does not compile:\n{problem[:4000]}")
    return ctypes.CDLL(str(compiled))


def _precompiled(flags: tuple[str, ...]) -> pathlib.Path:
    """Return the runtime, compiled once: to read it took half of the time of a kernel."""
    compiled = folder() / f"runtime-{_digest('', flags)}" / f"{RUNTIME.name}.gch"
    if not compiled.exists():
        compiled.parent.mkdir(exist_ok=True)
        problem = _compile(RUNTIME.read_text(), ".hpp", ("-x", "c++-header", *flags), compiled)
        if problem:
            raise RuntimeError(f"{RUNTIME.name} does not compile:\n{problem[:4000]}")
    return compiled


def _compile(text: str, suffix: str, options: tuple[str, ...], target: pathlib.Path) -> str:
    """Write the compiled text, all at once for whoever else looks; return what is wrong with it."""
    with tempfile.TemporaryDirectory(dir=folder()) as scratch:
        program = pathlib.Path(scratch) / f"kernels{suffix}"
        program.write_text(text)
        part = program.with_suffix(".out")
        command = [str(compiler()), *COMMON, *options, str(program), "-o", str(part)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode:
            return found.stderr
        part.replace(target)
    return ""


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
