"""Every public name, option, error and exit code stands in the documentation, and its examples run."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import ddbverify
from ddbverify import Comparison, Pair, Verdict, errors, pytest_plugin, testing
from ddbverify.cli import COMMANDS
from ddbverify.cli import main as verifier
from ddbverify.evidence.record import CheckState
from ddbverify.gate import gate, reasons, requirements
from ddbverify.setting_names import FAMILIES, SETTINGS
from ddbverify.suite import marks
from ddbverify.tables import settings as table_settings
from ddbverify.tables.table import Table
from replicator.cli import main as mover
from replicator.embedded.__main__ import main as embedded
from tests.test_docs import DOCS, PAGES, ROOT, _blocks, _section, _text


def _in_first_column(text: str) -> set[str]:
    """What stands in backticks in the first column of the tables."""
    cells = re.findall(r"^\| (`[^|]*?) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def _public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("## `ddbverify`", set(ddbverify.__all__)),
        ("### `Verdict`", _public(Verdict)),
        ("### `Comparison`", _public(Comparison)),
        ("## `ddbverify.testing`", set(testing.__all__)),
        (
            "## `ddbverify.errors`",
            {
                name
                for name, one in vars(errors).items()
                if isinstance(one, type) and one.__module__ == errors.__name__
            },
        ),
    ],
)
def test_exactly_the_public_names_are_documented(heading: str, names: set[str]) -> None:
    section = _section(_text("api.md"), heading)
    if heading == "## `ddbverify`":
        section = section.partition("\n### ")[0]

    assert _in_first_column(section) == names


def test_everything_that_a_pair_and_its_tables_have_is_documented() -> None:
    section = _section(_text("api.md"), "### `Pair`")
    named = set(re.findall(r"`(\w+)`", section))

    assert _public(Pair) | _public(Table) <= named


def test_every_error_has_a_public_home() -> None:
    """An error that a user can catch is one of the tree; none is raised from elsewhere."""
    tree = {one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)}

    assert all(issubclass(one, errors.DdbVerifyError) for one in tree)


class _Options:
    """As much of a parser as `pytest_addoption` wants."""

    def __init__(self) -> None:
        self.options: list[str] = []
        self.settings: list[str] = []

    def getgroup(self, *_: Any) -> _Options:
        return self

    def addoption(self, name: str, **_: Any) -> None:
        self.options.append(name)

    def addini(self, name: str, *_: Any, **__: Any) -> None:
        self.settings.append(name)


def test_every_option_and_marker_of_the_pytest_plugin_is_documented() -> None:
    added = _Options()
    pytest_plugin.pytest_addoption(added)  # type: ignore[arg-type]  # as much of it as is used
    section = _section(_text("commands.md"), "### The pytest plugin")

    assert added.options
    assert not [name for name in added.options if f"`{name}" not in section]
    assert not [name for name in added.settings if f"`{name}`" not in section]
    assert f"@pytest.mark.{pytest_plugin.MARKER}" in _text("checks.md")


def test_every_argument_of_the_mark_and_every_control_is_documented() -> None:
    text = _text("checks.md")
    arguments = _in_first_column(_section(text, "### How a check counts"))

    assert arguments == set(marks.CheckSettings.__dataclass_fields__)
    assert _in_first_column(_section(text, "### Negative controls")) == set(marks.ControlKind)


def test_every_setting_is_documented_by_its_name() -> None:
    named = _in_first_column(_section(_text("checks.md"), "## Settings"))

    assert set(SETTINGS) <= named
    assert all(any(name.startswith(family) for name in named) for family in FAMILIES)


def test_every_setting_that_is_read_is_in_the_verifiers_policy() -> None:
    code = Path(table_settings.__file__).read_text(encoding="utf-8")
    # Each call that is made of a client, by boto3's name of it.
    asked = set(re.findall(r"client\.(describe_\w+|get_resource\w+)\(|get_paginator\(\"(\w+)\"\)", code))
    actions = {"".join(word.capitalize() for word in (one or two).split("_")) for one, two in asked}
    section = _section(_text("permissions.md"), "## The verifier")

    assert len(actions) == 7
    assert not [
        name for name in actions if not re.search(rf'"(dynamodb|application-autoscaling):{name}"', section)
    ]


def test_every_reason_of_the_gate_is_documented() -> None:
    trees = [ast.parse(Path(module.__file__).read_text(encoding="utf-8")) for module in (gate, requirements)]
    codes = {
        node.args[0].value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Reason"
        if node.args and isinstance(node.args[0], ast.Constant)
    } | {str(state) for state in CheckState} - {"passed", "not-applicable"}
    named = _in_first_column(_section(_text("checks.md"), "## What the gate asks"))

    assert codes <= named


def test_every_exit_code_is_documented() -> None:
    section = _section(_text("commands.md"), "## `ddbverify`").partition("\n### ")[0]
    rows = {int(code) for code in re.findall(r"^\| (\d) \|", section, re.MULTILINE)}

    assert rows == {
        0,
        2,
        reasons.FAILED,
        reasons.INCOMPLETE,
        reasons.STALE,
        reasons.NOT_TRUSTED,
        reasons.AWS_REFUSED,
    }
    for command in COMMANDS.keys() - {"run", "gate", "diff"}:  # these have the table
        assert f"* `{command}`: 0" in section
    assert "Exit status" in _section(_text("commands.md"), "## `replicator`")


@pytest.mark.parametrize(
    "page", [page for page in PAGES if not page.name.startswith("tutorial")], ids=lambda page: page.name
)
def test_python_blocks_run(page: Path) -> None:
    """In their order, so that a page imports once. The tutorials' run in `tests/test_tutorial.py`."""
    known: dict[str, Any] = {"__name__": page.stem, "__file__": str(page)}
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        exec(compile("\n" * text[: found.start()].count("\n") + found[1], page.name, "exec"), known)


