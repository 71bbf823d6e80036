"""Whether tasks of a session can do what they are asked for, found out by one before there are thousands."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ddbverify.errors import ConfigurationError
from ddbverify.words import page

OLDEST: Final = (3, 11)

_MODULES: Final = (
    "ddbverify.spark.tasks",
    "ddbverify.spark.segments",
    "ddbverify.items.quick",
    "ddbverify.compare.judge",
    "ddbverify.compare.coscan",
)
"""Read in a task and here: another build there would compare by other rules."""


def require_usable(session: Any) -> None:
    """
    Let one task of *session* say what it is.

    Raises:
        ConfigurationError: It cannot run ours, and what to do about it.
    """
    require_no_wheel(session.conf.get("spark.submit.pyFiles", ""))
    try:
        ((text,),) = session.range(0, 1, 1, 1).mapInArrow(_look(_MODULES), "said string").collect()
    except Exception as error:  # noqa: BLE001  # of py4j, of Spark, of its Python side
        raise _not_begun(error) from None
    require_fit(json.loads(text), _digests(_MODULES))


def require_no_wheel(files: str) -> None:
    """Raises ConfigurationError where ``--py-files`` has a wheel: what is compiled does not load from one."""
    if any(one.strip().endswith(".whl") for one in files.split(",")):
        raise ConfigurationError(
            "--engine spark: --py-files has a wheel, and what is compiled (msgspec) does not load from one.",
            f"make an archive with `ddbverify spark bundle`; see {page('spark.md')}.",
        )


def require_no_speculation(setting: str) -> None:
    """Raises ConfigurationError where tasks may run twice at once: each reads the tables, and is paid for."""
    if setting.strip().lower() == "true":
        raise ConfigurationError(
            "--engine spark: spark.speculation is on, and a live table would be read twice at once, at twice "
            "the rate and the cost.",
            "set spark.speculation=false for this job, or compare exports.",
        )


def require_fit(said: Mapping[str, Any], digests: Mapping[str, str]) -> None:
    """
    Hold what a task has said of itself against what is here.

    Raises:
        ConfigurationError: It is too old, or has not what is needed, or another build of it.
    """
    python = f"{said['python']} ({'.'.join(map(str, said['version']))})"
    again = (
        f"set PYSPARK_PYTHON to the Python of the archive before the session begins; see {page('spark.md')}."
    )
    if tuple(said["version"]) < OLDEST:
        raise ConfigurationError(
            f"--engine spark: tasks run {python}, and ddbverify needs Python 3.11 or later.", again
        )
    if said["missing"]:
        raise ConfigurationError(
            f"--engine spark: tasks run {python}, which does not import ddbverify and its libraries "
            f"({said['missing']}).",
            again,
        )
    if said["digests"] != dict(digests):
        raise ConfigurationError(
            f"--engine spark: tasks run another build of ddbverify than this one ({python}).", again
        )


def _not_begun(error: Exception) -> ConfigurationError:
    """What has kept a task from saying anything."""
    text = str(error)
    here = ".".join(map(str, sys.version_info[:2]))
    if "PYTHON_VERSION_MISMATCH" in text or "different version" in text:
        what = f"tasks run another Python than this process, which is {here}"
    elif "No module named 'pyarrow'" in text or "PACKAGE_NOT_INSTALLED" in text:
        what = "tasks have no pyarrow"
    elif "Cannot run program" in text:
        what = "the Python that PYSPARK_PYTHON names is not there"
    else:
        what = f"a first task has failed ({type(error).__name__})"
    return ConfigurationError(
        f"--engine spark: {what}.",
        f"set PYSPARK_PYTHON (now the `python3` on each machine's path, unless it is set) to one of {here} "
        f"with ddbverify and pyarrow, on every machine; see {page('spark.md')}.",
    )


def _digests(modules: Sequence[str]) -> dict[str, str]:
    import importlib

    return {
        name: hashlib.sha256(Path(str(importlib.import_module(name).__file__)).read_bytes()).hexdigest()
        for name in modules
    }


def _look(modules: Sequence[str]) -> Any:
    """What the task does. It is sent whole, as ddbverify may not be there: it uses nothing of this module."""

    def look(batches: Iterator[Any]) -> Iterator[Any]:
        import hashlib
        import importlib
        import json
        import sys

        import pyarrow as pa

        for _ in batches:
            pass
        said: dict[str, Any] = {
            "version": list(sys.version_info[:2]),
            "python": sys.executable,
            "missing": "",
            "digests": {},
        }
        for name in modules:
            try:
                module = importlib.import_module(name)
                loader: Any = module.__spec__ and module.__spec__.loader
                content = loader.get_data(module.__file__)
                said["digests"][name] = hashlib.sha256(content).hexdigest()
            except Exception as error:  # noqa: BLE001  # whatever it is, it is told
                said["missing"] = f"{type(error).__name__}: {getattr(error, 'name', None) or name}"
                break
        yield pa.RecordBatch.from_arrays([pa.array([json.dumps(said)])], names=["said"])

    return look
