"""The folder of a job stands for the particles in it, and that is said."""

import numpy as np
import pytest
from cs_files import make_rows, save, write_project
from relion_files import OPTICS, PARTICLES, write_stacks, write_tables

from fslice.io import read_particles


@pytest.fixture
def job(tmp_path):
    """Make the folder of a job in a project of RELION that holds the stacks."""
    write_stacks(tmp_path)
    (tmp_path / "default_pipeline.star").touch()
    folder = tmp_path / "Refine3D" / "job001"
    folder.mkdir(parents=True)
    return folder


def read_said(path, name):
    """Read a folder or an optimiser, which must say what it read."""
    with pytest.warns(UserWarning, match=rf"read from .*{path.name}: .*{name}$"):
        particles = read_particles(path)
    assert particles.images.shape == (3, 8, 8)
    assert particles.notes[0].endswith(name)
    assert particles.warnings == ()
    return particles


def write_particles_of_an_iteration(path, defocus):
    return write_tables(path, optics=OPTICS, particles=PARTICLES | {"rlnDefocusU": [defocus] * 3})


def test_the_last_iteration_of_a_refinement_is_read_and_its_end_before_it(job):
    for number in (2, 10, 9):
        write_particles_of_an_iteration(job / f"run_it{number:03d}_data.star", 1e4 + number)
    (job / "run_it010_optimiser.star").touch()
    (job / "job.star").touch()
    assert read_said(job, "run_it010_data.star").ctf.defocus_u[0] == 10010
    write_particles_of_an_iteration(job / "run_data.star", 2e4)
    assert read_said(job, "run_data.star").ctf.defocus_u[0] == 20000


@pytest.mark.parametrize("name", ["particles.star", "shiny.star", "particles_ctf_refine.star"])
def test_the_particles_of_other_jobs_are_read(job, name):
    write_particles_of_an_iteration(job / name, 1e4)
    (job / "logfile.star").touch()
    read_said(job, name)


def test_an_optimiser_names_its_particles(job):
    write_particles_of_an_iteration(job / "run_data.star", 1e4)
    column = {"rlnExperimentalDataStarFile": ["Refine3D/job001/run_data.star"]}
    path = write_tables(job / "run_optimiser.star", optimiser_general=column)
    read_said(path, "run_data.star")
    write_tables(path, optimiser_general={"rlnCurrentIteration": [3]})
    with pytest.raises(ValueError, match="expected the column rlnExperimentalDataStarFile, which"):
        read_particles(path)


def test_a_folder_without_particles_lists_what_it_has(job):
    with pytest.raises(
        ValueError, match=r"job001: expected the folder of a job with particles, got no"
    ):
        read_particles(job)
    (job / "micrographs_ctf.star").touch()
    with pytest.raises(ValueError, match=r"with particles, got micrographs_ctf.star$"):
        read_particles(job)
    for name in ("run_ct5_it010_data.star", "run_it010_data.star"):
        (job / name).touch()
    with pytest.raises(ValueError, match=r"expected one file of particles, got run_ct5_it010_data"):
        read_particles(job)


def test_the_last_iteration_of_cryosparc_is_read_with_what_it_passes_through(tmp_path):
    write_project(tmp_path)
    whole, folder = make_rows(), tmp_path / "J2"
    (folder / "job.json").touch()
    own = ["uid", *(name for name in whole.dtype.names if name.startswith("alignments3D"))]
    for number in (3, 12, 7):
        rows = whole[own].copy()
        rows["alignments3D/shift"] = np.float32(number) / 2
        save(folder / f"cryosparc_P1_J2_{number:03d}_particles.cs", rows)
    others = [name for name in whole.dtype.names if not name.startswith("alignments3D")]
    save(folder / "cryosparc_P1_J2_passthrough_particles.cs", whole[others])
    (folder / "cryosparc_P1_J2_012_volume.mrc").touch()
    with pytest.warns(UserWarning, match=r"J2.cs: |particles.cs: "):
        particles = read_particles(folder)
    assert particles.warnings == ()
    assert particles.notes == (
        f"read from the folder {folder}: cryosparc_P1_J2_012_particles.cs",
        "joined with cryosparc_P1_J2_passthrough_particles.cs by uid: blob/path, ctf/df1_A",
    )
    assert particles.shifts[0].tolist() == [-6, -6]
    assert particles.images[:, 0, 0].tolist() == [12, 0, 11]


@pytest.mark.parametrize(
    "name", ["particles_selected.cs", "imported_particles.cs", "J2_particles.cs", "particles.cs"]
)
def test_the_particles_of_cryosparcs_other_jobs_are_read(tmp_path, name):
    write_project(tmp_path)
    save(tmp_path / "J2" / name, make_rows())
    (tmp_path / "J2" / "J2_passthrough_particles_selected.cs").touch()
    (tmp_path / "J2" / "particles_excluded.cs").touch()
    read_said(tmp_path / "J2", name)
