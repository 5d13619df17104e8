"""Every reader, a small file that it takes, and the damage that its format invites."""

import bz2
import gzip
import io
import json
import warnings
import zlib
from typing import Any, NamedTuple

import numpy as np
from cs_files import make_rows
from fuzz.mutators import ANY, inside, literal, token

import fslice
from fslice.cli._describe import describe_file
from fslice.cli._fits import _read_record
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.io import (
    Particles,
    StackWriter,
    open_stack,
    read_atoms,
    read_particles,
    read_volume,
    write_particles,
    write_volume,
)
from fslice.io._archives import read_archive
from fslice.io.fsc_files import read_fsc_xml, write_fsc_xml
from fslice.io.star import read_star
from fslice.posterior.stencil import StencilEquations
from fslice.posterior.sums import normal_equations
from fslice.solvers.checkpoint import _FIELDS

PDB = (
    "CRYST1   10.000   10.000   10.000  90.00  90.00  90.00 P 1           1\n"
    "REMARK 350 BIOMOLECULE: 1\n"
    "REMARK 350   BIOMT1   1  1.000000  0.000000  0.000000        0.00000\n"
    + "".join(
        f"ATOM  {i:5d}  CA  GLY A{i:4d}    {i:8.3f}{i:8.3f}{i:8.3f}  1.00 20.00           C\n"
        for i in range(1, 6)
    )
    + "ENDMDL\nEND\n"
)
CIF = (
    "data_x\nloop_\n_atom_site.group_PDB\n_atom_site.id\n_atom_site.type_symbol\n"
    "_atom_site.label_atom_id\n_atom_site.label_comp_id\n_atom_site.label_asym_id\n"
    "_atom_site.label_seq_id\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n_atom_site.Cartn_z\n"
    "_atom_site.B_iso_or_equiv\n_atom_site.pdbx_PDB_model_num\n"
    + "".join(f"ATOM {i} C CA GLY A {i} {i}.5 {i}.0 {i}.25 20.0 1\n" for i in range(1, 6))
)


class Reader(NamedTuple):
    """A reader and what it takes."""

    name: str
    suffix: str
    content: bytes
    read: Any
    mutators: Any


def readers(folder):
    """Return all readers; `folder` gets the files that theirs name."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 8, 8)).astype("f4")
    for name in ("a.mrcs", "J1/a.mrc", "J1/b.mrc"):
        (folder / name).parent.mkdir(exist_ok=True)
        with StackWriter(folder / name, 3, 8, 1.5) as writer:
            writer.write(images)
    ctf = fslice.simulation.draws.random_ctf(3, 1.5, rng)
    particles = Particles(
        rotations=fslice.random_rotations(3, rng), shifts=rng.normal(size=(3, 2)), ctf=ctf,
        pixel_size=1.5, images=open_stack(folder / "a.mrcs"),
    )  # fmt: skip
    write_particles(folder / "seed.star", particles, image_name="a.mrcs")
    write_volume(folder / "seed.mrc", rng.normal(size=(6, 6, 6)), 2.0)
    write_fsc_xml(folder / "seed.xml", np.arange(5) / 20, np.linspace(1, 0, 5), "a")
    dataset = Dataset(images, Poses(particles.rotations.astype("f4")))
    normal_equations(dataset, fslice.Projector(8)).save(folder / "seed_normal.npz")
    half = np.zeros((4, 4, 3), "c8")
    np.savez(
        folder / "seed_fit.npz", identity=np.zeros(32, "u1"), mean=half, best=half, epoch=3,
        rate=0.5, trace=np.ones(3),
    )  # fmt: skip
    seeds = {path.name: path.read_bytes() for path in folder.glob("seed*")}
    table = io.BytesIO()
    np.save(table, make_rows())
    star, volume, fit = seeds["seed.star"], seeds["seed.mrc"], seeds["seed_fit.npz"]
    text = (*ANY, token, token, token)
    return [
        Reader("star", ".star", star, read_star, text),
        Reader("particles", ".star", star, _particles, text),
        Reader("info", ".star", star, describe, text),
        Reader("cs", ".cs", table.getvalue(), _particles, (*ANY, literal, literal, literal)),
        Reader("volume", ".mrc", volume, read_volume, (*ANY, ANY[-1], ANY[-1])),
        Reader("stack", ".mrcs", (folder / "a.mrcs").read_bytes(), _stack, (*ANY, ANY[-1])),
        Reader("gzip", ".mrc.gz", gzip.compress(volume), read_volume,
               (*ANY, *inside(gzip, OSError, EOFError, zlib.error))),
        Reader("bzip2", ".mrc.bz2", bz2.compress(volume), read_volume,
               (*ANY, *inside(bz2, OSError, ValueError))),
        Reader("pdb", ".pdb", PDB.encode(), read_atoms, text),
        Reader("pdb.gz", ".pdb.gz", gzip.compress(PDB.encode()), read_atoms,
               (*ANY, *inside(gzip, OSError, EOFError, zlib.error))),
        Reader("cif", ".cif", CIF.encode(), read_atoms, text),
        Reader("fsc", ".xml", seeds["seed.xml"], read_fsc_xml, text),
        Reader("checkpoint", ".npz", fit, _checkpoint, (*ANY, literal)),
        Reader("normal", ".npz", seeds["seed_normal.npz"], StencilEquations.load, (*ANY, literal)),
        Reader("record", ".json", json.dumps({"particles": "a", "seed": 0}).encode(), _read_record,
               text),
    ]  # fmt: skip


def _particles(path):
    particles = read_particles(path)
    assert np.isfinite(particles.rotations).all()
    particles.images[:]


def describe(path):
    """Describe a file as ``fslice info`` does."""
    describe_file(path, {}, {})


def _stack(path):
    stack = open_stack(path)
    if np.prod(stack.shape, dtype=float) < 1e7:
        stack.check_finite()


def _checkpoint(path):
    read_archive(path, _FIELDS)


def outcome(reader, path, content):
    """Return what a reader did with a file: "read", the kind of its refusal, or raise."""
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UserWarning)
        try:
            reader.read(path)
        except (ValueError, TypeError, OSError) as error:
            end, text = type(error).__name__, str(error).strip()
        else:
            return "read"
    assert "\n" not in text, text
    return end
