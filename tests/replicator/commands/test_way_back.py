"""The way back without AWS: when there can be none, whom its fence lets through, which command may run."""

from __future__ import annotations

import re
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from ddbverify.config import parse
from ddbverify.errors import ConfigurationError, Refused
from ddbverify.items.inverse import Inverse
from ddbverify.items.transform import Transform
from ddbverify.names import SHUT, Fact
from replicator.aws import fence
from replicator.backfill.plan import Through
from replicator.commands import (
    closing,
    cutback,
    cutover_left,
    down,
    removal,
    settle,
    way_back,
    way_back_possible,
)
from replicator.context import live
from replicator.context.console import Console
from replicator.context.context import Context
from replicator.context.lock import LeaseLost
from replicator.handlers.state import State
from tests.replicator.fakes import STATE, FakeDynamoDB, Rooted, refusal

INVERSES = "tests.ddbverify.broken_inverses"

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
alarm_topic = "arn:aws:sns:eu-west-1:123456789012:alarms"
[cutover]
pointer = "ssm:/shop/orders"
way_back = "7d"
"""


def settings(tmp_path, more=""):
    return parse(FILE.format(more=more), tmp_path)


def migration(tmp_path, **noted):
    """A context with state tables of its own, and no AWS."""
    made = Context(settings(tmp_path), Console(as_json=True), tmp_path / "migration.toml")
    for cycle in range(5):
        turned = made.turned(cycle)
        turned.__dict__["whole"] = State.whole(FakeDynamoDB(), STATE)  # in the place of the cached property
    if noted:
        made.whole.put(Fact.LIVE, **noted)
    return made


def test_a_direction_has_names_and_sides_of_its_own(tmp_path):
    config = settings(tmp_path)
    back, over = config.turned(1), config.turned(2)

    assert config.turned(0) is config
    assert [one.name for one in (back, over)] == ["shop-back-1", "shop-over-2"]
    assert (back.source.region, back.target.region) == ("eu-central-1", "eu-west-1")
    assert (back.tables[0].source, back.tables[0].target) == ("orders-v2", "orders")
    assert (over.source, over.tables) == (config.source, config.tables)
    assert back.cutover.pointer is None, "it stays with the migration"
    assert back.replicated.alarm_topic is None, "CloudWatch reaches topics of its own region only"
    assert over.replicated.alarm_topic == config.replicated.alarm_topic


def test_all_directions_are_under_one_lease(tmp_path):
    made = migration(tmp_path)
    back = made.turned(1)
    made.lease = lease = SimpleNamespace(check=lambda: None)

    assert back is made.turned(1)
    assert (back.lease, back.root, back.turned(0)) == (lease, made, made)
    back.lease = None
    assert made.lease is None
    back.call_off()
    with pytest.raises(KeyboardInterrupt):
        made.need_going_on()


def test_there_is_none_with_a_transform_that_nobody_can_undo(tmp_path):
    with pytest.raises(Refused, match="has a transform") as caught:
        way_back_possible.need(Rooted(config=settings(tmp_path, 'transform = "a:b"')))
    assert 'way_back = "off"' in caught.value.hint
    way_back_possible.need(Rooted(config=settings(tmp_path)))


@pytest.mark.parametrize(
    ("stack", "apart"),
    [
        ('subnets = ["subnet-1"]\nsecurity_groups = ["sg-1"]', True),
        ('queue_key = "arn:aws:kms:eu-west-1:123456789012:key/k"', True),
        ('permissions_boundary = "arn:aws:iam::123456789012:policy/team"', True),
        ("concurrency = 4", False),
    ],
)
def test_there_is_none_where_the_stacks_have_what_is_of_one_place(tmp_path, stack, apart):
    """It runs in the target's account and region, where neither that key is nor that subnet."""
    tables = '[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n'
    there = '[source]\nregion = "eu-west-1"\n[target]\nregion = "{}"\n[stack]\n'
    over = Rooted(config=parse(tables + there.format("eu-central-1") + stack, tmp_path))
    here = Rooted(config=parse(tables + there.format("eu-west-1") + stack, tmp_path))

    assert ("one account and region" in way_back_possible.why_not(over)) is apart
    assert way_back_possible.why_not(here) == ""


