"""What a module imports, read from its source: nothing is imported, nothing of it runs."""

from __future__ import annotations

import ast
import pkgutil
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Import:
    """
    One import statement.

    Args:
        module: Absolute name of the module; for ``from a import b`` it is ``a``.
        names: What is taken out of it, each possibly a submodule; empty for ``import a.b``.
        optional: Whether the code is ready for its absence (``try`` ... ``except ImportError``).
        line: Its line in the file.
    """

    module: str
    names: tuple[str, ...]
    optional: bool
    line: int


_CATCHING = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


def imports_of(
    source: str, module: str, *, is_package: bool, python: tuple[int, int] | None = None
) -> Iterator[Import]:
    """
    Every import of a module, those inside functions too; those under ``TYPE_CHECKING`` left out.

    Args:
        source: The module's text.
        module: Its absolute name, from which relative imports are counted.
        is_package: Whether the text is that of an ``__init__.py``.
        python: The version of Python it has to be valid for; default is the running one.

    Raises:
        SyntaxError: The text is not Python, or not of that version.
    """
    package = module if is_package else module.rpartition(".")[0]
    yield from _walk(ast.parse(source, feature_version=python), package, optional=False)


_WORDS_OF_PYTHON = re.compile(r"No module named '([\w.]+)'|cannot import name '(\w+)' from '([\w.]+)' \(.*\)")


def words_of_an_import(error: BaseException) -> str:
    """
    What may be shown of an import that failed, without a value in it; empty for nothing.

    Of a module that is not there: its name, if the source that asked for it has that name. Of a text that is
    not Python: what Python says about it, and where.
    """
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_file():
        return f"{error.msg} ({Path(error.filename).name}, line {error.lineno})"
    said = _WORDS_OF_PYTHON.fullmatch(str(error)) if isinstance(error, ImportError) else None
    if said is None:
        return ""
    trace, asked = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        asked = asked if file.startswith("<") else file
        trace = trace.tb_next
    source = Path(asked).read_text(encoding="utf-8", errors="replace") if Path(asked).is_file() else ""
    names = [name for name in said.groups() if name]
    return str(error).partition(" (")[0] if all(name.split(".")[-1] in source for name in names) else ""


def find(module: str) -> ModuleSpec | None:
    """
    Where a module is, or ``None``.

    Unlike `importlib.util.find_spec` it imports no parent, and does not take for an answer what was once
    imported under that name.
    """
    top, *rest = module.split(".")
    spec = _find_top(top)
    for part in rest:
        if spec is None:
            return None
        spec = _inside(spec, part)
    return spec


def _find_top(name: str) -> ModuleSpec | None:
    for finder in sys.meta_path:
        look = getattr(finder, "find_spec", None)
        try:
            spec: ModuleSpec | None = look(name, None) if look is not None else None
        except (ImportError, ValueError):  # of a finder that somebody else has installed
            continue
        if spec is not None:
            return spec
    return None


def _inside(package: ModuleSpec, part: str) -> ModuleSpec | None:
    """A module of a package; `PathFinder` would want the packages above it to be loaded."""
    folders: list[str] = []
    for path in package.submodule_search_locations or ():
        finder = pkgutil.get_importer(path)
        found = finder.find_spec(f"{package.name}.{part}") if finder else None
        if found is not None and found.loader is not None:
            return found
        if found is not None:
            folders += found.submodule_search_locations or ()
    if not folders:
        return None
    namespace = ModuleSpec(f"{package.name}.{part}", None, is_package=True)
    namespace.submodule_search_locations = folders
    return namespace


def _walk(node: ast.AST, package: str, *, optional: bool) -> Iterator[Import]:
    match node:
        case ast.Import():
            for alias in node.names:
                yield Import(alias.name, (), optional, node.lineno)
        case ast.ImportFrom():
            names = tuple(alias.name for alias in node.names)
            yield Import(_absolute(node, package), names, optional, node.lineno)
        case ast.If() if _is_type_checking(node.test):
            for at_runtime in node.orelse:
                yield from _walk(at_runtime, package, optional=optional)
        case ast.Try():
            guarded = optional or any(_catches(handler) for handler in node.handlers)
            for tried in node.body:
                yield from _walk(tried, package, optional=guarded)
            for other in (*node.handlers, *node.orelse, *node.finalbody):
                yield from _walk(other, package, optional=optional)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _walk(child, package, optional=optional)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    base = package.split(".")
    base = base[: len(base) - (node.level - 1)]
    return ".".join([*base, *([node.module] if node.module else [])])


def _is_type_checking(test: ast.expr) -> bool:
    name = test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else ""
    return name == "TYPE_CHECKING"


def _catches(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    return any(isinstance(node, ast.Name) and node.id in _CATCHING for node in ast.walk(handler.type))
