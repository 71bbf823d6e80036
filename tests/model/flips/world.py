"""
A small world around the real cutover, cutback and settle, and the real handlers of every direction.

The commands run whole, as processes of two operators: their fences, pointer, lease, audits, stacks and facts
are the product's own code over an account in memory (`tests.model.flips.account`). The application writes to
whichever table lets it. `FlipWorld.judge` holds what a history ends in against what was acknowledged.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ddbverify.config import Config, parse
from ddbverify.items.inverse import Inverse
from ddbverify.items.transform import Transform, key_hash
from ddbverify.names import BETWEEN, TARGET, Fact
from ddbverify.tables import aws as real_aws
from replicator.aws import canary, policies, queue, switch
from replicator.aws.policies import Policies
from replicator.commands import (
    audit,
    closing,
    cutback,
    cutover,
    cutover_drain,
    cutover_fence,
    phases,
    quiet,
    removal,
    repair,
    restore,
    resume,
    settle,
    target_closing,
    through,
    up,
    way_back,
)
from replicator.context import clock, live, lock
from replicator.context import context as context_of
from replicator.context.console import Step
from replicator.context.context import Context, Pace
from replicator.context.lock import Lock
from replicator.handlers import consumer, fifo, forwarder
from replicator.handlers.control import is_paused
from replicator.handlers.inverse_ledger import InverseLedger
from replicator.handlers.ledger import Ledger
from replicator.handlers.state import State
from replicator.stack import stacks
from tests.model.actors import Actor, Fate, Killed
from tests.model.fifo_queue import Call
from tests.model.flips import shapes
from tests.model.flips.account import (
    APPLICATION,
    BY_TTL,
    OPERATOR,
    SIDES,
    SLOT,
    BothStreams,
    Database,
    Functions,
    Parameters,
    Pipeline,
    Queues,
    Stacks,
    arn_of,
)
from tests.model.flips.process import HERE, Port, Process, sleep
from tests.model.flips.verifier import Verifier
from tests.model.world import PASSING, fates, nothing
from tests.replicator.fakes import KEYS

PACE = Pace(
    poll_seconds=5.0,
    young_seconds=2.0,
    function_timeout=60,
    visibility_timeout=360,
    batching_window=0,
    fence_margin=30.0,
    fence_lead=20.0,
    fence_spread=10.0,
)
INVOCATION_SECONDS = 60.0
"""What a call of the consumer may take; then Lambda ends it."""

STALE_SECONDS = 15.0
"""
For so long behind a flip an instance of the application may go by the pointer before it: it is less than what
the next flip's fence is put ahead.
"""

FILE = """
name = "shop"
[source]
region = "eu-west-1"
[target]
region = "eu-central-1"
[[tables]]
source = "orders"
target = "orders-v2"
{more}
[replication]
groups = 2
[cutover]
pointer = "ssm:/shop/orders"
way_back = "7d"
quiet = "2s"
"""

SHAPES = {
    "plain": "",
    "inverse": 'transform = "tests.model.flips.shapes:narrower"\ninverse = "tests.model.flips.shapes:wider"',
}

COMMANDS: dict[str, Callable[[Context], Any]] = {
    "cutover": cutover.cutover,
    "cutback": cutback.cutback,
    "settle": settle.settle,
    "resume": resume.resume,
    "repair": repair.repair,
}


@functools.cache
def settings(shape: str) -> Config:
    """The migration's, of one shape."""
    return parse(FILE.format(more=SHAPES[shape]), Path("/nowhere"))


class Silent:
    """A console that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.line = self.warn = self.told.append

    def already(self, title: str) -> None:
        """Nothing to show."""

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """A step under way."""
        yield Step(title)


class ModelContext(Context):
    """The real one, whose clients are those of the world's account, for one process."""

    emulator = True  # type: ignore[assignment]  # the quiet may be short
    pace = PACE  # type: ignore[assignment]

    def __init__(
        self, world: FlipWorld, process: Process, *, root: Context | None = None, cycle: int = 0
    ) -> None:
        config = settings(world.shape).turned(cycle)
        super().__init__(config, cast("Any", world.console), Path("migration.toml"), root=root, cycle=cycle)
        self.world, self.process = world, process

    def turned(self, cycle: int) -> Context:
        if cycle == 0:
            return self.root
        made = self.shared.turned
        if cycle not in made:
            made[cycle] = ModelContext(self.world, self.process, root=self.root, cycle=cycle)
        return made[cycle]

    def own_client(self, side: Any, service: Any, *, core: Any = None) -> Any:
        del side, core
        return Port(self.world.clients[service], self.process, self._need_lease)

    def server_time(self) -> float:
        return float(int(self.world.now))


