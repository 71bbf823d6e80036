"""
A command that is killed at any point, and run again, ends where one that was not killed does.

One migration is taken through all its commands. Each command is killed at a point that was not met
before, run again, killed at the next one, and so on until it comes to its end: the runs in between
skip what was done, so that all points of a command cost about as much as a few whole runs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from ddbverify.errors import DdbVerifyError, Refused
from ddbverify.names import Fact
from replicator.aws import fence, policy_fence, queue, switch, target_fence
from replicator.aws.policies import Policies
from replicator.aws.policy_deny import is_fenced
from replicator.aws.policy_fence import PolicyFence
from replicator.aws.target_deny import is_closed_at
from replicator.commands import audit, clearing, last_verification, restore, target_closing, up
from replicator.commands.cutover import CUTOVER
from replicator.context import live
from replicator.handlers.control import is_paused
from replicator.stack import bundle
from tests.failpoints.openings import Openings
from tests.failpoints.points import Killed, Points, sample
from tests.replicator import verified
from tests.replicator.migrations import SOURCE_REGION, Migration

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]

ROOT = Path(__file__).parents[2]
POINTER = "ssm:/failpoints/"


@pytest.fixture
def world(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path)
    # Pure, and the same every time: building it is most of what a short run costs.
    build, built = bundle.build, {}

    def once(transforms):
        names = tuple(transforms)
        if names not in built:
            built[names] = build(transforms)
        return built[names]

    monkeypatch.setattr(bundle, "build", once)
    # The last verification has tests of its own; here it passes at once.
    passed = SimpleNamespace(open=True, reasons=(), evidence=None, sha256=None)
    monkeypatch.setattr(last_verification.gate, "judge", lambda *_, **__: passed)
    verified.stand_in(monkeypatch)
    for module in (policy_fence, target_fence):
        monkeypatch.setattr(module, "LAG_SECONDS", 1.0)  # an emulator's reads are never late
    made = Migration(aws, unique("p"), tmp_path)
    for number in range(12):
        made.put(f"k{number}", f"v{number}")
    yield made
    made.down()


@pytest.fixture
def points(monkeypatch):
    made = Points()
    made.install(monkeypatch)
    return made


class Life:
    """A migration whose operator's machine dies all the time; the application writes meanwhile."""

    def __init__(self, world, points, chosen):
        self.world, self.points, self.chosen = world, points, chosen
        self.kills: list[str] = []

    def run(self, command, *, writes=True, behind_each=lambda: None):
        """Run *command* until it comes to its end, and say with what; *behind_each* kill is called."""
        self.points.chosen = self.chosen
        while True:
            try:
                with self.points.running(command):
                    return getattr(self.world, command)()
            except Exception as error:
                error.add_note(f"to reproduce: FAILPOINTS_ONLY='{' '.join(self.kills)}'")
                raise
            except Killed as killed:
                self.kills.append(str(killed))
                self.half_a_minute_passes()
                if writes:
                    self.write(len(self.kills))
                behind_each()

    def half_a_minute_passes(self):
        """The lease of the process that died runs out."""
        context = self.world.context()
        if context.begun():
            context.whole.delete("lock")

    def write(self, number):
        if number % 4 == 3:
            self.world.remove(f"k{number % 15}")
        else:
            self.world.put(f"k{number % 15}", f"w{number}")


def fenced(world):
    source = world.context().source_table(world.pair)
    return is_fenced(Policies(world.database).read(source.arn)[0])


def closed(world):
    context = world.context()
    policy, _ = Policies(context.target).read(context.target_table(world.pair).arn)
    return is_closed_at(policy, context.server_time())


def pointer(world):
    ssm = world.aws.client("ssm", SOURCE_REGION)
    found = ssm.get_parameters(Names=[f"/failpoints/{world.name}"])["Parameters"]
    return found[0]["Value"] if found else None


