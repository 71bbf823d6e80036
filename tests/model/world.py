"""
A small world around the real forwarder, consumer, load and repair: what docs/design.md says, executable.

The source's table, the stream, the queue, backups and the clock are stand-ins; everything
that decides is the product's own code. The backup and the restart are done here as docs/design.md
writes them down. `World.settle` ends the faults and drains everything; `World.judge`
compares.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from ddbverify.errors import DdbVerifyError, TransformError
from ddbverify.items.transform import Transform, key_hash
from ddbverify.names import PAUSE, RUN, Fact, KeySchema, canary_key
from replicator.aws import stream
from replicator.backfill import boundary, filling, load
from replicator.backfill.load import Load
from replicator.commands import audit, audit_place, repair, steps, up
from replicator.context import clock, lock
from replicator.handlers import consumer, envelope, fifo, forwarder
from replicator.handlers.envelope import open_body
from replicator.handlers.ledger import Ledger
from replicator.handlers.records import pad
from replicator.handlers.state import State
from tests.model.actors import Actor, Fate, Killed
from tests.model.fifo_queue import Call, FifoQueue
from tests.replicator.fakes import ARN, KEYS, LEDGER, STATE, TARGET, FakeDynamoDB
from tests.replicator.stream_harness import Mapping as StreamMapping
from tests.replicator.stream_harness import Streams

SOURCE, STAGING = "source", "staging"
SLOT = {"a": 0, "b": 8, "c": 4}  # keys a and c begin in one shard, b in another
PASSING = (ClientError, BotoCoreError, DdbVerifyError, Killed)
"""What a run may end in under faults; anything else is a bug."""

FUZZY_SECONDS = 60  # how far from its time a backup may be wrong about a write (docs/aws.md T1)


def nothing(*_: Any, **__: Any) -> None:
    """Instead of sleeping, logging, telling the progress."""


def gate(item: dict[str, Any]) -> dict[str, Any] | None:
    """A transform that keeps keys: filters, and cannot handle some items."""
    if "bad" in item:
        raise LookupError
    return {**item, "seen": "yes"} if item.get("to") else None


def spread(item: dict[str, Any]) -> list[dict[str, Any]]:
    """A transform that makes keys: an item becomes one item for each name in ``to``."""
    if "bad" in item:
        raise LookupError
    rest = {name: value for name, value in item.items() if name not in ("id", "to")}
    return [{"id": name, "of": item["id"], **rest} for name in sorted(item.get("to", ()))]


SILENT = SimpleNamespace(step=lambda _: nullcontext(SimpleNamespace(at=nothing)), already=nothing)
"""A console that says nothing."""

TRANSFORMS = {
    "plain": Transform("", None, KEYS, KEYS),
    "gate": Transform("shapes:gate", gate, KEYS, KEYS),
    "spread": Transform("shapes:spread", spread, KEYS, KEYS, rekeys=True),
}


WRITES = {"batch_write_item", "put_item", "transact_write_items"}


def fates(steps: int, last: Fate, times: int = 1) -> list[Fate]:
    """So many requests that go well, and so many more that meet *last* where that is not good."""
    return [Fate.GOES_WELL] * steps + ([] if last is Fate.GOES_WELL else [last] * times)


class Serial:
    """A thread pool of one, so that a run is the same each time."""

    def __init__(self, workers: int) -> None: ...

    def __enter__(self) -> Serial:
        return self

    def __exit__(self, *_: object) -> None: ...

    map = staticmethod(map)


class Loader:
    """One `Load` that holds, or held, the migration's lease."""

    def __init__(self, world: World) -> None:
        self.lease = lock.Lock(None, STATE, "up")
        self.asked = world.now  # when the request that it is about to make was begun
        self.lost = False  # another has taken the lease, for good
        reading = world.reading()

        def work(actor: Actor) -> None:
            client = actor.client(world.database)
            state = State.of_pair(client, STATE, "pair")
            # The check is a step of its own: time may pass before it, and not between it and the write.
            lease = SimpleNamespace(check=lambda: (actor.ask("check", nothing), self.lease.check()))
            guard = world.ledger(client, state)
            read = SOURCE if world.kind == "scan" else STAGING
            shape = world.transform
            load = Load(client, read, client, TARGET, shape, guard, state, lease, nothing, reading)  # type: ignore[arg-type]
            load.run()

        self.actor = Actor(work)


