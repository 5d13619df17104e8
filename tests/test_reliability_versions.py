"""The versions that are promised are those that are tested; messages name packages that exist."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MINIMUM = re.compile(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)")


def minima():
    """Return the least version of every package that users and their tests need."""
    listed = [*PROJECT["dependencies"]]
    for extra in ("fast", "plot", "dask", "tools"):
        listed += PROJECT["optional-dependencies"][extra]
    return dict(found.groups() for found in map(MINIMUM.match, listed) if found)


def padded(version):
    return [int(part) for part in version.split(".")] + [0] * (3 - len(version.split(".")))


def test_the_oldest_versions_that_are_allowed_are_installed_by_a_job():
    lines = (ROOT / ".github" / "oldest.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    tools_of_one_version = {"ruff", "mypy"}
    assert {name: padded(version) for name, version in pinned.items()} == {
        name: padded(version)
        for name, version in minima().items()
        if name not in tools_of_one_version
    }
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text()
    assert "-c .github/oldest.txt && python -m pytest -n 2" in workflow
    assert f'python-version: "{PROJECT["requires-python"].removeprefix(">=")}"' in workflow


def test_extras_that_are_named_are_there():
    extras = set(PROJECT["optional-dependencies"])
    for path in (
        *ROOT.glob(".github/workflows/*.yml"),
        ROOT / "README.md",
        ROOT / "pyproject.toml",
    ):
        for named in re.findall(r"(?:fslice|-e \"\.)\[([\w,]+)\]", path.read_text()):
            assert set(named.split(",")) <= extras, (path, named)


def test_no_message_names_this_package_as_one_of_the_index():
    """It may not be there: what is missing is named itself."""
    for path in (ROOT / "fslice").rglob("*.py"):
        assert not re.search(r"pip install[^\n]*fslice", path.read_text()), path