def _shell_lines() -> list[Any]:
    programs = {"ddbverify": verifier, "replicator": mover, "python -m replicator.embedded": embedded}
    return [
        pytest.param(group, shlex.split(found[1], comments=True), id=f"{page.name}: {found[0][:60]}")
        for page in PAGES
        for block in re.findall(
            r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
        for name, group in programs.items()
        for found in re.finditer(rf"^{re.escape(name)} (.+)$", block, re.MULTILINE)
    ]


@pytest.mark.parametrize(("group", "words"), _shell_lines())
def test_commands_in_shell_blocks_are_ones_that_exist(group: click.Group, words: list[str]) -> None:
    command = group.get_command(click.Context(group), words[0])

    assert command is not None
    command.make_context(words[0], words[1:])  # raises for an option or an argument that there is not


@pytest.mark.parametrize("block", _blocks("sh"))
def test_shell_blocks_are_valid(block: str) -> None:
    done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_some_page_leads_to_every_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = "".join([text, *(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))])

    assert not [
        page.name
        for page in DOCS.glob("*.md")
        if f"{page.name})" not in pages and f"{page.name}#" not in pages
    ]


def _said(file: Path) -> Iterator[str]:
    """The texts of a module that are no docstrings: what it may show to its user."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    silent = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
    for one in ast.walk(tree):
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and id(one) not in silent:
            yield one.value


def test_messages_name_pages_that_whoever_installed_a_wheel_can_open_too() -> None:
    """A wheel has no docs/ beside it: `words.page` says where a page is, and the wheel holds all of them."""
    files = [file for package in ("ddbverify", "replicator") for file in (ROOT / package).rglob("*.py")]
    by_path = {
        (file.relative_to(ROOT).as_posix(), found)
        for file in files
        for text in _said(file)
        for found in re.findall(r"docs/[a-z-]+\.md", text)
    }
    named = {text for file in files for text in _said(file) if re.fullmatch(r"[a-z-]+\.md", text)}

    assert by_path == set()
    assert named - {"summary.md"} <= {page.name for page in DOCS.glob("*.md")}
    assert {"checks.md", "configuration.md", "permissions.md", "plugins.md"} <= named
    assert '\ndocs = "ddbverify/_docs"\n' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
