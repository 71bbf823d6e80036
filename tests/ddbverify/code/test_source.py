"""The user's Python files are compiled from their text, whatever bytecode lies beside them."""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ddbverify.projects import REPOSITORY

STRICT, WEAKER = "LIMIT = 1\n", "LIMIT = 9\n"

# In a process of its own, since it is for a whole process; the folder `site` stands for site-packages.
PROGRAM = """\
import importlib, importlib.util, json, sys
from ddbverify.code import source
folder, module, own, folders = json.loads(sys.argv[1])
site = folder + "/site/"
source.is_environment = lambda file: file.startswith(site) or not file.startswith(folder)
sys.path[:0] = [folder, site]
source.install(own, folders)
try:
    print(json.dumps([importlib.import_module(module).LIMIT, len(source.compiled())]))
except ImportError as error:
    print(json.dumps([str(error), len(source.compiled())]))
"""


def imported(folder: Path, module: str, *, own: tuple[str, ...] = (), folders: tuple[str, ...] = ()) -> list:
    asked = json.dumps([str(folder), module, own, folders])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, asked], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    answer: list = json.loads(done.stdout)
    return answer


def plant(file: Path, place: Path | None = None) -> None:
    """A module, and beside it bytecode of a weaker one of the same size and time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(WEAKER)
    seen = file.stat()
    cached = place or Path(importlib.util.cache_from_source(str(file)))
    cached.parent.mkdir(exist_ok=True)
    py_compile.compile(str(file), cfile=str(cached))
    file.write_text(STRICT)
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def test_bytecode_decides_where_nobody_prevents_it(tmp_path):
    """The guard of the tests below: what is planted would be taken."""
    plant(tmp_path / "site" / "shop.py")

    assert imported(tmp_path, "shop") == [9, 0]


@pytest.mark.parametrize(
    ("file", "module", "settings"),
    [
        ("shop.py", "shop", {}),
        ("shop/rules.py", "shop.rules", {}),
        ("site/shop/rules.py", "shop.rules", {"own": ("shop",)}),
        ("site/suite/rules.py", "suite.rules", {"folders": ("{folder}/site/suite",)}),
    ],
)
def test_the_text_decides(tmp_path, file, module, settings):
    plant(tmp_path / file)
    settings = {name: tuple(one.format(folder=tmp_path) for one in value) for name, value in settings.items()}

    assert imported(tmp_path, module, **settings) == [1, 1]


def test_a_module_without_a_text_is_not_imported(tmp_path):
    plant(tmp_path / "shop.py", tmp_path / "shop.pyc")
    (tmp_path / "shop.py").unlink()

    said, compiled = imported(tmp_path, "shop")
    assert "shop is there as bytecode only" in said
    assert compiled == 0