def whole_life(world, points, chosen, **settings):
    """All commands of a migration; what has to hold after each is held against it."""
    world.configure(pointer=f"{POINTER}{world.name}", **settings)
    life = Life(world, points, chosen)
    life.run("up")
    life.run("restore")
    steps = {name for name, _ in world.state().all(Fact.STEP)}
    assert steps == {*up.UP_STEPS, *restore.RESTORE_STEPS, target_closing.STEP}
    assert closed(world)
    world.assert_equal()
    life.run("restart")
    assert world.context().restart_number(world.pair) == 1
    assert world.state().get(Fact.RESTARTING) is None
    assert {name for name, _ in world.state().all(Fact.STEP)} == steps | set(clearing.STEPS)
    assert closed(world)
    world.assert_equal()
    found = audit.run(world.context(), world.pair, to_the_end=True)
    assert (found.lost, found.gap) == ([], "")
    answer = life.run("cutover", writes=False)
    assert answer["flipped"]
    assert pointer(world) == answer["value"] == world.context().target_table(world.pair).arn
    assert fenced(world)
    assert not closed(world)
    assert world.context().whole.get(CUTOVER)["flipped"]
    world.assert_equal()
    life.run("down", writes=False)
    assert world.left_over() == [world.target]
    assert world.context().source_table(world.pair).stream_arn is None, "it was off before `up`"
    fence.of(world.context()).lift()
    return life


def holding(world):
    """What the source holds, once what is under way has arrived: the target is transform(source)."""
    turned = live.direction(world.context())
    deadline = time.monotonic() + 30
    while True:
        empty = not any(queue.queue_depth(turned, turned.config.tables[0]).values())
        if empty and world.wanted() == world.items(world.target_region, world.target):
            return world.items(SOURCE_REGION, world.source)
        assert time.monotonic() < deadline
        time.sleep(0.1)


def open_tables(world):
    """The tables that no fence keeps the application off."""
    context = world.context()
    sides = {
        "source": (context.source, context.source_table(world.pair)),
        "target": (context.target, context.target_table(world.pair)),
    }
    return [
        name for name, (client, table) in sides.items() if not is_fenced(Policies(client).read(table.arn)[0])
    ]


def journal(world):
    """Of which table is open, beside the product."""
    arns = {
        "source": world.context().source_table(world.pair).arn,
        "target": world.context().target_table(world.pair).arn,
    }
    regions = {"source": SOURCE_REGION, "target": world.target_region}
    clients = {side: world.aws.client("dynamodb", region) for side, region in regions.items()}
    return Openings({side: (clients[side], arn) for side, arn in arns.items()})


class Meanwhile:
    """The application, which goes on by the pointer while a command is dead; what it *has written* last."""

    def __init__(self, world, openings):
        self.world, self.openings = world, openings
        self.written = None

    def write(self):
        table, reshaped = of_the_application(self.world)
        if ("target" if table.name == self.world.target else "source") in self.openings.now():
            self.written = f"{time.monotonic()}"
            table.put_item(Item={"id": "meanwhile", "value" if reshaped else "v": self.written})


def of_the_application(world):
    """The table that the pointer names, and whether its items are what the transform makes."""
    arn = pointer(world) or world.context().source_table(world.pair).arn
    table = world.aws.session(arn.split(":")[3]).resource("dynamodb").Table(arn.partition(":table/")[2])
    return table, bool(world.transform) and table.name == world.target


def use(world, number):
    """What the application writes to the table that the pointer names."""
    table, reshaped = of_the_application(world)
    name, kept = ("value", {}) if reshaped else ("v", {"kept": "mine"})
    table.put_item(Item={"id": "k1", name: f"written in turn {number}", **kept})
    table.put_item(Item={"id": f"new {number}", name: "new"})
    table.delete_item(Key={"id": f"k{2 + number}"})


WAYS = {"as they are": {}, "through an inverse": {"transform": "narrower", "inverse": "wider"}}
"""How items go over and back: settings of `Migration.configure`."""


