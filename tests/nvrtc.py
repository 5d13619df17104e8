"""NVRTC, NVIDIA's compiler as a library, and what it says of the kernels: no GPU is needed.

    python tests/nvrtc.py

compiles every instantiation of every kernel for every card and records registers, spills and
shared memory in `cuda_resources.json`. The tests fail where these have grown since.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import json
import pathlib
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from cuda_host.build import folder

from fslice._kernels.cuda.launch import OPTIONS
from fslice._kernels.cuda.sources import SOURCES, expression, source_of

VERSION = (12, 9)
"""Of the wheel whose figures are recorded: those of another would differ a little."""
CARDS = (75, 80, 86, 89, 90, 100, 120)
"""Compute capabilities: Turing, Ampere, its consumer cards, Ada, Hopper, Blackwell, its own."""
RECORD = pathlib.Path(__file__).parent / "cuda_resources.json"

_ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\S+)' for 'sm_\w+'.*?"
    r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?P<rest>.*?)\n",
    re.DOTALL,
)


class Resources(NamedTuple):
    """What a kernel takes of a card."""

    registers: int
    """For each thread."""
    spilled: int
    """Bytes that are stored and loaded for want of registers."""
    shared: int
    """Bytes for each block."""


def options_for(card: int) -> tuple[str, ...]:
    """Return what CuPy 14 tells NVRTC, for our options."""
    return (*OPTIONS, "-ftz=true", f"-arch=sm_{card}", "--device-as-default-execution-space")


@functools.cache
def library() -> Any:
    """Return the wheel's library, or None where it is absent or of another version."""
    found = None
    for package in ("nvidia.cuda_nvrtc", "nvidia"):
        try:
            spec = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            continue
        for root in (spec and spec.submodule_search_locations) or ():
            for path in sorted(pathlib.Path(root).glob("**/lib/libnvrtc.so.12")):
                found = found or ctypes.CDLL(str(path))
    if found is None:
        return None
    version = ctypes.c_int(), ctypes.c_int()
    found.nvrtcVersion(*map(ctypes.byref, version))
    found.nvrtcGetErrorString.restype = ctypes.c_char_p
    return found if tuple(number.value for number in version) == VERSION else None


def compiled(entry: str, card: int) -> dict[str, Resources]:
    """Return what every instantiation of a kernel takes, or raise with the compiler's message."""
    names = [expression(entry, values) for values in SOURCES[entry].instantiations]
    options = (*options_for(card), "--ptxas-options=-v")
    text = repr((source_of(entry), names, options, VERSION))
    cached = folder() / f"nvrtc-{hashlib.sha256(text.encode()).hexdigest()[:20]}.json"
    if not cached.exists():
        found = _compile(source_of(entry), names, options)
        part = cached.with_suffix(f".{card}.part")
        part.write_text(json.dumps(found))
        part.replace(cached)
    return {name: Resources(*values) for name, values in json.loads(cached.read_text()).items()}


def _compile(source: str, names: list[str], options: tuple[str, ...]) -> dict[str, Resources]:
    nvrtc, program = library(), ctypes.c_void_p()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0,
                                    None, None))  # fmt: skip
    try:
        for name in names:
            _check(nvrtc.nvrtcAddNameExpression(program, name.encode()))
        words = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        status = nvrtc.nvrtcCompileProgram(program, len(options), words)
        log = _text(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)
        if status:
            raise RuntimeError(log)
        lowered = {}
        for name in names:
            found = ctypes.c_char_p()
            _check(nvrtc.nvrtcGetLoweredName(program, name.encode(), ctypes.byref(found)))
            lowered[(found.value or b"").decode()] = name
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return {lowered[match["name"]]: _resources(match) for match in _ENTRY.finditer(log)}


def _resources(match: re.Match) -> Resources:
    shared = re.search(r"(\d+) bytes smem", match["rest"])
    spilled = int(match["stores"]) + int(match["loads"])
    return Resources(int(match["registers"]), spilled, int(shared[1]) if shared else 0)


def _text(program: Any, size_of: Any, read: Any) -> str:
    size = ctypes.c_size_t()
    _check(size_of(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(read(program, buffer))
    return buffer.value.decode()


def _check(status: int) -> None:
    if status:
        raise RuntimeError(library().nvrtcGetErrorString(status).decode())


def all_compiled(card: int) -> dict[str, Resources]:
    """Return what every kernel takes of a card, two of them compiled at a time."""
    with ThreadPoolExecutor(2) as pool:
        tables = pool.map(lambda entry: compiled(entry, card), SOURCES)
    return {name: found for table in tables for name, found in table.items()}


def recorded() -> dict[str, dict[str, Resources]]:
    """Return the recorded figures by card and kernel."""
    record = json.loads(RECORD.read_text())
    return {
        card: {name: Resources(*values) for name, values in table.items()}
        for card, table in record["cards"].items()
    }


def main() -> None:
    """Record the figures of all cards, a kernel in a line."""
    tables = {f"sm_{card}": all_compiled(card) for card in CARDS}
    cards = ",\n".join(
        f' "{card}": {{\n'
        + ",\n".join(f"  {json.dumps(name)}: {list(table[name])}" for name in sorted(table))
        + "\n }"
        for card, table in tables.items()
    )
    head = f'"nvrtc": "{VERSION[0]}.{VERSION[1]}", "fields": {json.dumps(Resources._fields)}'
    RECORD.write_text(f'{{{head},\n"cards": {{\n{cards}\n}}}}\n')


if __name__ == "__main__":
    main()
