"""Older evidence never stands in for a later run, wherever it is copied and whatever `latest` points at."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil

import msgspec
import pytest

from ddbverify.config import load
from ddbverify.errors import ConfigurationError
from ddbverify.evidence import evidence as documents
from ddbverify.evidence import folders, signing
from ddbverify.evidence.record import CheckState
from ddbverify.gate import gate
from ddbverify.gate.superseded import newest
from ddbverify.pipeline.health import PipelineHealth
from ddbverify.pipeline.newest_run import NewestRun
from tests.ddbverify import projects
from tests.ddbverify.gate.test_gate import _at, _check
from tests.ddbverify.judged import ENDED, NOW, good_evidence, leave, run_id

replace = msgspec.structs.replace


class Two:
    """A project with a run that passed, and a later one that failed."""

    def __init__(self, folder):
        self.config = load(projects.make_project(folder))
        self.home, self.latest = folders.home(self.config), folders.latest(self.config)
        good = good_evidence(self.config)
        self.passed = leave(self.config, good)
        bad = replace(good, **_at(ENDED + 100)(good))
        self.bad = replace(bad, **_check(CheckState.FAILED)(bad))
        self.failed = leave(self.config, self.bad)

    def codes(self, folder=None):
        decision = gate.judge(self.config, folder, now=NOW)
        assert decision.open is (not decision.reasons)
        return {reason.code for reason in decision.reasons}

    def point_latest(self, folder):
        self.latest.unlink()
        self.latest.symlink_to(os.path.relpath(folder, self.home))


@pytest.fixture
def two(tmp_path, monkeypatch):
    projects.stand_in(tmp_path, monkeypatch)
    return Two(tmp_path)


def test_before_anything_is_done_each_folder_says_what_its_run_was(two):
    assert two.codes() == two.codes(two.failed) == {"failed"}
    assert two.codes(two.passed) == {"superseded"}


def copied_into_the_later_folder(two):
    shutil.copy(two.passed / folders.EVIDENCE, two.failed / folders.EVIDENCE)


def folders_swapped(two):
    aside = two.passed.with_name("aside")
    two.passed.rename(aside)
    two.failed.rename(two.passed)
    aside.rename(two.failed)


def latest_pointed_back(two):
    two.point_latest(two.passed)


def latest_points_at_a_copy_elsewhere(two):
    shutil.copytree(two.passed, two.home / "copy")
    two.point_latest(two.home / "copy")


def latest_is_a_folder_with_the_earlier_evidence(two):
    two.latest.unlink()
    shutil.copytree(two.passed, two.latest)


def later_folder_renamed(two):
    two.failed.rename(two.failed.with_name("20200101T000000Z-" + "0" * 32))
    two.point_latest(two.passed)


def later_folder_renamed_to_no_run(two):
    two.failed.rename(two.failed.with_name("notes"))
    two.point_latest(two.passed)


def later_evidence_deleted(two):
    (two.failed / folders.EVIDENCE).unlink()
    two.point_latest(two.passed)


def later_evidence_replaced_by_the_earlier(two):
    shutil.copy(two.passed / folders.EVIDENCE, two.failed / folders.EVIDENCE)
    two.point_latest(two.passed)


def later_evidence_is_no_more_than_bytes(two):
    (two.failed / folders.EVIDENCE).write_bytes(b"{}")
    two.point_latest(two.passed)


TRICKS = (
    copied_into_the_later_folder,
    folders_swapped,
    latest_pointed_back,
    latest_points_at_a_copy_elsewhere,
    latest_is_a_folder_with_the_earlier_evidence,
    later_folder_renamed,
    later_folder_renamed_to_no_run,
    later_evidence_deleted,
    later_evidence_replaced_by_the_earlier,
    later_evidence_is_no_more_than_bytes,
)


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__)
def test_earlier_evidence_does_not_pass_for_the_last_word(two, trick):
    trick(two)

    assert "superseded" in two.codes()
    for folder in folders.runs(two.config).iterdir():
        assert two.codes(folder), folder


def test_without_latest_the_earlier_run_is_still_superseded(two):
    two.latest.unlink()

    assert two.codes(two.passed) == {"superseded"}
    assert two.codes() == {"failed"}  # the newest by its name


def test_no_link_is_no_reason_of_its_own(tmp_path, monkeypatch):
    projects.stand_in(tmp_path, monkeypatch)
    config = load(projects.make_project(tmp_path))
    only = leave(config, good_evidence(config))
    folders.latest(config).unlink()

    assert gate.judge(config, only, now=NOW).open
    assert gate.judge(config, now=NOW).open

    (folders.runs(config) / "zzz").mkdir()  # no run: its name says so
    assert gate.judge(config, now=NOW).open


def test_a_latest_that_points_nowhere_is_not_replaced_by_an_earlier_run(two):
    shutil.rmtree(two.failed)

    assert two.codes() == {"evidence"}


def test_an_artifact_on_a_fresh_runner_is_judged_by_its_content(two, tmp_path_factory):
    artifact = tmp_path_factory.mktemp("artifact")
    shutil.copy(two.passed / folders.EVIDENCE, artifact)
    assert two.codes(artifact) == {"superseded"}  # the later run lies here

    shutil.rmtree(folders.runs(two.config))
    two.latest.unlink()
    assert two.codes(artifact) == set()


def test_a_run_that_lies_elsewhere_is_looked_at_though_latest_points_back(two, tmp_path_factory):
    last = replace(two.bad, **_at(ENDED + 200)(two.bad))
    elsewhere = folders.make_run_folder(two.config, last.run_id, tmp_path_factory.mktemp("out") / "run")
    key = signing.signing_key(two.config)
    (elsewhere / folders.EVIDENCE).write_bytes(documents.encode(last, key))
    again = leave(two.config, replace(good_evidence(two.config), **_at(ENDED + 150)(two.bad)))
    assert "superseded" in two.codes(again)

    shutil.rmtree(elsewhere)  # its link is left, and says that it was
    assert "superseded" in two.codes(again)


def elsewhere(two, tmp_path_factory, seconds):
    """The folder of one more failed run, with --out."""
    last = replace(two.bad, **_at(ENDED + seconds)(two.bad))
    folder = folders.make_run_folder(two.config, last.run_id, tmp_path_factory.mktemp("out") / "run")
    (folder / folders.EVIDENCE).write_bytes(documents.encode(last, signing.signing_key(two.config)))
    return folder, last


def test_earlier_evidence_in_the_folder_of_a_later_run_that_lies_elsewhere(two, tmp_path_factory):
    folder, last = elsewhere(two, tmp_path_factory, 200)
    shutil.rmtree(two.failed)
    shutil.copy(two.passed / folders.EVIDENCE, folder)

    link = folders.runs(two.config) / last.run_id
    for judged in (None, folder, link):
        assert two.codes(judged) == {"superseded"}


def test_a_folder_elsewhere_may_be_emptied_and_used_again(two, tmp_path_factory):
    folder, _ = elsewhere(two, tmp_path_factory, 200)
    shutil.rmtree(folder)
    again = replace(good_evidence(two.config), **_at(ENDED + 300)(two.bad))
    folders.make_run_folder(two.config, again.run_id, folder)
    key = signing.signing_key(two.config)
    (folder / folders.EVIDENCE).write_bytes(documents.encode(again, key))

    assert two.codes() == two.codes(folder) == set()  # the link of the run before leads here, too


def noted(monkeypatch, run):
    health = PipelineHealth(exists=True, newest_run=run)
    monkeypatch.setattr("ddbverify.pipeline.health.health", lambda *_, **__: health)


@pytest.mark.parametrize(
    ("changes", "is_closed"),
    [
        ({}, False),
        ({"sha256": ""}, False),  # it was under way when it was noted
        ({"sha256": "0" * 64}, True),  # another file of the same run
        ({"run_id": "another", "plus_ms": 1}, True),
        ({"run_id": "another", "plus_ms": 1, "sha256": ""}, True),
        ({"run_id": "another", "plus_ms": -1}, False),
    ],
)
def test_a_later_run_that_the_state_table_knows_supersedes_an_artifact_on_a_fresh_runner(
    two, tmp_path_factory, monkeypatch, changes, is_closed
):
    artifact = tmp_path_factory.mktemp("artifact")
    shutil.copy(two.passed / folders.EVIDENCE, artifact)
    shutil.rmtree(two.failed)
    two.latest.unlink()
    here = newest(two.config)
    assert two.codes(artifact) == set()

    started_ms = here.started_ms + changes.pop("plus_ms", 0)
    noted(monkeypatch, dataclasses.replace(here, started_ms=started_ms, **changes))

    assert two.codes(artifact) == ({"superseded"} if is_closed else set())


def test_the_newest_run_is_the_one_that_was_started_last_whatever_it_came_to(two):
    sha256 = hashlib.sha256((two.failed / folders.EVIDENCE).read_bytes()).hexdigest()
    failed = NewestRun(two.failed.name, int(two.bad.started_epoch * 1000), sha256)
    assert newest(two.config) == failed

    two.point_latest(two.passed)
    assert newest(two.config) == failed

    (two.failed / folders.EVIDENCE).unlink()
    assert newest(two.config) == dataclasses.replace(failed, sha256="")

    shutil.rmtree(two.failed)
    assert newest(two.config).run_id == two.passed.name


def test_without_a_run_there_is_no_newest(tmp_path):
    assert newest(load(projects.make_project(tmp_path))) is None


def test_a_folder_among_the_runs_cannot_be_named_for_a_run(two):
    with pytest.raises(ConfigurationError, match="are called by their ids"):
        folders.make_run_folder(two.config, run_id(), folders.runs(two.config) / "nightly")


def test_what_is_no_run_among_the_runs_says_nothing(two):
    (folders.runs(two.config) / "notes").mkdir()
    (folders.runs(two.config) / "README").write_text("runs")
    os.utime(folders.runs(two.config) / "README", (NOW + 999, NOW + 999))

    assert two.codes() == {"failed"}


def test_links_that_lead_to_themselves_close_the_gate_and_break_nothing(two):
    two.latest.unlink()
    two.latest.symlink_to("latest")
    loop = folders.runs(two.config) / "loop"
    loop.symlink_to("loop")

    assert two.codes() == {"evidence"}
    assert two.codes(loop) == {"evidence"}
    assert two.codes(two.passed) == {"superseded"}
