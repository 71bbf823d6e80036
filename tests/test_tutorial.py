"""The tutorial, command by command, as a user would type it: with the built wheel, in an empty folder."""

from __future__ import annotations

import fnmatch
import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installed import ROOT, build_wheel, lend_dependencies, offline

TUTORIAL = ROOT / "docs" / "tutorial.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SAVED_AS = re.compile(r"Save this as `([^`]+)`:\s*\Z")
_STATUS = re.compile(r"\s+# exit status (\d+)$")


class Shell:
    """A shell that is typed into; one that is opened in it takes over."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=offline(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str) -> tuple[int, str]:
        """What a command left with, and what it said."""
        mark = secrets.token_hex(8)
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{command}\necho {mark} $?\n")
        self._process.stdin.flush()
        said = ""
        for line in self._process.stdout:
            before, found, status = line.partition(mark)
            said += before
            if found:
                return int(status), said
        raise AssertionError(f"the shell ended in {command!r}: {said}")

    def close(self) -> None:
        """Leave every shell: at the end of its input each one does."""
        assert self._process.stdin
        self._process.communicate(timeout=60)


@pytest.fixture
def shell(tmp_path) -> Iterator[Shell]:
    folder = tmp_path / "shop"
    folder.mkdir()
    build_wheel(tmp_path / "ddbverify" / "dist")
    opened = Shell(folder)
    yield opened
    opened.close()


@pytest.mark.engine("ministack")
@pytest.mark.timeout(900)  # a dozen programs one after another, on a machine that has other things to do
def test_the_tutorial_works_as_it_says(tmp_path, shell):
    folder = tmp_path / "shop"
    text = TUTORIAL.read_text(encoding="utf-8")
    said, commands = "", 0
    for block in _BLOCK.finditer(text):
        language, content = block[1], block[2]
        if language == "python":
            saved = _SAVED_AS.search(text[: block.start()])
            assert saved, f"the tutorial does not say where to save\n{content}"
            (folder / saved[1]).write_text(content)
        elif language == "text":
            for wanted in content.splitlines():
                pattern = "*" + wanted.replace("[", "[[]").replace("…", "*") + "*"
                assert any(fnmatch.fnmatchcase(line, pattern) for line in said.splitlines()), (wanted, said)
        else:
            assert language == "sh"
            said = ""
            for line in content.splitlines():
                command = _STATUS.sub("", line)
                expected = _STATUS.search(line)
                status, output = shell.run(command)
                assert status == (int(expected[1]) if expected else 0), f"{command}\n{output}"
                said += output
                commands += 1
                if command.startswith("pip install"):
                    lend_dependencies(folder / ".venv")
                    where = "import ddbverify; print(ddbverify.__file__)"
                    assert str(folder) in shell.run(f"python -c '{where}'")[1]

    assert commands > 10
    assert (folder / ".ddbverify" / "latest" / "evidence.json").is_file()
