"""One run per folder, one process at a time; what was written is never lost, and never counted twice."""

from __future__ import annotations

import errno
import json
import resource
import signal
import subprocess
import sys

import pytest

from ddbverify.diff.folder import DiffFolder, settings_of
from ddbverify.errors import ConfigurationError, Inconclusive
from tests.ddbverify.projects import REPOSITORY

SETTINGS = {"source": {"arn": "a", "id": "1"}, "seed": None, "ignore": ["x"]}
FINISHED = {"verdict": "equal", "finished": True}
CUT_SHORT = {"verdict": "inconclusive", "finished": False}


def line(key, state="missing"):
    return json.dumps({"finding": state, "key": {"id": {"S": key}}, "paths": []})


def keys(folder):
    return [json.loads(one)["key"]["id"]["S"] for one in folder.findings.read_text().splitlines()]


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
        "import sys, pathlib; from ddbverify.diff.folder import DiffFolder\n"
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


def test_findings_of_before_stay_until_the_resumed_run_has_come_to_its_end(path):
    """``gone`` was a finding before the interruption, and has converged since."""
    with DiffFolder(path, SETTINGS) as folder:
        for key in ("a", "gone"):
            folder.write(line(key))
    with DiffFolder(path, SETTINGS, resume=True) as folder:
        folder.write(line("a", "different"))
        assert keys(folder) == ["a", "gone", "a"]
    with DiffFolder(path, SETTINGS, resume=True) as folder:  # interrupted once more
        for key in ("a", "b"):
            folder.write(line(key, "different"))
        folder.drop_earlier()
        assert keys(folder) == ["a", "b"]
    assert (path / "findings.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_run_that_was_not_interrupted_keeps_every_line(path):
    with DiffFolder(path, SETTINGS) as folder:
        folder.write(line("a"))
        folder.drop_earlier()
        assert keys(folder) == ["a"]


def test_findings_of_before_stay_where_they_cannot_be_dropped(path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with DiffFolder(path, SETTINGS) as folder:
        folder.write(line("a"))
    with DiffFolder(path, SETTINGS, resume=True) as folder:
        folder.write(line("b"))
        monkeypatch.setattr("shutil.copyfileobj", full)
        with pytest.raises(Inconclusive, match="No space left"):
            folder.drop_earlier()
        assert keys(folder) == ["a", "b"]
    assert not (path / ".findings.jsonl").exists()
