"""One run per folder, one process at a time; what was written is never lost, and never counted twice."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify import diff_folder
from ddbverify.diff_folder import DiffFolder, settings_of
from ddbverify.errors import ConfigurationError, Inconclusive
from tests.ddbverify.projects import REPOSITORY

SETTINGS = {"source": {"arn": "a", "id": "1"}, "seed": None, "ignore": ["x"]}
FINISHED = {"verdict": "equal", "finished": True}
CUT_SHORT = {"verdict": "inconclusive", "finished": False}


def line(key, state="missing"):
    return json.dumps({"finding": state, "key": {"id": {"S": key}}, "paths": []})


def keys(folder):
    return [one["key"]["id"]["S"] for one in folder.lines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out"


def test_findings_are_for_the_owner_alone_and_on_disk_at_once(path):
    with DiffFolder(path, SETTINGS) as folder:
        folder.write(line("a"))
        assert folder.findings.read_text() == line("a") + "\n"
        assert folder.findings.stat().st_mode & 0o777 == 0o600
        assert path.stat().st_mode & 0o777 == 0o700
    assert settings_of(path) == SETTINGS


def test_a_folder_that_holds_a_run_is_refused_unless_it_is_resumed(path):
    with DiffFolder(path, SETTINGS) as folder:
        folder.write(line("a"))
    with pytest.raises(ConfigurationError, match="holds another run") as caught:
        DiffFolder(path, SETTINGS)
    assert "--resume" in caught.value.hint
    with DiffFolder(path, SETTINGS, resume=True) as folder:
        assert keys(folder) == ["a"]


def test_a_folder_with_other_files_is_refused_and_left_as_it_is(path):
    path.mkdir()
    (path / "thesis.txt").write_text("x")
    for resume in (False, True):
        with pytest.raises(ConfigurationError, match="not empty"):
            DiffFolder(path, SETTINGS, resume=resume)
    assert [one.name for one in path.iterdir()] == ["thesis.txt"]


def test_there_has_to_be_something_to_resume(path):
    with pytest.raises(ConfigurationError, match="no run"):
        DiffFolder(path, SETTINGS, resume=True)
    assert not path.exists()


def test_a_run_with_other_settings_is_not_resumed(path):
    DiffFolder(path, SETTINGS).__exit__(None, None, None)
    with pytest.raises(ConfigurationError, match=r"other settings: ignore, seed\."):
        DiffFolder(path, SETTINGS | {"seed": 7, "ignore": []}, resume=True)


def test_a_run_that_came_to_its_end_is_not_resumed_and_one_that_was_cut_short_is(path):
    with DiffFolder(path, SETTINGS) as folder:
        folder.checkpoint.write_text("x")
        folder.finish(CUT_SHORT)
        assert folder.checkpoint.exists()
    with DiffFolder(path, SETTINGS, resume=True) as folder:
        folder.finish(FINISHED)
        assert not folder.checkpoint.exists()
    with pytest.raises(ConfigurationError, match="come to its end"):
        DiffFolder(path, SETTINGS, resume=True)


def test_two_runs_at_once_are_refused(path):
    with DiffFolder(path, SETTINGS), pytest.raises(ConfigurationError, match="Another run is at work"):
        DiffFolder(path, SETTINGS, resume=True)


def test_two_processes_at_once_are_refused_and_a_killed_one_leaves_the_folder_free(path):
    program = (
        "import sys, pathlib; from ddbverify.diff_folder import DiffFolder\n"
        f"folder = DiffFolder(pathlib.Path({str(path)!r}), {SETTINGS!r})\n"
        f"folder.write({line('a')!r})\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(ConfigurationError, match="Another run is at work"):
            DiffFolder(path, SETTINGS, resume=True)
        child.send_signal(signal.SIGKILL)
    with DiffFolder(path, SETTINGS, resume=True) as folder:
        assert keys(folder) == ["a"]


def test_a_line_that_a_crash_left_half_written_is_cut_off(path):
    with DiffFolder(path, SETTINGS) as folder:
        folder.write(line("a"))
        folder.write(line("b"))
    with (path / "findings.jsonl").open("a") as file:
        file.write(line("c")[:20])
    with DiffFolder(path, SETTINGS, resume=True) as folder:
        folder.write(line("d"))
        assert keys(folder) == ["a", "b", "d"]


def test_a_full_disk_is_said_and_keeps_what_was_written(path):
    with DiffFolder(path, SETTINGS) as folder:
        folder.write(line("a"))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (folder.findings.stat().st_size, limits[1]))
        try:
            with pytest.raises(Inconclusive, match="cannot be written"):
                folder.write(line("b"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert keys(folder) == ["a"]
        assert folder.written == 1


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        DiffFolder(tmp_path / "file" / "out", SETTINGS)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        DiffFolder(tmp_path / "file", SETTINGS)


def test_a_run_that_read_nothing_leaves_nothing_behind(path):
    with DiffFolder(path, SETTINGS) as folder:
        folder.discard()
    assert not path.exists()


def test_the_users_own_empty_folder_stays(path):
    path.mkdir()
    with DiffFolder(path, SETTINGS) as folder:
        folder.discard()
    assert list(path.iterdir()) == []


def test_a_resumed_run_is_never_discarded(path):
    with DiffFolder(path, SETTINGS) as folder:
        folder.write(line("a"))
    with DiffFolder(path, SETTINGS, resume=True) as folder:
        folder.discard()
        assert keys(folder) == ["a"]


# --- after an interruption ------------------------------------------------------------------


def resumed(path, before, after, counted):
    with DiffFolder(path, SETTINGS) as folder:
        for key in before:
            folder.write(line(key))
    with DiffFolder(path, SETTINGS, resume=True) as folder:
        for key in after:
            folder.write(line(key, "different"))
        note = folder.reconcile(counted)
        return note, [(one["key"]["id"]["S"], one["finding"]) for one in folder.lines()]


def test_findings_that_all_came_again_replace_the_earlier_ones(path):
    """``gone`` was a finding before the interruption, and has converged since."""
    note, kept = resumed(path, ["a", "gone"], ["a", "b"], counted=2)
    assert note is None
    assert kept == [("a", "different"), ("b", "different")]


def test_findings_of_segments_that_were_finished_stay(path):
    note, kept = resumed(path, ["a", "b"], ["b", "c"], counted=3)
    assert note is None
    assert kept == [("a", "missing"), ("b", "different"), ("c", "different")]


def test_what_cannot_be_told_apart_is_kept_and_said(path):
    note, kept = resumed(path, ["a", "gone"], ["b"], counted=2)
    assert [key for key, _ in kept] == ["a", "gone", "b"]
    assert "holds 3 findings, the summary counts 2" in note


def test_more_findings_than_were_counted_are_kept_and_said(path):
    note, kept = resumed(path, ["x"], ["b", "c"], counted=1)
    assert [key for key, _ in kept] == ["x", "b", "c"]
    assert "holds 3 findings, the summary counts 1" in note


def test_a_run_that_was_not_interrupted_keeps_every_line(path):
    with DiffFolder(path, SETTINGS) as folder:
        folder.write(line("a"))
        assert folder.reconcile(1) is None
        assert keys(folder) == ["a"]


@given(
    st.lists(st.sampled_from("abcdefgh")), st.sets(st.sampled_from("abcdefgh"), min_size=1), st.integers(1, 5)
)
def test_merging_leaves_each_key_once_however_little_is_held_in_memory(tmp_path_factory, before, after, held):
    path = tmp_path_factory.mktemp("merge") / "out"
    expected = dict.fromkeys(before, "missing") | dict.fromkeys(after, "different")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diff_folder, "KEYS_HELD_AT_ONCE", held)
        note, kept = resumed(path, before, sorted(after), len(expected))
    assert note is None
    assert len(kept) == len(expected)
    assert dict(kept) == expected
    assert (path / "findings.jsonl").stat().st_mode & 0o777 == 0o600
