"""What a log tells on a terminal, and in lines where there is none."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from ddbverify.evidence.tail import Tail
from ddbverify.live import terminal
from ddbverify.live.watching import Watching
from ddbverify.page.live_view import view
from tests.ddbverify.live.logs import AT, following, migration_log, moving, run_log
from tests.ddbverify.pages import TURNED


def seen(path):
    tail = Tail(path)
    tail.poll()
    return view(tail.told)


def drawn(found):
    console = Console(file=io.StringIO(), width=140, highlight=False)
    console.print(terminal.drawn(found))
    return console.file.getvalue()


def test_a_run_says_how_far_it_is_what_it_found_what_it_costs_and_how_its_checks_stand(tmp_path):
    run_log(tmp_path / "e", verdict="failed")
    text = drawn(seen(tmp_path / "e"))

    assert "✗ failed" in text
    assert "It has ended: failed." in text
    assert "30,000 items of the source, 30,300 of the target, 4 of 4 segments" in text
    assert "30,000 matched, 3 missing" in text
    assert "21 keys; 19 differed at first and converged, the slowest within 1.5 s" in text
    assert "58 read units, $0.06" in text
    assert "1 failed, 1 not-run, 1 passed" in text
    assert TURNED not in text
    assert "price\\x202e" in text


def test_a_migration_says_backlog_lag_canary_quarantine_gate_and_the_steps_of_its_cutover(tmp_path):
    migration_log(tmp_path / "e")
    lines = "\n".join(terminal.said(seen(tmp_path / "e")))

    assert "Migration shop: needs you. A cutover is under way. 1 pair needs you." in lines
    for part in (
        "backlog: 50 waiting, 1 in flight; the oldest has waited 3 s of 14 days",
        "the forwarder is 1 s behind, of 24 h",
        "the newest applied change is 2 s old, 12.5 a second",
        "canary: arrived 40 s ago, 1.5 s on the way, p50 2 s, p99 5 s at most",
        "quarantine: 1 key",
        "gate: open",
        "fence: up: nobody writes",
        "its last step was `drain`",
        "78 s of the 5 min that fence_limit allows",
    ):
        assert part in lines
    text = drawn(seen(tmp_path / "e"))
    assert "drain" in text
    assert "17.5 s" in text


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "well"),
        ({"gap": "the stream was cut"}, "needs you"),
        ({"quarantined": 1}, "needs you"),
        ({"dead_letters": 2}, "needs you"),
        ({"dead_letters": None, "waiting": None, "in_flight": None}, "well"),
    ],
)
def test_what_waits_for_somebody_says_so(tmp_path, changes, state):
    log = migration_log(tmp_path / "e", looks=0)
    log.write(moving(AT), following(AT, **changes))

    found = seen(tmp_path / "e")
    assert found.state == state


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"gate_open": False, "gate_reasons": ("a", "b")}, ("Gate", "closed: a; b")),
        ({"gate_open": None, "gate_reasons": ("refused",)}, ("Gate", "not known: refused")),
        ({"fenced": None}, ("Fence", "not known")),
        ({"way_back": "it follows"}, ("Way back", "it follows")),
    ],
)
def test_what_is_not_known_is_not_said_to_be_so(tmp_path, changes, row):
    migration_log(tmp_path / "e", looks=0).write(moving(AT, **changes))

    assert row in seen(tmp_path / "e").rows


def test_a_log_that_cannot_be_read_on_says_why(tmp_path):
    (tmp_path / "e").write_text('{"at": 1}\n')
    assert "written by another version of ddbverify" in drawn(seen(tmp_path / "e"))
    run_log(tmp_path / "cut", seconds=3)
    with (tmp_path / "cut").open("a") as file:
        file.write("{\n")
    text = drawn(seen(tmp_path / "cut"))
    assert "The event log is not read on: a line is cut, or is no event." in text
    assert "matched" in text


@pytest.mark.parametrize(
    ("terminals", "environment", "wanted"),
    [
        ((True, True), {"TERM": "xterm"}, True),
        ((True, False), {"TERM": "xterm"}, False),
        ((False, True), {}, False),
        ((True, True), {"TERM": "dumb"}, False),
        ((True, True), {"NO_COLOR": "1"}, False),
        ((True, True), {"NO_COLOR": ""}, True),
    ],
)
def test_only_on_a_terminal_that_can_is_anything_drawn_in_place(terminals, environment, wanted):
    streams = [SimpleNamespace(isatty=lambda one=one: one) for one in terminals]
    assert terminal.is_looked_at(*streams, environment=environment) is wanted


def test_lines_are_said_when_they_change_and_the_last_ones_at_the_end(tmp_path):
    path, said = tmp_path / "e", []
    log = run_log(path, seconds=3)
    with Watching(path, terminal.Lines(said.append, seconds=3600), seconds=None) as watching:
        first = len(said)
        assert first == 3
        watching.look()
        log.verdict("failed", complete=False)
        watching.look()
        watching.line("a line of a check's")
        assert said[first:] == ["a line of a check's"]
    assert "It has ended: failed. It is not complete." in said[first + 1]


def test_a_screen_that_nobody_reads_any_more_ends_nothing(tmp_path):
    class Gone:
        def show(self, _):
            raise BrokenPipeError

        line = close = show

    path = tmp_path / "e"
    run_log(path, seconds=3)
    with Watching(path, Gone(), seconds=None) as watching:
        watching.line("x")
        watching.look()