def test_a_flip_leaves_none_where_only_up_and_restore_were_told_that_others_deploy(tmp_path):
    """`--deployed` was given to those two; a cutover that opened one would need rights over IAM."""
    tables = '[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n'
    lines = []
    context = Rooted(
        config=parse(tables, tmp_path),
        shared=SimpleNamespace(by_others=False),
        resources=lambda _: {"by_others": True},
        console=SimpleNamespace(line=lines.append),
    )

    assert way_back_possible.decided(context) is False
    assert "others deploy the stacks" in lines[0]
    noted = Rooted(**{**vars(context), "shared": SimpleNamespace(by_others=False), "resources": lambda _: {}})
    assert way_back_possible.decided(noted) is True


def test_there_is_none_where_others_deploy_the_stacks(tmp_path):
    """It has stacks of its own, which nobody would deploy in the middle of a cutover."""
    tables = '[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n'
    context = Rooted(config=parse(f"{tables}[stack]\ndeployed = true", tmp_path))

    assert "others deploy the stacks" in way_back_possible.why_not(context)
    assert not way_back_possible.wanted(SimpleNamespace(root=context, cycle=0))


@pytest.mark.parametrize("status", ["ENABLED", "ENABLING", "DISABLING", "DISABLED", None])
def test_what_the_followers_time_to_live_does_is_told_before_the_fence(tmp_path, status):
    """Of the table that follows behind the flip; the other's removals are replicated, as any delete."""
    asked = []

    def described(*, TableName):  # noqa: N803
        asked.append(TableName)
        if status is None:
            raise refusal("AccessDeniedException")
        return {"TimeToLiveDescription": {"TimeToLiveStatus": status}}

    made = Rooted(config=settings(tmp_path), source=SimpleNamespace(describe_time_to_live=described))
    said = list(way_back_possible.warnings(made))
    assert asked == ["orders"]
    if status == "DISABLED":
        assert said == []
    elif status is None:
        assert "not known" in said[0]
    else:
        assert "time to live is on in orders, which follows behind the flip" in said[0]
        assert "on in orders-v2" in said[0]


DEFAULT, ASKED, OFF = "", 'way_back = "7d"', 'way_back = "off"'
SIDE, NO_SIDE = 'fence = "command:./fence {side}"', 'fence = "command:./fence"'
SHAPED = 'transform = "a:b"'


@pytest.mark.parametrize(
    ("said", "more", "wanted", "told"),
    [
        (DEFAULT, "", True, "there is a way back, for 7.0 days"),
        (DEFAULT, SHAPED, False, "there is no way back: orders -> orders-v2 has a transform, and no"),
        (DEFAULT, SHAPED + "\nrekeys = true", False, "there is no way back: the transform of .* makes keys"),
        (DEFAULT, SHAPED + '\ninverse = "a:c"', True, "there is a way back"),
        (DEFAULT + SIDE, "", True, "there is a way back"),
        (DEFAULT + NO_SIDE, "", False, "there is no way back: your fence command has no {side}"),
        (ASKED, "", True, "there is a way back"),
        (ASKED, SHAPED, True, "`cutover` will refuse: .* has a transform"),
        (OFF, "", False, "no way back is asked for"),
        (OFF, SHAPED, False, "no way back is asked for"),
    ],
)
def test_there_is_one_by_default_where_there_can_be_and_else_the_reason_is_said(
    tmp_path, said, more, wanted, told
):
    config = parse(FILE.replace('way_back = "7d"', said).replace("{more}", more), tmp_path)
    lines = []
    made = Rooted(config=config, console=SimpleNamespace(line=lines.append))

    assert way_back_possible.wanted(made) is wanted
    assert re.search(told, way_back_possible.foretold(made))
    if "refuse" in told:
        with pytest.raises(Refused, match="has a transform"):
            way_back_possible.decided(made)
    else:
        assert way_back_possible.decided(made) is wanted
        assert bool(lines) is not wanted, "no error, but no silence either"


