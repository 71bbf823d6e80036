"""Folders of runs that a page has much to show of: findings of every kind, a cutover, runs before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ddbverify.compare.comparison import DifferentIn, KnownKeys
from ddbverify.compare.request import Progress
from ddbverify.config import Config
from ddbverify.evidence import cutover, evidence, folders
from ddbverify.evidence.cutover import CutoverPair, VerifiedBy
from ddbverify.evidence.events import EventLog
from ddbverify.evidence.evidence import Evidence
from ddbverify.evidence.record import CheckState
from ddbverify.evidence.repairs import RepairFile
from ddbverify.gate.unclaimed import unclaimed
from ddbverify.items.states import Difference, Seen, State
from tests.ddbverify.judged import good_evidence, leave

HOSTILE = "<script>alert('x')</script>\"&"
TURNED = "price\u202egnorts\u2066\u200f"
LONG = "x" * 2048
TOKEN = "customer-4711-secret"

STEPS = {
    "gate": "2026-11-18T11:00:00.000Z",
    "fence": "2026-11-18T11:00:02.500Z",
    "quiet": "2026-11-18T11:01:02.500Z",
    "drain": "2026-11-18T11:01:20.000Z",
    "verification": "2026-11-18T11:03:40.000Z",
    "consumer": "2026-11-18T11:03:48.000Z",
    "flip-asked": "2026-11-18T11:03:48.200Z",
    "flip": "2026-11-18T11:03:49.000Z",
}


def finding(
    number: int, state: str = "different", paths: tuple[str, ...] = ("price: N -> S",), **more: Any
) -> dict[str, Any]:
    """One line of a run's findings; its key is TOKEN and the number."""
    return {
        "pair": "orders",
        "key_hash": f"{number:016x}",
        "finding": state,
        "key": {"customer": {"S": f"{TOKEN}-{number % 50}"}, "id": {"S": f"order-{number}"}},
        "paths": list(paths) if state == "different" else [],
        "reason": "",
    } | more


def every_kind(pair: str) -> Iterator[dict[str, Any]]:
    """Some findings of each kind, with names that a page must not fall for."""
    number = 0
    for state, paths, times in (
        ("different", ("price: N -> S",), 40),
        ("different", ("price: N -> S", f"info.{TOKEN}: value"), 12),
        ("different", (f"{HOSTILE.replace('.', '')}: removed",), 5),
        ("different", (f"{TURNED}: added", f"{LONG}: value"), 3),
        ("missing", (), 30),
        ("extraneous", (), 2),
    ):
        for _ in range(times):
            number += 1
            yield finding(number, state, paths, pair=pair)
    yield finding(number + 1, "refuted", pair=pair, check="check_own.py::check_total") | {
        "reason": f"at check_own.py:12: assert total == '{TOKEN}'"
    }
    yield finding(number + 2, "churning", pair=pair)


