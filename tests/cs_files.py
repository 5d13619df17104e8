"""cryoSPARC's particle tables, and the project in which they lie."""

import numpy as np

from fslice.io import StackWriter

ROWS = 3


def make_rows(**changes):
    """Make a table of three particles; a field that is None is left out."""
    fields = {
        "uid": np.arange(ROWS, dtype="u8"),
        "blob/path": np.array([b">J1/b.mrc", b">J1/a.mrc", b">J1/b.mrc"]),
        "blob/idx": np.array([2, 0, 1], "u4"),
        "blob/shape": np.full((ROWS, 2), 8, "u4"),
        "blob/psize_A": np.full(ROWS, 1.5, "f4"),
        "ctf/exp_group_id": np.array([0, 4, 0], "u4"),
        "ctf/accel_kv": np.full(ROWS, 300, "f4"),
        "ctf/cs_mm": np.full(ROWS, 2.5, "f4"),
        "ctf/amp_contrast": np.full(ROWS, 0.125, "f4"),
        "ctf/df1_A": np.array([15000, 16000, 17000], "f4"),
        "ctf/df2_A": np.array([14000, 15500, 16500], "f4"),
        "ctf/df_angle_rad": np.full(ROWS, np.pi / 6, "f4"),
        "ctf/phase_shift_rad": np.full(ROWS, np.pi / 2, "f4"),
        "ctf/scale": np.array([1, 0.5, 0.25], "f4"),
        "ctf/bfactor": np.array([0, 50, 100], "f4"),
        "ctf/tilt_A": np.zeros((ROWS, 2), "f4"),
        "ctf/anisomag": np.zeros((ROWS, 4), "f4"),
        "alignments3D/split": np.array([0, 1, 0], "u4"),
        "alignments3D/shift": np.array([[4, -2], [1, 0], [0, 8]], "f4"),
        "alignments3D/pose": np.array([[0.1, 0.2, 0.3], [-1, 2, 0], [0, 0, 3]], "f4"),
        "alignments3D/psize_A": np.full(ROWS, 1.5, "f4"),
    } | changes
    fields = {name: values for name, values in fields.items() if values is not None}
    dtype = [(name, values.dtype, values.shape[1:]) for name, values in fields.items()]
    rows = np.zeros(ROWS, dtype)
    for name, values in fields.items():
        rows[name] = values
    return rows


def save(path, rows):
    """Write a table as cryoSPARC does."""
    with open(path, "wb") as file:
        np.save(file, rows, allow_pickle=True)
    return path


def write_project(folder):
    """Write two stacks of four images, whose values are 0 to 3 and 10 to 13, in job J1."""
    (folder / "J1").mkdir()
    (folder / "J2").mkdir()
    for offset, name in ((0, "a.mrc"), (10, "b.mrc")):
        with StackWriter(folder / "J1" / name, 4, 8, 1.5) as writer:
            writer.write(np.arange(4.0)[:, None, None] + offset + np.zeros((8, 8)))