def test_a_name_that_is_too_long_for_one_has_none_by_default(tmp_path):
    text = FILE.replace('way_back = "7d"', "").replace('name = "shop"', f'name = "{"s" * 23}"')
    made = Rooted(config=parse(text.format(more=""), tmp_path))

    assert not way_back_possible.wanted(made)
    assert "more than 22 characters" in way_back_possible.foretold(made)


def test_from_a_way_back_there_is_always_a_way_over_again(tmp_path):
    made = migration(tmp_path)
    made.config = parse(FILE.replace('"7d"', '"off"').format(more=""), tmp_path)

    assert [way_back_possible.wanted(made.turned(cycle)) for cycle in range(4)] == [False, True, False, True]


def test_there_is_none_from_two_targets_to_one_source(tmp_path):
    """Each would write its own items over the other's."""
    second = "[[tables]]\nsource = {!r}\ntarget = 'orders-v3'"

    for source in ("orders", "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"):
        with pytest.raises(Refused, match="have one source, which cannot follow two targets"):
            way_back_possible.need(Rooted(config=settings(tmp_path, second.format(source))))
    assert way_back_possible.why_not(Rooted(config=settings(tmp_path, second.format("customers")))) == ""


def test_a_fence_lets_the_way_backs_consumer_through(monkeypatch, tmp_path):
    table = SimpleNamespace(arn="arn:aws:dynamodb:eu-west-1:123456789012:table/orders", name="orders")
    sts = SimpleNamespace(get_caller_identity=lambda: {"Arn": "arn:aws:iam::123456789012:user/ops"})
    context = Rooted(
        config=settings(tmp_path),
        source=None,
        source_client=lambda _: sts,
        source_table=lambda _: table,
        server_time=lambda: 0.0,
        console=SimpleNamespace(warn=None),
        pace=SimpleNamespace(fence_margin=0.0, fence_lead=0.0, fence_spread=0.0),
        begun=lambda: False,
    )
    role = "arn:aws:iam::123456789012:role/replicator-shop-back-1-x"

    exempt = fence.of_sources(context, (role,)).exempt
    assert exempt[0] == "arn:aws:iam::123456789012:user/ops"
    assert role in exempt
    assert role not in fence.of_sources(context).exempt


@pytest.mark.parametrize(("cycle", "side"), [(0, "source"), (1, "target"), (2, "source")])
def test_a_fence_command_is_told_which_table(tmp_path, cycle, side):
    file = FILE.replace("way_back", 'fence = "command:./fence {side}"\nway_back').format(
        more="", side="{side}"
    )
    context = Context(parse(file, tmp_path), Console(as_json=True), tmp_path).turned(cycle)

    assert fence.of(context).command == f"./fence {side}"


def test_which_direction_a_command_goes_along(tmp_path):
    def chosen(choose, **noted):
        return choose(migration(tmp_path, **noted)).cycle

    assert chosen(cutover_left.over) == 0
    assert chosen(cutover_left.over, table="target", cycle=1) == 0, "again: what was flipped already"
    assert chosen(cutover_left.over, table="source", cycle=2) == 2
    assert chosen(cutover_left.over, table="between", cycle=2) == 2
    assert chosen(cutback._back, table="target", cycle=1) == 1
    assert chosen(cutback._back, table="between", cycle=1) == 1
    assert chosen(cutback._back, table="source", cycle=2) == 1, "again"


@pytest.mark.parametrize(
    ("choose", "noted", "said"),
    [
        (cutover_left.over, {"table": "between", "cycle": 1}, "A cutback was interrupted"),
        (cutback._back, {"table": "between", "cycle": 2}, "A cutover was interrupted"),
        (cutback._back, {"table": "between", "cycle": 0}, "A cutover was interrupted"),
        (cutback._back, {"table": "target", "cycle": 0}, "There is no way back"),
        (cutback._back, {"table": "source", "cycle": 0}, "nothing to go back to"),
    ],
)
def test_a_command_that_has_nothing_to_do_there_is_refused(tmp_path, choose, noted, said):
    with pytest.raises(Refused, match=said):
        choose(migration(tmp_path, **noted))