class World:
    """
    One migration of one table.

    Args:
        shape: The pair's transform, a key of `TRANSFORMS`.
        view: The stream's view type.
        overlap: Seconds.
        strict: Whether broken promises on the way count, or only how it ends.
        kind: Of the backfill: ``backup``, ``pitr``, or ``scan`` of the live source.
        full_bytes: Of a message: 150 is one change, 250 two or three.
    """

    present: World  # the one that the patched entry points work in

    def __init__(
        self,
        shape: str = "plain",
        *,
        view: str = "NEW_IMAGE",
        groups: int = 2,
        overlap: float = 60,
        strict: bool = True,
        kind: str = "backup",
        full_bytes: int = 250,
    ) -> None:
        World.present = self
        envelope.FULL_BYTES = full_bytes  # `install` puts it back
        self.transform, self.overlap, self.strict = TRANSFORMS[shape], overlap, strict
        self.rekeys, self.kind = shape == "spread", kind
        self.database = FakeDynamoDB(**{SOURCE: KEYS, STAGING: KEYS})
        self.ledger_table = LEDGER
        self.streams = Streams(roots=2, view=view)
        self.stream_on = False
        self.queue = FifoQueue(lambda: self.now)
        self.mapping = StreamMapping(self.streams, forwarder.handler)
        self.groups, self.restart, self.boundary = groups, 1, 0
        self.versions: dict[str, list[tuple[float, dict[str, Any] | None]]] = {key: [] for key in SLOT}
        self.changes: list[tuple[str, str, int]] = []  # key hash, padded number, created
        self.backup_time: float | None = None
        self.live = False
        self.restored = False
        self.workers: dict[str, tuple[Actor, object]] = {}
        self.loaders: list[Loader] = []
        self.lease_until = 0.0
        self.repairer: Actor | None = None
        self.written = 0  # names each state of an item
        self.trimmed = self.unaudited = False  # whether the stream forgot anything, and what was not audited
        self._numbers: dict[str, str] = {}

    @property
    def now(self) -> float:
        return self.streams.now

    # --- the clock ------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let time pass; a loader's request ends within the time that `Lock.check` reckons with."""
        for loader in self.loaders:
            actor = loader.actor
            # A write of data follows a check at once; its notes a loader may make whenever it wakes.
            writes = actor.request in WRITES and actor.table != STATE and not actor.over
            if writes and loader.asked + lock._ONE_REQUEST <= self.now + seconds:
                self.step_of(loader.actor)
        self.streams.now += seconds

    # --- the source -----------------------------------------------------------------------

    def turn_stream_on(self) -> None:
        self.stream_on, self.stream_since = True, self.now
        self.not_before = self.now  # a chosen second lies so far behind this, that the overlap fits between

    def write(self, key: str, to: Sequence[str] = (), flaw: str = "", skew: float = 0.0) -> None:
        """
        One write of the application.

        Args:
            to: Target names (`spread`); an item without any is filtered (`gate`).
            flaw: ``bad`` (the transform raises), ``poison`` (DynamoDB refuses the result),
                ``big`` (does not fit a message), ``gone`` (a delete).
            skew: Seconds that the change's time is behind the clock, as far as the overlap covers
                them besides the backup's own fuzziness.
        """
        self.written += 1
        skew = min(skew, max(self.overlap - FUZZY_SECONDS - 1, 0.0))
        image: dict[str, Any] | None = None
        if flaw != "gone":
            image = {"id": {"S": key}, "v": {"S": str(self.written)}}
            if to:
                image["to"] = {"SS": sorted(to)}
            if flaw:
                image[flaw] = {"S": "x" * (900 if flaw == "big" else 1)}
        self._put({"id": {"S": key}}, SLOT[key], image, skew)
        self.versions[key].append((self.now, image))

    def fly(self) -> None:
        """The canary: written, and removed again."""
        key = canary_key(KEYS)
        self._put(key, 12, {**key, "replicator": {"S": "canary"}}, 0)
        self._put(key, 12, None, 0)

    def _put(self, key: dict[str, Any], slot: int, image: dict[str, Any] | None, skew: float) -> None:
        items, at = self.database.tables[SOURCE], self.database._key(SOURCE, key)
        there = items.get(at)
        if image is None:
            if there is None:
                return  # deleting nothing makes no record
            del items[at]
            name = "REMOVE"
        else:
            items[at] = image
            name = "INSERT" if there is None else "MODIFY"
        if self.stream_on:
            record = self.streams.append(slot, name, key, image, created=self.now - skew)
            number, created = record["dynamodb"]["SequenceNumber"], self.now - skew
            if key != canary_key(KEYS):
                self.changes.append((key_hash(key, KEYS), pad(number), int(created)))

    # --- forwarder ------------------------------------------------------------------------

    def forward(self, shard: int, limit: int = 100, script: Sequence[Call] = ()) -> None:
        """Deliver a batch of one of the shards that have something."""
        ready = self.mapping.ready()
        if ready:
            self.queue.script.clear()
            self.queue.script.extend(script)
            self.mapping.poll(ready[shard % len(ready)], limit)
            self.queue.script.clear()

    def forward_again(self, shard: int, start: int, count: int) -> None:
        """Deliver once more what was taken already."""
        places = self.mapping.positions.items()
        read = [one for one, place in places if place.at and one in self.streams.shards]
        if read:
            shard_id = read[shard % len(read)]
            end = self.mapping.positions[shard_id].at
            start %= end
            self.mapping.deliver_again(shard_id, start, min(start + count, end))

    def forwarder_deployment(self) -> tuple[forwarder.Settings, Any, State, State]:
        settings = forwarder.Settings(ARN, "url", KEYS, self.groups, self.restart)
        state = State.of_pair(self.database, STATE, "pair")
        return settings, self.queue, state, state

    # --- consumer -------------------------------------------------------------------------

    def receive(self, worker: str, most: int = 10, steps: int | None = None) -> None:
        """Begin an invocation of the consumer, and run it for so many requests; ``None``: to its end."""
        assert self.live
        self.finish_worker(worker)
        receipt = object()
        batch = self.queue.receive(most, receipt)
        if not batch:
            return
        event = {
            "Records": [
                {
                    "messageId": one.message_id,
                    "body": one.body,
                    "attributes": {"MessageGroupId": one.group_id},
                }
                for one in batch
            ]
        }

        def invoke(actor: Actor) -> list[str]:
            self.deploying = self.consumer_deployment(actor)
            answer = consumer.handler(event, None)
            return [one["itemIdentifier"] for one in answer["batchItemFailures"]]

        actor = Actor(invoke)
        self.workers[worker] = actor, receipt
        if steps is None:
            self.finish_worker(worker)
        else:
            actor.start()
            self.go_on(worker, steps)

    def go_on(self, worker: str, steps: int, fate: Fate = Fate.GOES_WELL, times: int = 1) -> None:
        """Run a worker for *steps* requests; the *times* next ones meet *fate*, if that is not good."""
        if worker not in self.workers:
            return
        actor, _ = self.workers[worker]
        self.some_steps(actor, steps, fate, times)
        if actor.over:
            self.finish_worker(worker)

    def finish_worker(self, worker: str) -> None:
        """Run a worker to its end, and let Lambda tell the queue."""
        if worker not in self.workers:
            return
        actor, receipt = self.workers.pop(worker)
        self.finish(actor)
        if actor.error is None:
            for entry in [one for one in self.queue.entries if one.receipt is receipt]:
                if entry.message_id not in actor.result and self.queue.delete(entry, receipt):
                    self.check_dealt_with(entry.body)
        self.queue.give_back(receipt)

    def flow(self, limit: int = 100) -> None:
        """Deliver what the stream has and apply what the queue gives, as when nothing fails."""
        while ready := self.mapping.ready():
            for shard_id in ready:
                self.mapping.poll(shard_id, limit)
        while not all(one.receipt for one in self.queue.entries):
            before = len(self.queue.entries)
            self.receive("flow")
            if len(self.queue.entries) == before:
                return  # the rest waits behind messages in flight

    def pause(self, *, paused: bool) -> None:
        """The operator's switch, which the consumer reads at each batch."""
        self.state.put(Fact.CONTROL, state=PAUSE if paused else RUN)

    def expire(self, worker: str) -> None:
        """The messages of a worker become visible while it still runs."""
        if worker in self.workers:
            self.queue.give_back(self.workers[worker][1])

    def consumer_deployment(self, actor: Actor) -> Any:
        client = actor.client(self.database)
        state = State.of_pair(client, STATE, "pair")
        settings = consumer.Settings(SOURCE, ARN, self.restart, self.boundary)
        return consumer.Deployment(settings, self.transform, self.ledger(client, state), state, client)

    def ledger(self, client: Any, state: State) -> Ledger:
        return Ledger(client, self.ledger_table, TARGET, KEYS, state.contest, sleep=nothing)

    # --- backfill -------------------------------------------------------------------------

    def ask_for_backup(self, back: int = 0) -> None:
        """
        Not before the stream has been on for the overlap (the product's own waiting).

        Args:
            back: For ``pitr``: how many seconds before now the chosen second is, as far as the
                stream's age allows.
        """
        assert self.backup_time is None
        since = datetime.fromtimestamp(self.stream_since, UTC).replace(tzinfo=None).isoformat()
        context = SimpleNamespace(
            state=lambda pair: SimpleNamespace(get=lambda fact: {"since": since}),
            config=SimpleNamespace(replicated=SimpleNamespace(overlap=self.overlap)),
            server_time=lambda: float(int(self.now)),
            need_going_on=nothing,
        )
        up._overlap(context, SimpleNamespace(pair=None), SimpleNamespace(at=nothing))  # type: ignore[arg-type]
        self.backup_time = self.now
        if self.kind == "pitr":
            earliest = int(self.not_before + self.overlap) + 1
            self.backup_time = float(max(earliest, int(self.now) - back)) if earliest < self.now else self.now
        if self.kind == "scan":  # the server's time before the first page, in whole seconds
            self.backup_time, self.restored = float(int(self.now)), True
        self.boundary = boundary.boundary_of(self.backup_time, self.overlap)

    def restore(self, choices: Sequence[int]) -> None:
        """
        The backup, as a table: what was surely in it, and of the rest what *choices* say.

        Args:
            choices: One number per key: how many of the writes around the backup's time it holds.
        """
        assert self.backup_time is not None
        self.restored = True
        if self.kind == "scan":
            return
        table = STAGING if self.transform.function else TARGET
        fuzzy = FUZZY_SECONDS if self.kind == "backup" else 1  # PITR is exact to the second
        for key, choice in zip(SLOT, choices, strict=True):
            held = self.versions[key]
            surely = sum(at < self.backup_time - (fuzzy if fuzzy > 1 else 0) for at, _ in held)
            perhaps = sum(at <= self.backup_time + fuzzy for at, _ in held) - surely
            last = surely + choice % (perhaps + 1)
            image = held[last - 1][1] if last else None
            if image is not None:
                self.database.seed(table, image)

    def load(self, steps: int | None = None, fate: Fate = Fate.GOES_WELL) -> None:
        """
        Load the staging table, as far as *steps* go; the consumer is switched on when it is done.

        Whoever held the lease before has to lose it first. Where the backup was restored as
        the target there is nothing to load.
        """
        if not self.transform.function and self.kind != "scan":
            self.live = True
            return
        self.take_lease()
        loader = Loader(self)
        self.loaders.append(loader)
        self.renew(loader)
        if steps is None:
            self._finish_load(loader)
        else:
            loader.actor.start()
            loader.asked = self.now
            self._go_on_loading(loader, steps, fate)

    def may_go_on(self, loader: Loader) -> bool:
        """Whether the command behind a load may record it as done, and switch the consumer on."""
        lease: Any = loader.lease
        taken = steps.Steps(SimpleNamespace(state=lambda _: self.state, console=SILENT), None, "", lease)  # type: ignore[arg-type]
        try:
            taken.run(f"load of {self.restart}", "", lambda _: {})
        except DdbVerifyError:
            return False
        return True

    def take_lease(self) -> None:
        """Wait until the lease of whoever holds it has expired; that one cannot renew it any more."""
        if self.now < self.lease_until:
            self.wait(self.lease_until - self.now)
        for one in self.loaders:
            one.lost = True

    def reading(self) -> str:
        """What a load reads: see `filling.reading_of`; each restored table has an id of its own."""
        table = "source" if self.kind == "scan" else f"staging of {self.restart}"
        facts = SimpleNamespace(description={"TableId": table})
        return filling.reading_of(facts, self.restart)  # type: ignore[arg-type]

    def go_on_loading(self, at: int, steps: int, fate: Fate = Fate.GOES_WELL) -> None:
        if self.loaders:
            self._go_on_loading(self.loaders[at % len(self.loaders)], steps, fate)

    def _go_on_loading(self, loader: Loader, steps: int, fate: Fate) -> None:
        for one in fates(steps, fate):
            if not loader.actor.over:
                self.renew(loader)
                loader.asked = self.now
                self.step_of(loader.actor, one)
                loader.asked = self.now
        if loader.actor.over:
            self._finish_load(loader)

    def _finish_load(self, loader: Loader) -> None:
        self.finish(loader.actor)
        self.loaders.remove(loader)
        if loader.actor.error is None and self.may_go_on(loader):
            self.live = True

    def renew(self, loader: Loader) -> None:
        """A loader renews its lease while it runs, unless it has lost it."""
        if not loader.lost and not self.live:
            self.lease_until = loader.lease._until = self.now + lock.SECONDS

    # --- repair ---------------------------------------------------------------------------

    def start_repair(self, steps: int | None = None) -> None:
        context_of = self._repair_context

        def work(actor: Actor) -> Any:
            return repair.run(context_of(actor.client(self.database)), SimpleNamespace(transform=None))  # type: ignore[arg-type]

        self.finish_repair()
        self.repairer = Actor(work)
        if steps is None:
            self.finish_repair()
        else:
            self.repairer.start()
            self.go_on_repairing(steps)

    def go_on_repairing(self, steps: int, fate: Fate = Fate.GOES_WELL) -> None:
        if self.repairer:
            self.some_steps(self.repairer, steps, fate)

    def finish_repair(self) -> Any:
        actor, self.repairer = self.repairer, None
        if actor is None:
            return None
        self.finish(actor)
        return actor.result

    def _repair_context(self, client: Any) -> Any:
        table = functools.partial(SimpleNamespace, keys=KEYS)
        return SimpleNamespace(
            state=lambda pair: State.of_pair(client, STATE, "pair"),
            resources=lambda pair: {
                "ledger_table": self.ledger_table,
                "stream_arn": ARN,
                "dead_letter_url": "dead",
            },
            restart_number=lambda pair: self.restart,
            source_table=lambda pair: table(name=SOURCE, arn=ARN.partition("/stream/")[0], stream_arn=ARN),
            cycle=0,
            target_table=lambda pair: table(name=TARGET),
            transform=lambda *_: self.transform,
            source=client,
            target=client,
            source_client={"sqs": self.queue.dead_letters(), "dynamodbstreams": self.streams}.__getitem__,
            server_time=lambda: float(int(self.now)),
            pace=SimpleNamespace(young_seconds=60.0),
            config=SimpleNamespace(replicated=SimpleNamespace(write_units=None)),
        )

    # --- restart --------------------------------------------------------------------------

    def begin_again(self, meanwhile: Sequence[tuple[str, Sequence[str], str]] = ()) -> None:
        """
        docs/design.md, Restart, up to the new backup.

        Args:
            meanwhile: Writes that are made and forwarded before the restart's number is raised.
        """
        self.take_lease()
        self.live = False
        for worker in list(self.workers):
            self.finish_worker(worker)
        self.finish_repair()
        self.pause(paused=False)
        self.not_before = self.now
        self.wait_before_restart()
        for name in (TARGET, STAGING):
            self.database.tables[name].clear()
        state = State.of_pair(self.database, STATE, "pair")
        for fact in (Fact.GAP, stream.PLACES):
            state.delete(fact)
        for hashed in state.quarantined():
            state.delete(Fact.QUARANTINE + hashed)
        for segment, _ in list(state.all(Fact.LOADED)):
            state.delete(Fact.LOADED + segment)
        self.queue.dead = []
        self.new_ledger()
        self.restored, self.backup_time = False, None
        self.ask_for_backup()
        for key, to, flaw in meanwhile:
            self.write(key, to, flaw)
        if meanwhile:
            self.mapping.drain()
        self.restart += 1

    def wait_before_restart(self) -> None:
        self.wait(self.overlap + 1)

    def new_ledger(self) -> None:
        """Another table: who still writes by the one of the run before, a loader, finds it gone."""
        del self.database.tables[self.ledger_table]
        schema = self.database.schemas.pop(self.ledger_table)
        self.ledger_table = f"{LEDGER}-{self.restart}"
        self.database.tables[self.ledger_table], self.database.schemas[self.ledger_table] = {}, schema
        self._numbers.clear()

    # --- every step -----------------------------------------------------------------------

    def some_steps(self, actor: Actor, steps: int, fate: Fate, times: int = 1) -> None:
        for one in fates(steps, fate, times):
            if not actor.over:
                self.step_of(actor, one)

    def step_of(self, actor: Actor, fate: Fate = Fate.GOES_WELL) -> None:
        actor.step(fate)
        self.check_numbers()
        self.check_error(actor)

    def finish(self, actor: Actor) -> None:
        while not actor.over:
            if actor._thread is None:
                actor.finish()
            else:
                self.step_of(actor)
        self.check_numbers()
        self.check_error(actor)

    def check_error(self, actor: Actor) -> None:
        if actor.error is not None and not isinstance(actor.error, PASSING):
            raise actor.error

    def check_numbers(self) -> None:
        """Promise 2: per source key, applied numbers never go down."""
        if not self.strict:
            return
        entries = self.database.tables[self.ledger_table].values()
        there = {one["pk"]["S"]: one["n"]["S"] for one in entries if one["pk"]["S"].startswith("s#")}
        for name, number in self._numbers.items():
            assert there.get(name, "") >= number, "an applied number went down"
        self._numbers = there
        if self.rekeys:
            self.check_owners()

    def check_owners(self) -> None:
        """A source key holds exactly the target keys that it owns, at every moment."""
        held, owned = set(), set()
        for entry in self.database.tables[self.ledger_table].values():
            kind, name = entry["pk"]["S"].split("#")
            if kind == "o":
                owned.add((entry["owner"]["S"], name))
            else:
                held |= {(name, one["M"]["h"]["S"]) for one in entry["held"]["L"]}
        assert held == owned, "an entry and the owners do not agree"

    def check_dealt_with(self, body: str) -> None:
        """Promise 3: what leaves the queue after the boundary is applied, superseded or quarantined."""
        if not self.strict:
            return
        applied, aside = self.applied(), State.of_pair(self.database, STATE, "pair").quarantined()
        for change in open_body(body).changes:
            if change.created_at >= self.boundary:
                hashed = key_hash(change.keys, KEYS)
                known = max(applied.get(hashed, ""), aside[hashed].number if hashed in aside else "")
                assert known >= change.sequence_number, "a change was lost on the way"

    def applied(self) -> dict[str, str]:
        """Source key's hash -> last applied number."""
        entries = self.database.tables[self.ledger_table].values()
        return {
            one["pk"]["S"].removeprefix("s#"): one["n"]["S"] for one in entries if one["pk"]["S"][0] == "s"
        }

    # --- the end --------------------------------------------------------------------------

    def close(self) -> None:
        """End every thread."""
        actors = [*(one for one, _ in self.workers.values()), *(one.actor for one in self.loaders)]
        for actor in [*actors, *([self.repairer] if self.repairer else [])]:
            if actor._thread is not None and not actor.over:
                actor.step(Fate.KILLED_BEFORE)

    def settle(self) -> None:
        """Faults stop: finish what runs, complete the backfill, heal the source, drain, repair."""
        self.finish_repair()
        for worker in list(self.workers):
            self.finish_worker(worker)
        if not self.stream_on:
            self.turn_stream_on()
        if self.backup_time is None:
            self.ask_for_backup()
        if not self.restored:
            self.restore([0] * len(SLOT))
        if not self.live:
            self.load()
        while self.loaders:  # zombies: what they do now is too late
            self._go_on_loading(self.loaders[0], 1, Fate.GOES_WELL)
        self.pause(paused=False)
        self.drain()
        if self.strict and not self.gap():
            self.check_neighbours()
        if self.heal_source():
            self.drain()

    def drain(self) -> None:
        """Everything that was written is forwarded, and all that waits is consumed."""
        self.mapping.drain()
        while self.queue.entries:
            before = len(self.queue.entries)
            self.receive("w1")
            assert len(self.queue.entries) < before, "the consumer gives messages back for no reason"

    def check_neighbours(self) -> None:
        """Promise 7: what is wrong in the target belongs to a key that stands in the quarantine."""
        self._repaired()
        if self.missing():
            return  # lost to the stream's trimming: the judge asks for the gap
        aside = State.of_pair(self.database, STATE, "pair").quarantined()
        there, wanted = self.database.items(TARGET), {}
        for item in self.database.tables[SOURCE].values():
            if key_hash(item, KEYS) not in aside:
                wanted |= self.made_of(item)
        costs = {entry.key["id"]["S"] for entry in aside.values()}
        for name in wanted.keys() | there.keys():
            of = (there.get(name) or wanted[name])["of" if self.rekeys else "id"]["S"]
            assert of in costs or there.get(name) == wanted.get(name), (
                "a key is wrong in the target, and not in the quarantine"
            )

    def heal_source(self) -> bool:
        """
        The application mends what can be in no target: poison, and two items that want one key.

        Returns:
            Whether anything had to be written.
        """
        taken: set[str] = set()
        before = self.written
        for key in SLOT:
            image = self.versions[key][-1][1] if self.versions[key] else None
            if image is None:
                continue
            wanted = set(image.get("to", {}).get("SS", ()))
            free = wanted - taken if self.rekeys else wanted
            if free != wanted or not {"bad", "poison"}.isdisjoint(image):
                self.write(key, sorted(free))
            taken |= free
        return self.written > before

    def judge(self) -> None:
        """Promises 1 and 3, and what the audit says."""
        missing = self.missing() if self.strict else 0
        done = self._repaired()
        if self.strict:
            audited = self._audited()
            if missing or (self.unaudited and self.gap()):
                assert self.trimmed, "a change was neither applied nor quarantined"
                assert self.gap(), "changes were trimmed before they were forwarded, and there is no gap"
                return  # only a restart helps
            assert audited.clean, audited
            assert done.left == (), f"a key stays in the quarantine: {done.left}"
            assert self.state.quarantined() == {}
            assert self.gap() is None, self.gap()
        assert self.database.items(TARGET) == self.wanted(), "the target is not transform(source)"

    @property
    def state(self) -> State:
        return State.of_pair(self.database, STATE, "pair")

    def gap(self) -> Any:
        return self.state.get(Fact.GAP)

    def missing(self) -> int:
        """How many changes after the boundary are neither applied, superseded nor quarantined."""
        applied, aside = self.applied(), self.state.quarantined()
        return sum(
            max(applied.get(hashed, ""), aside[hashed].number if hashed in aside else "") < number
            for hashed, number, created in self.changes
            if created >= self.boundary
        )

    def _repaired(self) -> Any:
        return repair.run(self._repair_context(self.database), SimpleNamespace(transform=None))  # type: ignore[arg-type]

    def _audited(self) -> Any:
        return self._audit(to_the_end=True)

    def _audit(self, *, to_the_end: bool) -> Any:
        self.state.put(Fact.BOUNDARY, boundary_epoch=self.boundary)
        return audit.run(
            self._repair_context(self.database),
            SimpleNamespace(),  # type: ignore[arg-type]
            to_the_end=to_the_end,
        )

    def day(self, *, audited: bool) -> None:
        """A day passes, and the stream forgets; a migration is audited twice a day, or it is not."""
        for _ in range(2):
            self.wait(12.4 * 3600)
            if not (audited and self.backup_time is not None and self._audit(to_the_end=False).clean):
                self.unaudited = True
        self.streams.trim()
        self.trimmed = True

    def wanted(self) -> dict[str, Any]:
        """transform(source), by key."""
        made: dict[str, Any] = {}
        for item in self.database.tables[SOURCE].values():
            made |= self.made_of(item)
        return made

    def made_of(self, item: dict[str, Any]) -> dict[str, Any]:
        """transform(item), by key; of an item that stands in no quarantine it can be asked for."""
        try:
            return {self.database._key(TARGET, one): one for one in self.transform(item)}
        except TransformError as error:
            raise AssertionError("an item that the transform refuses is not in the quarantine") from error


