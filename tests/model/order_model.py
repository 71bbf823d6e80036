"""The order model: every move that the field knows, in any order, with the product's own code inside."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition
from hypothesis.stateful import rule as hypothesis_rule

from replicator.handlers import transact
from tests.model.actors import Fate
from tests.model.fifo_queue import Call
from tests.model.world import SLOT, World, install


def chosen(attribute: str) -> st.SearchStrategy[Any]:
    """One of those that the machine's class has as its *attribute*."""
    return st.runner().flatmap(lambda machine: st.sampled_from(getattr(machine, attribute)))


KEY = chosen("keys")
TO = st.sampled_from([("x",), ("y",), ("x", "y"), ("z",), ()])
FLAW = st.sampled_from(["", "", "", "gone", "gone", "bad", "poison", "big"])
PAUSE = st.sampled_from([0.0, 0.0, 0.0, 0.4, 1.0, 29.0, 61.0])
SKEW = st.sampled_from([0.0, 0.0, 2.0, 29.0])
FATE = st.sampled_from(list(Fate))
STEPS = st.integers(0, 5)
LOAD_STEPS = st.integers(0, 16)  # each of four segments: its place, pages, the lease, a write, its place
WORKER = chosen("workers")
CHOICES = st.tuples(*[st.integers(0, 3)] * len(SLOT))
CALL = st.sampled_from(list(Call))
SCRIPT = st.lists(CALL, max_size=4) | CALL.map(lambda call: [call] * 4)  # what fails once often fails again


Move = tuple[str, dict[str, Any]]
"""The name of one of the model's methods, and its arguments."""


class Tally:
    """Counts the histories that end *well* before the first that does not; what follows makes it smaller."""

    well = 0
    broken = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Learn of a promise that the block finds broken."""
        try:
            yield
        except AssertionError:
            self.broken = True
            raise

    def ended_well(self) -> None:
        """One more, unless one is broken already."""
        self.well += not self.broken


def noted(method: Callable[..., None]) -> Callable[..., None]:
    """*method*, which first writes its call into the machine's `moves`."""

    @functools.wraps(method)
    def call(self: OrderModel, **arguments: Any) -> None:
        self.moves.append((method.__name__, arguments))
        with self.tally.watching():
            method(self, **arguments)

    return call


def rule(**strategies: Any) -> Callable[[Callable[..., None]], Any]:
    """Hypothesis' own, noted."""
    return lambda method: hypothesis_rule(**strategies)(noted(method))


