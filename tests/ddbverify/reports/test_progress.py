"""Rates and forecasts from reports; the displays only hand them on."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from ddbverify.compare.request import Progress
from ddbverify.reports import progress
from ddbverify.reports.progress import Meter


def report(phase="scan", finished=0, planned=4, items=0, units=0.0, suspects=0):
    return Progress(
        phase=phase,
        segments_finished=finished,
        segments_planned=planned,
        source_items=items,
        target_items=0,
        read_units=units,
        open_suspects=suspects,
    )


def meter(items=1000, usd=0.0, findings=0, settle=60.0):
    return Meter(items=items, usd_per_unit=usd, settle_seconds=settle, findings=lambda: findings)


def test_rate_units_money_findings_and_time_left():
    shown = meter(usd=0.125e-6, findings=3)
    shown.state(report(items=0), 100.0)
    state = shown.state(report(items=250, units=2e6), 110.0)
    assert state.title == "reading"
    assert state.fraction == 0.25
    assert state.words == "250 items, 25/s, 2,000,000 read units, $0.25, 3 findings, 30 s left"


def test_what_a_checkpoint_brought_along_is_no_speed():
    shown = meter()
    shown.state(report(items=800), 0.0)
    state = shown.state(report(items=900), 10.0)
    assert "900 items, 10/s" in state.words
    assert "10 s left" in state.words


def test_a_table_that_has_grown_is_not_done_before_its_end():
    state = meter(items=100).state(report(items=5_000, finished=1), 0.0)
    assert state.fraction == 0.99
    assert "left" not in state.words


def test_without_a_count_segments_tell_how_far_it_is():
    assert meter(items=0).state(report(items=5_000, finished=1), 0.0).fraction == 0.25


@pytest.mark.parametrize(
    ("last", "title", "words"),
    [
        (report(finished=4, items=9), "settling", "9 items"),
        (report("second pass", 4, items=9), "second pass", "9 items"),
    ],
)
def test_after_the_scan(last, title, words):
    state = meter().state(last, 5.0)
    assert (state.title, state.fraction) == (title, 1.0)
    assert state.words.startswith(words)


def test_settling_counts_down():
    shown = meter()
    states = [
        shown.state(report("settle", 4, items=9, suspects=suspects), 1000.0 + seconds)
        for seconds, suspects in ((0, 8), (15, 8), (48, 6), (60, 5), (70, 5), (71, 0))
    ]

    assert {state.title for state in states} == {"settling"}
    assert [state.words.removesuffix(", 9 items, 0 read units") for state in states] == [
        "8 keys still open, about 60 s left",
        "8 keys still open, about 45 s left",
        "6 keys still open, about 12 s left",
        "5 keys still open, waiting for them to hold still",
        "5 keys still open, waiting for them to hold still",
        "0 keys still open",
    ]
    assert [state.fraction for state in states] == [0.0, 0.25, 0.8, 0.99, 0.99, 1.0]


def test_settling_without_a_settle_time_and_a_second_batch():
    shown = meter(settle=0.0)
    assert shown.state(report("settle", 4, suspects=4), 0.0).fraction == 0.99
    shown = meter(settle=10.0)
    shown.state(report("settle", 4, suspects=2), 0.0)
    shown.state(report("settle", 4, suspects=0), 11.0)
    assert "about 10 s left" in shown.state(report("settle", 4, suspects=50_000), 12.0).words
    assert "still open, under 1 s left" in shown.state(report("settle", 4, suspects=50_000), 21.5).words


def test_lines_are_said_while_nothing_comes_in():
    said, enough = [], threading.Event()

    def say(line):
        said.append(line)
        if len(said) == 2:
            enough.set()

    with progress.lines(meter(), say, seconds=0.01) as tell:
        tell(report("settle", 4, items=9, suspects=7))
        assert enough.wait(20)
    assert said[0].startswith("settling: 0%, 7 keys still open, about 60 s left")


def test_a_run_that_is_over_at_once_says_nothing():
    said = []
    with progress.lines(meter(), said.append, seconds=3600) as tell:
        tell(report(items=9))
    assert not said


def test_the_bar_is_drawn_on_its_own_console_and_leaves_standard_output_alone(capsys):
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=100)
    with progress.bar(meter(), console) as tell:
        tell(report(items=500))
        print("a finding")
    assert "500 items" in drawn.getvalue()
    assert capsys.readouterr().out == "a finding\n"


def test_silence_takes_reports():
    with progress.silence() as tell:
        tell(report())
