"""Clean runs count in a row only: none between them can be left out, moved or counted twice."""

from __future__ import annotations

import hashlib
import os
import shutil

import msgspec
import pytest

from ddbverify.config import load
from ddbverify.evidence import evidence as documents
from ddbverify.evidence import folders, row, signing
from ddbverify.evidence.envelope import NotTrusted
from ddbverify.evidence.evidence import NO_EVIDENCE
from ddbverify.evidence.record import CheckState
from ddbverify.gate import gate
from tests.ddbverify import projects
from tests.ddbverify.gate.test_gate import ALTERED, _at, _check, _comparison
from tests.ddbverify.judged import ENDED, NOW, good_evidence, leave, run_id
from tests.ddbverify.keys import ed25519_key

replace = msgspec.structs.replace
WANTED = projects.TOML + "[gate]\nclean_runs = 3\n"


class Runs:
    """A project that is run again and again."""

    def __init__(self, folder):
        self.file = projects.make_project(folder, toml=WANTED)
        self.config = load(self.file)
        self.good = good_evidence(self.config)
        self.bad = replace(self.good, **_check(CheckState.FAILED)(self.good))

    def run(self, found=None, began=0, out=None):
        found = replace(found or self.good, run_id=run_id())
        if began:
            found = replace(found, **_at(ENDED + began)(found))
        folder = leave(self.config, found, out)
        # `latest` was made when the run started; by this machine's clock it would be later than NOW one day.
        os.utime(folders.latest(self.config), (found.started_epoch,) * 2, follow_symlinks=False)
        return folder

    def judged(self, folder=None, **options):
        return gate.judge(load(self.file), folder, now=NOW, **options)

    def closed(self, folder=None):
        """Why the row is too short; empty where it is not."""
        reasons = self.judged(folder).reasons
        assert {reason.code for reason in reasons} <= {"clean-runs"}
        return " ".join(reason.message for reason in reasons)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    projects.stand_in(tmp_path, monkeypatch)
    return Runs(tmp_path)


def test_a_run_that_was_not_clean_begins_the_row_anew(runs):
    opened = []
    for found in (None, None, None, runs.bad, None, None, None):
        last = runs.run(found)
        opened.append(runs.judged().open)

    assert opened == [False, False, True, False, False, False, True]
    assert runs.judged(last).open


def test_an_earlier_run_is_judged_with_those_before_it(runs):
    first, second, third = runs.run(), runs.run(), runs.run()

    assert "was the first run" in runs.closed(first)
    assert "2 clean runs" in runs.closed(second)
    assert runs.judged(third).open


@pytest.mark.parametrize("what", ["killed", "deleted", "bad and deleted", "altered", "signed by another"])
def test_a_run_between_cannot_be_left_out(runs, what):
    runs.run()
    between = runs.run(runs.bad if what.startswith("bad") else None)
    evidence = between / folders.EVIDENCE
    if what == "killed":
        evidence.unlink()  # before the next run looks at it
    last = runs.run()
    if what in ("deleted", "bad and deleted"):
        shutil.rmtree(between)
    elif what == "altered":
        evidence.write_bytes(evidence.read_bytes() + b" ")
    elif what == "signed by another":
        evidence.write_bytes(documents.encode(runs.good, ed25519_key(9)))

    assert "1 clean runs" in runs.closed(last)
    assert ("has left no evidence" in runs.closed(last)) is (what == "killed")


@pytest.mark.parametrize("what", ["latest points back", "latest is gone", "deleted", "older evidence in it"])
def test_a_failed_run_cannot_be_left_out_by_what_is_done_before_the_next_one(runs, what):
    earlier = runs.run(began=-200)
    between = runs.run(runs.bad, began=-100)
    if what == "latest points back":
        folders.point_latest(runs.config, earlier)
    elif what == "latest is gone":
        folders.latest(runs.config).unlink()
    elif what == "deleted":
        shutil.rmtree(between)  # and `latest` still says that it was
    else:
        shutil.copy(earlier / folders.EVIDENCE, between)
    runs.run()

    assert "1 clean runs" in runs.closed()


@pytest.mark.parametrize("points_at", ["the last", "an earlier one", "nothing"])
def test_runs_that_lie_elsewhere_are_in_the_row(runs, tmp_path_factory, points_at):
    elsewhere = tmp_path_factory.mktemp("out")
    made = [runs.run(began=-300 + 100 * number, out=elsewhere / str(number)) for number in range(3)]
    if points_at == "an earlier one":
        folders.point_latest(runs.config, made[0])
    elif points_at == "nothing":
        folders.latest(runs.config).unlink()
    before = row.previous(runs.config, signing.trusted_keys(runs.config))

    assert before == hashlib.sha256((made[-1] / folders.EVIDENCE).read_bytes()).hexdigest()


