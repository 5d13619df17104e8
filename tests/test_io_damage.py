"""Damaged files of every kind give one line that names them, and never another exception."""

import warnings

import gemmi
import numpy as np
import pytest
from cs_files import make_rows, save
from hypothesis import given, settings
from hypothesis import strategies as st
from relion_files import OPTICS, PARTICLES, write_tables

from fslice.io import open_stack, read_atoms, read_particles, read_volume, write_volume

LINE = "ATOM      1  CA  GLY A   1       1.000   2.000   3.000  1.00 20.00           C\n"
BITS = [b"\x00", b"\xff", b"\n", b" ", b"-", b"9", b"nan", b"_", b"'", b"loop_\n", b"data_\n", b"@"]


def read_metadata(path):
    return read_particles(path, images=False)


def write_volume_of_ones(path):
    write_volume(path, np.ones((6, 6, 6)), 2.0)


def write_star_file(path):
    write_tables(path, optics=OPTICS, particles=PARTICLES)


def write_cs(path):
    save(path, make_rows())


def write_pdb(path):
    path.write_text(LINE + LINE.replace("GLY", "HOH") + LINE.replace("  1 ", "  2 "))


def write_cif(path):
    structure = gemmi.read_pdb_string(LINE * 3)
    structure.setup_entities()
    path.write_text(structure.make_mmcif_document().as_string())


KINDS = {
    "a.mrc": (write_volume_of_ones, (read_volume, open_stack)),
    "a.star": (write_star_file, (read_metadata,)),
    "a.cs": (write_cs, (read_metadata,)),
    "a.pdb": (write_pdb, (read_atoms,)),
    "a.cif": (write_cif, (read_atoms,)),
}


@st.composite
def damages(draw):
    """Draw changes as (place, what is put there, how much it replaces), places being fractions."""
    change = st.tuples(
        st.floats(0, 1), st.one_of(st.sampled_from(BITS), st.binary(max_size=4)), st.integers(0, 40)
    )
    return draw(st.lists(change, min_size=1, max_size=4))


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=150)
@given(changes=damages())
def test_damage_gives_a_value_or_one_line(tmp_path_factory, name, changes):
    write, readers = KINDS[name]
    path = tmp_path_factory.mktemp("damage") / name
    write(path)
    content = path.read_bytes()
    for place, put, replaced in changes:
        start = int(place * len(content))
        content = content[:start] + put + content[start + replaced :]
    path.write_bytes(content)
    for reader in readers:
        message = f"{path}: "
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                reader(path)
        except ValueError as error:
            message = str(error)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message.strip()
