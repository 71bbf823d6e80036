"""
The rules of replication, each with the plain variant that does without it.

A variant replaces the real piece for the length of a test; the product has no switch. The model has
to find a history in which the variant breaks a promise, and `tests/model/counterexamples.py` keeps one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from replicator.backfill import boundary, filling
from replicator.backfill.load import Load
from replicator.commands import up
from replicator.context import lock
from replicator.handlers import applier, consumer, envelope, fifo, forwarder, ledger, transact
from replicator.handlers.ledger import Applied, Ledger, Write
from tests.model.order_model import OrderModel
from tests.model.world import Loader, World

Patch = pytest.MonkeyPatch


class Unguarded(OrderModel):
    """
    The moves under which FIFO order alone is enough: what a forwarder and a queue meet, nothing late.

    The ledger's condition is off in it, so that it shows what the forwarder's own rules are for.
    """

    shapes = ("plain", "gate")
    views = ("NEW_IMAGE",)
    strict = False
    forward_again = bury = redrive = expire = go_on = repair = go_on_repairing = None
    restart = day = go_on_loading = None


class Sending(Unguarded):
    """Those of them that a forwarder meets whose sends fail, while a consumer follows."""

    keys = ("a", "c")  # of one shard
    sizes = (150,)
    stages = ("live",)
    steps = 8
    canary = wait = pause = flow = reshard = None


class SendingAgain(Sending):
    """Those of them that send what was written in the overlap; nothing later heals it."""

    keys = ("a",)
    write = swap = None


class Replaying(OrderModel):
    """The moves of a replay of what was written in the overlap; nothing later heals it."""

    keys = ("a",)
    stages = ("live",)
    steps = 8
    write = swap = canary = reshard = day = forward_again = bury = redrive = None
    go_on = expire = pause = flow = repair = go_on_repairing = go_on_loading = restart = None


class Forgetting(OrderModel):
    """The moves under which the stream forgets a key's change before a restart."""

    keys = ("a",)
    stages = ("live",)
    rarely = (0, 1)
    steps = 8
    canary = reshard = wait = forward_again = bury = redrive = None
    go_on = expire = pause = flow = repair = go_on_repairing = go_on_loading = None


class Loading(OrderModel):
    """The moves of a load and of the application: what a loader meets whose machine sleeps."""

    shapes = ("gate", "gate", "spread")
    kinds = ("backup", "scan", "scan")
    stages = ("loading",)
    fewest = 1
    steps = 10
    forward_again = bury = redrive = reshard = canary = day = None
    receive = go_on = expire = pause = repair = go_on_repairing = None


class Overtaken(Loading):
    """A load and restarts alone: what a scan's loader does behind a restart, no change heals."""

    kinds = ("scan",)
    rarely = (0,)
    steps = 5
    write = swap = forward = flow = wait = load = None


class Consuming(OrderModel):
    """The moves of the application and of one worker of the consumer, whose requests fail."""

    views = ("NEW_IMAGE",)
    stages = ("live",)
    workers = ("w1",)
    times = (transact.ATTEMPTS,)
    canary = reshard = wait = day = flow = forward_again = bury = redrive = None
    expire = pause = repair = go_on_repairing = go_on_loading = restart = None


class Contested(Consuming):
    """Those of the worker alone: items of the overlap want each other's keys, and nothing later heals it."""

    shapes = ("spread",)
    kinds = ("backup",)
    fewest = 2
    times = (1,)
    steps = 8
    write = swap = None