def there_and_back(world, points, chosen, way, of=Life):
    """Over, back, over again, and the end of it; what the application writes in each turn is in both."""
    world.configure(pointer=f"{POINTER}{world.name}", way_back="7d", **WAYS[way])
    mine = {"id": {"S": "k1"}, "v": {"S": "v1"}, "kept": {"S": "mine"}}
    world.database.put_item(TableName=world.source, Item=mine)
    world.up()
    world.restore()
    openings = journal(world)
    points.looks = openings.look
    life = of(world, points, chosen)
    for number, (command, table, cycle) in enumerate(
        [("cutover", "target", 1), ("cutback", "source", 2), ("cutover", "target", 3)]
    ):
        before = len(life.kills)
        application = Meanwhile(world, openings)
        assert life.run(command, writes=False, behind_each=application.write)["flipped"]
        if life.kills[before:]:
            getattr(world, command)()  # what was killed behind the flip, the next run ends
        assert live.read(world.context()) == live.Live(table, cycle)
        assert pointer(world).endswith(world.target if table == "target" else world.source)
        assert table in open_tables(world)
        if number:
            assert open_tables(world) == [table]
        use(world, number)
        held = holding(world)
        if application.written is not None:
            assert held["meanwhile"]["v"] == {"S": application.written}
        assert held["k1"] == {**mine, "v": {"S": f"written in turn {number}"}}
        assert f"new {number}" in held
        assert f"k{2 + number}" not in held
    assert life.run("settle", writes=False)["settled"] or life.kills[-1].startswith("settle")
    assert live.read(world.context()) == live.Live("target", 2)
    assert open_tables(world) == ["target"]
    assert not openings.both, f"both tables are open, or would be: {openings.both}"
    assert openings.in_turn()[0] == "source"
    assert openings.in_turn()[-1] == "target"
    points.looks = lambda _: None
    life.run("down", writes=False)
    assert world.left_over() == [world.target]
    context = world.context()
    context.source.delete_resource_policy(ResourceArn=context.source_table(world.pair).arn)
    return life


SEED = int(os.environ.get("FAILPOINTS_SEED", "1"))
ONLY = os.environ.get("FAILPOINTS_ONLY", "").split()
"""Names of points, to reproduce a failure."""


def test_every_command_converges_from_some_of_its_points(world, points, record_property):
    record_property("seed", SEED)
    chosen = ONLY.__contains__ if ONLY else sample(0.05, SEED)
    life = whole_life(world, points, chosen, transform="louder")

    print(f"FAILPOINTS_SEED={SEED}: {len(life.kills)} kills at {len(points.met)} points")
    assert ONLY or len(life.kills) > 5


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("backfill", ["backup", "scan"])
def test_every_command_converges_from_each_of_its_points(world, points, backfill):
    points.most = 2
    life = whole_life(world, points, lambda name: True, transform="louder", backfill=backfill)

    assert life.kills == list(points.met)
    for command in ("up", "restore", "restart", "cutover", "down"):
        assert any(name.startswith(f"{command}.") for name in life.kills)
    print(f"{backfill}: killed at {len(life.kills)} points")


AT_THE_FLIP = {f"{command}.flip:ssm.PutParameter#1:after" for command in ("cutover", "cutback")}
"""Always among them: the application has moved, and nothing has noted that."""


@pytest.mark.parametrize("way", ["as they are", pytest.param("through an inverse", marks=pytest.mark.full)])
def test_a_cutback_converges_from_some_of_its_points(world, points, way, record_property):
    record_property("seed", SEED)
    some = sample(0.03, SEED)
    chosen = ONLY.__contains__ if ONLY else lambda name: name in AT_THE_FLIP or some(name)
    life = there_and_back(world, points, chosen, way)

    assert ONLY or AT_THE_FLIP.issubset(life.kills)

    print(f"FAILPOINTS_SEED={SEED}: {len(life.kills)} kills at {len(points.met)} points")
    assert ONLY or len(life.kills) > 5


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", WAYS)
def test_a_cutback_converges_from_each_of_its_points(world, points, way):
    life = there_and_back(world, points, lambda name: True, way)

    assert life.kills == list(points.met)
    for command in ("cutover", "cutback", "settle", "down"):
        assert any(name.startswith(f"{command}.") for name in life.kills)
    print(f"{way}: killed at {len(life.kills)} points")


