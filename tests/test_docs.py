"""The documentation names everything that there is, and what it shows can be used as it stands."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from ddbverify import config as configuration
from ddbverify.cli import main as ddbverify
from ddbverify.commands.starter import Answers, migration_toml
from ddbverify.plugins.fitting import HOOKS
from replicator.cli import main as replicator

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.glob("*.md")])

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _blocks(language: str) -> list[Any]:
    return [
        pytest.param(found[2], id=f"{_name(page)}:{text[: found.start()].count(chr(10)) + 1}")
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for found in _FENCE.finditer(text)
        if found[1] == language
    ]


def _section(text: str, heading: str) -> str:
    """From *heading* to the next one of its level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"there is no heading {heading!r}"
    return re.split(rf"^#{{1,{level}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def _commands() -> list[Any]:
    return [
        pytest.param(program, name, command, id=f"{program} {name}")
        for program, group in (("ddbverify", ddbverify), ("replicator", replicator))
        for context in (click.Context(group),)
        for name in group.list_commands(context)
        for command in (group.get_command(context, name),)
    ]


def _places(command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):  # `ddbverify spark`: what its own commands take
        for inner in command.commands.values():
            yield from _places(inner)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield from (option for option in parameter.opts if option.startswith("--"))
        elif parameter.name is not None:
            name = parameter.human_readable_name
            yield name if parameter.required else f"[{name}]"


@pytest.mark.parametrize(("program", "name", "command"), _commands())
def test_every_command_and_option_is_documented(program: str, name: str, command: click.Command) -> None:
    text = _text("commands.md")
    own = _section(text, f"### `{program} {name}`")
    if program == "replicator" and name != "demo":  # their options are said once for all of them
        own += _section(text, "## `replicator`")
    elif program == "ddbverify":  # those of several commands are said once, with the commands' names
        shared = _section(text, "## `ddbverify`").partition("\n### ")[0]
        own += "".join(re.findall(rf"^\| `--[^|]*\|[^|]*`{name}`[^|]*\|", shared, re.MULTILINE))

    missing = [place for place in _places(command) if not re.search(rf"{re.escape(place)}(?![\w-])", own)]

    assert not missing


def test_no_command_is_documented_that_does_not_exist() -> None:
    headings = set(re.findall(r"^### `((?:ddbverify|replicator) \w+)`$", _text("commands.md"), re.MULTILINE))

    assert headings == {f"{one.values[0]} {one.values[1]}" for one in _commands()}


def test_the_table_at_the_top_names_every_command() -> None:
    table = _text("commands.md").partition("\n## ")[0]
    named = set(re.findall(r"\(#(ddbverify|replicator)-(\w+)\)", table))

    assert named == {(one.values[0], one.values[1]) for one in _commands()}


@pytest.mark.parametrize(
    ("heading", "section"),
    [
        ("## Top level", configuration.Config),
        ("## `[source]` and `[target]`", configuration.Side),
        ("## `[[tables]]`", configuration.Pair),
        ("## `[replication]`", configuration.Replication),
        ("## `[stack]`", configuration.Stack),
        ("## `[verification]`", configuration.Verification),
        ("## `[checks]`", configuration.Checks),
        ("## `[gate]`", configuration.Gate),
        ("## `[metrics]`", configuration.Metrics),
        ("## `[notify]`", configuration.Notify),
        ("## `[cutover]`", configuration.Cutover),
    ],
)
def test_exactly_the_keys_that_exist_are_documented(heading: str, section: type[msgspec.Struct]) -> None:
    cells = re.findall(r"^\| (`[^|]*?) \|", _section(_text("configuration.md"), heading), re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}

    # `folder` is no key of the file: parse() refuses it.
    assert documented == {field.name for field in msgspec.structs.fields(section)} - {"folder"}


@pytest.mark.parametrize("hook", sorted(HOOKS))
def test_every_hook_is_documented(hook: str) -> None:
    """Its signature, when it is called, what it may return, what happens on errors, and an example."""
    arguments = ", ".join(inspect.signature(HOOKS[hook]).parameters)
    section = _section(_text("plugins.md"), f"### `{hook}({arguments})`")

    assert [word for word in ("**Called**", "**Returns**", "**On errors**") if word not in section] == []
    examples = [found[2] for found in _FENCE.finditer(section) if found[1] == "python"]
    (function,) = [
        node for one in examples for node in ast.walk(ast.parse(one)) if isinstance(node, ast.FunctionDef)
    ]
    assert function.name == hook
    assert {argument.arg for argument in function.args.args} <= set(inspect.signature(HOOKS[hook]).parameters)


def test_no_hook_is_documented_that_does_not_exist() -> None:
    assert set(re.findall(r"^### `(ddbverify_\w+)", _text("plugins.md"), re.MULTILINE)) == set(HOOKS)


@pytest.mark.parametrize("file", sorted((ROOT / "checks").glob("check_*.py")), ids=lambda file: file.name)
def test_every_check_is_documented(file: Path) -> None:
    text = _text("checks.md")
    functions = [
        node.name
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")
    ]

    assert functions
    assert not [name for name in (file.name, *functions) if f"`{name}`" not in text]


@pytest.mark.parametrize("block", _blocks("toml"))
def test_toml_blocks_are_valid_configurations(block: str) -> None:
    # One without tables is added to what `ddbverify init` has written.
    begun = "" if "[[tables]]" in block else migration_toml(Answers(source="orders", target="orders-v2"))
    configuration.parse(begun + block, ROOT)


@pytest.mark.parametrize("block", _blocks("json"))
def test_json_blocks_are_valid(block: str) -> None:
    json.loads(block)


@pytest.mark.parametrize("block", _blocks("python"))
def test_python_blocks_are_valid(block: str) -> None:
    ast.parse(block)


def test_no_policy_allows_every_action() -> None:
    statements = [
        one for block in _blocks("json") for one in json.loads(block.values[0]).get("Statement", ())
    ]

    assert statements
    for statement in statements:
        actions = statement["Action"]
        assert not [one for one in ([actions] if isinstance(actions, str) else actions) if "*" in one]


def _slug(heading: str) -> str:
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _anchors(page: Path) -> set[str]:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {_slug(heading) for heading in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        goal = (page.parent / path).resolve() if path else page
        if not goal.exists() or (anchor and anchor not in _anchors(goal)):
            broken.append(link)

    assert not broken


_CITED = re.compile(r"\bdocs/([\w-]+\.md)(?: (T?\d+)\b)?")


def test_what_the_code_cites_of_the_documentation_is_there() -> None:
    """Pages, and by number the facts of ``aws.md`` and the promises."""
    folders = ("ddbverify", "replicator", "checks", "benchmarks", "tests", "examples")
    cited = {
        found.groups()
        for folder in folders
        for file in (ROOT / folder).rglob("*.py")
        for found in _CITED.finditer(file.read_text(encoding="utf-8"))
    }

    assert {page for page, _ in cited} >= {"aws.md", "checks.md", "permissions.md", "promises.md"}
    assert not [page for page, _ in cited if not (DOCS / page).is_file()]
    assert not [
        (page, number)
        for page, number in cited
        if number is not None and f"\n| {number} |" not in _text(page)
    ]


OURS = "benchmarks|checks|constructs|ddbverify|docs|examples|findings|replicator|tests|website"
_PATH = re.compile(rf"(?<![\w./-])((?:{OURS})/[\w./*-]+)")
_DOTTED = re.compile(r"(?<![\w./~-])((?:benchmarks|ddbverify|replicator|tests)(?:\.\w+)+)")
_COMMAND = re.compile(r"(?<![\w.-])(ddbverify|replicator) ([a-z]+)\b([^`|;&\n]*)")
# In the folder of whoever reads this, and in the built wheel.
_ELSEWHERE = {"checks/conftest.py", "checks/check_orders.py", "checks/check_mine.py"}
_IN_THE_WHEEL = ("ddbverify/_checks", "ddbverify/_docs", "ddbverify/engines")


def _texts() -> list[Any]:
    """Pages, and modules with their docstrings and comments: whatever a rename would leave behind."""
    pages = [*PAGES, ROOT / "findings" / "README.md", *(ROOT / "examples").rglob("*.md")]
    code = [file for folder in OURS.split("|") for file in (ROOT / folder).rglob("*.py")]
    return [*pages, *(file for file in code if "tests" not in file.relative_to(ROOT).parts)]


def _is_there(path: str) -> bool:
    path = path.rstrip("./")
    if path in _ELSEWHERE or path.startswith(_IN_THE_WHEEL):
        return True
    return any(ROOT.glob(path)) or (ROOT / f"{path}.py").is_file()


def test_every_path_of_ours_that_is_named_is_there() -> None:
    named = {
        (_name(file), found) for file in _texts() for found in _PATH.findall(file.read_text(encoding="utf-8"))
    }

    assert len({found for _, found in named}) > 50
    assert not [(name, found) for name, found in sorted(named) if not _is_there(found)]


def _means_something(dotted: str) -> bool:
    """A module, or what stands in one; of a class also its members."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        place = ROOT.joinpath(*parts[:length])
        if place.with_suffix(".py").is_file() or (place / "__init__.py").is_file():
            found: Any = importlib.import_module(name)
            for part in parts[length:]:
                if not hasattr(found, part):
                    return False
                found = getattr(found, part)
            return True
    return False


def test_every_module_and_name_of_ours_that_is_named_is_there() -> None:
    named = {
        (_name(file), found)
        for file in _texts()
        for found in _DOTTED.findall(file.read_text(encoding="utf-8"))
        if not found.endswith(".md")
    }

    assert len({found for _, found in named}) > 50
    assert not [(name, found) for name, found in sorted(named) if not _means_something(found)]


def test_every_option_that_is_shown_with_a_command_is_one_of_it() -> None:
    options = {(one.values[0], one.values[1]): {*_places(one.values[2]), "--help"} for one in _commands()}
    shown = {
        (_name(page), program, command, option)
        for page in _texts()
        for program, command, rest in _COMMAND.findall(page.read_text(encoding="utf-8"))
        if (program, command) in options
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", rest.partition(" -- ")[0])
    }

    assert len(shown) > 10
    assert not [one for one in sorted(shown) if one[3] not in options[one[1], one[2]]]
