"""
A repair from findings in the order model: somebody damages the target, it is repaired beside the consumer.

A machine of its own, so that the histories of the others stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition

from ddbverify.errors import TransformError
from ddbverify.evidence.repairs import Entry
from ddbverify.items.form import ABSENT, Form
from ddbverify.items.states import State as KeyState
from replicator.handlers.state import State
from replicator.repairs.deciding import Rules
from replicator.repairs.reading import PacedReads
from replicator.repairs.writing import Reads, UnderTheLedger
from tests.model.actors import Actor
from tests.model.order_model import STEPS, Move, OrderModel, rule
from tests.model.world import SOURCE, World, nothing
from tests.replicator.fakes import KEYS, TARGET

FORM = Form(secret=b"of this run")


def writer_on(world: World, client: Any) -> UnderTheLedger:
    """The repair of `replicator repair --from`, as it writes beside a pipeline."""
    reads = [PacedReads(client, table, KEYS, sleep=nothing) for table in (SOURCE, TARGET)]
    guard = world.ledger(client, State.of_pair(client, "state", "pair"))
    return UnderTheLedger(Rules(FORM, world.transform), Reads(*reads), guard)


def finding(world: World, key: str) -> Entry | None:
    """What a verification says of a key at this moment; ``None`` where it is as it should be."""
    source, held = (
        world.database.items(table).get(world.database._key(table, {"id": {"S": key}}))
        for table in (SOURCE, TARGET)
    )
    try:
        made = world.transform(source) if source is not None else []
    except TransformError:
        return None
    expected, target = (ABSENT if one is None else FORM.digest(one) for one in ([*made, None][0], held))
    if expected == target:
        return None
    state = KeyState.EXTRANEOUS if not expected else KeyState.DIFFERENT if target else KeyState.MISSING
    return Entry(
        pair="p",
        finding=state,
        key={"id": {"S": key}},
        causes=("x",),
        expected=expected.hex(),
        target=target.hex(),
    )


def is_followed(model: OrderModel) -> bool:
    return model.world.live and not model.world.rekeys


class Mending(OrderModel):
    """The moves of a pipeline, and those of somebody who damages its target and repairs it from findings."""

    shapes = ("plain", "gate")
    stages = ("live",)
    restart = day = None

    def __init__(self) -> None:
        super().__init__()
        self.damaged: set[str] = set()

    @precondition(is_followed)
    @rule(key=st.sampled_from("abc"), lost=st.booleans(), steps=st.none() | STEPS)
    def mend(self, key="a", lost=True, steps=None):
        """Damage a key, find what differs (of other keys: what is under way), and begin to repair it."""
        world = self.world
        world.finish_repair()
        source = world.database.items(SOURCE).get(world.database._key(SOURCE, {"id": {"S": key}}), {})
        if {"bad", "poison"} & source.keys():
            return  # nobody could write it again: here the restored backup alone can hold such an item
        self.damaged.add(key)
        if lost:
            world.database.items(TARGET).pop(world.database._key(TARGET, {"id": {"S": key}}), None)
        else:
            world.database.seed(TARGET, {"id": {"S": key}, "damage": {"S": "done"}})
        found = [one for name in "abc" if (one := finding(world, name)) is not None]

        def work(actor: Actor) -> Any:
            return writer_on(world, actor.client(world.database)).repair(found) if found else {}

        world.repairer = Actor(work)
        if steps is None:
            world.finish_repair()
        else:
            world.repairer.start()
            world.go_on_repairing(steps)

    def is_damaged(self, key: str) -> bool:
        """Whether what somebody did is still there; a stale item is no damage, and is left."""
        database = self.world.database
        held = database.items(TARGET).get(database._key(TARGET, {"id": {"S": key}}))
        return held is None or "damage" in held

    def teardown(self):
        """Before all is judged, what was damaged is found and repaired once more; nothing else is."""
        if not self.broken and is_followed(self):
            world = self.world
            world.finish_repair()
            for worker in list(world.workers):
                world.finish_worker(worker)
            world.pause(paused=False)
            world.drain()
            left = [name for name in sorted(self.damaged) if self.is_damaged(name)]
            found = [one for name in left if (one := finding(world, name)) is not None]
            if found:
                writer_on(world, world.database).repair(found)
        super().teardown()


def replay(moves: Sequence[Move]) -> None:
    """Make the *moves*, in order, and judge what they end in. Raises AssertionError: a promise is broken."""
    model = Mending()
    try:
        for name, arguments in moves:
            getattr(model, name)(**arguments)
    except BaseException:
        model.broken = True
        raise
    finally:
        model.teardown()