@dataclass
class Worker:
    """One call of a consumer."""

    actor: Actor
    pipeline: Pipeline
    receipt: object
    begun: float
    deployment: Any


class FlipWorld:
    """
    One migration that follows, and its way there and back.

    Args:
        shape: A key of `SHAPES`.
        skew: Table -> seconds by which the times of its records are beside the clock: whole seconds are
            cut off, so from above -1 up to below 2 is what `way_back.APART_SECONDS` has to bear.
        hidden: Whether the source has an item that the transform leaves out (key ``b``).
        ttl_records: Whether time to live leaves records, as AWS's does, and ministack's does not.
    """

    present: FlipWorld  # the one that the patched entry points work in

    def __init__(
        self,
        shape: str = "plain",
        *,
        skew: Sequence[float] = (0.0, 0.0),
        hidden: bool = False,
        ttl_records: bool = True,
    ) -> None:
        FlipWorld.present = self
        self.shape, self.now, self.ttl_records = shape, 1_800_000_000.0, ttl_records
        self.console = Silent()
        self.database = Database(lambda: self.now, dict(zip(SIDES.values(), skew, strict=True)))
        self.stacks = Stacks(self.database)
        self.parameters = Parameters(lambda: self.now)
        self.clients = {
            "dynamodb": self.database.of(OPERATOR),
            "dynamodbstreams": BothStreams(self.database),
            "lambda": Functions(self.stacks),
            "sqs": Queues(self.stacks),
            "ssm": self.parameters,
            "sts": SimpleNamespace(get_caller_identity=lambda: {"Arn": OPERATOR}),
            "cloudformation": None,
            "s3": None,
        }
        self.operators: dict[str, Process] = {}
        self.workers: dict[str, Worker] = {}
        self.settling = False  # whether a settle was begun, and has not come to its end
        self.written = 0  # names each state of an item
        # Key -> the table that the application wrote last, and what it left there.
        self.truth: dict[str, tuple[str, dict[str, Any] | None]] = {}
        self.left_out: dict[str, dict[str, Any]] = {}  # items of the source that the transform leaves out
        self.kept: dict[str, Any] = {}  # what the source has to keep of a key beside what the transform makes
        self.strangers: dict[
            str, bool
        ] = {}  # key that others have written -> whether the application has since
        self.written_to: set[str] = set()  # tables that the application or a stranger has written
        # Key -> the table from which time to live removed it, and the direction that was followed then.
        self.expired: dict[str, tuple[str, int]] = {}
        self.transform = Transform.load(
            "tests.model.flips.shapes:narrower" if shape == "inverse" else None, KEYS, KEYS, rekeys=False
        )
        self.verifier = Verifier(self)
        self.begun = False
        self._begin(hidden=hidden)
        self.begun = True
        self.verifier.begin()

    # --- the beginning --------------------------------------------------------------------------

    def _begin(self, *, hidden: bool) -> None:
        """Both tables hold the same, and the target follows: by the product's own steps."""
        for key in ("a", "b"):
            value = shapes.HIDDEN if hidden and key == "b" else "0"
            self._acknowledge("source", key, self._item("source", key, value))
        for item in self.database.tables["orders"].values():
            for made in self.transform(item):
                self.database.seed("orders-v2", made)
        self.database.record()

        def work(process: Actor) -> None:
            context = ModelContext(self, cast("Process", process))
            base = phases.base_stack(context)
            pair = context.config.tables[0]
            plan = way_back._plan(context, pair)
            phases.bind(context, plan)
            context.state(pair).put(
                Fact.BOUNDARY, how="scan", backup_epoch=int(self.now) + 1, boundary_epoch=int(self.now) + 1
            )
            self.now += 5
            with context.locked("up") as held:
                taken = phases.Deployment(context, held, "up", base, CODE)
                taken.step("stream", [plan], "", functools.partial(up.stream, context))
                taken.step("capture", [plan], "", functools.partial(up.capture, taken))
                taken.step("target", [plan], "", functools.partial(restore.target, context))
                taken.step("apply", [plan], "", functools.partial(restore.apply, taken))
                taken.step("target-fence", [plan], "", functools.partial(target_closing.close, context))
                taken.step("consumer", [plan], "", functools.partial(restore.consumer_on, context))
                taken.step("following", [plan], "", functools.partial(restore.following, context))

        process = Process(self, "up", work)
        process.finish()
        if process.error is not None:
            raise process.error

    # --- the clock ------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let time pass. A call of a consumer ends within its time; both tables are looked at all along."""
        for name, worker in list(self.workers.items()):
            if worker.begun + INVOCATION_SECONDS <= self.now + seconds:
                self.finish_worker(name)
        before, self.now = self.now, self.now + seconds
        for streams in self.database.streams.values():
            streams.now = self.now
        self.check(before)

    def check(self, since: float | None = None) -> None:
        """Promise 15: at no moment since *since* do both tables take the application's writes."""
        if not self.begun:
            return  # the target is not closed yet
        denials = [self.database.opens(table) for table in SIDES.values()]
        if not all(denials):  # a table without a denial is open at any moment
            since = self.now if since is None else since
        edges = {int(self.now), int(self.now if since is None else since)}
        for begin, end in (one for some in denials for one in some):
            edges |= {at + by for at in (begin, end) if at is not None for by in (-1, 0, 1)}
        first = int(self.now if since is None else since)
        for at in edges:
            if first <= at <= int(self.now):
                taken = [not any(_denied(one, at) for one in some) for some in denials]
                assert not all(taken), "both tables take the application's writes"

    # --- the application ------------------------------------------------------------------------

    def write(self, side: str, key: str, kind: str = "put", skew: float = 0.0, readable: float = 0.0) -> bool:
        """
        One write of the application to a table, as an instance of it may that reads the pointer late.

        Args:
            side: ``source`` or ``target``.
            kind: ``put``, ``gone`` (a delete), ``hidden`` (what the transform leaves out), or ``mortal``: it
                is past its time a second later.
            readable: So many seconds later its record is.

        Returns:
            Whether it was taken.
        """
        if side not in self.known():
            return False
        if not self.database.may_write(SIDES[side], APPLICATION):
            return False
        self.written += 1
        value = f"{shapes.HIDDEN if kind == 'hidden' else ''}{self.written}"
        image = None if kind == "gone" else self._item(side, key, value)
        if kind == "mortal" and image is not None:
            image[shapes.DIES] = {"N": str(int(self.now) + 1)}
        self.written_to.add(SIDES[side])
        self._acknowledge(side, key, image, skew, readable)
        return True

    def known(self) -> set[str]:
        """
        The tables that an instance of the application takes for its own: the pointer's, and that before it.

        One that has not read the pointer for longer is like a stranger: the window in which a follower opens
        begins before the flip, so that what it writes there is taken, and keeps the flip from being made.
        """
        put = self.parameters.ever.get("/shop/orders", [(0.0, arn_of("orders"))])
        values = {value for at, value in put[:-1] if put[-1][0] + STALE_SECONDS >= self.now}
        if len(put) == 1 and put[-1][0] + STALE_SECONDS >= self.now:
            values.add(arn_of("orders"))
        return {side for side, table in SIDES.items() if arn_of(table) in {*values, put[-1][1]}}

    def strange(self, side: str, key: str, readable: float = 0.0) -> None:
        """Somebody whom no fence keeps off writes to the table that is not the application's (root, say)."""
        if self.database.may_write(SIDES[side], APPLICATION):
            return
        self.written_to.add(SIDES[side])
        self.written += 1
        self.strangers[key] = False
        self.database.seed(SIDES[side], self._item(side, key, f"strange{self.written}"))
        self.database.record(late=readable)

    def expire(self, side: str, key: str) -> None:
        """Time to live removes an item that is past its time, from either table, fenced or not."""
        items, at = self.database.tables[SIDES[side]], self.database._key(SIDES[side], {"id": {"S": key}})
        if not self._is_past(items.get(at)):
            return
        del items[at]
        self.database.record(is_silent=not self.ttl_records, **BY_TTL)
        if side == "source":
            self.kept[key] = None
        if side == self.truth[key][0]:
            self.truth[key] = side, None
            found = live.read(self.context())
            if found.table == side and self.ttl_records:
                self.expired[key] = side, found.cycle

    def _is_past(self, item: Mapping[str, Any] | None) -> bool:
        return item is not None and shapes.DIES in item and int(item[shapes.DIES]["N"]) < self.now

    def _are_same(self, one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
        """Of one key; an item that is past its time may be in one table only."""
        if one is None or other is None:
            return one is other or self._is_past(one) or self._is_past(other)
        return one == other

    def day(self) -> None:
        """
        More than a day passes, in which everything works and is audited in time; the streams forget.

        Not while a command is under way, and not where one was left half done: that is no day's wait, and a
        stream which nobody has applied for a day is a gap.
        """
        found = live.read(self.context())
        direction = self.context().turned(found.cycle)
        (pair,) = direction.config.tables
        follows = live.is_followed(direction)
        if self.operators or found.table == BETWEEN or (follows and not self._is_on(direction)):
            return
        for _ in range(3):
            self.pump()
            self.wait(9 * 3600.0)
            self.pump()
            if follows:
                audit.run(direction, pair)
        for streams in self.database.streams.values():
            streams.trim()

    def _item(self, side: str, key: str, value: str) -> dict[str, Any]:
        image: dict[str, Any] = {"id": {"S": key}}
        if self.shape == "inverse" and side == "target":
            return {**image, "value": {"S": value}}
        return {**image, "v": {"S": value}, "kept": {"S": f"kept{self.written}"}}

    def _is_on(self, direction: Context) -> bool:
        """Whether a direction's consumer applies what comes."""
        pipeline = self.stacks.pipelines.get(direction.config.name)
        (pair,) = direction.config.tables
        return (
            pipeline is not None
            and pipeline.consumer_on
            and not is_paused(direction.state(pair).get(Fact.CONTROL))
        )

    def _acknowledge(
        self,
        side: str,
        key: str,
        image: dict[str, Any] | None,
        skew: float = 0.0,
        readable: float = 0.0,
    ) -> None:
        table = SIDES[side]
        items, at = self.database.tables[table], self.database._key(table, {"id": {"S": key}})
        there = items.get(at)
        if image is None:
            items.pop(at, None)
        else:
            items[at] = image
        self.database.skew[table] += skew
        self.database.record(late=readable)
        self.database.skew[table] -= skew
        self.truth[key] = side, image
        self.expired.pop(key, None)
        if key in self.strangers:
            self.strangers[key] = True
        if side == "source":
            self.left_out.pop(key, None)
            if image is not None and not self.transform(image):
                self.left_out[key] = image
            self.kept[key] = (image or {}).get("kept")
        elif (image is None) != (there is None):
            self.kept[key] = None  # what was there belongs to an item that is gone

    # --- forwarders and consumers -----------------------------------------------------------------

    def pipelines(self) -> list[Pipeline]:
        """Of all directions that are there, in the order of their making."""
        return list(self.stacks.pipelines.values())

    def pump(self) -> None:
        """What AWS does by itself: forwarders that are on send, and consumers that are on apply."""
        for pipeline in self.pipelines():
            while pipeline.forwarder_on and (ready := pipeline.mapping.ready()):
                for shard_id in ready:
                    pipeline.mapping.poll(shard_id)
            while pipeline.consumer_on and any(one.receipt is None for one in pipeline.queue.entries):
                before = len(pipeline.queue.entries)
                self.receive(pipeline, "pump")
                if len(pipeline.queue.entries) == before:
                    break  # behind messages in flight, or handed back

    def forward(self, at: int, limit: int = 100, script: Sequence[Call] = ()) -> None:
        """One batch of one direction's forwarder."""
        found = [one for one in self.pipelines() if one.forwarder_on and one.mapping.ready()]
        if found:
            pipeline = found[at % len(found)]
            pipeline.queue.script.extend(script)
            pipeline.mapping.poll(pipeline.mapping.ready()[0], limit)
            pipeline.queue.script.clear()

    def receive(
        self, pipeline: Pipeline, name: str, most: int = 10, steps: int | None = None, *, unseen: bool = False
    ) -> None:
        """Begin a call of a direction's consumer, and run it for so many requests; ``None``: to its end."""
        self.finish_worker(name)
        receipt = object()
        batch = pipeline.queue.receive(most, receipt)
        if not batch:
            return
        if unseen:
            pipeline.unseen.add(receipt)
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
            worker.deployment = self._deployment(pipeline, actor)
            HERE.worker = worker
            answer = consumer.handler(event, None)
            return [one["itemIdentifier"] for one in answer["batchItemFailures"]]

        actor = Actor(invoke)
        worker = Worker(actor, pipeline, receipt, self.now, None)
        self.workers[name] = worker
        if steps is None:
            self.finish_worker(name)
        else:
            actor.start()
            self.go_on_working(name, steps)

    def receive_any(
        self, at: int, name: str, most: int, steps: int | None, *, late: bool, unseen: bool
    ) -> None:
        """As `receive`, of one of those that are on; *late*: Lambda may still start one that was on."""
        found = [
            one
            for one in self.pipelines()
            if one.consumer is not None and (one.consumer_on or (late and one.was_on)) and one.queue.entries
        ]
        if found:
            self.receive(found[at % len(found)], name, most, steps, unseen=unseen)

    def go_on_working(self, name: str, steps: int, fate: Fate = Fate.GOES_WELL) -> None:
        """Run a call of a consumer for *steps* requests; the next one meets *fate*, if that is not good."""
        if name not in self.workers:
            return
        actor = self.workers[name].actor
        for one in fates(steps, fate):
            if not actor.over:
                actor.step(one)
                self.check()
        if actor.over:
            self.finish_worker(name)

    def finish_worker(self, name: str) -> None:
        """Run a call to its end, and let Lambda tell the queue."""
        worker = self.workers.pop(name, None)
        if worker is None:
            return
        actor, receipt, queued = worker.actor, worker.receipt, worker.pipeline.queue
        if not actor.over:
            actor.finish()
        if actor.error is not None and not isinstance(actor.error, PASSING):
            raise actor.error
        if actor.error is None:
            for entry in [one for one in queued.entries if one.receipt is receipt]:
                if entry.message_id not in actor.result:
                    queued.delete(entry, receipt)
        queued.give_back(receipt)
        worker.pipeline.unseen.discard(receipt)

    def _deployment(self, pipeline: Pipeline, actor: Actor) -> Any:
        given = pipeline.consumer
        if given is None:
            raise Killed  # the function is gone
        names = {arn_of(table): table for table in SIDES.values()}
        source, target = names[given["SourceTableArn"]], names[given["TargetTableArn"]]
        client = actor.client(self.database.of(pipeline.role))
        facts = actor.client(
            self.database.of(f"{pipeline.role}-facts".replace("role/replicator", "role/ours"))
        )
        state = State.of_pair(facts, f"{pipeline.name}-state", given["Pair"])
        ledger = Ledger(
            client, given["LedgerTableArn"].rpartition("/")[2], target, KEYS, state.contest, sleep=nothing
        )
        set_up = consumer.Settings(source, given["StreamArn"], int(given["Restart"]), int(given["Boundary"]))
        made = Transform.load(given["Transform"] or None, KEYS, KEYS, rekeys=False)
        if given.get("Inverse"):
            guard = InverseLedger(ledger, made, Inverse.load(given["Inverse"], KEYS, KEYS))
            return consumer.Deployment(set_up, Transform("", None, KEYS, KEYS), guard, state, facts)
        return consumer.Deployment(set_up, made, ledger, state, facts)

    def forwarder_deployment(self) -> tuple[forwarder.Settings, Any, State, State]:
        pipeline = self.stacks.forwarding
        assert pipeline is not None
        settings_ = forwarder.Settings(pipeline.streams.arn, "url", KEYS, pipeline.groups, pipeline.restart)
        pair = self.stacks.made[f"{pipeline.name}-{self.pair_of(pipeline)}-capture"]["Pair"]
        state = State.of_pair(self.database.of("arn:ours"), f"{pipeline.name}-state", pair)
        return settings_, pipeline.queue, state, state

    def pair_of(self, pipeline: Pipeline) -> str:
        """Id of the pair that a direction replicates."""
        return next(
            one.removeprefix(f"{pipeline.name}-").removesuffix("-capture")
            for one in self.stacks.made
            if one.startswith(f"{pipeline.name}-")
            and one.endswith("-capture")
            and self.stacks.made[one]["Migration"] == pipeline.name.removeprefix("replicator-")
        )

    # --- operators ------------------------------------------------------------------------------

    def renew(self, process: Process) -> None:
        """The thread that renews the lease: it does, as long as nobody else has taken it."""
        held: Lock | None = process.lease
        if held is None:
            return
        entry = self.database.tables[held.table].get(self.database._key(held.table, lock._KEY))
        ours = entry is not None and entry.get("holder", {}).get("S") == held.holder
        if ours and entry is not None and int(entry["token"]["N"]) == held.token:
            entry["until_epoch"] = {"N": str(int(self.now) + int(lock.SECONDS))}
            held._until = self.now + lock.SECONDS

    def start(self, operator: str, command: str) -> None:
        """An operator runs a command; one that it has under way is finished first."""
        self.finish(operator)

        def work(process: Actor) -> Any:
            return COMMANDS[command](ModelContext(self, cast("Process", process)))

        self.settling |= command == "settle"
        process = Process(self, command, work)
        self.operators[operator] = process
        process.start()
        self._over(operator)

    def go_on(self, operator: str, until: str = "", more: int = 0, fate: Fate = Fate.GOES_WELL) -> None:
        """
        Run a command to the next request called *until*, and *more* requests on; the next meets *fate*.

        Args:
            until: As `Port` calls them; empty: it stands where it is to go on from.
        """
        process = self.operators.get(operator)
        if process is None:
            return
        while until and not process.over and process.request != until:
            process.step()
        for one in fates(more, fate):
            if not process.over:
                process.step(one)
        self._over(operator)

    def finish(self, operator: str) -> None:
        """Run a command to its end."""
        while operator in self.operators:
            self.operators[operator].step()
            self._over(operator)

    def _over(self, operator: str) -> None:
        process = self.operators.get(operator)
        if process is not None and process.over:
            del self.operators[operator]
            if process.name == "settle" and process.error is None:
                self.settling = False
            self._need_fair(process)

    def _need_fair(self, process: Process) -> None:
        """What a command ends in is no bug, and blames nobody for what time to live did."""
        if process.error is not None and not isinstance(process.error, PASSING):
            raise process.error
        for table in SIDES.values():
            blames = f"Somebody else writes to {table}:" in str(process.error)
            assert not blames or table in self.written_to, "time to live is taken for somebody who writes"

    def run(self, command: str) -> Process:
        """A command, from its beginning to its end."""
        process = Process(
            self, command, lambda one: COMMANDS[command](ModelContext(self, cast("Process", one)))
        )
        process.finish()
        self._need_fair(process)
        return process

    # --- the end --------------------------------------------------------------------------------

    def close(self) -> None:
        """End every thread."""
        for actor in [*self.operators.values(), *(one.actor for one in self.workers.values())]:
            while actor._thread is not None and not actor.over:
                actor.step(Fate.KILLED_BEFORE)

    def context(self) -> Context:
        """A view of the migration for who looks at it."""
        return ModelContext(self, Process(self, "look", nothing))

    def settle(self) -> None:
        """Faults stop: what runs comes to its end, and an operator ends what was interrupted."""
        for operator in list(self.operators):
            self.finish(operator)
        for name in list(self.workers):
            self.finish_worker(name)
        for _ in range(3):
            found = live.read(self.context())
            around = self.context().turned(found.cycle)
            open_ = live.is_followed(around) and around.state(around.config.tables[0]).get(Fact.FOLLOWING)
            if open_ and not closing.is_under_way(around):
                if self.settling and found.table == TARGET:
                    self.wait(40)
                    self.run("settle")  # it has switched the consumer off
                elif is_paused(around.state(around.config.tables[0]).get(Fact.CONTROL)):
                    self.wait(40)
                    self.run("resume")  # a flip that was rolled back says that it could not
                break
            if found.table == TARGET and found.cycle % 2 == 0 and not closing.is_under_way(around):
                break  # the way back was given up
            before = found.cycle - (found.table != BETWEEN and not closing.is_under_way(around))
            self.wait(40)
            self.run(around.turned(max(before, 0)).flips_with)
        self.wait(60)  # until what is readable late is, too
        self.pump()

    def judge(self) -> None:
        """What every history has to end in."""
        context = self.context()
        found = live.read(context)
        assert found.table != BETWEEN, "it is not known which table is the application's"
        wanted = arn_of(SIDES[found.table])
        assert self.parameters.values.get("/shop/orders", arn_of("orders")) == wanted, (
            "the pointer is another"
        )
        assert self.database.may_write(SIDES[found.table], APPLICATION), (
            "the application cannot write to its table",
            self.console.told,
        )
        direction = context.turned(found.cycle)
        (pair,) = direction.config.tables
        state = direction.state(pair)
        aside = state.quarantined()
        assert state.get(Fact.GAP) is None, state.get(Fact.GAP)
        follows = live.is_followed(direction)
        for key in SLOT:
            is_aside = key_hash({"id": {"S": key}}, KEYS) in aside
            self._judge(key, found.table, found.cycle, follows=follows, aside=is_aside)

    def _made(self, item: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if item is None else next(iter(self.transform(item)), None)

    def _judge(self, key: str, leads: str, cycle: int, *, follows: bool, aside: bool) -> None:
        there = {
            side: self.database.tables[table].get(self.database._key(table, {"id": {"S": key}}))
            for side, table in SIDES.items()
        }
        side, image = self.truth.get(key, ("source", None))
        if side == leads and self.strangers.get(key, True):
            assert there[leads] == image, f"{key}: what the application wrote last is lost"
        if key in self.strangers:
            return
        if key in self.left_out:
            assert there["source"] == self.left_out[key], (
                f"{key}: an item that the transform leaves out is lost"
            )
        if aside:
            return
        made = self._made(there["source"])
        if follows:
            assert self._are_same(made, there["target"]), f"{key}: the target is not transform(source)"
        if key in self.expired and follows and self.expired[key] == (leads, cycle):
            assert there["source"] is there["target"] is None, f"{key}: what time to live removed is there"
        if side != leads:  # it came over, or back
            if leads == "target":
                assert self._are_same(self._made(image), there["target"]), (
                    f"{key}: what the application wrote to the source is not in the target"
                )
            else:
                assert self._are_same(made, image), (
                    f"{key}: what the application wrote to the target is not in the source"
                )
        if follows and self.shape == "inverse":
            kept = (there["source"] or {}).get("kept")
            assert there["source"] is None or kept == self.kept.get(key), (
                f"{key}: what the source kept is lost"
            )


def _denied(moments: tuple[int | None, int | None], at: int) -> bool:
    begin, end = moments
    return (begin is None or at > begin) and (end is None or at < end)


CODE = cast("Any", SimpleNamespace(key="code", sha256_base64="code"))


def install(patch: pytest.MonkeyPatch) -> None:
    """Let the product's entry points work in `FlipWorld.present`, without waiting and without logs."""
    patch.setattr(consumer, "_deployment", lambda: HERE.worker.deployment)
    patch.setattr(forwarder, "_deployment", lambda: FlipWorld.present.forwarder_deployment())
    silent = SimpleNamespace(info=nothing, warning=nothing)
    for module in (consumer, forwarder):
        patch.setattr(module, "logger", silent)
        patch.setattr(module, "emit", nothing)
    patch.setitem(fifo.send.__kwdefaults__, "sleep", nothing)
    patch.setattr(fifo, "ATTEMPTS", 2)
    patch.setattr(fifo, "_log", silent)
    asleep = SimpleNamespace(
        sleep=sleep, time=lambda: FlipWorld.present.now, monotonic=lambda: FlipWorld.present.now
    )
    for module in (
        canary,
        cutover_drain,
        cutover_fence,
        lock,
        queue,
        quiet,
        switch,
        way_back,
        target_closing,
    ):
        patch.setattr(module, "time", asleep)
    patch.setattr(clock, "seconds", lambda: FlipWorld.present.now)
    patch.setattr(
        Policies.__init__,
        "__defaults__",
        (nothing, sleep, lambda: FlipWorld.present.now, policies.PATIENCE_SECONDS),
    )
    patch.setattr(Lock, "_renew_until", nothing)  # the world does
    patch.setattr(
        context_of,
        "aws",
        SimpleNamespace(
            client=lambda *_, **__: Port(FlipWorld.present.clients["dynamodb"], HERE.process),
            translated=real_aws.translated,
        ),
    )
    patch.setattr(context_of, "shadows", SimpleNamespace(put_on_path=nothing))
    _install_stacks(patch)
    for module in (phases, removal):
        patch.setattr(module, "storage", SimpleNamespace(upload=nothing, empty=nothing))
    for module in (way_back, removal):
        patch.setattr(module, "dashboard", SimpleNamespace(deploy=nothing, remove=lambda _: []))
    patch.setattr(way_back, "bundle", SimpleNamespace(build=lambda _: CODE))
    for module in [one for name, one in sys.modules.items() if name.startswith("replicator.")]:
        if hasattr(module, "transform_digest"):
            patch.setattr(module, "transform_digest", lambda *_: "digest")
    patch.setattr(repair, "Ledger", functools.partial(Ledger, sleep=nothing))
    patch.setattr(through, "digest_of", lambda _: "digest")
    patch.setattr(through, "transform_files", lambda *_: ())
    patch.setattr(through, "need_laws", nothing)
    patch.setattr(way_back, "transforms_of", lambda _: ())
    patch.setattr(cutover, "cutover_gate", SimpleNamespace(ask=lambda _: GATE, fly_canaries=nothing))
    patch.setattr(cutover, "cutover_record", SimpleNamespace(is_left=lambda *_: True, leave=nothing))
    patch.setattr(
        cutover,
        "last_verification",
        SimpleNamespace(
            can_follow=lambda *_: True,
            shows_all=lambda _: True,
            approach=lambda *_: FlipWorld.present.verifier.approach(),
            waiting=lambda *_, **__: nullcontext(SimpleNamespace(folder="folder")),
            verify=lambda *_, meanwhile, **__: FlipWorld.present.verifier.verify(meanwhile),
        ),
    )


GATE = SimpleNamespace(evidence=None)


def _install_stacks(patch: pytest.MonkeyPatch) -> None:
    def asked(name: str, call: Callable[[], Any]) -> Any:
        process = HERE.process

        def leaves() -> Any:
            if process.lease is not None:
                process.lease.check()
            return call()

        return process.ask(name, leaves)

    def deploy(_: Any, name: str, body: str, parameters: Mapping[str, Any], **__: Any) -> Any:
        del body
        world = FlipWorld.present
        return asked(f"deploy:{name.rpartition('-')[2]}", lambda: world.stacks.deploy(name, dict(parameters)))

    def delete(_: Any, name: str, **__: Any) -> Any:
        return asked(f"delete:{name.rpartition('-')[2]}", lambda: FlipWorld.present.stacks.delete(name))

    patch.setattr(stacks, "deploy", deploy)
    patch.setattr(stacks, "delete", delete)
    patch.setattr(stacks, "exists", lambda _, name: name in FlipWorld.present.stacks.made)
    patch.setattr(stacks, "outputs", lambda *_: {})
    patch.setattr(stacks, "check_code", nothing)
    patch.setattr(stacks, "template_body", lambda _: "")
    held = Lock.held

    @contextmanager
    def noted(self: Lock, waiting: Any) -> Iterator[Lock]:
        with held(self, waiting) as lease:
            HERE.process.lease = lease
            try:
                yield lease
            finally:
                HERE.process.lease = None

    patch.setattr(Lock, "held", noted)