class Interrupted(Life):
    """A migration whose operator presses Ctrl-C, once in each run, where another's machine dies."""

    def __init__(self, world, points, chosen):
        super().__init__(world, points, chosen)
        points.strike = self.press
        self.pressed = ""

    def press(self, name):
        if not self.pressed:
            self.pressed = name
            raise KeyboardInterrupt

    def run(self, command, *, writes=True, behind_each=lambda: None):
        self.points.chosen = self.chosen
        began = pointer(self.world)
        while True:
            self.pressed = ""
            try:
                with self.points.running(command):
                    return getattr(self.world, command)()
            except KeyboardInterrupt:
                said = None
            except DdbVerifyError as error:
                said = str(error)
            assert self.pressed, said
            self.kills.append(self.pressed)
            if command in ("cutover", "cutback"):
                self.need_told(command, said, moved=pointer(self.world) != began)
            behind_each()

    def need_told(self, command, said, *, moved):
        """What is open is told in *said*, with what to run; ``None``: the command said nothing of its own."""
        context, where = self.world.context(), (self.pressed, said)
        if moved:
            assert said, where
            assert any(one in said for one in ("has moved", "was moved", "flip was asked for")), where
            assert f"`replicator {command}`" in said, where
            return
        table, _ = of_the_application(self.world)
        names = {self.world.source: "source", self.world.target: "target"}
        if names[table.name] not in open_tables(self.world):
            assert said, where
            assert "could not be lifted" in said or "stays up" in said, where
            assert f"`replicator {command}`" in said, where
        followed = live.direction(context)
        (pair,) = followed.config.tables
        is_on = switch.state_of_consumer(followed, pair) == "Enabled"
        is_shut = is_paused(followed.state(pair).get(Fact.CONTROL))
        assert (is_on and not is_shut) or (said and "consumers" in said), where


def windows(*commands):
    """Points of a flip: before its fence holds, in the quiet, in the last round, at the flip, behind it."""
    return {
        f"{command}.{point}"
        for command in commands
        for point in (
            "fence:dynamodb.PutResourcePolicy#1:after",
            "quiet:dynamodbstreams.GetRecords#1:after",
            "verification:dynamodbstreams.GetRecords#1:after",
            "fasten:dynamodb.DeleteResourcePolicy#1:after",
            "flip:ssm.PutParameter#1:before",
            "flip:ssm.PutParameter#1:after",
            "closed:lambda.UpdateEventSourceMapping#1:before",
        )
    }


@pytest.mark.full
def test_whoever_interrupts_a_flip_is_told_what_is_open_and_what_to_run(world, points):
    at_the_flip = {one for one in windows("cutback") if one.startswith("cutback.flip")}
    chosen = windows("cutover") | at_the_flip
    life = there_and_back(world, points, chosen.__contains__, "as they are", of=Interrupted)

    assert set(life.kills) == chosen


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_flip_may_be_interrupted_at_each_of_its_points(world, points):
    life = there_and_back(world, points, lambda name: True, "as they are", of=Interrupted)

    assert len(life.kills) > 100
    print(f"interrupted at {len(life.kills)} points")


def test_the_journal_finds_out_a_fence_that_would_end_by_itself(world, points, monkeypatch):
    monkeypatch.setattr(PolicyFence, "fasten", lambda self: None)
    world.configure(pointer=f"{POINTER}{world.name}")
    world.up()
    world.restore()
    openings = journal(world)
    points.looks = openings.look
    with points.running("cutover"):
        assert world.cutover()["flipped"]

    assert [point.split("#")[0] for point in openings.both] == [
        "cutover.fasten:dynamodb.DeleteResourcePolicy"
    ]
    fence.of(world.context()).lift()


