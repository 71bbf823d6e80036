"""The order model with flips in both directions: two operators, an application, and what dies on the way."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition

from tests.model.actors import Fate
from tests.model.flips.account import SIDES, SLOT
from tests.model.flips.world import FlipWorld, install
from tests.model.order_model import FATE, SCRIPT, Move, Tally, chosen, noted, rule

SIDE = st.sampled_from(list(SIDES))
KEY = chosen("keys")
KIND = chosen("kinds")
PAUSE = st.sampled_from([0.0, 0.0, 1.0])
LATE = st.sampled_from([0.0, 0.0, -0.9])  # by how much a record's time is earlier than that of the others
READABLE = chosen("lags")
COMMAND = chosen("commands")
OPERATOR = chosen("operators")
MORE = chosen("mores")
UNTIL = chosen("stops")


class FlipModel(RuleBasedStateMachine):
    """
    One migration that follows, and its flips; what every history ends in is judged when the moves are over.

    A subclass chooses what is drawn: `shapes`, `keys`, `kinds` of writes and the sides that are `written`,
    the `sides` that strangers write and those in which time to live is on (`dying`), `hiddens` (whether there
    is an item that the transform leaves out), `commands`, `operators`, `stops` (requests that a command is
    run to), `mores` (how many requests farther), `waits` of some seconds, `skews` of the times of records,
    `lags` until these are readable, `ttl_records` (whether time to live leaves any), `stages` in
    which it begins, `lates` (whether Lambda may start a call whose mapping is off); and the `steps` of a
    history.
    """

    shapes: tuple[str, ...] = ("plain", "inverse", "inverse")
    keys: tuple[str, ...] = tuple(sorted(SLOT))
    kinds: tuple[str, ...] = ("put", "put", "put", "gone", "gone", "hidden", "mortal")
    commands: tuple[str, ...] = ("cutover", "cutover", "cutback", "cutback", "settle", "resume", "repair")
    operators: tuple[str, ...] = ("one", "other")
    written: tuple[str, ...] = tuple(SIDES)
    sides: tuple[str, ...] = tuple(SIDES)
    dying: tuple[str, ...] = tuple(SIDES)
    hiddens: tuple[bool, ...] = (False, True)
    skews: tuple[float, ...] = (0.0, 0.0, -1.0, 0.9)
    waits: tuple[float, ...] = (1.0, 16.0, 31.0, 901.0)
    lags: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 4.0, 12.0)
    ttl_records: tuple[bool, ...] = (True, False)
    lates: tuple[bool, ...] = (False, True)
    stops: tuple[str, ...] = (
        "",
        "",
        "put_parameter",
        "put_resource_policy",
        "delete_resource_policy",
        "update_event_source_mapping",
        "put_item:live",
        "put_item:cutover",
        "put_item:boundary",
        "deploy:apply",
        "delete:apply",
        "sleep",
    )
    mores: tuple[int, ...] = tuple(range(13))
    stages: tuple[str, ...] = ("following", "following", "asked", "flipped")
    strict = True
    steps = 20

    world: FlipWorld
    latest: FlipModel
    tally = Tally()
    install = staticmethod(install)

    def __init__(self) -> None:
        super().__init__()
        self.broken = True  # until a world is there
        self.moves: list[Move] = []
        FlipModel.latest = self

    @initialize(
        shape=chosen("shapes"),
        skew=st.tuples(chosen("skews"), chosen("skews")),
        hidden=chosen("hiddens"),
        stage=chosen("stages"),
        ttl_records=chosen("ttl_records"),
    )
    @noted
    def begin(self, shape="plain", skew=(0.0, 0.0), hidden=False, stage="following", ttl_records=True):
        """
        The target follows.

        Args:
            stage: ``asked``: a cutover is about to set the pointer; ``flipped``: it has, and died.
        """
        self.world = FlipWorld(shape, skew=skew, hidden=hidden, ttl_records=ttl_records)
        self.broken = False
        if stage != "following":
            self.world.start("one", "cutover")
            self.world.go_on("one", "put_parameter")
        if stage == "flipped":
            self.world.go_on("one", fate=Fate.KILLED_AFTER)

    # --- the application, and others -------------------------------------------------------------

    @rule(side=chosen("written"), key=KEY, kind=KIND, pause=PAUSE, late=LATE, readable=READABLE)
    def write(self, side="source", key="a", kind="put", pause=0.0, late=0.0, readable=0.0):
        """An instance of the application writes to the table that it knows; the fences may refuse that."""
        self.world.wait(pause)
        self.world.write(side, key, kind, late, readable)

    @rule(side=chosen("sides"), key=KEY, readable=READABLE)
    def strange(self, side="source", key="a", readable=0.0):
        """Somebody whom no fence keeps off writes to the table that is not the application's."""
        self.world.strange(side, key, readable)

    @rule(side=chosen("dying"), key=KEY)
    def expire(self, side="source", key="a"):
        """Time to live removes an item that is past its time, if it is."""
        self.world.expire(side, key)

    @rule()
    def day(self):
        """More than a day passes, and the streams forget."""
        self.world.day()

    @rule(side=SIDE, slot=st.sampled_from([0, 8]), splits=st.booleans())
    def reshard(self, side, slot=0, splits=True):
        streams = self.world.database.streams[SIDES[side]]
        shard = streams.serving(slot).shard_id
        (streams.split if splits else streams.roll_over)(shard)

    @rule(seconds=chosen("waits"))
    def wait(self, seconds):
        self.world.wait(seconds)

    # --- forwarders and consumers ----------------------------------------------------------------

    @rule(at=st.integers(0, 2), limit=st.sampled_from([1, 2, 100]), script=SCRIPT)
    def forward(self, at=0, limit=100, script=()):
        self.world.forward(at, limit, script)

    @rule(
        at=st.integers(0, 2),
        worker=st.sampled_from(["w1", "w2"]),
        most=st.sampled_from([1, 2, 10]),
        steps=st.none() | st.integers(0, 5),
        late=chosen("lates"),
        unseen=st.booleans(),
    )
    def receive(self, at=0, worker="w1", most=10, steps=None, late=False, unseen=False):
        """
        A call of a consumer begins.

        Args:
            late: Its mapping may be off by now.
            unseen: SQS does not count its messages.
        """
        self.world.receive_any(at, worker, most, steps, late=late, unseen=unseen)

    @precondition(lambda self: bool(self.world.workers))
    @rule(worker=st.sampled_from(["w1", "w2"]), steps=st.integers(0, 5), fate=FATE)
    def go_on_working(self, worker="w1", steps=0, fate=Fate.GOES_WELL):
        self.world.go_on_working(worker, steps, fate)

    @rule()
    def flow(self):
        """Everything goes well for a while."""
        self.world.pump()

    # --- operators -------------------------------------------------------------------------------

    @rule(operator=OPERATOR, command=COMMAND, until=UNTIL, more=MORE)
    def start(self, operator="one", command="cutover", until="", more=0):
        """An operator begins a command, and comes some requests far."""
        self.world.start(operator, command)
        self.world.go_on(operator, until, more)

    @precondition(lambda self: bool(self.world.operators))
    @rule(operator=OPERATOR, until=UNTIL, more=MORE, fate=FATE)
    def go_on(self, operator="one", until="", more=0, fate=Fate.GOES_WELL):
        self.world.go_on(operator, until, more, fate)

    @rule(operator=OPERATOR, command=COMMAND)
    def run(self, operator="one", command="cutover"):
        """An operator runs a command, and it comes to its end."""
        self.world.start(operator, command)
        self.world.finish(operator)

    @precondition(lambda self: bool(self.world.operators))
    @rule(operator=OPERATOR)
    def finish(self, operator="one"):
        self.world.finish(operator)

    # --- the end ---------------------------------------------------------------------------------

    def teardown(self):
        if not self.broken:
            try:
                with self.tally.watching():
                    self.world.settle()
                    self.world.judge()
                self.tally.ended_well()
            finally:
                self.world.close()


def replay(moves: Sequence[Move]) -> None:
    """
    Make the *moves*, in order, and judge what they end in.

    Raises:
        AssertionError: A promise is broken.
    """
    model = FlipModel()
    try:
        for name, arguments in moves:
            getattr(model, name)(**arguments)
    except BaseException:
        model.broken = True
        raise
    finally:
        model.teardown()
        if hasattr(model, "world"):
            model.world.close()
