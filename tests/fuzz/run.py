"""Fuzz the readers for long: ``PYTHONPATH=tests python -m fuzz.run [COUNT [SEED [READER ...]]]``.

Ends with a line for each reader; inputs that crash, hang or fill the memory are kept in a folder.
"""

import collections
import pathlib
import sys
import tempfile
import time
import traceback

import numpy as np
from fuzz.mutators import damaged
from fuzz.readers import outcome, readers
from peak_memory import begin, peak

HANG = 10.0
"""Seconds of processor time that no input may take."""
MEMORY = 2 << 30
"""Bytes that the process may have at most beyond what it had at the start."""


def fuzz(reader, folder, count, seed):
    """Return how inputs ended, and those that ended as none may."""
    rng = np.random.default_rng((seed, sum(reader.name.encode())))
    path, ends, failures = folder / f"input{reader.suffix}", collections.Counter(), []
    before, latest = begin(), None
    for _ in range(count):
        content = damaged(reader.content, rng, reader.mutators)
        start, latest = time.process_time(), content
        try:
            ends[outcome(reader, path, content)] += 1
        except Exception:
            failures.append((content, traceback.format_exc()))
        if (taken := time.process_time() - start) > HANG:
            failures.append((content, f"took {taken:.1f} s"))
        if peak() - before > MEMORY:
            failures.append((latest, f"took {(peak() - before) / 2**30:.1f} GiB"))
            before = begin()
    return ends, failures


def main(count=1000, seed=0, *names):
    """Fuzz all readers, or those of some names."""
    kept, failed = pathlib.Path(tempfile.mkdtemp(prefix="fuzz-")), 0
    folder = kept / "files"
    folder.mkdir()
    for reader in readers(folder):
        if names and reader.name not in names:
            continue
        start = time.process_time()
        ends, failures = fuzz(reader, folder, int(count), int(seed))
        told = ", ".join(f"{end} {number}" for end, number in ends.most_common())
        print(f"{reader.name}: {told}; {time.process_time() - start:.0f} s", flush=True)
        for number, (content, text) in enumerate(failures):
            failed += 1
            (kept / f"{reader.name}-{number}{reader.suffix}").write_bytes(content)
            if number < 5:
                print(text.strip()[-1500:], flush=True)
        if failures:
            print(f"{len(failures)} failures of {reader.name} are kept in {kept}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