# --- a cutover that fails -----------------------------------------------------------------------


def refuse(name):
    raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": name}}, "Anything")


def refused_everywhere(world, points, chosen):
    """A cutover that is refused a call (or its answer) at each chosen point, one run after the other."""
    world.configure(pointer=f"{POINTER}{world.name}")
    world.up()
    world.restore()
    points.strike, points.chosen = refuse, chosen
    refusals = 0
    while True:
        left_up = fenced(world)  # by a run before, which was refused the lifting and said so
        try:
            with points.running("cutover"):
                return world.cutover(), refusals
        except (DdbVerifyError, ClientError) as error:
            said = str(error)
        refusals += 1
        told = "stays up" in said or "could not be lifted" in said
        assert not fenced(world) or told or (left_up and "resource policy" not in said), said


def test_what_a_cutover_cannot_do_is_told_after_its_fence_is_lifted(world, points):
    answer, refusals = refused_everywhere(world, points, sample(0.06, SEED))

    assert refusals
    assert answer["flipped"]
    assert pointer(world) == answer["value"]


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_each_call_of_a_cutover_may_be_refused(world, points):
    answer, refusals = refused_everywhere(world, points, lambda name: name.startswith("cutover."))

    assert refusals > 20
    assert pointer(world) == answer["value"]


# --- real processes -----------------------------------------------------------------------------

KILLED = (
    ("up", "up.backup:dynamodb.CreateBackup#1:after"),
    ("restore", "restore.backfill:dynamodb.BatchWriteItem#2:after"),
)


@pytest.fixture
def run(world, aws):
    """A process that runs a command of the replicator's, or another module."""
    environment = {
        **aws.environment(SOURCE_REGION),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(world.folder)]),
    }

    def go(*command):
        return subprocess.run(
            [sys.executable, "-m", *command, "--json"],
            cwd=world.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return go


def test_a_process_that_is_killed_goes_on_where_it_stopped(world, run):
    """The same hook in a process of its own, and SIGKILL in place of an exception."""
    world.configure(transform="louder")

    for command, point in KILLED:
        died = run("tests.failpoints.process", "SIGKILL", point, command)
        assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
        world.context().whole.delete("lock")  # half a minute passes
        world.put("k1", command)
        done = run("replicator", command)
        assert done.returncode == 0, done.stderr[-2000:]
    world.assert_equal()
    assert run("replicator", "down").returncode == 0
    assert world.left_over() == []


def test_a_process_that_is_interrupted_says_what_is_open_and_what_to_run(world, run):
    """A real SIGINT, in the quiet and behind the flip; SIGTERM and SIGHUP end a command as that does."""
    world.configure(pointer=f"{POINTER}{world.name}", way_back="7d")
    world.up()
    world.restore()

    def interrupted(name, point):
        ended = run("tests.failpoints.process", name, f"cutover.{point}", "cutover")
        assert ended.returncode == 1, ended.stderr[-2000:]
        return json.loads(ended.stdout)

    said = interrupted("SIGINT", "quiet:dynamodbstreams.GetRecords#1:after")
    assert said["error"] == "The cutover was interrupted, and rolled back."
    assert "`replicator cutover` again: it starts over" in said["try"]
    assert not fenced(world)
    assert pointer(world) is None
    said = interrupted("SIGTERM", "closed:lambda.UpdateEventSourceMapping#1:before")
    assert "interrupted behind its flip: the application has moved" in said["error"]
    assert "`replicator cutover` again now: it goes on from there" in said["try"]
    assert pointer(world) == world.context().target_table(world.pair).arn
    assert fenced(world)
    with pytest.raises(Refused, match="does not follow its source yet") as half_torn_down:
        world.cutback()
    assert "run the command `cutover` again: it goes on where it stopped" in half_torn_down.value.hint
    assert world.cutover()["flipped"]
    use(world, 0)
    assert holding(world)["new 0"]
    world.settle()
    fence.of(world.context()).lift()