def write_findings(folder: Path, lines: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> Path:
    path = folder / folders.FINDINGS
    path.write_text("".join(json.dumps(line, ensure_ascii=True) + "\n" for line in lines), encoding="ascii")
    return path


def write_events(folder: Path, pair: str) -> Path:
    """Of a pass that read for 30 s, and settled 60 keys for 70 s more."""
    now = [1_795_000_000.0]
    log = EventLog(folder / folders.EVENTS, lambda: now[0])
    log.begin("run", "20261118T110000Z-" + "0" * 32)
    with log.passing(pair) as note:
        for second in range(31):
            now[0] += 1
            note(Progress("scan", 0, 4, 40_000 * second, 41_000 * second, 1.5 * second, 2 * second))
        for second in range(69):
            now[0] += 1
            decided = {
                State.MATCHED: 1_234_000,
                State.DIFFERENT: second * 60 // 68,
                State.MISSING: second // 3,
            }
            note(Progress("settle", 4, 4, 1_240_000, 1_240_000, 50.0, 60 - second * 60 // 68, decided))
    return folder / folders.EVENTS


def failed_evidence(config: Config, **changes: Any) -> Evidence:
    """Of a run that found what `every_kind` lists."""
    found = good_evidence(config)
    (pair,) = found.pairs
    assert pair.comparison is not None
    counts = {
        "matched": 1_234_000,
        "different": 60,
        "missing": 30,
        "extraneous": 2,
        "churning": 1,
        "known": 4,
    }
    read = msgspec.structs.replace(
        pair.comparison,
        counts=counts,
        examined=sum(counts.values()),
        source_items=1_234_095,
        target_items=1_234_067,
        converged=17,
        different_told=60,
        known=(KnownKeys(plugin="rounding", reason="prices are rounded", expires=_day(), keys=4),),
        different_in=tuple(
            DifferentIn(attribute=name, kind=kind, keys=keys)
            for name, kind, keys in (
                ("price", "type", 52),
                ("info", "value", 12),
                (HOSTILE, "removed", 5),
                (TURNED, "added", 3),
                (LONG, "value", 3),
            )
        ),
        notes=("left out by `ignore`: updated_at",),
    )
    pairs = (msgspec.structs.replace(pair, comparison=read),)
    checks = list(found.checks)
    for number, check in enumerate(checks):
        if "equal" in check.name:
            why = "check_items.py:20: `price` is S instead of N (52)"
            changed = {"state": CheckState.FAILED, "findings": 60, "examined": 1_234_095, "why": why}
            checks[number] = msgspec.structs.replace(check, **changed, seconds=1.5, claims=("different",))
        if "settings" in check.name:
            why = 'check_table.py:61: pitr differs; tags.team differs; index."order.status".keys differs'
            changed = {"state": CheckState.FAILED, "findings": 3, "why": why}
            checks[number] = msgspec.structs.replace(
                check, **changed, accepted=("ttl: on (until the cutover)",)
            )
    nobodys = unclaimed(config.gate, pairs, checks)
    found = msgspec.structs.replace(
        found,
        pairs=pairs,
        checks=tuple(checks),
        unclaimed=nobodys,
        complete=False,
        shortcomings=("the pass over orders is incomplete: 2 of 3 segments have an end",),
        verdict=evidence.verdict_of(checks, complete=False, unclaimed=nobodys),
    )
    return msgspec.structs.replace(found, **changes)


def _day() -> Any:
    from datetime import date

    return date(2027, 1, 31)


def rich(config: Config) -> Path:
    """A run that failed after one that passed, with findings of every kind, and a cutover that went well."""
    leave(config, good_evidence(config))
    found = failed_evidence(config)
    folder = leave(config, found)
    write_findings(folder, every_kind(found.pairs[0].id))
    write_events(folder, found.pairs[0].id)
    pair = found.pairs[0]
    write_repair(folder, every_kind(pair.id))
    cutover.write(
        config,
        cutover.make(
            config,
            outcome="flipped",
            reason=None,
            pointer="/shop/orders-table",
            value=pair.target.arn,
            steps=STEPS,
            verified_by=VerifiedBy(run_id=found.run_id, sha256="0" * 64),
            pairs=(CutoverPair(id=pair.id, source=pair.source, target=pair.target),),
            operator="arn:aws:iam::123456789012:user/ops",
            emulator=False,
            written="2026-11-18T11:03:50.000Z",
        ),
    )
    return folder


def write_repair(folder: Path, lines: Iterable[dict[str, Any]]) -> None:
    """``repair.json`` of the same findings."""
    with RepairFile(folder) as file:
        for line in lines:
            if line["finding"] in set(State):
                state, paths = State(line["finding"]), tuple(line["paths"])
                seen = Seen(b"expected", b"target")
                file.add(line["pair"], Difference(state=state, key=line["key"], paths=paths, seen=seen))
        file.finish([])
