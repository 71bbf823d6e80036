"""The tutorials, command by command, as a user would type them: with the built wheel, in an empty folder."""

from __future__ import annotations

import fnmatch
import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installed import ROOT, build_wheel, lend_dependencies, offline

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SAVED_AS = re.compile(r"Save this as `([^`]+)`:\s*\Z")
_ADDED_TO = re.compile(r"Add this to `([^`]+)`:\s*\Z")
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

    assert follow("tutorial.md", folder, shell) > 10
    assert (folder / ".ddbverify" / "latest" / "evidence.json").is_file()


@pytest.mark.full
@pytest.mark.engine("ministack")
@pytest.mark.timeout(1800)
def test_the_migration_works_as_it_says(tmp_path, shell):
    folder = tmp_path / "shop"

    assert follow("tutorial-replicator.md", folder, shell) > 20
    assert (folder / ".ddbverify" / "cutover.json").is_file()


@pytest.mark.full
@pytest.mark.engine("ministack")
@pytest.mark.timeout(1800)
def test_the_way_back_works_as_it_says(tmp_path, shell):
    folder = tmp_path / "shop"

    assert follow("tutorial-cutback.md", folder, shell) > 15
    assert (folder / ".ddbverify" / "cutover.json").is_file()


def follow(page: str, folder: Path, shell: Shell) -> int:
    """Save, type and compare what a page of ``docs/`` shows, in its order; returns how many commands."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    said, commands = "", 0
    for block in _BLOCK.finditer(text):
        language, content, before = block[1], block[2], text[: block.start()]
        if language == "python":
            saved = _SAVED_AS.search(before)
            assert saved, f"the page does not say where to save\n{content}"
            (folder / saved[1]).write_text(content)
        elif language == "toml":
            added = _ADDED_TO.search(before)
            assert added, f"the page does not say what to add this to\n{content}"
            with (folder / added[1]).open("a") as file:
                file.write("\n" + content)
        elif language == "text":
            lines = iter(said.splitlines())  # one for all: they have to come in this order
            for wanted in content.splitlines():
                pattern = "*" + wanted.replace("[", "[[]").replace("…", "*") + "*"
                assert any(fnmatch.fnmatchcase(line, pattern) for line in lines), (wanted, said)
        else:
            assert language == "sh"
            said = type_in(content, folder, shell)
            commands += len(content.splitlines())
    return commands


def type_in(content: str, folder: Path, shell: Shell) -> str:
    """Type the commands of one block, each of which has to end as it says; returns what they said."""
    said = ""
    for line in content.splitlines():
        command = _STATUS.sub("", line)
        expected = _STATUS.search(line)
        status, output = shell.run(command)
        assert status == (int(expected[1]) if expected else 0), f"{command}\n{output}"
        said += output
        if command.startswith("pip install"):
            lend_dependencies(folder / ".venv")
            where = "import ddbverify; print(ddbverify.__file__)"
            assert str(folder) in shell.run(f"python -c '{where}'")[1]
    return said