def test_a_run_whose_link_was_lost_is_known_by_latest_and_called_as_its_evidence_says(runs, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("out")
    first, last = (runs.run(began=began, out=elsewhere / str(-began)) for began in (-200, -100))
    newest, oldest = sorted((path for path in folders.runs(runs.config).iterdir()), reverse=True)
    digests = {
        one: hashlib.sha256((one / folders.EVIDENCE).read_bytes()).hexdigest() for one in (first, last)
    }
    trusted = signing.trusted_keys(runs.config)

    newest.unlink()
    assert row.previous(runs.config, trusted) == digests[last]
    folders.point_latest(runs.config, first)
    newest.symlink_to(last)
    oldest.unlink()
    assert row.previous(runs.config, trusted) == digests[last]
    (first / folders.EVIDENCE).unlink()
    assert row.previous(runs.config, trusted) == NO_EVIDENCE  # nobody knows when that one was


def test_a_copy_of_a_run_does_not_count_again(runs):
    last = runs.run()
    copies = runs.file.parent / "artifacts"
    for copy in (last.with_name("copy-1"), copies / "copy-1", copies / "copy-2"):
        shutil.copytree(last, copy)

    assert "was the first run" in runs.closed(last)
    assert "was the first run" in runs.closed(copies / "copy-2")


def test_what_folders_are_called_and_how_old_they_are_decides_nothing(runs):
    last = [runs.run() for _ in range(3)][-1]
    for number, folder in enumerate(sorted(last.parent.iterdir())):
        os.utime(folder / folders.SETTINGS, (number, number))
        if folder != last:
            folder.rename(folder.with_name(f"z{9 - number}"))

    assert runs.judged(last).open


def test_chosen_runs_in_a_folder_of_their_own_are_no_row(runs, tmp_path_factory):
    chosen = tmp_path_factory.mktemp("chosen")
    for found in (None, runs.bad, None, runs.bad, None):
        folder = runs.run(found)
        if found is None:
            shutil.copytree(folder, chosen / folder.name)
    shutil.rmtree(runs.config.folder / ".ddbverify/runs")

    assert "is not here" in runs.closed(chosen / folder.name)


def test_a_row_goes_on_where_its_folders_were_moved_together(runs, tmp_path_factory):
    last = [runs.run() for _ in range(3)][-1]
    moved = tmp_path_factory.mktemp("artifact") / "runs"
    shutil.move(last.parent, moved)

    assert runs.judged(moved / last.name).open


@pytest.mark.parametrize("what", ["source made anew", "checks", "settings", "pytest's version"])
def test_a_clean_run_of_something_else_ends_the_row(runs, what):
    runs.run(replace(runs.good, **ALTERED[what][0](runs.good)))
    runs.run()
    runs.run()

    assert "2 clean runs" in runs.closed()
    assert "other tables, settings, checks or programs" in runs.closed()


def test_under_the_fence_runs_before_it_may_have_had_churning_keys(runs):
    """They were made on live tables; only the last verification has to be without."""
    runs.file.write_text(WANTED.replace("clean_runs = 3", "clean_runs = 2\nchurning = true"))
    waiting = replace(runs.good.checks[0], state=CheckState.INCONCLUSIVE, only_churning=True)
    live = replace(
        runs.good,
        checks=(waiting, *runs.good.checks[1:]),
        verdict="inconclusive",
        **_comparison(counts={"matched": 2, "churning": 1})(runs.good),
    )
    runs.run(live)
    runs.run()

    assert runs.judged(allow_churning=False).open
    runs.run(live)
    assert not runs.judged(allow_churning=False).open


def test_what_a_run_says_of_the_one_before(runs):
    trusted = signing.trusted_keys(runs.config)
    assert row.previous(runs.config, trusted) is None
    folder = runs.run()
    assert len(row.previous(runs.config, trusted)) == 64
    (folder / folders.EVIDENCE).unlink()
    assert row.previous(runs.config, trusted) == NO_EVIDENCE
    shutil.rmtree(folder)  # `latest` points nowhere now
    assert row.previous(runs.config, trusted) == NO_EVIDENCE


def test_what_is_no_file_is_no_evidence(tmp_path):
    for make in (lambda path: path.mkdir(), os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        make(folder / folders.EVIDENCE)
        with pytest.raises(NotTrusted):
            row.content(folder)


def test_keys_of_the_row_are_those_that_are_trusted_now(runs):
    runs.run()
    runs.run()
    (runs.config.folder / ".ddbverify/key.pem").unlink()
    runs.run()

    assert "signed by a key that is not trusted here" in runs.closed()
    assert signing.trusted_keys(runs.config)
