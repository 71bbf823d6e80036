"""A file is written whole, or nothing is left of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ddbverify.config import parse
from ddbverify.evidence import folders
from tests.ddbverify import projects


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("ends", [full, interrupted])
@pytest.mark.parametrize(("module", "name"), [(os, "fsync"), (Path, "replace")])
def test_what_ends_a_write_leaves_nothing_beside_the_file(tmp_path, monkeypatch, module, name, ends):
    """A full disk kept a part of each file that was tried, under a hidden name, and so stayed full."""
    path = tmp_path / "evidence.json"
    path.write_bytes(b"before")
    with monkeypatch.context() as patch:
        patch.setattr(module, name, ends)
        with pytest.raises((OSError, KeyboardInterrupt)):
            folders.write_atomically(path, b"behind")

    assert [file.name for file in tmp_path.iterdir()] == ["evidence.json"]
    assert path.read_bytes() == b"before"
    folders.write_atomically(path, b"behind")
    assert path.read_bytes() == b"behind"


def test_nor_does_what_ends_the_pointing_at_the_latest(tmp_path, monkeypatch):
    config = parse(projects.TOML, tmp_path)
    folders.point_latest(config, tmp_path / "one")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space"):
            folders.point_latest(config, tmp_path / "two")

    assert not [file.name for file in folders.home(config).iterdir() if file.name.startswith(".latest-")]
    assert folders.latest(config).readlink().name == "one"
