"""The migration in a report: of the log of `replicator watch`, and provable although that log grows."""

from __future__ import annotations

import dataclasses

import pytest

from ddbverify.config import load
from ddbverify.evidence import folders
from ddbverify.evidence.events import EventLog
from ddbverify.page import making, migration, plots, proof, stamp, watched
from tests.ddbverify import projects
from tests.ddbverify.live.logs import AT, following, migration_log
from tests.ddbverify.pages import HOSTILE, rich

NAME = "migration"
HOUR = 3600.0


@pytest.fixture
def config(tmp_path):
    return load(projects.make_project(tmp_path))


@pytest.fixture
def log(config):
    """A log of a minute beside the runs."""
    path = folders.make_home(config) / watched.LOG
    migration_log(path, name=NAME)
    return path


def page_of(folder, config):
    return making.make(folder, config).content


def text_of(folder, config):
    return page_of(folder, config).decode()


def last(path, **changes):
    """One more look, at the end of the log."""
    EventLog(path).write(following(AT + 1e6, **changes))


def test_backlog_time_left_canary_gate_and_cost_are_shown(config, log):
    last(log, waiting=1234, oldest_message_seconds=24 * HOUR, stream_behind_seconds=6 * HOUR, usd=1.25)
    text = text_of(rich(config), config)

    assert "As <code>replicator watch</code> saw it at 2026-" in text
    assert "1,234 waiting" in text
    assert "The oldest message has waited 24.0 h: a queue keeps 14 days, so 13.0 days are left." in text
    assert "The forwarder is 6.0 h behind the stream: a stream keeps 24 h, so 18.0 h are left." in text
    assert "p50 2 s, p99 5 s at most" in text
    assert "$1.25, an estimate" in text
    assert "<dt>Gate</dt>" in text


@pytest.mark.parametrize(
    ("used", "share", "left"),
    [(0.0, 0, "24.0 h"), (12 * HOUR, 0.5, "12.0 h"), (30 * HOUR, 1, "0 s")],
)
def test_a_bar_is_as_long_as_the_time_that_is_used_up(log, used, share, left):
    last(log, stream_behind_seconds=used, oldest_message_seconds=None)
    (pair,) = migration.view(watched.read(log.parent, NAME)).pairs
    (found,) = pair.left
    assert found.length == share * plots.WIDTH
    assert f"so {left}" in found.sentence


def test_what_is_not_known_is_not_shown_as_nothing(log):
    last(log, stream_behind_seconds=None, oldest_message_seconds=None)
    (pair,) = migration.view(watched.read(log.parent, NAME)).pairs
    assert pair.left == ()


def test_without_a_log_or_with_that_of_another_migration_there_is_no_such_part(config, tmp_path):
    folder = rich(config)
    assert 'id="migration"' not in text_of(folder, config)
    migration_log(folders.home(config) / watched.LOG, name="another")
    assert 'id="migration"' not in text_of(folder, config)
    (folders.home(config) / watched.LOG).unlink()
    (folders.home(config) / watched.LOG).mkdir()
    assert 'id="migration"' not in text_of(folder, config)


def test_half_a_line_that_is_being_written_is_no_damage(config, log):
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"event":"follow')
    found = watched.read(log.parent, NAME)
    assert (found.size, found.told.damage) == (len(whole), "")


def test_a_damaged_line_is_said_and_ends_it(config, log):
    log.write_bytes(log.read_bytes() + b"{}\n")
    assert "The event log is not read on" in text_of(rich(config), config)


def test_a_page_stays_provable_while_the_log_grows(config, log):
    folder = rich(config)
    page = page_of(folder, config)
    last(log, waiting=99_999)
    found = proof.verify(page, stamp.found_in(page), folder, config)
    assert found.outcome == "unaltered"


@pytest.mark.parametrize("what", ["gone", "another"])
def test_with_another_log_that_part_alone_cannot_be_told(config, log, what):
    folder = rich(config)
    page = page_of(folder, config)
    log.unlink()
    if what == "another":
        migration_log(log, name=NAME, looks=3)
    found = proof.verify(page, stamp.found_in(page), folder, config)
    assert found.outcome == "undecided"
    assert "its part on the migration cannot be told: watch.jsonl is not here, or another" in found.sentence


def test_an_altered_part_is_noticed(config, log):
    folder = rich(config)
    page = page_of(folder, config).replace(b"p99 5 s", b"p99 1 s")
    assert proof.verify(page, stamp.found_in(page), folder, config).outcome == "altered"


def test_names_of_others_are_text(config, log):
    last(log, phase=HOSTILE)
    text = text_of(rich(config), config)
    assert HOSTILE not in text
    assert "&lt;script" in text


def test_the_log_is_where_the_replicator_leaves_it():
    from replicator.commands import watch

    assert watch.LOG == watched.LOG
    assert dataclasses.fields(watched.Watched)
