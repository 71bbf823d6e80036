"""
Which modules of the user's some code imports, and the modules that those import.

Import statements are read from the source, inside functions too. Where a source can import in other
ways (`importlib`, a changed `sys.path`, an installed library that loads what its settings name), everything
is imported in a fresh interpreter as well, and what came in counts. That is a forecast: what a gated run
really compiled and read is held against it (`ddbverify.code.source`, `ddbverify.code.reads`).
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ddbverify.code.below import python_files
from ddbverify.code.imports import find, imports_of
from ddbverify.code.places import OURS, is_environment
from ddbverify.errors import ConfigurationError

Files = Mapping[str, Path]
"""Place, as a bundle has it (``shop/orders.py``) -> file."""

SECONDS = 120.0  # for all the imports of a suite
PATIENT_SECONDS = 5.0  # of them, in which nothing is said

_PROGRAM = (
    "import json, sys; asked = json.load(sys.stdin); sys.path[:] = asked['path']; "
    "from ddbverify.code.reach_child import main; main(asked)"
)

# Installed libraries that import no module of the user's by themselves.
_QUIET = {
    *("pytest", "hypothesis", "boto3", "botocore", "msgspec", "click", "rich", "pluggy", "cryptography"),
    *("dateutil", "urllib3", "typing_extensions"),
}
_LOADERS = {
    *("importlib", "runpy", "pkgutil", "imp", "zipimport", "site", "builtins", "code", "codeop", "pydoc"),
    *("unittest", "doctest", "pickle", "shelve", "multiprocessing", "ctypes"),
}
"""Modules of the standard library that import what they are told to."""

_BUILT_IN_LOADERS = {"__import__", "exec", "eval", "__builtins__", "__loader__", "__path__"}
_PATHS = {"path", "modules", "meta_path", "path_hooks"}  # of `sys`

_known: dict[tuple[str, ...], tuple[Files, dict[str, bytes]]] = {}


def of_module(module: str, home: Path = Path()) -> Files:
    """
    The files of *module* and of what it imports; its own top-level package counts wherever it lies.

    Args:
        module: Its absolute name.
        home: The folder that the user's code finds itself in.
    """
    top = module.partition(".")[0]

    def find_out() -> Files:
        walk = Walk(own=frozenset({top}))
        walk.module(module)
        return _with_what_comes_in(walk, {"modules": [module], "own": [top]}, home)

    return _remembered(("module", module, str(home)), find_out)


def of_folder(folder: Path, home: Path = Path()) -> Files:
    """The files of modules from outside *folder* that Python files in it import; *home* as in `of_module`."""

    def find_out() -> Files:
        walk = Walk()
        with _on_the_path(folder):
            for file in python_files(folder):
                walk.text(file, f"{file.stem}", is_package=False)
                walk.files[f"checks:{file.relative_to(folder).as_posix()}"] = file
            return _with_what_comes_in(walk, {"folder": str(folder)}, home)

    inside = os.path.realpath(folder) + os.sep
    found = _remembered(("folder", str(folder), str(home)), find_out)
    return {place: file for place, file in found.items() if not os.path.realpath(file).startswith(inside)}


class Walk:
    """
    Modules gathered from import statements, followed as far as they are the user's.

    Args:
        own: Top-level packages that count as the user's wherever they are installed.
    """

    def __init__(self, own: frozenset[str] = frozenset()) -> None:
        self.files: dict[str, Path] = {}
        self.is_open = False  # whether something may come in that no statement shows
        self._own = own
        self._seen: set[str] = set()

    def module(self, name: str) -> bool:
        """Take a module, the packages above it and what they import; says whether there is one."""
        parts = name.split(".")
        return all(self._take(".".join(parts[:depth])) for depth in range(1, len(parts) + 1))

    def _take(self, name: str) -> bool:
        if name in self._seen:
            return True
        spec = find(name)
        if spec is None:
            return False
        self._seen.add(name)
        top = name.partition(".")[0]
        file = spec.origin if spec.has_location else None  # None: built in, or a folder without __init__.py
        if top in OURS:
            return True
        if file is None or (is_environment(file) and top not in self._own):
            self.is_open = self.is_open or top in _LOADERS
            self.is_open = self.is_open or not (file is None or top in _QUIET | sys.stdlib_module_names)
            return True
        is_package = spec.submodule_search_locations is not None
        path = existing(file)
        if path is not None:
            self.files[place_of(name, path, is_package=is_package)] = path
            if path.suffix == ".py":
                self.text(path, name, is_package=is_package)
        return True

    def text(self, file: Path, module: str, *, is_package: bool) -> None:
        """Follow the imports of one file; one that is not Python imports nothing."""
        try:
            source = file.read_text(encoding="utf-8")
            found = list(imports_of(source, module, is_package=is_package))
        except (OSError, ValueError, SyntaxError):
            return
        self.is_open = self.is_open or _imports_by_itself(ast.parse(source))
        for one in found:
            if self.module(one.module):
                for name in one.names:  # `from a import b`: b may be a module, or just a name in one
                    self.module(f"{one.module}.{name}")


def place_of(module: str, file: Path, *, is_package: bool) -> str:
    """Where a module lies in a bundle."""
    base = module.replace(".", "/")
    return f"{base}/__init__{file.suffix}" if is_package else f"{base}{file.suffix}"


def existing(file: str) -> Path | None:
    """The file itself, or the archive that it is in."""
    path = Path(file)
    return next((one for one in (path, *path.parents) if one.is_file()), None)


def _imports_by_itself(tree: ast.Module) -> bool:
    """Whether a source names anything that imports, or changes where imports are looked for."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) if name in _BUILT_IN_LOADERS:
                return True
            case ast.Attribute(value=ast.Name(id="sys"), attr=name) if name in _PATHS:
                return True
            case ast.ImportFrom(module="sys"):
                return True
    return False


