"""What of a project a build gets: what a run is bound to and what installs it, never the rest of a folder."""

from __future__ import annotations

import io
import zipfile

import pytest

from ddbverify.config import load
from ddbverify.errors import ConfigurationError
from replicator.commands.project_packed import pack

TOML = """
[[tables]]
source = "orders"
target = "orders-v2"
[checks]
files = ["expected/*.json"]
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "settings.toml").write_text(TOML)
    for name, text in {
        "requirements.txt": "-c pins.txt\n./wheels/ddbverify-1.0-py3-none-any.whl[report]\n",
        "pins.txt": "boto3==1.43\n",
        "wheels/ddbverify-1.0-py3-none-any.whl": "bytes",
        "wheels/other.whl": "nobody names it",
        "checks/check_orders.py": "import packed_helper\n",
        "packed_helper.py": "",
        "expected/totals.json": "{}",
        ".ddbverify/key.pem": "secret",
        ".env": "secret",
        "notes.txt": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def packed(project):
    return pack(load(project / "settings.toml"), project / "settings.toml")


def test_what_takes_part_is_packed_and_nothing_else(project):
    assert packed(project).files == (
        "checks/check_orders.py",
        "expected/totals.json",
        "migration.toml",
        "packed_helper.py",
        "pins.txt",
        "requirements.txt",
        "wheels/ddbverify-1.0-py3-none-any.whl",
    )
    with zipfile.ZipFile(io.BytesIO(packed(project).content)) as archive:
        assert archive.read("migration.toml").decode() == TOML


def test_the_same_files_are_the_same_object_and_others_another(project):
    before = packed(project)
    assert packed(project) == before
    (project / "notes.txt").write_text("changed")
    assert packed(project) == before
    (project / "checks" / "check_orders.py").write_text("import packed_helper, json\n")
    assert packed(project).key != before.key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is none"),
        ("boto3==1.43\n# ddbverify\n", "does not name ddbverify"),
        ("--index-url https://me:token@wheels.example/simple\nddbverify==1.0\n", "a user or a password"),
    ],
)
def test_requirements_that_no_build_could_use_or_everybody_could_read_are_refused(project, text, said):
    (project / "requirements.txt").unlink()
    if text is not None:
        (project / "requirements.txt").write_text(text)
    with pytest.raises(ConfigurationError, match=said) as refused:
        packed(project)
    assert "token" not in str(refused.value)


def test_a_file_beside_the_project_is_refused(project, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "packed_stranger.py").write_text("")
    monkeypatch.syspath_prepend(elsewhere)
    (project / "checks" / "check_orders.py").write_text("import packed_stranger\n")
    with pytest.raises(ConfigurationError, match=r"packed_stranger.py takes part in a run"):
        packed(project)
