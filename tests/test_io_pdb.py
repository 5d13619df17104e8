"""Atoms of PDB and mmCIF files: which are kept, and every way in which a file is bad."""

import gzip
import re
import sys

import gemmi
import numpy as np
import pytest

from fslice.io import read_atoms


def atom(x, element="C", name="CA", residue="GLY", number=1, b_factor=20.0, alternative=" "):
    """Make one line of a PDB file."""
    record = "HETATM" if residue in ("HOH", "DOD", "MG") else "ATOM"
    return (
        f"{record:6}{number:5}  {name:3}{alternative}{residue:>3} A{number:4}    "
        f"{x:8.3f}{2.0:8.3f}{3.0:8.3f}{1.0:6.2f}{b_factor:6.2f}          {element:>2}\n"
    )


@pytest.fixture
def write(tmp_path):
    def write(text, name="a.pdb"):
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


def test_atoms_are_read(write):
    atoms = read_atoms(write(atom(1) + atom(-4.5, "MG", "MG", "MG", 2, 35.5)))
    assert len(atoms) == 2
    np.testing.assert_array_equal(atoms.positions, [[1, 2, 3], [-4.5, 2, 3]])
    assert atoms.atomic_numbers.tolist() == [6, 12]
    assert atoms.b_factors.tolist() == [20, 35.5]
    assert (atoms.positions.dtype, atoms.b_factors.dtype) == (np.float64, np.float64)
    assert atoms.atomic_numbers.dtype.kind == "i"


def test_hydrogens_are_kept_and_waters_and_unknown_elements_are_not(write):
    text = atom(1, "H", "HA") + atom(2, "O", "O", "HOH", 2) + atom(3, "O", "O", "DOD", 3)
    text += atom(4, "X", "X", "UNK", 4) + atom(5, "N", "N", "ALA", 5)
    with pytest.warns(UserWarning, match="1 atoms of unknown element are left out$"):
        atoms = read_atoms(write(text))
    assert atoms.atomic_numbers.tolist() == [1, 7]
    assert atoms.left_out == {"waters": 2, "unknown elements": 1}


def test_the_first_of_alternative_positions_is_kept(write):
    text = atom(1, alternative="A") + atom(9, alternative="B") + atom(2, "N", "N")
    atoms = read_atoms(write(text))
    assert atoms.positions[:, 0].tolist() == [1, 2]
    assert atoms.left_out == {"alternative locations": 1}
    assert atoms.warnings == ()


def test_the_first_model_is_read(write):
    text = f"MODEL        1\n{atom(1)}ENDMDL\nMODEL        2\n{atom(9)}{atom(8)}ENDMDL\n"
    message = "model 1 of 2 is read, the others are left out; models='all' (--models all) takes all"
    with pytest.warns(UserWarning, match=re.escape(message)):
        atoms = read_atoms(write(text))
    assert atoms.positions[:, 0].tolist() == [1]
    assert atoms.warnings == (message,)
    assert atoms.left_out == {"other models": 2}
    both = read_atoms(write(text, "a.pdb1"), models="all")
    assert both.positions[:, 0].tolist() == [1, 9, 8]
    assert both.warnings == ()


@pytest.mark.parametrize("suffix", [".pdb", ".ent", ".cif", ".mmcif", ".PDB"])
@pytest.mark.parametrize("compressed", [False, True])
def test_formats_and_compression_read_alike(write, suffix, compressed):
    text = atom(1) + atom(2, "N", "N", "ALA", 2, 30)
    if "cif" in suffix:
        structure = gemmi.read_pdb_string(text)
        structure.setup_entities()
        text = structure.make_mmcif_document().as_string()
    content = gzip.compress(text.encode()) if compressed else text.encode()
    atoms = read_atoms(write(content, "a" + suffix + ".gz" * compressed))
    np.testing.assert_array_equal(atoms.positions, [[1, 2, 3], [2, 2, 3]])
    assert atoms.atomic_numbers.tolist() == [6, 7]
    assert atoms.b_factors.tolist() == [20, 30]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pdb", b"", "expected at least one atom, got 0"),
        ("a.pdb", b"HEADER    hello\n", "expected at least one atom, got 0"),
        ("a.pdb", atom(1, "O", "O", "HOH"), "expected at least one atom, got 0"),
        ("a.cif", b"data_a\n_x 1\n", "expected at least one atom, got 0"),
        ("a.cif", b"", "expected at least one atom, got 0"),
        ("a.cif", b"hello\n", "expected a PDB or mmCIF file, got: +"),
        ("a.pdb", atom(1)[:40], "expected a PDB file, got line 1 without three coordinates in "
         "columns 31 to 54"),
        ("a.pdb", atom(float("nan")), "expected finite positions and B-factors, got NaN or "
         "infinity"),
        ("a.pdb.gz", gzip.compress(atom(1).encode(), mtime=0)[:-9], "the compressed data is "
         "damaged: +"),
        ("a.txt", atom(1), "expected a name ending in .pdb, .ent, .cif, .mmcif, also with .gz"),
        ("a", atom(1), "expected a name ending in .pdb, .ent, .cif, .mmcif, also with .gz"),
    ],
)  # fmt: skip
def test_a_bad_file_gives_one_line_that_names_it(write, name, content, message):
    path = write(content, name)
    pattern = re.escape(f"{path}: {message}").replace(r"\+", ".+")
    with pytest.raises(ValueError, match=rf"^{pattern}$"):
        read_atoms(path)


def test_a_missing_file_is_an_oserror_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.pdb'$"):
        read_atoms(tmp_path / "a.pdb")


def test_without_gemmi_the_error_says_how_to_install_it(write, monkeypatch):
    path = write(atom(1))
    monkeypatch.setitem(sys.modules, "gemmi", None)
    message = "reading PDB and mmCIF files needs the package gemmi, which is missing: pip "
    message += "install gemmi"
    with pytest.raises(ImportError, match=rf"^{re.escape(message)}$"):
        read_atoms(path)


def test_groel_groes_has_its_atoms(data):
    atoms = read_atoms(data / "atomic" / "1aon.pdb.gz")
    assert len(atoms) == 58_870
    assert atoms.atomic_numbers.sum() == 390_117
    radius = np.linalg.norm(atoms.positions - atoms.positions.mean(0), axis=1).max()
    assert radius == pytest.approx(115.3, abs=0.05)
