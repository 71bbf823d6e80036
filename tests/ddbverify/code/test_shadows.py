"""What lies beside migration.toml under the name of another module is named, or not taken for it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ddbverify.code import shadows
from ddbverify.errors import ConfigurationError
from ddbverify.items.transform import load_function
from tests.ddbverify import projects

BREAKS = "raise RuntimeError('taken for another')\n"


@pytest.fixture
def path(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    return sys.path


@pytest.mark.parametrize("name", ["boto3", "botocore", "cryptography"])
def test_a_file_of_a_librarys_name_is_refused_by_name(tmp_path, path, name):
    """It was said that the profile's source of credentials gave something else (AttributeError)."""
    (tmp_path / f"{name}.py").write_text("")

    with pytest.raises(ConfigurationError, match=f"{name}.py in .* has the name of a library") as caught:
        shadows.put_on_path(str(tmp_path))
    assert caught.value.hint.startswith(f"rename {name}.py")
    assert str(tmp_path) not in path


def test_every_library_that_we_ask_for_is_known():
    asked = map(Requirement, requires("ddbverify") or ())
    ours = {one.name for one in asked if one.marker is None or one.marker.evaluate({"extra": "report"})}
    modules = {
        name for name, owners in packages_distributions().items() if ours.intersection(map(str.lower, owners))
    }
    assert "boto3" in modules
    # pytest is loaded before the user's folder is on the path.
    assert modules - {"pytest", "_pytest", "py"} <= set(shadows.LIBRARIES)


def test_a_librarys_folder_may_lie_there(tmp_path, path):
    """Vendored, as for Lambda: it may be the library itself."""
    (tmp_path / "boto3").mkdir()
    (tmp_path / "boto3" / "__init__.py").write_text("")
    shadows.put_on_path(str(tmp_path))

    assert str(tmp_path) in path


def test_pythons_own_modules_are_found_before_the_users_and_these_before_all_others(tmp_path, path):
    before = [place for place in path if not place.startswith(str(Path(os.__file__).parent))]
    shadows.put_on_path(str(tmp_path))
    shadows.put_on_path(str(tmp_path))

    own = path.index(str(Path(os.__file__).parent))
    assert path.index(str(tmp_path)) > own
    rest = [place for place in path if place in {str(tmp_path), *before}]
    assert rest == [str(tmp_path), *before]


@pytest.mark.parametrize("command", ["ddbverify", "replicator"])
@pytest.mark.parametrize("name", ["json", "argparse", "statistics", "http"])
def test_a_module_of_pythons_name_hides_none(tmp_path, command, name):
    (tmp_path / f"{name}.py").write_text(BREAKS)
    (tmp_path / "migration.toml").write_text(projects.TOML)
    environment = {**os.environ, "PYTHONPATH": str(projects.REPOSITORY)}

    ended = subprocess.run(
        [sys.executable, "-m", command, "--version"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_transform_of_pythons_name_is_told_to_be_renamed(tmp_path, path):
    (tmp_path / "statistics.py").write_text("def cents(item):\n    return item\n")
    shadows.put_on_path(str(tmp_path))

    with pytest.raises(ConfigurationError, match="statistics has no function cents") as caught:
        load_function("statistics:cents")
    assert "Python has a module statistics of its own" in caught.value.hint
