"""How far a migration is, and whether it is well: for eyes and for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tabulate import tabulate

from ddbverify.config import Pair
from ddbverify.metrics import measures, sending
from ddbverify.names import SHUT, TARGET, Fact
from ddbverify.words import duration_in_words
from replicator.aws import fence_seen, queue, sight, stream, target_seen, workers
from replicator.aws.fence_seen import Seen
from replicator.aws.switch import CUTOVER
from replicator.backfill import ownership
from replicator.commands import after_flip, ended, fences_told, invocation, way_back_seen
from replicator.commands.restore import RESTORE_STEPS
from replicator.commands.up import UP_STEPS
from replicator.context import live
from replicator.context.context import Context
from replicator.handlers.control import is_paused

_NEAR_RETENTION_SECONDS = 10 * 86_400
"""Of 14 days, which is what SQS keeps a message for: time enough to do something."""

_AUDITORS = {"command": "`replicator audit`", "worker": "a worker", "schedule": "the schedule"}

_MOST_KEYS = 5
"""Of late writes, that are shown here."""


def status(context: Context) -> dict[str, Any]:
    """Print and return what is known of every pair; nothing is changed."""
    if not context.begun():
        end = ended.noted(context.config)
        context.console.line(_without_state(context, end))
        return {"name": context.config.name, "begun": False, "ended": end, "pairs": {}}
    found = live.read(context)
    context = context.turned(found.cycle)  # the direction that follows, or that was the last to do so
    if not context.begun():
        context.console.line("`replicator down` was interrupted: run it again, it goes on from there.")
        return {"name": context.root.config.name, "begun": True, "ended": None, "pairs": {}}
    cut = context.whole.get(CUTOVER) or {}
    fences = fence_seen.look(context, cut)
    closed = target_seen.look(context)
    answer: dict[str, Any] = {
        "name": context.root.config.name,
        "begun": True,
        "ended": None,
        "flipped": found.table == TARGET,
        "live": found.table,
        "cycle": found.cycle,
        "way_back": way_back_seen.look(context, found),
        "way_back_ahead": way_back_seen.ahead(context, found),
        "fenced": fenced(cut, fences),
        "fence": {
            "by": context.config.cutover.fence.partition(":")[0],
            "tables": {one.table: one.as_json() for one in fences},
        },
        "target_fence": {one.table: one.as_json() for one in closed},
        "pairs": {
            str(pair): of_pair(context, pair, flipped=bool(cut.get("flipped")))
            for pair in context.config.tables
        },
    }
    for text in fences_told.of_sources(context, cut, fences):
        context.console.warn(text)
    for text in fences_told.of_targets(context, cut, closed):
        context.console.warn(text)
    for pair in context.config.tables if cut.get("flipped") else ():
        known = after_flip.known(context.state(pair), context.server_time())
        if problem := after_flip.problem_of(pair, known):
            context.console.warn(f"{problem} {after_flip.HINT}")
    for name, facts in answer["pairs"].items():
        context.console.line(f"{name}")
        rows = [*_rows(facts), *fences_told.row_of_target(name.rpartition(" -> ")[2], closed)]
        context.console.line(tabulate(rows, tablefmt="plain"))
    for text in way_back_seen.warnings(answer["way_back"]):
        context.console.warn(text)
    if answer["flipped"]:
        context.console.line("The application has been moved to the target.")
    for text in way_back_seen.lines(answer["way_back"]):
        context.console.line(text)
    if answer["way_back_ahead"] is not None:
        context.console.line(f"{answer['way_back_ahead']}.")
    send_numbers(context, answer["pairs"])
    return answer


def _soon_forgotten(facts: Mapping[str, Any]) -> str:
    """What is to be done before the queue forgets what waits in it; empty where that is far away."""
    oldest = (facts.get("metrics") or {}).get("oldest_message_seconds")
    if oldest is None or oldest < _NEAR_RETENTION_SECONDS:
        return ""
    return (
        f"one waits since {duration_in_words(oldest)}, and the queue keeps it for 14 days: then it is lost. "
        "Let the consumer apply it (`replicator resume`, or a higher write ceiling)"
    )


def send_numbers(context: Context, pairs: Mapping[str, Mapping[str, Any]]) -> None:
    """Send what collectors are told, where ``[metrics]`` wants it; *pairs* as `status` answers."""
    config = context.root.config
    ids = {str(pair): pair.id for pair in context.config.tables}
    sending.send(
        lambda: measures.of_replication(
            config.name, {ids[name]: numbers_of(facts) for name, facts in pairs.items()}
        ),
        config.metrics,
        config.folder,
        f"replicator_status_{config.name}",
        context.console.warn,
    )


def numbers_of(facts: Mapping[str, Any]) -> dict[str, float | None]:
    """What collectors are told of a pair; ``None`` is not known."""
    known, lags = facts.get("metrics") or {}, facts["canary_lag_seconds"]
    queue_depth = facts.get("queue")
    return {
        "lag": facts["last_applied_seconds_ago"],
        "oldest_message": known.get("oldest_message_seconds"),
        "stream_behind": known.get("iterator_age_seconds"),
        "backlog_messages": sum(queue_depth.values()) if queue_depth else None,
        "dead_letters": facts.get("dead_letters"),
        "quarantined_keys": sum(facts["quarantined"].values()),
        "gap": float(facts["gap"] is not None),
        "canary_lag 0.5": lags["p50"],
        "canary_lag 0.99": lags["p99"],
        "cost_usd": facts["cost"]["usd"],
    }


def fenced(cut: Mapping[str, Any], fences: Sequence[Seen]) -> bool | None:
    """Whether writers are kept off a source; ``None`` where it cannot be known."""
    states = {one.state for one in fences}
    recorded = bool(cut.get("fenced") or cut.get("flipping")) and not cut.get("flipped")
    if "up" in states or (recorded and states.isdisjoint({"ended", "scheduled"})):
        return True
    return None if "unknown" in states else False


def _without_state(context: Context, end: dict[str, Any] | None) -> str:
    """What to say where there is no state table: the end, if this machine knows of it."""
    name, region = context.config.name, context.source.meta.region_name
    if end is None:
        return (
            f"Migration {name} has not begun, or `replicator down` has ended it: there is no table "
            f"{context.state_table} in {region} of this account. Next: replicator up"
        )
    moved = f"the application was moved at {end['flipped_at']}" if end["flipped_at"] else "nothing was moved"
    return (
        f"Migration {name} has ended: `replicator down` removed it at {end['at']}; {moved}. "
        "`replicator up` would begin a new one."
    )


def of_pair(context: Context, pair: Pair, *, flipped: bool, dear: bool = True) -> dict[str, Any]:
    """
    What is known of one pair, for machines.

    Args:
        context: Of the direction that follows, or that was the last to do so.
        pair: In that direction.
        flipped: Whether the application has been moved along it.
        dear: Ask CloudWatch, which bills each metric, and describe the ledger, too.
    """
    state = context.state(pair)
    steps = {name: fact["at"] for name, fact in state.all(Fact.STEP)}
    resources = context.resources(pair)
    now = context.server_time()
    applied_at = sight.last_applied(state)
    # Shut by a cutover, by the same fact, is another thing: behind the flip no `resume` goes on.
    control = state.get(Fact.CONTROL)
    paused = is_paused(control) and (control or {}).get("state") != SHUT and not flipped
    consumer = sight.consumer(context, pair) if "following" in steps and not flipped else None
    carried = None if flipped else workers.seen(context, pair)
    missing = [] if carried is None else list(carried.missing)
    restarting = state.get(Fact.RESTARTING)
    phase = _phase(steps, restarting, flipped=flipped, paused=paused, consumer=consumer, missing=missing)
    facts: dict[str, Any] = {
        "paused": paused,
        "phase": phase,
        "consumer": consumer,
        "workers_missing": missing,
        "workers": None if carried is None else carried.as_json(),
        "restart": context.restart_number(pair),
        "steps": steps,
        "gap": (state.get(Fact.GAP) or {}).get("reason"),
        "quarantined": _reasons(context, pair),
        "counters": state.counters(),
        "canary_arrived_seconds_ago": _age(state.get(Fact.CANARY_ARRIVED), now),
        "canary_lag_ms": int((state.get(Fact.CANARY_ARRIVED) or {}).get("lag_ms", 0)) or None,
        "canary_lag_seconds": sight.canary_lags(context, pair),
        "last_applied_seconds_ago": None if applied_at is None else max(0, int(now - applied_at)),
        "ledger_items_approximate": sight.ledger_items(context, resources) if dear else None,
        "write_units_ceiling": context.config.replicated.write_units,
        "cost": sight.cost(state.costs()),
        "audit": _audit(state.get(stream.PLACES), now),
        "staging_table": (state.get(ownership.STAGING) or {}).get("table"),
    }
    if flipped:
        known = after_flip.as_json(after_flip.known(state, now))
        facts["behind_flip"] = {"late_writes": known["late_writes"], "unread": known["unread"]}
    if "queue_url" in resources:
        facts["queue"] = queue.queue_depth(context, pair)
        facts["dead_letters"] = queue.dead_letters(context, resources["dead_letter_url"])
        if dear:
            facts["metrics"] = sight.metrics(context, pair, resources)
            if carried is not None:  # it is no metric of Lambda's
                facts["metrics"]["iterator_age_seconds"] = carried.behind_seconds
    return facts


def _phase(
    steps: Mapping[str, str],
    restarting: Mapping[str, Any] | None,
    *,
    consumer: Mapping[str, Any] | None,
    flipped: bool = False,
    paused: bool = False,
    missing: Sequence[str] = (),
) -> str:
    if flipped:
        return "cut over: the source is fenced, and nothing follows it any more"
    if restarting is not None:
        return f"restart {restarting['number']} is under way: run `replicator restart`"
    if "following" in steps:
        return _following(paused, None if consumer is None else consumer["on"], missing)
    for number, names in enumerate((UP_STEPS, RESTORE_STEPS), 1):
        missing = [name for name in names if name not in steps]
        if missing:
            command = ("up", "restore")[number - 1]
            return f"phase {number}, before the step `{missing[0]}`: run `replicator {command}`"
    return "unknown"


def _following(paused: bool, on: bool | None, missing: Sequence[str]) -> str:
    """Recorded is that the target has caught up; that it keeps up shows by what applies changes now."""
    if paused:
        return "following, but paused: nothing is applied"
    if on is None:
        return "following; whether the target keeps up is not known"
    if on and missing:
        return "following, but no worker is at it: the target falls behind"
    return (
        "following: the target keeps up with the source"
        if on
        else "following, but its consumer is off: nothing is applied"
    )


def _reasons(context: Context, pair: Pair) -> dict[str, int]:
    """Quarantined keys, counted by reason; no key is shown."""
    reasons: dict[str, int] = {}
    for entry in context.state(pair).quarantined().values():
        reasons[entry.reason] = reasons.get(entry.reason, 0) + 1
    return reasons


def _audit(kept: dict[str, Any] | None, now: float) -> dict[str, Any] | None:
    if kept is None:
        return None
    return {
        "seconds_ago": int(now - float(kept["at_epoch"])),
        "by": kept.get("by"),
        "whole_seconds_ago": int(now - float(kept.get("audited_epoch", kept["at_epoch"]))),
        "incomplete": kept.get("incomplete"),
        "lost": int(kept["lost"]),
        "gap": kept.get("gap"),
    }


def _age(fact: dict[str, Any] | None, now: float) -> int | None:
    return None if fact is None else max(0, int(now - datetime.fromisoformat(fact["at"]).timestamp()))


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("  phase", facts["phase"]), *_consumer_rows(facts), *_worker_rows(facts)]
    if "queue" in facts:
        depth = facts["queue"]
        rows.append(("  queue", f"{depth['waiting']} waiting, {depth['in_flight']} in flight"))
        rows.append(("  dead letters", str(facts["dead_letters"])))
    quarantined = facts["quarantined"]
    rows.append(
        (
            "  quarantine",
            "; ".join(f"{count} x {reason}" for reason, count in quarantined.items()) or "empty",
        )
    )
    rows.append(("  gap", facts["gap"] or "none"))
    if facts["canary_arrived_seconds_ago"] is not None:
        lag = f", {facts['canary_lag_ms'] / 1000:.1f} s on the way" if facts["canary_lag_ms"] else ""
        lags = facts["canary_lag_seconds"]
        if lags["canaries"]:
            lag += f"; p50 {lags['p50']} s, p99 {lags['p99']} s at most"
        rows.append(("  canary", f"arrived {facts['canary_arrived_seconds_ago']} s ago{lag}"))
    rows += _lag_rows(facts)
    if facts["counters"]:
        rows.append(("  changes", ", ".join(f"{n} {name}" for name, n in sorted(facts["counters"].items()))))
    if behind := facts.get("behind_flip"):
        late = [
            f"{hashed} written at {at}" for hashed, at in list(behind["late_writes"].items())[:_MOST_KEYS]
        ]
        if rest := len(behind["late_writes"]) - len(late):
            late.append(f"and {rest} more (`replicator quarantine` lists them)")
        rows.append(("  late writes", "\n".join(late) or "none known"))
        if behind["unread"]:
            rows.append(("  its stream", f"cannot be read whole: {behind['unread']}"))
    if facts["audit"]:
        found = facts["audit"]
        by = f" by {_AUDITORS.get(found['by'], found['by'])}" if found["by"] else ""
        rows.append(("  audit", f"{found['seconds_ago']} s ago{by}, lost {found['lost']}"))
        if found["incomplete"]:
            rows.append(("  AUDIT INCOMPLETE", found["incomplete"]))
    if facts["ledger_items_approximate"] is not None:
        rows.append(
            ("  ledger", f"about {facts['ledger_items_approximate']} entries (counted every six hours)")
        )
    if facts["cost"]["usd"]:
        rows.append(("  cost so far", f"${facts['cost']['usd']:.2f} ({facts['cost']['prices']})"))
    return rows


def _consumer_rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Why nothing is applied, and what to do; none where the consumer is on, or not yet to be."""
    if facts["paused"]:
        return [("  PAUSED", "nothing is applied; `replicator resume` goes on")]
    consumer = facts["consumer"]
    if consumer is None or consumer["on"]:
        return []
    if consumer["on"] is None:
        return [("  consumer", f"not known: {consumer['unknown']}")]
    return [("  CONSUMER OFF", "unless a cutover is under way, `replicator resume` switches it on")]


