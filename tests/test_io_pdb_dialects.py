"""Atoms in the dialects of programs: every atom once, its element, and copies where asked for."""

import gzip
import re

import gemmi
import numpy as np
import pytest

from fslice.io import read_atoms


def line(
    name, residue="GLY", number=1, x=0.0, chain="A", element="", alternative="", tail=None, hetero=0
):
    """Make a line of a PDB file; `name` has four columns, `tail` is columns 73 to 80."""
    record = "HETATM" if hetero else "ATOM  "
    rest = f"    {element:>2}  " if tail is None else tail
    return (
        f"{record}    1 {name:4}{alternative:1}{residue:<4}{chain:1}{number:4}    "
        f"{x:8.3f}{2:8.3f}{3:8.3f}{1:6.2f}{20:6.2f}      {rest}\n"
    )


@pytest.fixture
def read(tmp_path):
    def read(text, name="a.pdb", **options):
        (tmp_path / name).write_text(text)
        return read_atoms(tmp_path / name, **options)

    return read


def numbers(atoms):
    return atoms.atomic_numbers.tolist()


# Elements.


def test_the_names_of_standard_residues_decide_where_no_element_is_written(read):
    """Aligned left, as some programs write them: no calcium, mercury, cadmium, neon, holmium."""
    names = ["N", "CA", "HG", "CD", "NE", "HO", "O", "SD", "HE21", "1HB"]
    text = "".join(line(name, "GLN") for name in names)
    assert numbers(read(text)) == [7, 6, 1, 6, 7, 1, 8, 16, 1, 1]
    text = line("CA", "HSD") + line("CA", "CYX") + line("SE", "MSE") + line("P", "DA")
    assert numbers(read(text + line("C5'", "A") + line("C7", "T"))) == [6, 6, 34, 15, 6, 6]


def test_the_alignment_decides_in_other_residues(read):
    text = line(" CA ", "GLY")
    ligand = [("CA  ", "CA"), ("FE  ", "HEM"), (" NA ", "HEM"), ("HG11", "LIG"), ("BR1 ", "LIG")]
    text += "".join(line(name, residue, hetero=1) for name, residue in ligand)
    assert numbers(read(text)) == [6, 20, 26, 7, 1, 35]


def test_ligands_of_files_that_align_left_are_of_light_elements_but_ions_are_ions(read):
    text = line("CA  ", "GLY") + line("C1", "LIG", hetero=1) + line("CA", "LIG", hetero=1)
    text += line("CA", "CA", hetero=1) + line("ZN", "ZN", hetero=1) + line("FE", "HEM", hetero=1)
    assert numbers(read(text)) == [6, 6, 6, 20, 30, 26]


def test_an_element_that_is_written_is_believed(read):
    text = line(" CA ", element="N") + line("CA", element="Ca") + line(" C  ", element="D")
    assert numbers(read(text)) == [7, 20, 1]


@pytest.mark.parametrize("tail", ["1CRN  70", "1CRN 170", "1CRN1170", "1CRN   7", "    C 1+", ""])
def test_text_of_before_1996_in_the_last_columns_is_no_charge(read, tail):
    assert numbers(read(line(" CA ", tail=tail) + line(" N  ", tail=tail))) in ([6, 7], [6, 6])
    assert numbers(read(line(" CA ", tail="1CRN  70"))) == [6]


# Every atom.


def test_ions_that_share_a_number_are_all_there(read):
    text = "".join(line("ZN", "ZN", 1, x, element="ZN", hetero=1) for x in range(4))
    assert read(text).positions[:, 0].tolist() == [0, 1, 2, 3]


def test_residues_past_9999_and_chains_of_one_name_are_all_there(read):
    text = "".join(
        line(name, "ALA", number, x, element="C")
        for x, number in enumerate([9998, 9999, 0, 1, 9998, 9999, 1])
        for name in (" CA ", " CB ")
    )
    atoms = read(text)
    assert len(atoms) == 14
    assert atoms.left_out == {}


def test_mmcif_without_the_authors_numbers_has_all_atoms(read):
    head = "data_a\nloop_\n_atom_site.type_symbol\n_atom_site.label_atom_id\n"
    head += "_atom_site.label_comp_id\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n_atom_site.Cartn_z\n"
    rows = "".join(f"C CA ALA {x} 0 0\n" for x in range(180))
    atoms = read(head + rows, "a.cif")
    assert atoms.positions[:, 0].tolist() == list(range(180))
    assert set(atoms.b_factors) == {0}
    assert numbers(read(head + "? CA ALA 1 2 3\n. ZN ZN 1 2 3\n", "a.cif")) == [6, 30]


def test_only_other_locations_are_dropped(read):
    text = line(" N  ") + line(" CA ", x=1, alternative="B") + line(" CA ", x=2, alternative="C")
    text += line(" CB ", x=3, alternative="C") + line(" O  ", x=4)
    assert read(text).positions[:, 0].tolist() == [0, 1, 3, 4]  # CB has no other location
    text = line(" OG ", "SER", x=1, alternative="A") + line(" OG1", "THR", x=2, alternative="B")
    assert read(text).positions[:, 0].tolist() == [1]  # one residue or the other


