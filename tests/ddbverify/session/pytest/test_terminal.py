"""What the header of a session says is read."""

from __future__ import annotations

import pytest

from ddbverify.config import load
from ddbverify.session.pytest import terminal
from tests.ddbverify import projects


@pytest.mark.parametrize(
    ("changes_only", "said"),
    [
        (False, "  coverage full (default), settle 60 s (default), "),
        (
            True,
            "  what was written since an earlier run, settle 60 s (default), ",
        ),  # "coverage full", it said
    ],
)
def test_what_is_read_is_the_tables_or_what_has_changed(tmp_path, changes_only, said):
    (tmp_path / "migration.toml").write_text(projects.TOML)
    config = load(tmp_path / "migration.toml")

    lines = terminal.header(tmp_path / "migration.toml", config, {}, changes_only=changes_only)
    assert lines[-1].startswith(said)
