"""What decides what "passed" means, in digests."""

from __future__ import annotations

import os

import pytest

from ddbverify.config import load
from ddbverify.evidence import digests
from tests.ddbverify import projects


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        (projects.TOML.replace("orders-v2", "orders-v3"), False),
        (projects.TOML.replace("eu-central-1", "eu-central-2"), False),
        (projects.TOML + 'ignore = ["x"]\n', False),
        (projects.TOML + 'transform = "a:b"\n', False),
        (projects.TOML + '[verification]\ncoverage = "5%"\n', False),
        (projects.TOML + '[verification]\nsettle = "1s"\n', False),
        ('name = "other"\n' + projects.TOML, False),
        (projects.TOML + '[gate]\nmax_age = "2h"\n[cutover]\nfence_limit = "1h"\n', True),
        (projects.TOML + "[verification]\nread_units = 5\n", True),
        ("# a comment\n" + projects.TOML, True),
        (projects.TOML.replace("[target]", '[target]\nprofile = "ci"'), True),
    ],
)
def test_the_digest_binds_what_decides_the_outcome(tmp_path, changed, same):
    before = load(projects.make_project(tmp_path))
    after = load(projects.make_project(tmp_path / "after", toml=changed))

    assert (digests.configuration_digest(before) == digests.configuration_digest(after)) is same


def test_the_digest_of_a_folder_is_of_names_and_contents(tmp_path):
    folder = tmp_path / "checks"
    folder.mkdir()
    (folder / "check_a.py").write_text("x")
    seen = [digests.folder_digest(folder)]
    for change in (
        lambda: (folder / "check_a.py").write_text("y"),
        lambda: (folder / "check_a.py").rename(folder / "check_b.py"),
        lambda: (folder / "helper.txt").write_text(""),
    ):
        change()
        seen.append(digests.folder_digest(folder))
    assert len(set(seen)) == 4
    (folder / "helper.pyc").write_text("imported where there is no helper.py")
    seen.append(digests.folder_digest(folder))
    common = tmp_path / "common"
    common.mkdir()
    (folder / "common").symlink_to(common)
    for text in ("x", "y"):
        (common / "shared.py").write_text(text)
        seen.append(digests.folder_digest(folder))
    assert len(set(seen)) == 7
    (common / "round").symlink_to(folder)  # no end of it
    (folder / "nowhere").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_text("cache")
    assert digests.folder_digest(folder) == seen[-1]
