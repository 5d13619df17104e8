"""The code in README.md and docs/ runs.

Blocks marked ``python`` run in order, those of one file in one namespace and in an empty folder;
blocks with prompts as doctests. In blocks marked ``console`` the lines after ``$ `` run in the
same folder and must succeed. Other blocks are not run. A file whose blocks import a package of
the ``bench`` extra is skipped where that is absent; CuPy's place is then taken by the stand-in.
"""

import ast
import doctest
import functools
import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

import fslice

ROOT = pathlib.Path(__file__).parents[1]
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
PRESENT = [path for path in FILES if path.exists()]
BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
EXTRAS = {"torch", "jax", "cupy", "torch_projectors", "torch_fourier_slice"}


def blocks(text):
    """Yield kind, line number and code of every fenced block."""
    for match in BLOCK.finditer(text):
        indent, kind, code = match.groups()
        lines = [line.removeprefix(indent) for line in code.splitlines(keepends=True)]
        yield kind, text.count("\n", 0, match.start()) + 1, "".join(lines)


def commands(code):
    """Return the commands of a console session, continued lines joined."""
    joined = re.sub(r"\\\n(> )?", "", code)
    return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]


def is_session(code):
    return code.lstrip().startswith(">>>")


def absent_extras(path):
    """Return the packages of extras that a file's code imports and that are not installed."""
    found = set()
    for kind, _, code in blocks(path.read_text()):
        if kind == "python":
            statements = code
            if is_session(code):
                examples = doctest.DocTestParser().get_examples(code)
                statements = "".join(example.source for example in examples)
            for node in ast.walk(ast.parse(statements)):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    found.add(node.module.partition(".")[0])
    return sorted(name for name in found & EXTRAS if importlib.util.find_spec(name) is None)


def run_python(path, line, code, namespace):
    """Run a block such that errors show the line of the file."""
    if not is_session(code):
        exec(compile("\n" * line + code, str(path), "exec"), namespace)
        return
    test = doctest.DocTestParser().get_doctest(code, namespace, path.name, str(path), line)
    test.globs = namespace  # the parser copies it
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    output = []
    runner.run(test, out=output.append, clear_globs=False)
    assert not runner.failures, "".join(output)


def run_command(command):
    """Run a shell command with this interpreter's programs first; fail with what it printed."""
    programs = os.path.dirname(sys.executable)
    environment = os.environ | {"PATH": programs + os.pathsep + os.environ.get("PATH", "")}
    done = subprocess.run(
        command,
        shell=True,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}"


@pytest.mark.parametrize("path", PRESENT, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_code_in_the_documents_runs(path, tmp_path, monkeypatch, request):
    absent = absent_extras(path)
    if "cupy" in absent:
        request.getfixturevalue("device")  # the library with CuPy's manners
        absent.remove("cupy")
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    namespace = {"__name__": "__main__"}
    for kind, line, code in blocks(path.read_text()):
        if kind == "python":
            run_python(path, line, code, namespace)
        elif kind == "console":
            for command in commands(code):
                run_command(command)


@pytest.mark.parametrize("path", PRESENT, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_the_documents_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (path.parent / target).exists(), target


def test_what_the_changelog_says_a_name_is_now_called_is_there():
    renamed = (ROOT / "CHANGELOG.md").read_text().partition("### Renamed")[2]
    rows = [line.strip("|").rsplit(" | ", 1) for line in renamed.splitlines() if line[:3] == "| `"]
    names = re.findall(r"`([a-z]\w*(?:\.\w+)+)", " ".join(now for _, now in rows))
    assert len(names) > 30
    for name in names:
        functools.reduce(getattr, name.split("."), fslice)


# the reader of blocks itself ---------------------------------------------------------------------


TEXT = """# Title

```python
x = 20
```

```python
>>> x += 1
>>> x
21
```

* indented:

  ```console
  $ echo one \\
  > two > written
  one two
  ```

```bash
exit 1
```
"""


def test_blocks_are_found_with_kind_line_and_code():
    found = list(blocks(TEXT))
    assert [(kind, line) for kind, line, _ in found] == [
        ("python", 3),
        ("python", 7),
        ("console", 15),
        ("bash", 21),
    ]
    assert found[0][2] == "x = 20\n"
    assert commands(found[2][2]) == ["echo one two > written"]


def test_blocks_share_a_namespace_and_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for kind, line, code in blocks(TEXT):
        if kind == "python":
            run_python(tmp_path / "a.md", line, code, namespace)
        elif kind == "console":
            for command in commands(code):
                run_command(command)
    assert namespace["x"] == 21
    assert (tmp_path / "written").read_text() == "one two\n"


def test_what_fails_is_shown(tmp_path):
    with pytest.raises(AssertionError, match=r"Expected:\s+3\s+Got:\s+2"):
        run_python(tmp_path / "a.md", 1, ">>> 1 + 1\n3\n", {})
    with pytest.raises(ZeroDivisionError):
        run_python(tmp_path / "a.md", 1, "1 / 0\n", {})
    with pytest.raises(AssertionError, match=r"\$ echo why; false\s+why"):
        run_command("echo why; false")


def test_a_file_that_needs_an_absent_extra_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    path = tmp_path / "a.md"
    path.write_text("```python\nimport torch.nn\nfrom jax import numpy\n```\n")
    assert absent_extras(path) == ["jax", "torch"]
    path.write_text("```python\n>>> import cupy, numpy\n```\n")
    assert absent_extras(path) == ["cupy"]
