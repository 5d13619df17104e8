"""RELION's particle files, written in its layout but not by our writer."""

import re

import numpy as np
import pytest

from fslice.io import StackWriter, read_particles

OPTICS = {
    "rlnOpticsGroup": [1, 2],
    "rlnOpticsGroupName": ["a", "b"],
    "rlnVoltage": [300, 200],
    "rlnSphericalAberration": [2.7, 1.4],
    "rlnAmplitudeContrast": [0.1, 0.07],
    "rlnImagePixelSize": [1.5, 1.5],
    "rlnImageSize": [8, 8],
}
PARTICLES = {
    "rlnImageName": ["3@stack.mrcs", "000001@stack.mrcs", "2@other/stack.mrcs"],
    "rlnOpticsGroup": [2, 1, 2],
    "rlnAngleRot": [10, 20, -30],
    "rlnAngleTilt": [40, 50, 60],
    "rlnAnglePsi": [70, -80, 90],
    "rlnOriginXAngst": [3, -1.5, 0],
    "rlnOriginYAngst": [0.75, 6, 0],
    "rlnDefocusU": [15000, 16000, 17000],
    "rlnDefocusV": [14000, 15500, 16500],
    "rlnDefocusAngle": [12, 34, 56],
    "rlnPhaseShift": [0, 90, 45],
    "rlnCtfBfactor": [10, 20, 30],
    "rlnCtfScalefactor": [1, 0.9, 0.8],
    "rlnRandomSubset": [1, 2, 2],
}


ADVICE = (
    "choose particles of one size with optics_group (--optics-group), or bring all to one grid "
    "with optics_group='all'"
)


def changed(table, **changes):
    """Return a table with columns replaced, or left out where they are None."""
    merged = table | changes
    return {name: values for name, values in merged.items() if values is not None}


VERSION_3_0 = changed(
    PARTICLES,
    rlnOpticsGroup=None,
    rlnOriginXAngst=None,
    rlnOriginYAngst=None,
    rlnOriginX=[2, -1, 0],
    rlnOriginY=[0.5, 4, 0],
    rlnVoltage=[300] * 3,
    rlnSphericalAberration=[2.7] * 3,
    rlnAmplitudeContrast=[0.1] * 3,
    rlnMagnification=[40000] * 3,
    rlnDetectorPixelSize=[6] * 3,
)


def write_stacks(folder):
    """Write two stacks of four images, whose values are 0 to 3 and 10 to 13."""
    (folder / "other").mkdir()
    for offset, name in ((0, "stack.mrcs"), (10, "other/stack.mrcs")):
        with StackWriter(folder / name, 4, 8, 1.5) as writer:
            writer.write(np.arange(4.0)[:, None, None] + offset + np.zeros((8, 8)))


def write_tables(path, **tables):
    """Write a STAR file; the table ``_`` has no name."""
    text = ""
    for name, table in tables.items():
        text += f"\n# version 30001\n\ndata_{name.strip('_')}\n\nloop_ \n"
        text += "".join(f"_{column} #{i} \n" for i, column in enumerate(table, 1))
        rows = zip(*table.values(), strict=True)
        text += "".join(" ".join(map(str, row)) + " \n" for row in rows) + " \n"
    path.write_text(text)
    return path


def refusal(path, **what):
    """Return why a file is refused, without its name."""
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: ") as caught:
        read_particles(path, **what)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")