class Racing(OrderModel):
    """The moves of the application and of two workers with messages of one key: one stops, one does not."""

    shapes = ("spread",)
    keys = ("a",)
    views = ("NEW_IMAGE",)
    stages = ("live",)
    workers = ("w1",)  # the other one's is `flow`
    canary = reshard = wait = day = forward_again = bury = redrive = None
    go_on = pause = repair = go_on_repairing = go_on_loading = restart = None


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One rule of docs/design.md.

    Args:
        without: Puts the plain variant in its place.
        machine: What is searched: histories in which the rule may matter. Beside the moves and settings
            that a subclass leaves out, everything is drawn as it is for the product.
        first: Puts in place what holds beside the variant *and* without it.
    """

    without: Callable[[Patch], None]
    machine: type[Any] = OrderModel
    first: Callable[[Patch], None] = lambda patch: None


# --- the guard --------------------------------------------------------------------------------


def no_condition(patch: Patch) -> None:
    """Every change is written, whatever was written before."""
    guard, plan = Ledger._guard, Ledger._plan

    def unconditional(self: Ledger, write: Write) -> dict[str, Any]:
        put = guard(self, write)["Put"]
        return {"Put": {name: put[name] for name in ("TableName", "Item")}}

    def nothing_superseded(self: Ledger, writes: Sequence[Write]) -> Any:
        # Above every number, so that none is lower; what is written carries its own.
        high = {write.source_hash: write.number for write in writes}
        planned, decided = plan(self, [replace(write, number="9" * 40) for write in writes])
        for one in planned:
            one.unit.actions[0]["Put"]["Item"]["n"] = {"S": high[one.unit.name]}  # type: ignore[index]
        return planned, decided

    patch.setattr(Ledger, "_guard", unconditional)
    patch.setattr(Ledger, "_plan", nothing_superseded)


def entry_goes_with_the_item(patch: Patch) -> None:
    """A delete takes the ledger's entry with it."""
    guard = Ledger._guard

    def forgetful(self: Ledger, write: Write) -> dict[str, Any]:
        put = guard(self, write)["Put"]
        if write.results:
            return {"Put": put}
        key = {"pk": put["Item"]["pk"]}
        conditions = {name: value for name, value in put.items() if name not in ("TableName", "Item")}
        return {"Delete": {"TableName": self.table, "Key": key, **conditions}}

    patch.setattr(Ledger, "_guard", forgetful)


def last_by_place(patch: Patch) -> None:
    """Of a batch's changes of one key the last one in it is applied, whatever its number."""
    found = applier.Applier._last_change_of_each_key

    def by_place(self: applier.Applier, batch: Sequence[applier.Message]) -> Any:
        newest, holders = found(self, batch)
        for message in batch:
            for change in message.letter.changes if message.letter else ():
                newest[applier.key_hash(change.keys, self.transform.source_keys)] = change
        return newest, holders

    patch.setattr(applier.Applier, "_last_change_of_each_key", by_place)


# --- the forwarder ----------------------------------------------------------------------------


def goes_on_behind_a_failure(patch: Patch) -> None:
    """Each message is sent by itself, also behind one of its group that failed."""

    def send(client: Any, url: str, messages: Sequence[Any], **_: Any) -> list[Any]:
        return [one for one in messages if one.deduplication_id not in fifo._send_batch(client, url, [one])]

    patch.setattr(fifo, "send", send)


def reports_the_last_failure(patch: Patch) -> None:
    """Of the records that were not placed the last one is reported."""
    forward = forwarder.forward

    def reporting(records: Sequence[Mapping[str, Any]], settings: Any, send: Any, latch: Any) -> Any:
        outcome = forward(records, settings, send, latch)
        if outcome.first_unsent is None:
            return outcome
        return replace(outcome, first_unsent=records[-1]["dynamodb"]["SequenceNumber"])

    patch.setattr(forwarder, "forward", reporting)


def id_without_the_key(patch: Patch) -> None:
    """A deduplication id of stream, group, first and last number, and restart alone."""
    patch.setattr(envelope._Packed, "hashed_key", property(lambda _: ""))


# --- backfill and boundary --------------------------------------------------------------------


def no_overlap(patch: Patch) -> None:
    """Replay starts at the backup's time."""
    boundary_of = boundary.boundary_of
    patch.setattr(boundary, "boundary_of", lambda backup, _: boundary_of(backup, 0))


