"""
What a platform needs to run ddbverify, as files: wheels for its machines, and one launcher.

No interpreter is in it: the platform's own is used, of the version that the wheels are for. No job is
submitted, either; the lines that do so are `lines`.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.requirements import Requirement

from ddbverify.errors import ConfigurationError

LAUNCHER: Final = "ddbverify_spark.py"
ARCHIVE: Final = "ddbverify-environment.tar.gz"
WHEELS: Final = "ddbverify-wheels.gluewheels.zip"

PYTHONS: Final = ("3.11", "3.12", "3.13")
MACHINES: Final = {"x86_64": "x86_64", "arm64": "aarch64"}
"""As AWS calls them -> as wheels do."""

_GLIBCS: Final = ("2014", "_2_17", "_2_26", "_2_28", "_2_34")  # Amazon Linux 2023 has 2.34

BESIDE_SPARK: Final = ("pandas>=2.2,<3", "pyarrow>=14")
"""What the extra `spark` names beside Spark itself, which is the platform's."""

_LEFT_OUT: Final = {"__pycache__"}

_SHIM: Final = """#!/bin/sh
# The platform's Python, with what lies beside this file.
here=$(cd "$(dirname "$0")/.." && pwd)
PYTHONPATH="$here/site${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
exec "${DDBVERIFY_PYTHON:-python%s}" "$@"
"""

_START: Final = '''"""Runs ddbverify as the program of a Spark job."""
import shlex
import sys

if sys.version_info < (3, 11):
    sys.exit(
        "ddbverify needs Python 3.11 or later, and this is "
        + sys.version.split()[0]
        + ". Set PYSPARK_PYTHON and PYSPARK_DRIVER_PYTHON as `ddbverify spark bundle` prints it."
    )

from ddbverify.__main__ import main

if __name__ == "__main__":
    if "--ddbverify" in sys.argv:  # Glue knows arguments in pairs only, and adds some of its own
        sys.argv[1:] = shlex.split(sys.argv[sys.argv.index("--ddbverify") + 1])
    try:
        main()
    except SystemExit as end:
        if end.code:  # what ends with 0 has ended well; not every platform knows that
            raise
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What was made."""

    folder: Path
    python: str
    machine: str  # of `MACHINES`
    packages: tuple[str, ...]  # names of the wheels

    @property
    def files(self) -> tuple[Path, ...]:
        """All of it."""
        return tuple(self.folder / name for name in (LAUNCHER, ARCHIVE, WHEELS))


def make(folder: Path, *, python: str, machine: str) -> Bundle:
    """
    Fetch wheels with pip, and pack them.

    Args:
        folder: Where the files go; it is made.
        python: Of `PYTHONS`: the platform's.
        machine: Of `MACHINES`: the platform's.

    Raises:
        ConfigurationError: pip is not there, or finds no wheel for that platform.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wheels = folder / "wheels"
    wheels.mkdir(exist_ok=True)
    for path in wheels.glob("*.whl"):
        path.unlink()  # of an earlier version
    _download(wheels, python, machine)
    own = own_wheel()
    (wheels / own[0]).write_bytes(own[1])
    (folder / LAUNCHER).write_text(_START, encoding="utf-8")
    found = sorted(wheels.glob("*.whl"))
    _write_archive(folder / ARCHIVE, found, python)
    with zipfile.ZipFile(folder / WHEELS, "w") as file:
        for path in found:
            file.write(path, f"wheels/{path.name}")
        file.writestr("wheels/requirements.txt", "".join(f"{_project(path)}\n" for path in found))
    return Bundle(folder=folder, python=python, machine=machine, packages=tuple(path.name for path in found))


def requirements(python: str) -> list[str]:
    """What ddbverify needs on a machine of the platform, without Spark itself."""
    platform = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    found = list(BESIDE_SPARK)
    for text in importlib.metadata.requires("ddbverify") or ():
        one = Requirement(text)
        markers = ({**platform, "extra": extra} for extra in ("", "ion"))
        if one.marker is None or any(map(one.marker.evaluate, markers)):
            found.append(f"{one.name}{one.specifier}")
    return found


def _download(folder: Path, python: str, machine: str) -> None:
    platforms = [f"--platform=manylinux{one}_{MACHINES[machine]}" for one in _GLIBCS]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "-q"]
    command += ["--dest", str(folder), "--only-binary=:all:", "--implementation=cp"]
    command += [f"--python-version={python}", *platforms, *requirements(python)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigurationError(
            f"pip has not found all wheels for Python {python} on {machine}: {done.stderr.strip()[-500:]}",
            "run it where pip reaches a package index, or ask for another --python or --machine.",
        )


def own_wheel() -> tuple[str, bytes]:
    """Wheel of the ddbverify that runs: its name, and its bytes. The same files make the same bytes."""
    distribution = importlib.metadata.distribution("ddbverify")
    version = distribution.version
    described = f"ddbverify-{version}.dist-info"
    contents = {str(place): path.read_bytes() for place, path in sorted(_own_files())}
    contents[f"{described}/METADATA"] = (distribution.read_text("METADATA") or "").encode()
    contents[f"{described}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: ddbverify\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    contents[f"{described}/entry_points.txt"] = b"[console_scripts]\nddbverify = ddbverify.__main__:main\n"
    record = "".join(f"{name},sha256={_hash(content)},{len(content)}\n" for name, content in contents.items())
    contents[f"{described}/RECORD"] = f"{record}{described}/RECORD,,\n".encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in contents.items():
            file.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return f"ddbverify-{version}-py3-none-any.whl", made.getvalue()


def _own_files() -> Iterator[tuple[PurePosixPath, Path]]:
    root = Path(__file__).parents[1]
    for path in root.rglob("*"):
        if path.is_file() and not _LEFT_OUT & set(path.parts):
            yield PurePosixPath("ddbverify", path.relative_to(root).as_posix()), path


def _hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def _project(wheel: Path) -> str:
    name, version, *_ = wheel.name.split("-")
    return f"{name}=={version}"


def _write_archive(place: Path, wheels: list[Path], python: str) -> None:
    with tarfile.open(place, "w:gz") as archive:
        _add(archive, "bin/python", (_SHIM % python).encode(), mode=0o755)
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as file:
                for one in file.infolist():
                    name = _place_in_site(one.filename)
                    if name and not one.is_dir():
                        _add(archive, f"site/{name}", file.read(one), mode=0o644)


def _place_in_site(name: str) -> str | None:
    """Where a file of a wheel goes; scripts, headers and data go nowhere."""
    first, _, rest = name.partition("/")
    if not first.endswith(".data"):
        return name
    kind, _, inner = rest.partition("/")
    return inner if kind in ("purelib", "platlib") else None


def _add(archive: tarfile.TarFile, name: str, content: bytes, *, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
