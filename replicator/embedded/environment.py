"""The environment that ministack runs in: found, or installed, the same way by everyone who needs it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from ddbverify.errors import EngineError

MINISTACK_VERSION = "1.5.33"

# Exact, and installed by one pip command: ministack pins botocore, a second command would break
# that. boto3 is what deployed handlers import, cryptography is for KMS signatures.
PINS = (f"ministack=={MINISTACK_VERSION}", "boto3==1.43.106", "cryptography==50.0.2")

FOLDER_VARIABLE = "DDBVERIFY_ENGINES"

Progress = Callable[[str], None]

_MARKER = "ddbverify-pins.txt"
_BUILDING = ".building-"
_PIP_OPTIONS = ("--no-input", "--disable-pip-version-check")

# Settings that would send packages elsewhere than into the environment. Where pip *gets* them
# from (index, proxy, certificates) stays the user's own choice.
_PIP_TARGETS = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_CONSTRAINT")


def say(line: str) -> None:
    """Print a line of progress on standard error."""
    click.echo(line, err=True)


def engines_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Say where emulators are kept: ``DDBVERIFY_ENGINES``, or ``ddbverify/engines`` in the user's cache."""
    if chosen := environ.get(FOLDER_VARIABLE):
        return Path(chosen).expanduser().absolute()
    cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "ddbverify" / "engines"


def environment_folder(folder: Path | None = None, pins: tuple[str, ...] = PINS) -> Path:
    """
    Say where the environment for *pins* and this Python lives, whether or not it is there.

    Other pins have another folder, so that two versions of ddbverify on one
    machine never rebuild each other's environment under its feet.
    """
    digest = hashlib.sha256("\n".join(pins).encode()).hexdigest()[:8]
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    return (folder or engines_folder()) / f"ministack-{MINISTACK_VERSION}-{python}-{digest}"


def ensure_environment(
    folder: Path | None = None, *, pins: tuple[str, ...] = PINS, progress: Progress = say
) -> Path:
    """
    Return the Python that has ministack, after installing it if it is not there.

    Installing takes 10 to 30 seconds, some 110 MB and a package index; the
    second call takes neither. Two processes may call it at once: one
    installs, the other waits.

    Args:
        folder: Holds the environments; default ``engines_folder()``.
        pins: What to install, exact versions.
        progress: Called with a line of plain words before anything slow.

    Raises:
        EngineError: No ``venv`` module, pip failed, or the folder cannot be written.
    """
    home = environment_folder(folder, pins)
    if not _is_complete(home, pins):
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            with _alone(home.parent, progress):
                if not _is_complete(home, pins):  # else another process was faster
                    _install(home, pins, progress)
        except OSError as error:
            raise EngineError(
                f"The embedded AWS could not be installed in {home}: {error.strerror or error}.",
                f"set {FOLDER_VARIABLE} to a folder that can be written to and has 200 MB free.",
            ) from error
    return _python(home)


def _python(home: Path) -> Path:
    return home / "bin" / "python"


def _is_complete(home: Path, pins: tuple[str, ...]) -> bool:
    """Say whether *home* was finished with *pins*, and its Python is still on this machine."""
    marker = home / _MARKER
    return marker.is_file() and marker.read_text().split() == list(pins) and _python(home).exists()


@contextmanager
def _alone(folder: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock of *folder*. The system releases it when its holder dies, so none is ever stale."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another process that is installing the embedded AWS in {folder}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(home: Path, pins: tuple[str, ...], progress: Progress) -> None:
    """Build the environment beside *home* and rename it, so that *home* is whole or absent."""
    progress(f"installing the embedded AWS (once, some 110 MB, half a minute): {' '.join(pins)}")
    progress(f"  into {home}")
    for left_over in home.parent.glob(f"{_BUILDING}*"):  # of a process that was killed; we hold the lock
        shutil.rmtree(left_over, ignore_errors=True)
    building = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=home.parent))
    try:
        _run(
            [sys.executable, "-I", "-m", "venv", str(building)],
            "python could not make a virtual environment",
            "install Python's venv module (Debian, Ubuntu: `apt install python3-venv`), then run this again",
        )
        _run(
            [str(_python(building)), "-I", "-m", "pip", "install", "-q", *_PIP_OPTIONS, *pins],
            "pip could not install the embedded AWS",
            "check the network and pip's settings (index, proxy, certificates), "
            "then run `python -m replicator.embedded install`",
        )
        (building / _MARKER).write_text("\n".join(pins) + "\n")
        shutil.rmtree(
            home, ignore_errors=True
        )  # an incomplete one; moving a venv keeps its bin/python working
        building.rename(home)  # a moved environment keeps its bin/python; its scripts are not used
    finally:
        shutil.rmtree(building, ignore_errors=True)
    progress("the embedded AWS is installed")


def _run(command: list[str], message: str, hint: str) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in _PIP_TARGETS and not name.startswith("PYTHON")
    }
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = "\n  ".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise EngineError(f"{message} (exit status {done.returncode}):\n  {said}", hint)