@pytest.mark.parametrize("left", [{"fenced": True}, {"fenced": True, "flipping": True}])
def test_no_other_command_goes_on_while_a_cutback_is_interrupted(tmp_path, left):
    """Its fence may stand, and only the command that put it up lifts it."""
    made = migration(tmp_path, table="target", cycle=1)
    made.turned(1).whole.put(Fact.CUTOVER, steps={}, **left)

    with pytest.raises(Refused, match="A cutback was interrupted") as caught:
        cutover_left.over(made)
    assert "replicator cutback" in caught.value.hint
    made.need_begun = lambda: None
    made.locked = lambda _: nullcontext()
    with pytest.raises(Refused, match="A cutback was interrupted"):
        settle.settle(made)


def test_only_the_direction_whose_turn_it_is_may_follow(tmp_path):
    for table, cycle, turn in [("source", 0, 0), ("target", 1, 1), ("source", 2, 2), ("between", 1, None)]:
        made = migration(tmp_path, table=table, cycle=cycle)
        assert [one for one in range(4) if live.is_followed(made.turned(one))] == (
            [] if turn is None else [turn]
        )


def test_what_is_shut_is_let_go_only_by_what_shut_it(tmp_path):
    made = migration(tmp_path)
    state = State.of_pair(FakeDynamoDB(), STATE, made.config.tables[0].id)
    made.state = lambda pair: state

    closing.shut(made)
    assert state.get(Fact.CONTROL)["state"] == SHUT
    closing.not_moved(made)
    assert state.get(Fact.CONTROL)["state"] == "run"
    state.put(Fact.CONTROL, state="pause")
    closing.not_moved(made)
    assert state.get(Fact.CONTROL)["state"] == "pause", "the operator's"


def test_a_flip_is_noted_once_and_what_was_given_up_is_not_opened_again(tmp_path):
    made = migration(tmp_path, table="between", cycle=0)
    ahead = way_back.Ahead(made.turned(1), ())

    way_back.note_moved(made, ahead)
    assert live.read(made) == live.Live("target", 1)
    live.note(made, "target", 0)  # settled
    way_back.note_moved(made, ahead)
    assert live.read(made) == live.Live("target", 0)
    way_back.open_(made, ahead, None)  # which would need AWS


def test_the_fence_of_the_table_that_opens_is_lifted_once(tmp_path, monkeypatch):
    made, lifted = migration(tmp_path, table="between", cycle=2), []
    monkeypatch.setattr(
        fence,
        "of_sources",
        lambda context, roles=(): SimpleNamespace(lift=lambda: lifted.append(context.cycle)),
    )
    over = made.turned(2)

    way_back.note_moved(over, None)
    way_back.note_moved(over, None)
    assert lifted == [1], "the target was fenced by the way back's own flip"
    assert live.read(made) == live.Live("target", 2)


@pytest.mark.parametrize(
    ("table", "cycle", "last"), [("source", 2, 1), ("target", 2, 2), ("source", 4, 3)], ids=str
)
def test_the_memory_of_a_fence_is_not_removed_while_it_keeps_the_application_off(
    tmp_path, monkeypatch, table, cycle, last
):
    """The flip is noted first, and the fence lifted then: what was killed in between lifts it, run again."""
    made = migration(tmp_path, table=table, cycle=cycle)
    monkeypatch.setattr(Context, "begun", lambda _: True)

    with pytest.raises(Refused, match=f"The {table} may still be fenced") as caught:
        down._need_decided(made)
    assert f"replicator {made.turned(last).flips_with}`" in caught.value.hint
    made.turned(last).whole.put(way_back.OPENED, at="now")
    assert down._need_decided(made) == table


def test_where_a_way_back_is_gone_down_goes_on(tmp_path, monkeypatch):
    """One that was killed may have removed its state table."""
    monkeypatch.setattr(Context, "begun", lambda _: False)
    assert down._need_decided(migration(tmp_path, table="source", cycle=2)) == "source"
    assert down._need_decided(migration(tmp_path, table="target", cycle=0)) == "target"