def _worker_rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """That no worker does what is to be done, and how long that may be so."""
    missing, known = facts["workers_missing"], facts.get("workers") or {}
    signs = known.get("worked_seconds_ago", {})
    rows = (
        [("  workers", ", ".join(f"{part} {_worked(ago)}" for part, ago in signs.items()))] if signs else []
    )
    if missing:
        forgets = "; the stream forgets after 24 hours" if workers.FORWARDER in missing else ""
        rows.append(("  NO WORKER", f"nobody is {' or '.join(missing)}: start `replicator worker`{forgets}"))
    if known.get("standing"):
        rows.append(("  WORKER STANDS", f"{' and '.join(known['standing'])}: {workers.STANDS_HINT}"))
    return rows


def _worked(ago: float | None) -> str:
    return "has not worked yet" if ago is None else f"worked {duration_in_words(ago)} ago"


def _lag_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    parts = []
    if facts["last_applied_seconds_ago"] is not None:
        parts.append(f"the newest applied change is {facts['last_applied_seconds_ago']} s old")
    known = facts.get("metrics") or {}
    if known.get("oldest_message_seconds") is not None:
        parts.append(f"oldest message {known['oldest_message_seconds']:.0f} s")
    if known.get("iterator_age_seconds") is not None:
        at_most = "at most " if facts.get("workers") else ""
        parts.append(f"forwarder {at_most}{known['iterator_age_seconds']:.0f} s behind the stream")
    rows = [("  lag", ", ".join(parts))] if parts else []
    if text := _soon_forgotten(facts):
        rows.append(("  FORGETS SOON", text))
    if known.get("changes_per_second") is not None:
        rows.append(("  throughput", f"{known['changes_per_second']:.1f} changes per second (5 minutes)"))
    if known.get("unknown"):
        rows.append(("  metrics", f"not known: {known['unknown']}"))
    return rows


command = invocation.command("status", status, "How far the migration is, and whether it is well.")
