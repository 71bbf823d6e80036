"""The code against the plan of the house (`tests/house.py`): rooms, arrows, circles, faces, roots."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.house import BASE, FRONTS, MOST_AT_A_ROOT, ROOMS, TOPS, Room

ROOT = Path(__file__).parents[1]
PACKAGES = ("ddbverify", "replicator")
MOST_LINES = 400

Graph = Mapping[str, frozenset[str]]


def modules(root: Path) -> dict[str, Path]:
    """Dotted name -> file, of both packages; a package goes by its own name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path) -> Graph:
    """Module -> the modules of both packages that it names in an import, wherever: also for types only."""
    files = modules(root)
    return {name: frozenset(_named(path, files) - {name}) for name, path in files.items()}


def _named(path: Path, files: Mapping[str, Path]) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in files else str(node.module))
    return found & files.keys()


def room_of(module: str) -> Room | None:
    """The innermost room that a module stands in; none for those at a root."""
    homes = [room for room in ROOMS if module == room.name or module.startswith(room.name + ".")]
    return max(homes, key=lambda room: len(room.name), default=None)


def breaches(graph: Graph) -> Iterator[str]:
    """Every import that the plan does not allow, in words."""
    for module, used in graph.items():
        for other in sorted(used):
            if why := _breach(module, other):
                yield f"{module} imports {other}: {why}"


def _breach(module: str, other: str) -> str:
    here, there = room_of(module), room_of(other)
    if here is not None and here is there:
        return ""
    if there is None:
        if other in BASE:
            late = module in BASE and BASE.index(module) < BASE.index(other)
            return "it stands later among the modules of the root" if late else ""
        return "" if module in TOPS or other == "ddbverify" else "nobody imports the top of the house"
    if here is None and module in BASE:
        return "the modules of the root know no room"
    if here is not None and there.name not in here.may_import:
        return f"{here.name} may not use {there.name}"
    if other == there.name:
        return "" if other in FRONTS else "a package is no module of its face"
    return "" if other.removeprefix(there.name + ".") in there.face else f"not in the face of {there.name}"


def circles(graph: Graph) -> list[list[str]]:
    """The groups of modules that import one another, if any (Tarjan's strongly connected components)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        path.append(module)
        for other in graph[module]:
            if other not in number:
                visit(other)
            if other in path:
                lowest[module] = min(lowest[module], lowest[other])
        if lowest[module] == number[module]:
            group = path[path.index(module) :]
            del path[path.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in graph:
        if module not in number:
            visit(module)
    return found


def without_lazy_fronts(graph: Graph) -> Graph:
    """A front loads what it offers when it is asked: its imports for types are names, not arrows."""
    return {module: frozenset() if module in FRONTS else used for module, used in graph.items()}


GRAPH = imports(ROOT)


def test_every_import_is_one_that_the_plan_allows():
    assert list(breaches(GRAPH)) == []


def test_no_modules_import_each_other():
    assert circles(without_lazy_fronts(GRAPH)) == []


def test_a_room_imports_only_rooms_that_stand_before_it():
    seen: set[str] = set()
    for room in ROOMS:
        assert set(room.may_import) <= seen, room.name
        seen.add(room.name)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_what_the_plan_says_of_a_room_is_so(room: Room):
    """Nothing in the plan that the code does not need: no face nobody sees, no right nobody uses."""
    ours = {module for module in GRAPH if room_of(module) is room}
    used = {other for module in ours for other in GRAPH[module]}
    seen = {other for module in GRAPH.keys() - ours for other in GRAPH[module]} & ours

    assert {f"{room.name}.{name}" for name in room.face} == seen - {room.name}
    assert set(room.may_import) == {there.name for one in used if (there := room_of(one))} - {room.name}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_root_has_few_modules(package: str):
    assert len(list((ROOT / package).glob("*.py"))) <= MOST_AT_A_ROOT


def test_every_module_has_a_place_in_the_plan():
    rooms = {module for module in GRAPH if room_of(module) is not None}
    assert GRAPH.keys() - rooms == {*BASE, *TOPS}


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_says_what_belongs_in_it_and_where_to_begin(room: Room):
    tree = ast.parse(modules(ROOT)[room.name].read_text(encoding="utf-8"))
    said = ast.get_docstring(tree) or ""

    assert re.search(r"\bBegin with\b", " ".join(said.split())), room.name
    assert room.name in FRONTS or len(tree.body) == 1, f"{room.name}: an __init__ holds its docstring only"


@pytest.mark.parametrize("module", sorted(modules(ROOT)))
def test_no_module_is_longer_than_a_reader_can_hold(module: str):
    lines = len(modules(ROOT)[module].read_text(encoding="utf-8").splitlines())

    assert lines <= MOST_LINES


def test_the_plan_is_printed_in_the_design():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    printed = re.findall(r"^\| `([\w.]+)` \| (.+?) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)

    def short(names: tuple[str, ...]) -> str:
        return ", ".join(f"`{name}`" for name in names)

    assert printed == [(room.name, room.subject, short(room.may_import), short(room.face)) for room in ROOMS]


# --- the tests above notice what they are for -----------------------------------------------------


@pytest.mark.parametrize(
    ("module", "other", "why"),
    [
        ("ddbverify.items.form", "ddbverify.compare.judge", "ddbverify.items may not use ddbverify.compare"),
        ("ddbverify.gate.gate", "ddbverify.compare.coscan", "not in the face of ddbverify.compare"),
        ("ddbverify.names", "ddbverify.items.form", "know no room"),
        ("ddbverify.errors", "ddbverify.config", "stands later"),
        ("replicator.commands.up", "ddbverify.cli", "top of the house"),
        ("ddbverify.evidence.row", "ddbverify.gate", "may not use"),
        ("ddbverify.gate.gate", "ddbverify.evidence", "a package is no module"),
    ],
)
def test_a_planted_import_is_a_breach(module: str, other: str, why: str):
    assert [why in found for found in breaches({module: frozenset({other})})] == [True]


def test_a_planted_circle_is_found_also_where_one_arrow_is_for_types_only(tmp_path: Path):
    for name, text in {
        "one": "from ddbverify.items import two",
        "two": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ddbverify.items.one import x",
        "three": "from ddbverify.items import one",
    }.items():
        file = tmp_path / "ddbverify" / "items" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    assert circles(imports(tmp_path)) == [["ddbverify.items.one", "ddbverify.items.two"]]
