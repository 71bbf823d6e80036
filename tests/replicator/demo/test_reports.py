"""The pages that the demonstration leaves, made by the command that a user would run."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from ddbverify.config import load
from ddbverify.errors import ConfigurationError
from replicator.context.console import Console
from replicator.demo import reports, stage
from replicator.demo.shell import Shell
from replicator.demo.story import Options, Story
from tests.ddbverify import projects
from tests.ddbverify.judged import good_evidence, leave


@pytest.fixture
def shell(tmp_path):
    projects.make_project(tmp_path)
    return Shell(Console(), {"ddbverify": dict(os.environ)}, tmp_path)


def test_the_page_on_the_latest_run_is_left_where_it_was_asked_for(shell, tmp_path, capsys):
    config = load(tmp_path / "migration.toml")
    leave(config, good_evidence(config))
    folder = tmp_path / "build" / "demo"

    reports.prepare(folder)
    reports.leave(shell, folder, reports.ALTERED)

    assert (folder / "altered.html").read_text().startswith("<!DOCTYPE html>")
    assert str(folder / "altered.html") in capsys.readouterr().out
    assert str(tmp_path) not in (folder / "altered.html").read_text()


def test_where_none_is_asked_for_nothing_is_said_or_done(shell, tmp_path, capsys):
    reports.prepare(None)
    reports.leave(shell, None, reports.CUTOVER)

    assert capsys.readouterr().out == ""


def test_one_that_cannot_be_made_is_said_and_the_story_goes_on(shell, tmp_path, capsys):
    reports.leave(shell, tmp_path, reports.CUTOVER)

    assert "no report.html: " in capsys.readouterr().out
    assert not (tmp_path / "report.html").exists()


def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match="Reports cannot be left in "):
        reports.prepare(tmp_path / "file" / "demo")


def test_the_story_leaves_one_while_the_item_is_altered_and_one_behind_the_cutover(tmp_path, monkeypatch):
    told: list[str] = []
    table = SimpleNamespace(put_item=lambda **it: told.append("altered" if it["Item"] else "put back"))
    monkeypatch.setattr(Shell, "run", lambda _, *command, **__: told.append(" ".join(command)))
    monkeypatch.setattr(stage, "tag_target", lambda _: False)
    monkeypatch.setattr(Story, "_victim", lambda _: ({}, {}))
    monkeypatch.setattr(Story, "_passing", lambda _: told.append("passing"))
    monkeypatch.setattr(Story, "_caught", lambda *_: told.append("caught"))
    monkeypatch.setattr(Story, "_flip", lambda _self, _application, command, _title: told.append(command))
    monkeypatch.setattr(reports, "leave", lambda _, folder, name: told.append(f"{folder.name}/{name}"))
    place = SimpleNamespace(table=lambda: table)
    scene = SimpleNamespace(source=place, target=place, environments={})
    story = Story(Options(report=tmp_path / "out"), Console(), scene, tmp_path, [], {}, {}, False, None)

    story._migrate(SimpleNamespace())

    after = told[told.index("altered") :]
    assert after[:6] == [
        "altered",
        "caught",
        "out/altered.html",
        *("ddbverify gate", "replicator cutover"),
        "put back",
    ]
    assert after[6:10] == ["passing", "ddbverify gate", "cutover", "out/report.html"]