@pytest.mark.parametrize(
    "names",
    [("HOH", "O", "H1"), ("WAT", "O", "H2"), ("TIP3", "OH2", "H1"), ("TIP", "OH2", "H1"),
     ("SOL", "OW", "HW1"), ("SPC", "OW", "MW"), ("DOD", "O", "D1"), ("H2O", "O", "H1")],
    ids=str,
)  # fmt: skip
def test_water_is_water_by_any_name(read, names):
    residue, *atoms = names
    text = "".join(line(f" {name}"[:4], residue, hetero=1) for name in atoms)
    found = read(line(" CA ") + text)
    assert (len(found), found.left_out) == (1, {"waters": 2})


def test_what_is_only_called_like_water_is_not(read):
    assert len(read(line(" C1 ", "SOL", hetero=1) + line(" N1 ", "SPC", hetero=1))) == 2


# Models and assemblies.

OPERATORS = [((1, 1, 1), (0, 0, 0)), ((-1, -1, 1), (10, 0, 0)), ((1, 1, 1), (0, 0, 50))]


def remark(chains, operators):
    """Return REMARK 350 of one assembly."""
    text = f"REMARK 350 BIOMOLECULE: 1\nREMARK 350 APPLY THE FOLLOWING TO CHAINS: {chains}\n"
    for number, (diagonal, vector) in enumerate(operators, 1):
        for row in range(3):
            values = np.eye(3)[row] * diagonal[row]
            text += f"REMARK 350   BIOMT{row + 1} {number:3}"
            text += "".join(f"{value:10.6f}" for value in values) + f"     {vector[row]:10.5f}\n"
    return text


def test_an_assembly_is_made_if_it_is_asked_for_and_named_if_not(read):
    text = line(" CA ", x=1, element="C") + line(" N  ", x=3, chain="B", element="N")
    text = remark("A", OPERATORS[:2]) + text
    atoms = read(text, assembly="1")
    np.testing.assert_allclose(atoms.positions, [[1, 2, 3], [9, -2, 3]])
    assert atoms.warnings == ()
    message = "read as listed, which is not a biological assembly; "
    message += "see assembly='1' (--assembly 1)"
    with pytest.warns(UserWarning, match=re.escape(message)):
        listed = read(text)
    assert (len(listed), listed.warnings) == (2, (message,))
    with pytest.raises(ValueError, match=r"^assembly: expected one of 1 \(.*a.pdb\), got '2'$"):
        read(text, assembly="2")
    with pytest.raises(ValueError, match=r"^assembly: expected one of none \(.*\), got '1'$"):
        read(line(" CA "), assembly="1")


def test_an_assembly_that_is_the_file_is_not_mentioned(read):
    text = remark("A, B", OPERATORS[:1]) + line(" CA ") + line(" N  ", chain="B")
    assert read(text).warnings == ()


def test_an_assembly_of_mmcif_is_of_its_own_chain_names(read):
    structure = gemmi.read_pdb_string(
        remark("A", OPERATORS) + line(" CA ", x=1, element="C") + line(" N  ", x=2, element="N")
        + line("ZN  ", "ZN", 9, 3.0, "B", "ZN", hetero=1)
    )  # fmt: skip
    structure.setup_entities()
    text = structure.make_mmcif_document().as_string()
    atoms = read(text, "a.cif", assembly="1")
    assert atoms.positions[:, 0].tolist() == [1, 2, 9, 8, 1, 2]
    assert atoms.positions[:, 2].tolist() == [3, 3, 3, 3, 53, 53]


def test_models_are_counted_from_one_and_also_parted_by_end(read):
    text = line(" CA ", x=1) + "END\n" + line(" CA ", x=2) + "END\n"
    assert read(text, models="all").positions[:, 0].tolist() == [1, 2]
    with pytest.warns(UserWarning, match="model 1 of 2 is read"):
        assert len(read(text)) == 1
    with pytest.raises(ValueError, match=r"^models: expected 'first' or 'all', got 'two'$"):
        read(text, models="two")


# Damage.


def test_a_few_bytes_may_not_become_gigabytes(tmp_path):
    path = tmp_path / "a.pdb.gz"
    path.write_bytes(gzip.compress(b"\n" * 2**27))
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: expected at most 67108864 by"):
        read_atoms(path)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (line(" CA ")[:53], "a.pdb", None),
        (line(" CA ").replace("   2.000", "   2.0x0"), "a.pdb", "expected a PDB file, got line 1 "
         "without three coordinates in columns 31 to 54"),
        (line(" CA ").replace(" 20.00", " twent"), "a.pdb", "expected a PDB file, got line 1 "
         "without a B-factor in columns 61 to 66"),
        ("data_a\nloop_\n_atom_site.type_symbol\n_atom_site.Cartn_x\nC 1\n", "a.cif", "expected "
         "the item _atom_site.Cartn_y, which is missing"),
        ("data_a\nloop_\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n_atom_site.Cartn_z\n1 2 ?\n",
         "a.cif", "expected numbers for position and B-factor of each atom, got others in row 1 of "
         "_atom_site"),
    ],
)  # fmt: skip
def test_a_bad_file_gives_one_line_that_names_it(read, tmp_path, text, name, message):
    if message is None:  # a short line with whole coordinates is read
        assert len(read(text, name)) == 1
        return
    with pytest.raises(ValueError, match=rf"^{re.escape(f'{tmp_path / name}: {message}')}$"):
        read(text, name)
