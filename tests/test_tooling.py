"""Format, lint and types, by the tools' own words; and one command that runs all tests."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
TEST_COMMAND = (
    'python3 -m venv .venv && .venv/bin/python -m pip install -e ".[dev]" '
    "&& .venv/bin/python -m pytest -n 2"
)


@pytest.mark.parametrize(
    "arguments",
    [("ruff", "format", "--check", "."), ("ruff", "check", "."), ("mypy",)],
    ids=["format", "lint", "types"],
)
def test_the_code_passes(arguments):
    tool = arguments[0]
    if importlib.util.find_spec(tool) is None:
        assert not os.environ.get("CI"), f"{tool} is not installed"
        pytest.skip(f"{tool} is not installed")
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"$ {' '.join(arguments)}\n{done.stdout}"


@pytest.mark.parametrize("name", ["README.md", ".ci/run", ".github/workflows/tests.yml"])
def test_all_say_the_same_test_command(name):
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"{name} does not exist")
    assert TEST_COMMAND in path.read_text()


def test_the_version_is_said_once_for_all():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    import fslice

    assert fslice.__version__ == project["version"]
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## {re.escape(project['version'])}\b", changes, re.MULTILINE)