@pytest.mark.parametrize("noted", [{"Inverse": "a:back"}, None])
def test_a_way_back_is_not_opened_through_anything_but_what_it_was_armed_with(tmp_path, monkeypatch, noted):
    """Without an inverse that the settings no longer name, items would go back as they are."""
    made = migration(tmp_path, table="target", cycle=1)
    turned, said = made.turned(1), []
    state = State.of_pair(FakeDynamoDB(), STATE, turned.config.tables[0].id)
    bound = {"transform": "", "digest": "", "rekeys": False, "backfill": "backup"}
    state.put(Fact.BOUND, **bound, **({"through": noted} if noted else {}))
    turned.state = lambda pair: state
    made.console = SimpleNamespace(warn=said.append)
    plan = SimpleNamespace(pair=turned.config.tables[0], digest="", through=None)

    def deployed(_):
        raise Refused("It is deployed.", "x")

    monkeypatch.setattr(way_back, "base_stack", deployed)
    way_back.open_(made, way_back.Ahead(turned, (plan,)), None)
    assert [("It is deployed" in one, "The transform has changed" in one) for one in said] == [
        (not noted, bool(noted))
    ]


def test_the_fence_is_lifted_without_the_users_code(tmp_path, monkeypatch):
    """An inverse that does not load any more kept the application from writing."""
    made, lifted, said = migration(tmp_path, table="between", cycle=2), [], []
    over = made.turned(2)
    over.console = SimpleNamespace(warn=said.append)

    def load(*_):
        lifted.append("loaded")
        raise ConfigurationError("There is no module of that name.", "x")

    monkeypatch.setattr(way_back, "_plan", load)
    monkeypatch.setattr(fence, "lift_opened", lambda context: lifted.append(context.cycle))
    ahead = way_back.found(over)
    way_back.note_moved(over, ahead)
    assert lifted == [2]
    assert not way_back.open_(over, ahead, None)
    assert lifted == [2, "loaded"]
    assert "no module of that name" in said[0]
    assert "nothing follows it yet" in said[0]


def test_an_armed_forwarder_is_proven_again_at_each_attempt(tmp_path, monkeypatch):
    """What was sent weeks ago says nothing of today."""
    made = migration(tmp_path)
    turned = made.turned(1)
    state = State.of_pair(FakeDynamoDB(), STATE, turned.config.tables[0].id)
    turned.state = lambda pair: state
    state.put(Fact.STEP + "canary", at="long ago")
    plan = SimpleNamespace(pair=turned.config.tables[0], source=SimpleNamespace(name="orders-v2"))
    proven = []

    class Deployment(SimpleNamespace):
        command = "cutover"

        def step(self, name, *_, **__):
            if name == "canary":
                proven.append(state.get(Fact.STEP + "canary"))

    monkeypatch.setattr(way_back, "found", lambda _: way_back.Ahead(turned, (plan,)))
    monkeypatch.setattr(way_back_possible, "warnings", lambda _: ())
    for module, name in [(way_back.through, "need_laws"), (way_back.target_closing, "admit")]:
        monkeypatch.setattr(module, name, lambda *_: None)
    for name in ("_remove_stale", "bind", "base_stack"):
        monkeypatch.setattr(way_back, name, lambda *_: None)
    monkeypatch.setattr(way_back, "deployed", lambda *_: Deployment())
    monkeypatch.setattr(way_back.bundle, "build", lambda _: None)
    monkeypatch.setattr(way_back.Ahead, "need_readable", lambda _: proven.append("the stream is read"))
    way_back.arm(made, None)
    assert proven == [None, "the stream is read"], "the step is taken again"


