"""
The tests of Spark, each version in an environment of its own: ``python -m tests.spark_lane [3.5] [4]``.

``make test-spark`` calls it, and ``make bench-spark`` with ``--bench``, for the benchmark in place of the
tests. The environments stand beside the other engines, and are kept.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

from replicator.embedded.environment import engines_folder
from tests.engines import JAVA_AT_LEAST, java_version

ROOT = Path(__file__).parents[1]

VERSIONS = {"3.5": "pyspark>=3.5,<4", "4": "pyspark>=4,<5"}
"""Of Spark, with what pip is asked for: the newest of each."""

BESIDE = ("pytest>=8.3", "pytest-timeout>=2.3", "hypothesis>=6.112")
"""What the tests import, beside ddbverify and its extra."""


def environment(version: str) -> Path:
    """The Python of one version, made where it is not there, or where what it is made of has changed."""
    folder = engines_folder() / f"spark-{version}-python-{sys.version_info[0]}.{sys.version_info[1]}"
    python, stamp = folder / "bin" / "python", folder / "made-of"
    made_of = "\n".join((VERSIONS[version], *BESIDE, (ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    if stamp.exists() and stamp.read_text(encoding="utf-8") == made_of:
        return python
    print(f"installing Spark {version} (some 400 MB, once) into {folder}", flush=True)
    venv.create(folder, with_pip=True)
    install = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-qq"]
    subprocess.run([*install, VERSIONS[version], *BESIDE, f"{ROOT}[spark,ion]"], check=True)
    # This checkout's modules, whichever it is, and not a copy of them.
    subprocess.run([*install[:-2], "uninstall", "-qq", "-y", "ddbverify"], check=True)
    stamp.write_text(made_of, encoding="utf-8")
    return python


def main(arguments: list[str]) -> int:
    """
    Run the tests on some versions, by default on all.

    Returns:
        0 also where Java is missing on a laptop: the lane is left out, and says so. With ``CI`` set that is
        1: there the lane is never left out.
    """
    java = java_version()
    if java is None or java < JAVA_AT_LEAST:
        there = "there is none" if java is None else f"there is {java}"
        print(f"Spark wants Java {JAVA_AT_LEAST}, {there}; install it, then run `make test-spark`")
        return 1 if os.environ.get("CI") else 0
    if arguments[:1] == ["--bench"]:
        _, version, *options = arguments
        return _run(version, ["benchmarks.on_spark", *options])
    versions = [one for one in arguments if one in VERSIONS] or list(VERSIONS)
    options = [one for one in arguments if one not in VERSIONS]
    for version in versions:
        status = _run(version, ["pytest", "-p", "no:cacheprovider", "tests/spark", *options])
        if status:
            return status
    return 0


def _run(version: str, module: list[str]) -> int:
    """The exit status of a module with its arguments, run by the Python of one version."""
    command = [str(environment(version)), "-m", *module]
    print(f"Spark {version}: {' '.join(command)}", flush=True)
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
