"""Event logs of a run and of a migration, as far as somebody has come with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ddbverify.compare.request import Progress
from ddbverify.evidence.events import EventLog
from ddbverify.evidence.following import Following, Moving
from ddbverify.evidence.record import CheckRecord, CheckState
from ddbverify.items.states import State
from tests.ddbverify.pages import HOSTILE, STEPS, TURNED

AT = 1_795_000_000.0
RUN = "20261118T110000Z-" + "a" * 32


def run_log(path: Path, *, name: str = RUN, seconds: int = 40, verdict: str = "") -> EventLog:
    """Of a run that reads for 30 s, then settles; with names that nobody must fall for."""
    now = [AT]
    log = EventLog(path, lambda: now[0])
    log.begin("run", name)
    for check, state in (
        ("check_a.py::check_a", CheckState.NOT_RUN),
        ("check_b.py::check_b", CheckState.PASSED),
    ):
        log.check(CheckRecord(id=check, name=check, pair="orders", state=state))
    log.check(
        CheckRecord(id="x", name=f"check_c.py::{HOSTILE}", pair=TURNED, state=CheckState.FAILED, findings=3)
    )
    with log.passing("orders", usd_per_unit=0.001) as note:
        for second in range(seconds):
            now[0] += 1
            settling = second >= 30
            note(
                Progress(
                    "settle" if settling else "scan",
                    min(4, second // 7),
                    4,
                    1_000 * min(second, 30),
                    1_010 * min(second, 30),
                    1.5 * second,
                    max(0, 60 - second) if settling else 2 * second,
                    counts={State.MATCHED: 1_000 * min(second, 30), State.MISSING: second // 10},
                    converged=second // 2,
                    slowest_convergence_seconds=1.5,
                )
            )
        if not verdict:
            return log  # its pass has an end all the same, as that of a killed run has
    log.verdict(verdict, complete=True)
    return log


def following(at: float, **changes: Any) -> Following:
    """A pair that follows well."""
    usual = {
        "pair": "orders -> orders-v2",
        "phase": "following: the target keeps up with the source",
        "paused": False,
        "waiting": 5,
        "in_flight": 1,
        "dead_letters": 0,
        "quarantined": 0,
        "gap": None,
        "applied_seconds_ago": 2,
        "canary_seconds_ago": 40,
        "canary_lag_seconds": 1.5,
        "canary_p50_seconds": 2,
        "canary_p99_seconds": 5,
        "oldest_message_seconds": 3.0,
        "stream_behind_seconds": 1.0,
        "changes_per_second": 12.5,
        "counters": {"applied": 12},
        "usd": 0.5,
    }
    return Following(at=at, **(usual | changes))


def moving(at: float, **changes: Any) -> Moving:
    """A migration that is well."""
    usual = {
        "live": "source",
        "cycle": 0,
        "flipped": False,
        "fenced": False,
        "gate_open": True,
        "gate_reasons": (),
        "way_back": "",
        "steps": {},
        "under_way": False,
        "fence_limit": 300.0,
        "warnings": (),
    }
    return Moving(at=at, **(usual | changes))


def migration_log(path: Path, *, name: str = "shop", looks: int = 20) -> EventLog:
    """Of a migration with a backlog that shrinks, under a cutover."""
    now = [AT]
    log = EventLog(path, lambda: now[0])
    log.begin("migration", name)
    for number in range(looks):
        now[0] += 10
        log.write(
            moving(
                now[0], steps=dict(list(STEPS.items())[:4]), under_way=True, fenced=True, warnings=(HOSTILE,)
            ),
            following(now[0], waiting=1_000 - 50 * number, quarantined=number // 10),
        )
    return log
