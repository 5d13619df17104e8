"""A search guided by coverage: ``PYTHONPATH=tests python -m fuzz.guided READER [-runs=N]``."""

import pathlib
import sys
import tempfile

import atheris

with atheris.instrument_imports(
    include=["fslice.io", "fslice.cli", "fslice.posterior", "fslice.solvers"]
):
    from fuzz.readers import outcome, readers


def main(name, *options):
    """Search inputs of one reader, from the file that it takes and for whatever it raises."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fuzz-"))
    (reader,) = (reader for reader in readers(folder) if reader.name == name)
    (folder / "corpus").mkdir()
    (folder / "corpus" / "seed").write_bytes(reader.content)

    def one(content):
        outcome(reader, folder / f"input{reader.suffix}", content)

    atheris.Setup([sys.argv[0], *options, str(folder / "corpus")], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