@pytest.mark.parametrize(
    ("inverse", "said"),
    [
        ("deletes_what_is_dropped", "other internal"),  # it keeps the first law, on every item
        ("reads_a_number", "raised ValueError"),
        ("counts_its_calls", "two calls with the same items gave two results"),
    ],
)
def test_an_inverse_that_breaks_a_law_on_real_items_is_refused_before_anything_is_armed(
    tmp_path, monkeypatch, inverse, said
):
    made = migration(tmp_path)
    turned, touched = made.turned(1), []
    through = Through(
        Transform.load(f"{INVERSES}:narrower", {"id": "S"}, {"pk": "S"}, rekeys=False),
        Inverse.load(f"{INVERSES}:{inverse}", {"id": "S"}, {"pk": "S"}),
        "0" * 64,
        "0" * 64,
    )
    plan = SimpleNamespace(
        pair=turned.config.tables[0],
        source=SimpleNamespace(name="orders-v2"),
        target=SimpleNamespace(name="orders"),
        through=through,
    )
    item = {"id": {"S": "a"}, "v": {"N": "1"}, "internal": {"S": "x"}}
    monkeypatch.setattr(
        way_back.through.preflight, "sample", lambda _, table: [item] if table is plan.target else []
    )
    monkeypatch.setattr(way_back, "found", lambda _: way_back.Ahead(turned, (plan,)))
    monkeypatch.setattr(way_back_possible, "warnings", lambda _: ())
    for module, name in [
        (way_back, "_remove_stale"),
        (way_back, "base_stack"),
        (way_back, "bind"),
        (way_back, "deployed"),
        (way_back.target_closing, "admit"),
        (way_back.bundle, "build"),
    ]:
        monkeypatch.setattr(module, name, lambda *_, name=name: touched.append(name))

    with pytest.raises(ConfigurationError, match=said):
        way_back.arm(made, None)
    assert touched == []


@pytest.mark.parametrize(("cycle", "removes"), [(0, "down"), (1, "settle"), (2, "down")])
def test_what_stays_armed_behind_a_flip_that_was_rolled_back_is_said(tmp_path, cycle, removes):
    turned, said = migration(tmp_path).turned(cycle), []
    turned.console = SimpleNamespace(warn=said.append)

    way_back.tell_armed(turned, None)
    assert said == []
    way_back.tell_armed(turned, way_back.found(turned))
    assert f"`replicator {turned.flips_with}`, run again" in said[0]
    assert f"`replicator {removes}` removes it" in said[0]


@pytest.fixture
def standing(monkeypatch):
    """Numbers of the directions of which something is there; removed in the order of the answer."""
    there, gone = {1, 2}, []

    def remove(direction):
        there.remove(direction.cycle)
        gone.append(direction.cycle)
        return [f"stack {direction.cycle}"]

    monkeypatch.setattr(removal, "exists", lambda direction: direction.cycle in there)
    monkeypatch.setattr(removal, "direction", remove)
    return gone


def test_what_is_given_up_with_a_way_back_is_said(tmp_path, monkeypatch, standing):
    made, said, warned = migration(tmp_path, table="target", cycle=1), [], []
    made.need_begun, made.locked = lambda: None, lambda _: nullcontext()
    back = made.turned(1)
    made.console = back.console = SimpleNamespace(
        line=said.append, warn=warned.append, step=lambda _: nullcontext()
    )
    depth, letters = {"waiting": 2, "in_flight": 0, "delayed": 1}, [4]
    state = State.of_pair(FakeDynamoDB(), STATE, "orders")
    back.state, back.resources = lambda _: state, lambda _: {"dead_letter_url": "url"}
    monkeypatch.setattr(settle.switch, "stop_consumer", lambda *_: None)
    monkeypatch.setattr(settle.queue, "queue_depth", lambda context, _: depth if context is back else {})
    monkeypatch.setattr(settle.queue, "dead_letters", lambda *_: letters[0])
    monkeypatch.setattr(settle, "_read_to_the_end", lambda *_: None)
    monkeypatch.setattr(settle.after_flip, "begin", lambda _: None)
    state.put(Fact.QUARANTINE + "a", key={"id": {"S": "a"}}, number="1", reason="x", at="now")

    settle.settle(made)
    (left,) = warned
    assert left == (
        "given up with the way back, and in orders-v2 only: about 7 messages of its queue and 1 key of its "
        "quarantine"
    )
    (last,) = said
    assert last.startswith("The way back is given up: the source stays fenced, and as it is by now.")
    assert "What is written to the target from here on does not reach it, and nothing goes back." in last

    warned.clear()
    live.note(made, "target", 1)
    depth.update(waiting=0, delayed=0)
    letters[0] = 0
    state.delete(Fact.QUARANTINE + "a")
    settle.settle(made)
    assert warned == [], "nothing waits"


