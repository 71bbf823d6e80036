"""What `watch` asks of a migration, gently: often what is cheap, now and then what costs. Reads only."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from ddbverify.config import Pair
from ddbverify.errors import DdbVerifyError
from ddbverify.evidence.following import Following, Moving
from ddbverify.gate import gate
from ddbverify.names import TARGET
from ddbverify.words import plain
from replicator.aws import fence_seen, sight, target_seen
from replicator.aws.fence_seen import Seen
from replicator.aws.switch import CUTOVER
from replicator.aws.target_seen import SeenTarget
from replicator.commands import fences_told, status, way_back_seen
from replicator.context import live
from replicator.context.context import Context

SECONDS_BETWEEN_DEAR_LOOKS: Final = 60.0
"""Gate, metrics of CloudWatch (billed one by one) and policies of tables."""

MOST_REASONS: Final = 5


class Looking:
    """Looks at a migration, again and again."""

    def __init__(self, context: Context, now: Callable[[], float] = time.time) -> None:
        """
        Prepare; nothing is asked yet.

        Args:
            context: Of the migration.
            now: Seconds since the epoch.
        """
        self._context, self._now = context, now
        self._dear_at: float | None = None
        self._cycle = -1
        self._metrics: dict[str, dict[str, Any]] = {}
        self._fences: list[Seen] = []
        self._closed: list[SeenTarget] = []
        self._gate: tuple[bool | None, tuple[str, ...]] = (None, ())

    def look(self) -> tuple[Moving, list[Following]]:
        """
        What is so now.

        Raises:
            EngineError: AWS refused.
        """
        at = round(self._now(), 3)
        found = live.read(self._context)
        context = self._context.turned(found.cycle)
        cut = context.whole.get(CUTOVER) or {}
        under_way = bool(cut.get("fenced") or cut.get("flipping")) and not cut.get("flipped")
        dear = self._is_time(found.cycle, at)
        if dear or under_way:
            self._fences, self._closed = fence_seen.look(context, cut), target_seen.look(context)
        if dear:
            self._gate = _gate(context)
        pairs = [self._pair(context, pair, cut, at, dear=dear) for pair in context.config.tables]
        way_back = way_back_seen.look(context, found)
        return Moving(
            at=at,
            live=found.table,
            cycle=found.cycle,
            flipped=found.table == TARGET,
            fenced=status.fenced(cut, self._fences),
            gate_open=self._gate[0],
            gate_reasons=self._gate[1],
            way_back=" ".join(way_back_seen.lines(way_back)),
            steps={name: str(when) for name, when in (cut.get("steps") or {}).items()},
            under_way=under_way,
            fence_limit=float(context.config.cutover.fence_limit),
            warnings=tuple(
                plain(text)
                for text in (
                    *fences_told.of_sources(context, cut, self._fences),
                    *fences_told.of_targets(context, cut, self._closed),
                    *way_back_seen.warnings(way_back),
                )
            ),
        ), pairs

    def _is_time(self, cycle: int, at: float) -> bool:
        since = None if self._dear_at is None or cycle != self._cycle else at - self._dear_at
        if since is not None and 0 <= since < SECONDS_BETWEEN_DEAR_LOOKS:
            return False
        self._cycle, self._dear_at = cycle, at
        return True

    def _pair(
        self, context: Context, pair: Pair, cut: Mapping[str, Any], at: float, *, dear: bool
    ) -> Following:
        facts = status.of_pair(context, pair, flipped=bool(cut.get("flipped")), dear=False)
        if dear and "queue" in facts:
            self._metrics[pair.id] = sight.metrics(context, pair, context.resources(pair))
        metrics = self._metrics.get(pair.id, {})
        workers = facts["workers"]
        depth, lags = facts.get("queue"), facts["canary_lag_seconds"]
        return Following(
            at=at,
            pair=str(pair),
            phase=facts["phase"],
            paused=facts["paused"],
            waiting=depth["waiting"] + depth["delayed"] if depth else None,
            in_flight=depth["in_flight"] if depth else None,
            dead_letters=facts.get("dead_letters"),
            quarantined=sum(facts["quarantined"].values()),
            gap=facts["gap"],
            applied_seconds_ago=facts["last_applied_seconds_ago"],
            canary_seconds_ago=facts["canary_arrived_seconds_ago"],
            canary_lag_seconds=facts["canary_lag_ms"] and facts["canary_lag_ms"] / 1000,
            canary_p50_seconds=lags["p50"],
            canary_p99_seconds=lags["p99"],
            oldest_message_seconds=metrics.get("oldest_message_seconds"),
            stream_behind_seconds=(
                metrics.get("iterator_age_seconds") if workers is None else workers["behind_seconds"]
            ),
            changes_per_second=metrics.get("changes_per_second"),
            counters=facts["counters"],
            usd=facts["cost"]["usd"] or None,
        )


def _gate(context: Context) -> tuple[bool | None, tuple[str, ...]]:
    """What the gate would say now; not known where it cannot be asked."""
    try:
        decision = gate.judge(context.root.config, None)
    except DdbVerifyError as error:
        return None, (plain(error.message),)
    return decision.open, tuple(plain(str(reason)) for reason in decision.reasons[:MOST_REASONS])


def needs_somebody(pairs: list[Following]) -> bool:
    """Whether a pair waits for the operator: a gap, a quarantine, dead letters."""
    return any(one.gap or one.quarantined or one.dead_letters for one in pairs)
