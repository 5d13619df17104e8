"""``import fslice`` is enough: few names, namespaces that load when named, nothing heavy."""

import functools
import pathlib
import re
import subprocess
import sys

import pytest

import fslice

INDEX = pathlib.Path(__file__).parents[1] / "docs" / "index.md"
NEEDED_BY = {"interop.torch": "torch", "interop.jax": "jax"}


def names_in_the_index():
    """Return the names in the table of ``docs/index.md``, less the prefix ``fslice.``."""
    table = INDEX.read_text().partition("| to ... | use |")[2].partition("\n\n")[0]
    columns = [row.split("|")[2] for row in table.strip().splitlines()[1:]]
    return re.findall(r"`([\w.]+)`", " ".join(columns))


def fresh(code):
    """Run code in an interpreter of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_name_in_the_index_is_there_after_importing_fslice_alone():
    names = names_in_the_index()
    assert len(names) > 40
    absent = {package for package in NEEDED_BY.values() if not _installed(package)}
    names = [name for name in names if NEEDED_BY.get(name) not in absent]
    fresh("import fslice\n" + "\n".join(f"fslice.{name}" for name in names))


def _installed(package):
    try:
        __import__(package)
    except ImportError:
        return False
    return True


def test_the_front_door_has_about_a_dozen_names():
    assert len(fslice.__all__) <= 20
    assert set(fslice.__all__) <= set(dir(fslice))


def test_dir_lists_the_namespaces_before_they_are_loaded():
    listed = fresh("import fslice; print(*dir(fslice), *dir(fslice.posterior))").split()
    assert {"io", "likelihoods", "plot", "testing", "interop", "elbo"} <= set(listed)


@pytest.mark.parametrize("name", ["nothing", "posterior.nothing", "_nothing"])
def test_a_name_that_is_not_there_is_an_attribute_error(name):
    owner, _, last = f"fslice.{name}".rpartition(".")
    module = functools.reduce(getattr, owner.split(".")[1:], fslice)
    with pytest.raises(AttributeError, match=rf"module '{owner}' has no attribute '{last}'"):
        getattr(module, last)


def test_importing_fslice_loads_nothing_that_only_some_need():
    heavy = {"numba", "cupy", "gemmi", "matplotlib", "torch", "jax", "scipy.fft", "mrcfile", "tqdm"}
    assert fresh(f"import fslice, sys; print(*({heavy} & set(sys.modules)))") == ""