def install(patch: pytest.MonkeyPatch) -> None:
    """Let the product's entry points work in `World.present`, without waiting and without logs."""
    patch.setattr(consumer, "_deployment", lambda: World.present.deploying)
    patch.setattr(forwarder, "_deployment", lambda: World.present.forwarder_deployment())
    silent = SimpleNamespace(info=nothing)
    for module in (consumer, forwarder):
        patch.setattr(module, "logger", silent)
        patch.setattr(module, "emit", nothing)
    patch.setitem(fifo.send.__kwdefaults__, "sleep", nothing)
    patch.setattr(fifo, "ATTEMPTS", 2)
    patch.setattr(fifo, "_log", SimpleNamespace(warning=nothing))
    patch.setattr(envelope, "FULL_BYTES", envelope.FULL_BYTES)  # each world sets its own
    patch.setattr(envelope, "LARGEST_BODY_BYTES", 700)
    patch.setattr(load, "ThreadPoolExecutor", Serial)
    patch.setattr(repair, "Ledger", functools.partial(Ledger, sleep=nothing))
    patch.setattr(audit_place, "queue_depth", lambda *_: {"waiting": len(World.present.queue.entries)})
    patch.setattr(audit_place, "dead_letters", lambda *_: len(World.present.queue.dead))

    def sleep(seconds: float) -> None:
        World.present.wait(seconds)

    patch.setattr(boundary, "time", SimpleNamespace(sleep=sleep))
    patch.setattr(clock, "seconds", lambda: World.present.now)


Rule = Callable[[pytest.MonkeyPatch], None]
__all__ = ["KEYS", "KeySchema", "Mapping", "Rule", "World", "install"]