def test_what_a_cutback_that_was_rolled_back_has_armed_goes_with_the_way_back(
    tmp_path, monkeypatch, standing
):
    made = migration(tmp_path, table="target", cycle=1)
    made.need_begun, made.locked = lambda: None, lambda _: nullcontext()
    made.console = made.turned(1).console = SimpleNamespace(line=lambda _: None, step=lambda _: nullcontext())
    monkeypatch.setattr(settle.switch, "stop_consumer", lambda *_: None)
    monkeypatch.setattr(settle, "_read_to_the_end", lambda *_: None)
    monkeypatch.setattr(settle, "_left_unapplied", lambda *_: "")
    monkeypatch.setattr(settle.after_flip, "begin", lambda _: None)

    assert settle.settle(made) == {"settled": True, "removed": ["stack 2", "stack 1"]}
    assert standing == [2, 1], "the way back last: a run again goes by it"
    assert live.read(made) == live.Live("target", 0)


class Lease:
    """Of a `settle` whose machine sleeps once the consumer is off; *free*: nobody has it since."""

    def __init__(self, *, free):
        self.free = free

    def regain(self):
        return self.free


@pytest.mark.parametrize("free", [True, False])
def test_a_settle_that_loses_its_lease_does_not_leave_the_source_behind(
    tmp_path, monkeypatch, standing, free
):
    """Nothing was given up by then; who has the lease may have flipped, and decides."""
    made, switched, said = migration(tmp_path, table="target", cycle=1), [], []
    made.need_begun, made.locked = lambda: None, lambda _: nullcontext(Lease(free=free))
    made.turned(1).console = SimpleNamespace(step=lambda _: nullcontext(), warn=said.append)
    monkeypatch.setattr(settle.switch, "stop_consumer", lambda *_: switched.append("off"))
    monkeypatch.setattr(settle.cutover_drain, "consumers_on", lambda _: switched.append("on"))

    def lost(*_):
        raise LeaseLost("This `settle` lost its lease.", "run it again.")

    monkeypatch.setattr(settle, "_left_unapplied", lambda *_: "")
    monkeypatch.setattr(settle, "_read_to_the_end", lost)
    with pytest.raises(LeaseLost):
        settle.settle(made)

    assert switched == (["off", "on"] if free else ["off"])
    assert ["may not follow" in one for one in said] == ([] if free else [True])
    assert standing == [], "nothing of it is removed"
    assert live.read(made) == live.Live("target", 1)


def test_down_finds_what_was_armed_before_a_way_back_was_given_up(tmp_path, standing):
    made = migration(tmp_path, table="target", cycle=0)
    assert [one.cycle for one in down._directions(made)] == [1, 2]


@pytest.mark.parametrize("gap", [True, False])
def test_what_was_armed_and_has_met_a_gap_is_armed_anew(tmp_path, monkeypatch, standing, gap):
    """Behind the flip nothing would clear it, and there would be no way back."""
    turned = migration(tmp_path).turned(1)
    monkeypatch.setattr(Context, "begun", lambda _: True)
    state, said = State.of_pair(FakeDynamoDB(), STATE, turned.config.tables[0].id), []
    turned.state, turned.console = lambda pair: state, SimpleNamespace(warn=said.append)
    state.put(Fact.RESOURCES, stream_arn="arn:of:the:stream")
    if gap:
        state.latch_gap("the stream was trimmed")
    source = SimpleNamespace(name="orders-v2", stream_arn="arn:of:the:stream")
    plan = SimpleNamespace(pair=turned.config.tables[0], source=source, through=None)

    way_back._remove_stale(way_back.Ahead(turned, (plan,)))
    assert (standing, len(said)) == (([1], 1) if gap else ([], 0))
