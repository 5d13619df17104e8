"""Shell correlations are written as others read them, completely or not at all."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fslice.io import read_star
from fslice.io.fsc_files import read_fsc_xml, write_fsc_star, write_fsc_xml
from fslice.metrics import shell_frequencies

CURVE = np.array([1.0, 0.93, -1e-7, 1e-12, -0.25])
FREQUENCIES = shell_frequencies(8, 2.5)


@given(size=st.integers(2, 40), pixel_size=st.floats(0.3, 20), seed=st.integers(0, 2**32 - 1))
def test_xml_is_read_back_unchanged(size, pixel_size, seed, tmp_path):
    frequencies = shell_frequencies(size, pixel_size)
    values = np.random.default_rng(seed).uniform(-1, 1, len(frequencies))
    write_fsc_xml(tmp_path / "fsc.xml", frequencies, values, 'a "title" of <halves> & more: Å')
    found = read_fsc_xml(tmp_path / "fsc.xml")
    np.testing.assert_array_equal(found[0], frequencies)
    np.testing.assert_array_equal(found[1], values)
    assert found[2] == 'a "title" of <halves> & more: Å'


def test_xml_has_the_form_that_emdb_publishes(tmp_path):
    """The rules of what EMDB takes, as far as they can be had.

    The schema itself (emdb_fsc.xsd of wwPDB's configuration) lies in no public repository or
    package. Its names are those that RELION (postprocessing.cpp, writeFscXml), Bsoft, which can
    validate with it (rwFSC_XML.cpp, xml_read_fsc), EMAN2 and Scipion write.
    """
    write_fsc_xml(tmp_path / "fsc.xml", FREQUENCIES, CURVE, "half maps")
    text = (tmp_path / "fsc.xml").read_text()
    root = ElementTree.fromstring(text.encode())
    assert (root.tag, sorted(root.attrib)) == ("fsc", ["title", "xaxis", "yaxis"])
    assert root.get("xaxis") == "Resolution (A-1)"
    assert root.get("yaxis") == "Correlation Coefficient"
    assert {child.tag for child in root} == {"coordinate"}
    assert all([part.tag for part in child] == ["x", "y"] for child in root)
    assert not any(child.attrib or any(part.attrib for part in child) for child in root)
    assert not any(len(part) for child in root for part in child)
    assert not (root.text + "".join(child.tail for child in root)).strip()  # no mixed content
    assert len(root) == len(CURVE)
    numbers = [part.text for child in root for part in child]
    assert not any("e" in number.lower() for number in numbers)  # plain decimals
    assert [float(number) for number in numbers[1::2]] == CURVE.tolist()


def test_the_program_of_emdb_that_draws_the_curves_reads_the_xml(tmp_path):
    """As in readfsc of EMDB's validation analysis (the package emdbva): every child of the root
    has an x and a y, row i is shell i, by which its thresholds count voxels, and a first value
    above 0 stays as it is."""
    write_fsc_xml(tmp_path / "emd_fsc.xml", FREQUENCIES, CURVE, "half maps")
    root = ElementTree.parse(tmp_path / "emd_fsc.xml").getroot()
    rows = [(float(child.find("x").text), float(child.find("y").text)) for child in root]
    frequencies, values = np.array(rows).T
    np.testing.assert_array_equal(frequencies, FREQUENCIES)
    np.testing.assert_array_equal(np.rint(frequencies * 8 * 2.5), np.arange(len(rows)))
    assert values[0] > 0


def test_what_other_programs_write_is_read(tmp_path):
    path = tmp_path / "postprocess_fsc.xml"
    path.write_text(
        '<fsc title="RELION masked-corrected FSC" xaxis="Resolution (A-1)" '
        'yaxis="Correlation Coefficient">\n  <coordinate>\n    <x>0.001001</x>\n    <y>1</y>\n'
        "  </coordinate>\n  <coordinate>\n    <x>0.5</x>\n    <y>-2e-3</y>\n  </coordinate>\n"
        "</fsc>\n"
    )
    frequencies, values, title = read_fsc_xml(path)
    assert frequencies.tolist() == [0.001001, 0.5]
    assert values.tolist() == [1, -0.002]
    assert title == "RELION masked-corrected FSC"


def test_the_star_file_has_relions_tables(tmp_path):
    pytest.importorskip("gemmi", reason="gemmi is not installed")
    curves = {
        "unmasked": CURVE, "masked": CURVE / 2, "randomized": CURVE / 4, "corrected": CURVE / 8,
    }  # fmt: skip
    write_fsc_star(tmp_path / "fsc.star", FREQUENCIES, curves, 7.25)
    tables = read_star(tmp_path / "fsc.star")
    assert tables["general"] == {"rlnFinalResolution": ["7.25"]}
    table = {name: [float(text) for text in column] for name, column in tables["fsc"].items()}
    assert table["rlnSpectralIndex"] == [0, 1, 2, 3, 4]
    assert table["rlnResolution"] == FREQUENCIES.tolist()
    assert table["rlnAngstromResolution"] == [999.0, *(1 / FREQUENCIES[1:]).tolist()]
    for name, column in (
        ("unmasked", "rlnFourierShellCorrelationUnmaskedMaps"),
        ("masked", "rlnFourierShellCorrelationMaskedMaps"),
        ("randomized", "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps"),
        ("corrected", "rlnFourierShellCorrelationCorrected"),
    ):
        assert table[column] == curves[name].tolist()


def test_what_is_not_resolved_has_relions_999(tmp_path):
    write_fsc_star(tmp_path / "fsc.star", FREQUENCIES, {"unmasked": CURVE}, np.inf)
    assert "_rlnFinalResolution #1\n999.0\n" in (tmp_path / "fsc.star").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not xml", "expected XML, got"),
        ("<curve/>", "expected an element fsc, got curve"),
        ("<fsc/>", "expected at least one coordinate, got none"),
        ("<fsc><coordinate><x>1</x></coordinate></fsc>", "expected numbers x and y"),
        ("<fsc><coordinate><x>a</x><y>1</y></coordinate></fsc>", "expected numbers x and y"),
    ],
)
def test_other_files_are_refused(text, message, tmp_path):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.xml: {message}"):
        read_fsc_xml(tmp_path / "a.xml")


@pytest.mark.parametrize(
    ("frequencies", "values", "message"),
    [
        (FREQUENCIES, CURVE[:3], r"values: expected shape \(5,\), got \(3,\)"),
        (FREQUENCIES[::-1].copy(), CURVE, "frequencies: expected ascending values"),
        (FREQUENCIES - 1, CURVE, "frequencies: expected ascending values from at least 0"),
        (FREQUENCIES, 2 * CURVE, "values: expected -1 to 1, got up to 2"),
        (FREQUENCIES, np.full(5, np.nan), "values: 5 of 5 values are NaN"),
    ],
)
def test_wrong_curves_are_named_and_no_file_is_left(frequencies, values, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_fsc_xml(tmp_path / "fsc.xml", frequencies, values)
    with pytest.raises(ValueError, match=message):
        write_fsc_star(tmp_path / "fsc.star", frequencies, {"masked": values}, 3.0)
    assert not list(tmp_path.iterdir())


def test_wrong_names_and_resolutions_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"curves: expected some of corrected, .* got halves"):
        write_fsc_star(tmp_path / "a.star", FREQUENCIES, {"halves": CURVE}, 3.0)
    with pytest.raises(ValueError, match=r"curves: expected some of .* got none"):
        write_fsc_star(tmp_path / "a.star", FREQUENCIES, {}, 3.0)
    with pytest.raises(ValueError, match="resolution: expected Angstrom above 0, got 0"):
        write_fsc_star(tmp_path / "a.star", FREQUENCIES, {"masked": CURVE}, 0)
