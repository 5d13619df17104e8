"""What a run has left to go on from is checked field by field, and never gives a wrong bound."""

import zipfile

import numpy as np
import pytest
from cli_tools import fail, succeed

import fslice
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.posterior.stencil import StencilEquations
from fslice.posterior.sums import normal_equations
from fslice.solvers.adam import Adam

DATA = fslice.simulate(fslice.phantom(20, 4.0), 30, 20, 4.0, snr=1.0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the files of an interrupted fit and of normal equations."""
    folder = tmp_path_factory.mktemp("saved")
    solver = Adam(epochs=1, checkpoint=folder / "fit.npz")
    fslice.reconstruct(DATA.images(), DATA.rotations, solver=solver)
    dataset = Dataset(DATA.images(), Poses(DATA.rotations))
    normal_equations(dataset, fslice.Projector(20)).save(folder / "normal.npz")
    return folder


def without(name):
    return lambda fields: {key: value for key, value in fields.items() if key != name}


def changed(name, change):
    return lambda fields: fields | {name: change(fields[name])}


def spoilt(values):
    values = np.array(values, copy=True)
    values.reshape(-1)[-1] = np.nan
    return values


def either(*changes):
    """Return changes with names for pytest."""
    return [pytest.param(change, id=name) for name, change in changes]


def rewrite(source, target, change):
    with np.load(source) as file:
        fields = change(dict(file))
    np.savez(target, **fields)


CHECKPOINTS = either(
    *((f"without {n}", without(n)) for n in ("format", "mean", "best", "epoch", "rate", "trace")),
    ("no identity", without("identity")),
    *((f"NaN in {n}", changed(n, spoilt)) for n in ("mean", "best", "rate", "trace")),
    ("another version", changed("format", lambda v: v + 1)),
    ("text", changed("rate", lambda _: np.array("fast"))),
    ("complex trace", changed("trace", lambda v: v + 0j)),
    ("negative epoch", changed("epoch", lambda v: v - 100)),
    ("rate 0", changed("rate", lambda v: 0 * v)),
    ("half of the mean", changed("mean", lambda v: v[: len(v) // 2])),
    ("double precision", changed("mean", lambda v: v.astype("c16"))),
    ("pickle", changed("trace", lambda v: np.array([{}], object))),
)


@pytest.mark.parametrize("change", CHECKPOINTS)
def test_a_checkpoint_with_any_damage_is_refused(saved, tmp_path, change):
    path = tmp_path / "fit.npz"
    rewrite(saved / "fit.npz", path, change)
    solver = Adam(epochs=1, checkpoint=path)
    with pytest.raises(ValueError, match=r"is not a readable checkpoint: .*the fit starts anew"):
        fslice.reconstruct(DATA.images(), DATA.rotations, solver=solver)


EQUATIONS = either(
    *(
        (f"without {name}", without(name))
        for name in ("format", "symmetry", "projector", "b", "stencil", "squares", "count")
    ),
    *((f"NaN in {n}", changed(n, spoilt)) for n in ("b", "stencil", "squares", "log_weights")),
    ("another version", changed("format", lambda v: v + 1)),
    ("no group", changed("symmetry", lambda _: np.array("X7"))),
    ("another box", changed("projector", lambda v: v + 2)),
    ("no box", changed("projector", spoilt)),
    ("real b", changed("b", lambda v: v.real)),
    ("half of the stencil", changed("stencil", lambda v: v[:7])),
    ("images below 0", changed("count", lambda v: -v)),
    ("squares below 0", changed("squares", lambda v: -v)),
    ("mixed precision", changed("b", lambda v: v.astype("c16"))),
)


@pytest.mark.parametrize("change", [p for p in EQUATIONS if p.id != "no box"])
def test_normal_equations_with_any_damage_are_refused(saved, tmp_path, change):
    rewrite(saved / "normal.npz", tmp_path / "normal.npz", change)
    with pytest.raises(ValueError, match=r"normal.npz: expected normal equations, format 3: "):
        StencilEquations.load(tmp_path / "normal.npz")


@pytest.mark.parametrize("name", ["fit.npz", "normal.npz"])
def test_a_file_that_claims_more_than_it_holds_takes_no_memory(saved, tmp_path, name):
    path = tmp_path / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("format.npy", b"\0" * 10**7)
    with pytest.raises(ValueError, match="it claims more than it holds"):
        read(path)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["fit.npz", "normal.npz"])
def test_a_file_cut_or_changed_anywhere_is_refused_or_read_as_it_was(saved, tmp_path, name):
    """The checksums of the archive tell every changed byte of an array."""
    content, rng = (saved / name).read_bytes(), np.random.default_rng(0)
    path = tmp_path / name
    path.write_bytes(content)
    expected, refused = contents(read(path)), 0
    for place in rng.integers(0, len(content), 40).tolist():
        path.write_bytes(content[:place])
        with pytest.raises(ValueError, match=r"expected normal equations|is not a readable"):
            read(path)
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            found = contents(read(path))
        except ValueError:
            refused += 1
        else:
            assert all(map(np.array_equal, found, expected))
    assert refused > 30


def contents(found):
    names = ("b", "stencil", "squares") if hasattr(found, "stencil") else ("mean", "elbo")
    return [getattr(found, name) for name in names]


def read(path):
    if path.name == "normal.npz":
        return StencilEquations.load(path)
    solver = Adam(epochs=1, checkpoint=path)
    return fslice.reconstruct(DATA.images(), DATA.rotations, solver=solver)


@pytest.mark.parametrize("record", ["[" * 100_000, "null", "[]", "{", "\xff"])
def test_a_damaged_record_of_a_run_is_one_line(tmp_path, capsys, record):
    succeed(
        capsys, *("simulate", "phantom", "--size", 20, "--pixel-size", 4, "-n", 20, "--snr", 1),
        *("-o", tmp_path / "sim"),
    )  # fmt: skip
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "checkpoint_all.npz").write_bytes(b"damaged")
    (tmp_path / "out" / "checkpoint.json").write_bytes(record.encode("latin1"))
    words = ["reconstruct", tmp_path / "sim" / "particles.star", "-o", tmp_path / "out"]
    line = fail(capsys, *words, "--solver", "adam", "--resume", warned=True)
    assert "checkpoint.json: expected what an interrupted run left, got: " in line