class OrderModel(RuleBasedStateMachine):
    """
    One migration under faults; what it ends in is judged when the moves are over.

    A subclass chooses what is drawn: `shapes`, `keys`, `views`, `kinds`, `stages`, `sizes` of messages,
    `workers`; at least so many writes before the stream, and in the overlap, as `fewest`; a restart or a
    day where 0 is drawn of `rarely`; how many `times` in a row a consumer's request fails. `strict` is as
    in `World`. A history has so many `steps`: long ones hold more, and hide more, since a later write of
    a key heals it.
    """

    shapes: tuple[str, ...] = ("plain", "gate", "spread")
    keys: tuple[str, ...] = tuple(sorted(SLOT))
    views: tuple[str, ...] = ("NEW_IMAGE", "NEW_IMAGE", "KEYS_ONLY")
    kinds: tuple[str, ...] = ("backup", "backup", "pitr", "scan")
    stages: tuple[str, ...] = ("stream", "backup", "restored", "loading", "live", "live", "live")
    sizes: tuple[int, ...] = (250, 150)
    workers: tuple[str, ...] = ("w1", "w2")
    fewest = 0
    rarely: tuple[int, ...] = (0, 1, 2, 3, 4)
    times: tuple[int, ...] = (1, 1, 1, transact.ATTEMPTS)
    strict = True
    steps = 30

    world: World
    latest: OrderModel  # whose moves are the smallest counter-example after a search has failed
    tally = Tally()
    install = staticmethod(install)

    def __init__(self) -> None:
        super().__init__()
        self.broken = True  # until a world is there
        self.moves: list[Move] = []
        OrderModel.latest = self

    @initialize(
        shape=chosen("shapes"),
        view=chosen("views"),
        groups=st.sampled_from([1, 2, 4]),
        overlap=st.sampled_from([60.0, 90.0]),
        head_start=st.sampled_from([0.0, 100.0]),
        before=st.runner().flatmap(
            lambda machine: st.lists(st.tuples(KEY, TO), min_size=machine.fewest, max_size=3)
        ),
        stage=chosen("stages"),
        waiting=st.runner().flatmap(
            lambda machine: st.lists(
                st.tuples(KEY, TO, FLAW, PAUSE, SKEW), min_size=machine.fewest, max_size=3
            )
        ),
        choices=CHOICES,
        kind=chosen("kinds"),
        back=st.sampled_from([0, 30]),
        steps=LOAD_STEPS,
        full_bytes=chosen("sizes"),
    )
    @noted
    def begin(
        self,
        shape="plain",
        view="NEW_IMAGE",
        groups=2,
        overlap=60.0,
        head_start=0.0,
        before=(),
        stage="stream",
        waiting=(),
        choices=(0, 0, 0),
        kind="backup",
        back=0,
        steps=0,
        full_bytes=250,
    ):
        """
        The source has items, its stream is switched on, and the migration is as far as *stage*.

        Args:
            before: Written before the stream is on.
            waiting: Written behind *head_start*, before the backup: the overlap may have to be waited for.
            steps: Of the load, where that is under way.
        """
        self.world = World(
            shape,
            view=view,
            groups=groups,
            overlap=overlap,
            strict=self.strict,
            kind=kind,
            full_bytes=full_bytes,
        )
        for key, to in before:
            self.world.write(key, to)
        self.world.turn_stream_on()
        self.world.wait(head_start)
        for key, to, flaw, pause, skew in waiting:
            self.world.wait(pause)
            self.world.write(key, to, flaw, skew)
        if stage != "stream":
            self.world.ask_for_backup(back)
        if stage in ("restored", "loading", "live"):
            self.world.restore(choices)
        if stage in ("loading", "live"):
            self.world.load(steps if stage == "loading" else None)
        self.broken = False

    # --- the application and the stream -----------------------------------------------------

    @rule(key=KEY, to=TO, flaw=FLAW, pause=PAUSE, skew=SKEW)
    def write(self, key, to=("x",), flaw="", pause=0.0, skew=0.0):
        self.world.wait(pause)
        self.world.write(key, to, flaw, skew)

    @rule(one=KEY, other=KEY)
    def swap(self, one, other):
        """Two items trade names: a key that moves from one source item to another, and back."""
        wants = {}
        for key in (one, other):
            image = self.world.versions[key][-1][1] if self.world.versions[key] else None
            wants[key] = image.get("to", {}).get("SS", ()) if image else ("z",)
        self.world.write(one, wants[other])
        self.world.write(other, wants[one])

    @rule()
    def canary(self):
        self.world.fly()

    @rule(slot=st.sampled_from([0, 4, 8]), splits=st.booleans())
    def reshard(self, slot, splits):
        shard = self.world.streams.serving(slot).shard_id
        (self.world.streams.split if splits else self.world.streams.roll_over)(shard)

    @rule(seconds=st.sampled_from([1.0, 61.0, 301.0]))
    def wait(self, seconds):
        self.world.wait(seconds)

    @rule(audited=st.booleans(), rarely=chosen("rarely"))
    def day(self, audited=True, rarely=0):
        """The stream keeps a day: what was not forwarded by then is lost, and has to be a gap."""
        if not rarely:
            self.world.day(audited=audited)

    # --- forwarder and queue ----------------------------------------------------------------

    @rule(shard=st.integers(0, 3), limit=st.sampled_from([1, 2, 3, 100]), script=SCRIPT)
    def forward(self, shard=0, limit=100, script=()):
        self.world.forward(shard, limit, script)

    @rule(shard=st.integers(0, 3), start=st.integers(0, 5), count=st.integers(1, 3), pause=PAUSE)
    def forward_again(self, shard=0, start=0, count=3, pause=0.0):
        self.world.wait(pause * 5)  # past the deduplication window, or not
        self.world.forward_again(shard, start, count)

    @rule(at=st.integers(0, 3))
    def bury(self, at=0):
        self.world.queue.bury(at)

    @rule()
    def redrive(self):
        self.world.queue.redrive()

    # --- consumer ---------------------------------------------------------------------------

    def is_live(self):
        return self.world.live

    def has_worker(self):
        return bool(self.world.workers)

    @precondition(is_live)
    @rule(worker=WORKER, most=st.sampled_from([1, 2, 10]), steps=st.none() | STEPS)
    def receive(self, worker="w1", most=10, steps=None):
        self.world.receive(worker, most, steps)

    @precondition(has_worker)
    @rule(worker=WORKER, steps=STEPS, fate=FATE, times=chosen("times"))
    def go_on(self, worker="w1", steps=0, fate=Fate.GOES_WELL, times=1):
        self.world.go_on(worker, steps, fate, times)

    @precondition(has_worker)
    @rule(worker=WORKER)
    def expire(self, worker="w1"):
        self.world.expire(worker)

    @precondition(is_live)
    @rule(paused=st.booleans())
    def pause(self, paused=False):
        """The operator's switch: what a batch brings is handed back, and what runs goes on."""
        self.world.pause(paused=paused)

    @precondition(is_live)
    @rule(limit=st.sampled_from([1, 2, 100]))
    def flow(self, limit=100):
        """Everything goes well for a while."""
        self.world.flow(limit)

    @precondition(is_live)
    @rule(steps=st.none() | STEPS)
    def repair(self, steps=None):
        self.world.start_repair(steps)

    @precondition(lambda self: self.world.repairer is not None)
    @rule(steps=STEPS, fate=FATE)
    def go_on_repairing(self, steps=0, fate=Fate.GOES_WELL):
        self.world.go_on_repairing(steps, fate)

    # --- backfill and restart ---------------------------------------------------------------

    @precondition(lambda self: self.world.backup_time is None)
    @rule(back=st.sampled_from([0, 30]))
    def backup(self, back=0):
        self.world.ask_for_backup(back)

    @precondition(lambda self: self.world.backup_time is not None and not self.world.restored)
    @rule(choices=CHOICES)
    def restore(self, choices=(0, 0, 0)):
        self.world.restore(choices)

    @precondition(lambda self: self.world.restored and not self.world.live)
    @rule(steps=st.none() | LOAD_STEPS, fate=FATE)
    def load(self, steps=None, fate=Fate.GOES_WELL):
        """The load; a second one takes over once the lease of the first has expired."""
        self.world.load(steps, fate)

    @precondition(lambda self: bool(self.world.loaders))
    @rule(at=st.integers(0, 1), steps=LOAD_STEPS, fate=FATE)
    def go_on_loading(self, at=0, steps=0, fate=Fate.GOES_WELL):
        self.world.go_on_loading(at, steps, fate)

    @precondition(lambda self: self.world.backup_time is not None)
    @rule(
        choices=st.none() | CHOICES,
        meanwhile=st.lists(st.tuples(KEY, TO, FLAW), max_size=2),
        rarely=chosen("rarely"),
    )
    def restart(self, choices=None, meanwhile=(), rarely=0):
        if rarely:
            return
        self.world.begin_again(meanwhile)
        if choices is not None:
            self.world.restore(choices)
            self.world.load()

    # --- the end ----------------------------------------------------------------------------

    def teardown(self):
        if not self.broken:
            try:
                with self.tally.watching():
                    self.world.settle()
                    self.world.judge()
                self.tally.ended_well()
            finally:
                self.world.close()


def replay(moves: Sequence[Move], *, strict: bool = True) -> None:
    """
    Make the *moves*, in order, and judge what they end in.

    Args:
        strict: As in `World`.

    Raises:
        AssertionError: A promise is broken.
    """
    model = OrderModel()
    model.strict = strict
    try:
        for name, arguments in moves:
            getattr(model, name)(**arguments)
    except BaseException:
        model.broken = True
        raise
    finally:
        model.teardown()