def no_wait_before_the_backup(patch: Patch) -> None:
    """A backup is asked for as soon as the stream is on."""
    patch.setattr(up, "_overlap", lambda *_: {})


def no_wait_before_a_restart(patch: Patch) -> None:
    """A restart's backup is asked for as soon as the consumer is off."""
    patch.setattr(World, "wait_before_restart", lambda self: None)


def drop_whatever_is_early(patch: Patch) -> None:
    """A change before the boundary is dropped, whether or not its key has an entry."""

    def early(self: applier.Applier, newest: Mapping[str, Any]) -> set[str]:
        marker = applier.canary_key(self.transform.source_keys)
        return {name for name, one in newest.items() if one.created_at < self.boundary and one.keys != marker}

    patch.setattr(applier.Applier, "_before_the_boundary", early)


def drop_nothing(patch: Patch) -> None:
    """Changes before the boundary are applied like others."""
    patch.setattr(applier.Applier, "_before_the_boundary", lambda *_: set())


def load_by_batch_writes(patch: Patch) -> None:
    """Re-keying pairs are loaded like others, and leave no entry."""
    patch.setattr(Load, "_write_guarded", Load._write_plain)


def no_lease(patch: Patch) -> None:
    """A loader writes whenever it likes; the command behind it goes on only while it has its lease."""
    check, may_go_on = lock.Lock.check, World.may_go_on

    def held_to_it(self: World, loader: Loader) -> bool:
        with pytest.MonkeyPatch.context() as meanwhile:
            meanwhile.setattr(lock.Lock, "check", check)
            return may_go_on(self, loader)

    patch.setattr(lock.Lock, "check", lambda self: None)
    patch.setattr(World, "may_go_on", held_to_it)


def anybody_goes_on(patch: Patch) -> None:
    """A command that has lost its lease records what it did, and goes on to switch the consumer on."""
    patch.setattr(World, "may_go_on", lambda self, loader: True)


def places_outlive_a_restart(patch: Patch) -> None:
    """The place that a scan has kept does not say of which restart it is."""
    reading_of = filling.reading_of
    patch.setattr(filling, "reading_of", lambda origin, restart: reading_of(origin, 0))


def old_ledger(patch: Patch) -> None:
    """A restart goes on with the ledger of the run before."""
    patch.setattr(World, "new_ledger", lambda self: None)


# --- keys that the transform makes ------------------------------------------------------------


def nobody_owns(patch: Patch) -> None:
    """A target key is written whoever wrote it before."""
    own, plan_one = Ledger._own, Ledger._plan_one

    def take(self: Ledger, write: Write, target_hash: str) -> dict[str, Any]:
        put = own(self, write, target_hash)["Put"]
        return {"Put": {name: put[name] for name in ("TableName", "Item")}}

    def uncontested(self: Ledger, write: Write, entry: Any, wanted: Any, held: Any, owners: Any) -> Any:
        others = {name: one for name, one in owners.items() if name[2:] not in wanted}
        return plan_one(self, write, entry, wanted, held, others)

    patch.setattr(Ledger, "_own", take)
    patch.setattr(Ledger, "_plan_one", uncontested)
    patch.setattr(World, "check_owners", lambda self: None)  # they cannot agree now


def quarantine_after_release(patch: Patch) -> None:
    """A contested change gives up its old keys first, and is put aside then."""
    apply = Ledger.apply

    def in_this_order(self: Ledger, writes: Sequence[Write]) -> dict[str, Applied]:
        later = replace(self, contest=lambda _: None)
        outcomes = apply(later, writes)
        for write in writes:
            if outcomes[write.source_hash] is Applied.CONTESTED:
                self.contest(write)
        return outcomes

    patch.setattr(Ledger, "apply", in_this_order)