def _with_what_comes_in(walk: Walk, asked: Mapping[str, object], home: Path) -> Files:
    if not walk.is_open:
        return walk.files
    asked = {**asked, "path": [path or str(Path.cwd()) for path in sys.path]}
    try:
        came = json.loads(_imported(asked, home))
    except ValueError:  # it left: whoever runs the code will say so
        return walk.files
    return walk.files | {place: Path(file) for place, file in came.items()}


def _imported(asked: Mapping[str, object], home: Path) -> str:
    """
    What a fresh interpreter says of its imports; nothing where the imports of a folder do not end.

    Raises:
        ConfigurationError: Those of a module do not.
    """
    what = str(asked.get("folder") or " and ".join(asked["modules"]))  # type: ignore[arg-type]
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=home,
        text=True,
    ) as child:
        try:
            return awaited(child, json.dumps(asked), what, SECONDS)
        except subprocess.TimeoutExpired as error:
            ended = f"Importing {what} did not end within {SECONDS:.0f} s"
            if "folder" not in asked:
                raise ConfigurationError(
                    f"{ended}.", f"find out what it waits for: python -c 'import {what}'."
                ) from error
            _tell(f"{ended}: what comes in by other ways than import statements is not known.")
            return ""


def awaited(child: subprocess.Popen[str], given: str | None, what: str, seconds: float) -> str:
    """
    What a process that imports *what* says until it ends; that it is waited for is told where that is long.

    Raises:
        TimeoutExpired: It did not end within *seconds*, and was killed.
    """
    try:
        try:
            return child.communicate(given, timeout=PATIENT_SECONDS)[0]
        except subprocess.TimeoutExpired:  # whoever waits has to know for what, and for how long
            _tell(f"Importing {what}, to see what comes in with it: {seconds:.0f} s at most.")
            return child.communicate(timeout=seconds - PATIENT_SECONDS)[0]
    except BaseException:
        child.kill()
        raise


def _tell(line: str) -> None:
    with suppress(OSError, ValueError):  # an output that nobody reads is no reason to fail
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


@contextmanager
def _on_the_path(folder: Path) -> Iterator[None]:
    """A folder first on the path for a while, as pytest has it."""
    before = list(sys.path)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = before


def _remembered(what: tuple[str, ...], find_out: Callable[[], Files]) -> Files:
    """What was found before in this process, for as long as none of the files has changed."""
    key = (*what, *sys.path)
    known = _known.get(key)
    if known is not None and _contents(known[0]) == known[1]:
        return known[0]
    importlib.invalidate_caches()
    found = find_out()
    _known[key] = found, _contents(found)
    return found


def _contents(files: Files) -> dict[str, bytes]:
    return {place: file.read_bytes() if file.is_file() else b"" for place, file in files.items()}
