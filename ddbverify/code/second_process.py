"""
A user's transform in a process of its own: another hash seed, another time zone, nothing remembered.

A result that depends on any of these would differ between the laptop, the Lambda function and
the verifier. `SecondProcess` is the parent's side, `serve` the child's; they talk in lines of
JSON, one item and one answer at a time.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from ddbverify.code import reads, source
from ddbverify.errors import ConfigurationError, TransformError
from ddbverify.items.inverse import Inverse
from ddbverify.items.transform import Transform, load_function
from ddbverify.names import TypedItem

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.readline()); "
    "from ddbverify.code.second_process import serve; serve()"
)
_HINT = 'define it at the top level of a module that can be imported, or name it as "module:function".'
# Not Lambda's UTC, nor anyone's whole hour; a POSIX rule, which needs no zone files.
_ZONE = "<+0545>-5:45"


@dataclass(frozen=True, slots=True)
class Place:
    """Where another process finds a function."""

    module: str
    name: str
    file: str | None = None  # for modules that sys.path does not lead to, such as a test file

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


def locate(transform: str | Callable[..., Any], what: str = "transform") -> tuple[Place, Callable[..., Any]]:
    """
    The function that is meant, and where to find it again.

    Args:
        transform: ``module:function``, or a function that stands in its module under some name.
        what: What it is to the user, in messages.

    Raises:
        ConfigurationError: It does not load, or another process could not find it.
    """
    if isinstance(transform, str):
        module, _, name = transform.partition(":")
        return Place(module, name), load_function(transform, what)
    module = getattr(transform, "__module__", None) or ""
    home = sys.modules.get(module)
    if home is not None and module != "__main__":
        for name, value in vars(home).items():
            if value is transform:
                return Place(module, name, getattr(home, "__file__", None)), transform
    shown = getattr(transform, "__qualname__", type(transform).__qualname__)
    raise ConfigurationError(
        f"The {what} {shown} cannot be found from a second process.",
        _HINT,
    )


class SecondProcess:
    """
    The transform, or an inverse, in one other process, for as many items as it is asked for.

    `reads` has the paths of the files that it has read there by now.

    Args:
        place: Where the function is.
        function: Its key schemas, and which of the two it is.

    Raises:
        ConfigurationError: The function does not load there.
    """

    def __init__(self, place: Place, function: Transform | Inverse) -> None:
        seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
        zone = "UTC" if os.environ.get("TZ") == _ZONE else _ZONE
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the user's prints; a failure comes as an answer
            env=os.environ | {"PYTHONHASHSEED": seed, "TZ": zone},
            text=True,
            encoding="ascii",
        )
        schema = {
            "source_keys": list(function.source_keys.items()),
            "target_keys": list(function.target_keys.items()),
            "rekeys": isinstance(function, Transform) and function.rekeys,
            "what": "inverse" if isinstance(function, Inverse) else "transform",
        }
        self.reads: list[str] = []
        self._send([path or str(Path.cwd()) for path in sys.path])
        answer = self._ask(asdict(place) | schema)
        if answer != {"ready": True}:
            self.close()
            why = answer["failed"] if answer else f"it ended with exit status {self._process.returncode}"
            raise ConfigurationError(
                f"The {schema['what']} {place} does not load in a second process: {why}.",
                _HINT,
            )

    def results(self, item: TypedItem) -> list[TypedItem] | str:
        """What the transform makes of an item there; in words, if there was no result."""
        answer = self._answered([item])
        return answer if isinstance(answer, str) else answer["results"]

    def restored(self, item: TypedItem, before: TypedItem | None) -> TypedItem | str:
        """What the inverse makes of an item there; in words, if there was no result."""
        answer = self._answered([item, before])
        return answer if isinstance(answer, str) else answer["results"]

    def _answered(self, arguments: Sequence[TypedItem | None]) -> dict[str, Any] | str:
        answer = self._ask(arguments)
        if answer is None:
            self.close()
            return f"ended its process with exit status {self._process.returncode}"
        failed: str | None = answer.get("failed")
        return answer if failed is None else failed

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None  # noqa: S101  # Popen was asked for a pipe
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def _ask(self, message: Any) -> dict[str, Any] | None:
        assert self._process.stdout is not None  # noqa: S101
        try:
            self._send(message)
        except (BrokenPipeError, ValueError):  # it has ended; a closed pipe is a ValueError
            return None
        line = self._process.stdout.readline()
        if not line:
            return None
        answer: dict[str, Any] = json.loads(line)
        self.reads += answer.pop("read")
        return answer


def serve() -> None:
    """The child's side: read what to load, then answer item after item until the end of input."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what the transform prints must not be taken for an answer

    read: list[str] = []

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message | {"read": read}) + "\n")
        answers.flush()
        read.clear()

    asked = json.loads(sys.stdin.readline())
    place = Place(asked["module"], asked["name"], asked["file"])
    source.install((place.module.partition(".")[0],))
    reads.watch()
    reads.report(read.append)
    try:
        function = load(place, asked["what"])
        called: Transform | Inverse
        schemas = dict(asked["source_keys"]), dict(asked["target_keys"])
        if asked["what"] == "inverse":
            called = Inverse.of(str(place), function, *schemas)
        else:
            called = Transform(str(place), function, *schemas, asked["rekeys"])
    # An import runs the user's code; whatever it raises has to reach the parent.
    except BaseException as error:  # noqa: BLE001
        answer({"failed": f"{type(error).__name__}: {error}"})
        return
    answer({"ready": True})
    for line in sys.stdin:
        try:
            answer({"results": called(*json.loads(line))})
        except TransformError as error:
            answer({"failed": error.message.removeprefix(f"The {asked['what']} {place} ").rstrip(".")})


def load(place: Place, what: str = "transform") -> Callable[..., Any]:
    """The function that stands there. Raises whatever the import of its module raises."""
    if place.file is None:
        return load_function(str(place), what)
    function: Callable[..., Any] = getattr(_module(place.module, place.file), place.name)
    return function


def _module(name: str, file: str) -> ModuleType:
    """The module *name* if it is the one in *file*, otherwise the one in *file*."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        module = None
    if module is not None and getattr(module, "__file__", None) == file:
        return module
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