def delete_what_is_held(patch: Patch) -> None:
    """Held keys are deleted without asking whose they are now."""
    plan_one, disown = Ledger._plan_one, Ledger._disown

    def disowned(self: Ledger, write: Write, target_hash: str) -> dict[str, Any]:
        action = disown(self, write, target_hash)["Delete"]
        return {"Delete": {name: action[name] for name in ("TableName", "Key")}}

    def mine(self: Ledger, write: Write, entry: Any, wanted: Any, held: Any, owners: Any) -> Any:
        all_mine = {ledger._owner_key(one): {"owner": {"S": write.source_hash}} for one in held}
        return plan_one(self, write, entry, wanted, held, {**owners, **all_mine})

    patch.setattr(Ledger, "_plan_one", mine)
    patch.setattr(Ledger, "_disown", disowned)


def entry_may_have_changed(patch: Patch) -> None:
    """The transaction of a re-keyed change does not ask whether the entry is as it was read."""
    entry = Ledger._entry

    def unconditional(self: Ledger, write: Write, there: Any, wanted: Any) -> dict[str, Any]:
        put = entry(self, write, there, wanted)["Put"]
        return {"Put": {name: put[name] for name in ("TableName", "Item")}}

    patch.setattr(Ledger, "_entry", unconditional)


# --- the consumer's answers -------------------------------------------------------------------


def acknowledges_what_failed(patch: Patch) -> None:
    """What may work later is not handed back."""

    def consume(batch: Any, apply: Callable[[Any], set[str]]) -> list[str]:
        apply(batch)
        return []

    patch.setattr(consumer, "consume", consume)


def a_condition_is_a_failure_of_its_neighbours(patch: Patch) -> None:
    """A cancelled transaction decides all its units as the first one that was refused."""

    def judged(units: Sequence[Any], reasons: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        decided = real(units, reasons)
        fate = next(iter(decided.values()), None)
        return {} if fate is None else {unit.name: fate for unit in units}

    real = transact._judge
    patch.setattr(transact, "_judge", judged)


def poison_is_dropped(patch: Patch) -> None:
    """What can never be applied is skipped."""
    patch.setattr(applier.Applier, "_put_aside", lambda *_: None)


RULES: dict[str, Rule] = {
    "the ledger": Rule(no_condition),
    "an entry survives the delete": Rule(entry_goes_with_the_item),
    "the last change of a key wins": Rule(last_by_place),
    "stop at the first failure": Rule(goes_on_behind_a_failure, SendingAgain, no_condition),
    "report the first failure": Rule(reports_the_last_failure, Sending, no_condition),
    "a deduplication id has the key": Rule(id_without_the_key),
    "the overlap": Rule(no_overlap),
    "wait before the first backup": Rule(no_wait_before_the_backup),
    "wait before a restart's backup": Rule(no_wait_before_a_restart),
    "drop before the boundary": Rule(drop_nothing, Forgetting),
    "drop only without an entry": Rule(drop_whatever_is_early, Replaying),
    "load re-keying pairs by transaction": Rule(load_by_batch_writes),
    "the loader's lease": Rule(no_lease, Loading),
    "a new ledger per restart": Rule(old_ledger),
    "steps need the lease": Rule(anybody_goes_on, Overtaken),
    "a load's place is of its restart": Rule(places_outlive_a_restart, Overtaken),
    "the owner check": Rule(nobody_owns),
    "quarantine before release": Rule(quarantine_after_release, Contested),
    "the entry is as it was read": Rule(entry_may_have_changed, Racing),
    "hand back what failed": Rule(acknowledges_what_failed, Consuming),
    "each unit is judged by itself": Rule(a_condition_is_a_failure_of_its_neighbours),
    "poison is put aside": Rule(poison_is_dropped),
}

NOT_NEEDED: dict[str, Rule] = {"delete only what is still owned": Rule(delete_what_is_held)}
"""Implied by others: see docs/design.md."""

__all__ = ["NOT_NEEDED", "RULES", "Rule", "Unguarded"]
