"""The way back through an inverse: what is written over what is there, and what is never touched."""

from __future__ import annotations

import itertools
import random
import sys
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbverify.items.inverse import Inverse
from ddbverify.items.transform import Transform, key_hash
from ddbverify.names import canary_key
from replicator.handlers import consumer as consumer_module
from replicator.handlers import inverse_ledger
from replicator.handlers.applier import Applier, Message
from replicator.handlers.consumer import consume
from replicator.handlers.envelope import Letter
from replicator.handlers.inverse_ledger import InverseLedger
from replicator.handlers.inverting import LEFT_OUT, TOO_MANY, Intended, Present, intended, unchanged
from replicator.handlers.ledger import Applied, Ledger, Write
from replicator.handlers.limit import limited
from replicator.handlers.records import Change, pad
from tests.replicator.fakes import ARN, LEDGER, TARGET, FakeDynamoDB, FakeNotebook, ledger_on, refusal
from tests.replicator.handlers.test_wire import ENVIRONMENT

FOLLOWER, LEADER = {"id": "S"}, {"pk": "S"}
BOUNDARY = 1_000


def narrower(item):
    """Of the follower's item the leader's: without `kept`, and of hidden ones none."""
    if item.get("hidden"):
        return None
    return {"pk": item["id"], **{name: value for name, value in item.items() if name not in ("id", "kept")}}


def wider(item, before):
    kept = {"kept": before["kept"]} if before and "kept" in before else {}
    return {**kept, "id": item["pk"], **{name: value for name, value in item.items() if name != "pk"}}


FORWARD = Transform("rules:narrower", narrower, FOLLOWER, LEADER)
TAKEN_AS_IT_IS = Transform("", None, LEADER, FOLLOWER)  # what the applier knows of the leader's items


def inverse(function=wider) -> Inverse:
    return Inverse.of("rules:back", function, FOLLOWER, LEADER)


def hashed(key):
    return key_hash({"pk": {"S": key}}, LEADER)


def change(name, key, number, *, v=None, **more) -> Change:
    image = None if name == "REMOVE" else {"pk": {"S": key}, **({"v": {"S": v}} if v else {}), **more}
    return Change(pad(str(number)), name, {"pk": {"S": key}}, image, BOUNDARY + number)


class Bench:
    """A consumer of the way back over a fake follower."""

    def __init__(self, function=wider, *, items=(), forward=FORWARD):
        self.database, self.notebook = FakeDynamoDB(), FakeNotebook()
        for item in items:
            self.database.seed(TARGET, item)
        ledger = ledger_on(self.database, self.notebook)
        self.guard = InverseLedger(ledger, forward, inverse(function))
        self.numbers, self.counts = {}, Counter()
        self.leader = {}

    def deliver(self, *changes):
        applier = Applier(
            TAKEN_AS_IT_IS,
            self.guard,
            self.notebook,
            BOUNDARY,
            lambda key: self.leader.get(key["pk"]["S"]),
        )
        returned = consume([Message("m", "g0", Letter(ARN, 0, changes))], applier)
        applier.clear_quarantine()
        self.counts += applier.counts
        for key, number in self.guard.numbers([hashed(one.keys["pk"]["S"]) for one in changes]).items():
            assert number >= self.numbers.get(key, ""), "applied numbers never go down"
            self.numbers[key] = number
        return returned

    @property
    def follower(self):
        return {item["id"]["S"]: item for item in self.database.items(TARGET).values()}

    def reasons(self):
        return {entry.key["pk"]["S"]: entry.reason for entry in self.notebook.quarantined().values()}


def item(key, v="old", kept="mine", **more):
    return {"id": {"S": key}, "v": {"S": v}, "kept": {"S": kept}, **more}


# --- before -----------------------------------------------------------------------------------


def test_what_the_transform_leaves_out_stays_where_an_item_is_modified():
    bench = Bench(items=[item("a")])

    bench.deliver(change("MODIFY", "a", 1, v="new"))

    assert bench.follower == {"a": item("a", "new")}
    assert bench.counts["applied"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        [change("INSERT", "a", 1, v="new")],
        [change("REMOVE", "a", 1), change("INSERT", "a", 2, v="new")],
        [change("REMOVE", "a", 1), change("INSERT", "a", 2, v="x"), change("MODIFY", "a", 3, v="new")],
        [change("MODIFY", "a", 3, v="new"), change("REMOVE", "a", 1)],
    ],
    ids=["insert", "again", "and-modified", "out-of-order"],
)
def test_what_belongs_to_an_item_that_is_gone_is_not_taken_for_what_was_before(changes):
    bench = Bench(items=[item("a")])

    bench.deliver(*changes)

    assert bench.follower == {"a": {"id": {"S": "a"}, "v": {"S": "new"}}}


def test_a_change_before_the_boundary_says_nothing_about_an_item():
    """It is the forward side's own: it deleted and wrote the leader's item, never the follower's."""
    bench = Bench(items=[item("a")])
    early = [replace(change(name, "a", 1, v="x"), created_at=BOUNDARY - 5) for name in ("REMOVE", "INSERT")]

    bench.deliver(*early, change("MODIFY", "a", 3, v="new"))

    assert bench.follower == {"a": item("a", "new")}


def test_a_removal_deletes_and_a_late_change_does_not_bring_it_back():
    bench = Bench(items=[item("a")])

    bench.deliver(change("REMOVE", "a", 2))
    bench.deliver(change("MODIFY", "a", 1, v="late"))
    bench.deliver(change("REMOVE", "b", 3))

    assert bench.follower == {}
    assert (bench.counts["applied"], bench.counts["superseded"]) == (2, 1)


def test_a_change_without_its_image_is_read_from_the_leader():
    bench = Bench(items=[item("a")])
    bench.leader["a"] = {"pk": {"S": "a"}, "v": {"S": "read"}}

    bench.deliver(replace(change("MODIFY", "a", 1), new_image=None, fetch=True))

    assert bench.follower == {"a": item("a", "read")}


def test_a_canary_goes_past_the_users_functions():
    def never(item):
        raise AssertionError

    bench = Bench(never, forward=replace(FORWARD, function=never))
    marker = canary_key(LEADER)

    bench.deliver(Change(pad("1"), "INSERT", marker, {**marker, "x": {"S": "y"}}, BOUNDARY + 1))

    assert bench.counts["applied"] == 1
    assert bench.follower == {}


# --- what is put aside ------------------------------------------------------------------------


def raises(item, before):
    raise LookupError("SENTINEL")


def forgets(item, before):
    return {**wider(item, before), "v": "SENTINEL"}


def hides(item, before):
    return {**wider(item, before), "hidden": True}


_CALLS = itertools.count()


def impure(item, before):
    """Right at its first call only, as one that keeps state between calls may be."""
    return wider(item, before) if next(_CALLS) % 2 else {**wider(item, before), "v": "SENTINEL"}


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (impure, "transform(inverse(item, before)) is another item than the one that was written, in v"),
        (raises, "The inverse rules:back raised LookupError."),
        (forgets, "transform(inverse(item, before)) is another item than the one that was written, in v"),
        (hides, "the transform leaves out what the inverse rules:back makes of it"),
        (lambda item: {"id": "other"}, "The inverse rules:back changed the item's key."),
    ],
)
def test_a_write_that_breaks_the_first_law_is_put_aside_and_its_neighbours_go_on(function, reason):
    def of_one_key(item, before):
        return (
            function(*((item, before) if function.__code__.co_argcount == 2 else (item,)))
            if (item["pk"] == "a")
            else wider(item, before)
        )

    bench = Bench(of_one_key, items=[item("a"), item("b")])

    assert bench.deliver(change("MODIFY", "a", 1, v="new"), change("MODIFY", "b", 2, v="new")) == []

    assert bench.reasons() == {"a": reason}
    assert bench.follower == {"a": item("a"), "b": item("b", "new")}


@pytest.mark.parametrize("name", ["INSERT", "MODIFY", "REMOVE"])
def test_an_item_that_the_transform_leaves_out_is_never_touched(name):
    hidden = item("a", hidden={"BOOL": True})
    bench = Bench(items=[hidden])

    bench.deliver(change(name, "a", 1, v="new"))

    assert bench.follower == {"a": hidden}
    assert bench.reasons() == {"a": LEFT_OUT}


@pytest.mark.parametrize("name", ["MODIFY", "REMOVE"])
def test_nor_is_one_of_which_that_cannot_be_said(name):
    def raises(item):
        raise KeyError("SENTINEL")

    bench = Bench(items=[item("a")], forward=replace(FORWARD, function=raises))

    bench.deliver(change(name, "a", 1, v="new"))

    assert bench.follower == {"a": item("a")}
    assert bench.reasons() == {"a": "The transform rules:narrower raised KeyError."}


def test_an_item_of_too_many_attributes_is_put_aside_by_that_reason():
    many = item("a", **{f"n{at}": {"N": "1"} for at in range(160)})
    bench = Bench(items=[many, item("b")])

    bench.deliver(change("MODIFY", "a", 1, v="new"), change("REMOVE", "b", 2))

    assert bench.reasons() == {"a": TOO_MANY}
    assert bench.follower == {"a": many}


def test_a_later_change_releases_the_key():
    bench = Bench(lambda item: {"id": item["pk"], "v": "x"}, items=[item("a")])

    bench.deliver(change("MODIFY", "a", 1, v="new"))
    assert bench.reasons()
    bench.deliver(change("MODIFY", "a", 2, v="x"))

    assert not bench.reasons()
    assert bench.follower["a"]["v"] == {"S": "x"}


def test_what_dynamodb_refuses_is_put_aside_as_ever():
    bench = Bench(items=[item("a")])

    bench.deliver(change("MODIFY", "a", 1, v="new", poison={"S": "x"}))

    assert bench.reasons() == {"a": "refused by DynamoDB"}


# --- what changes between reading and writing --------------------------------------------------


def once(action):
    actions = iter([action])
    return lambda: next(actions, lambda: None)()


@pytest.mark.parametrize(
    ("meanwhile", "expected"),
    [
        ({"kept": {"S": "other"}}, {"kept": {"S": "other"}}),  # another value
        ({"v": {"S": "other"}}, {"kept": {"S": "mine"}}),
        (None, {}),  # its time to live has come
    ],
)
def test_an_item_that_changes_between_reading_and_writing_is_read_again(meanwhile, expected):
    bench = Bench(items=[item("a")])

    def somebody():
        if meanwhile is None:
            bench.database.items(TARGET).clear()
        else:
            bench.database.seed(TARGET, item("a") | meanwhile)

    bench.database.before_writing = once(somebody)
    bench.deliver(change("MODIFY", "a", 1, v="new"))

    assert bench.follower == {"a": {"id": {"S": "a"}, "v": {"S": "new"}, **expected}}


def test_an_item_that_comes_or_becomes_hidden_meanwhile_is_not_touched():
    hidden = item("a", hidden={"BOOL": True})
    for items, name in itertools.product(([], [item("a")]), ("MODIFY", "REMOVE")):
        bench = Bench(items=items)
        changed = hidden if not items else item("a", v="other", hidden={"BOOL": True})
        bench.database.before_writing = once(partial(bench.database.seed, TARGET, changed))

        bench.deliver(change(name, "a", 1, v="new"))

        assert bench.follower == {"a": changed}
        assert bench.reasons() == {"a": LEFT_OUT}


def test_a_key_that_another_consumer_has_written_meanwhile_is_decided_again():
    bench = Bench(items=[item("a")])
    other = Bench()
    other.database = bench.database
    other.guard = InverseLedger(ledger_on(bench.database, bench.notebook), FORWARD, inverse())
    bench.database.before_writing = once(lambda: other.deliver(change("MODIFY", "a", 5, v="newest")))

    bench.deliver(change("MODIFY", "a", 1, v="new"))

    assert bench.follower == {"a": item("a", "newest")}
    assert bench.counts["superseded"] == 1


def test_one_that_never_holds_still_comes_again():
    bench = Bench(items=[item("a")])
    counter = itertools.count()
    bench.database.before_writing = lambda: bench.database.seed(TARGET, item("a", kept=str(next(counter))))

    assert bench.deliver(change("MODIFY", "a", 1, v="new")) == ["m"]
    assert not bench.reasons()


# --- the condition ----------------------------------------------------------------------------


def condition(present, made=None):
    return unchanged(present, made, FOLLOWER, lambda item: item)


def test_the_condition_names_each_attribute_and_each_that_is_added():
    found = condition(item("a"), {"id": {"S": "a"}, "new": {"S": "x"}, "v": {"S": "y"}})

    assert found["ConditionExpression"] == "#0 = :0 AND #1 = :1 AND #2 = :2 AND attribute_not_exists(#3)"
    assert [*found["ExpressionAttributeNames"].values()] == ["id", "v", "kept", "new"]
    assert [*found["ExpressionAttributeValues"].values()] == [*item("a").values()]
    assert condition(None)["ConditionExpression"] == "attribute_not_exists(#0)"


def test_what_aws_writes_by_itself_is_in_no_condition():
    found = condition({"id": {"S": "a"}, "aws:rep:updateregion": {"S": "x"}})
    assert [*found["ExpressionAttributeNames"].values()] == ["id"]


def test_an_expression_stays_within_its_limits():
    for count in range(1, 400):
        found = condition({"id": {"S": "a"}, **{f"n{at}": {"N": "1"} for at in range(count)}})
        if found is None:
            assert count == 150  # with the key: 151 comparisons and 150 times AND
            break
        assert len(found["ConditionExpression"]) <= 4_096
        assert found["ConditionExpression"].count("=") + found["ConditionExpression"].count("AND") <= 300
    else:
        pytest.fail("no limit was met")


# --- the decision -----------------------------------------------------------------------------


def write(number, v="new", **more) -> Write:
    results = [] if v is None else [{"pk": {"S": "a"}, "v": {"S": v}}]
    return Write(hashed("a"), {"pk": {"S": "a"}}, pad(str(number)), results, {"id": {"S": "a"}}, **more)


@pytest.mark.parametrize(
    ("number", "repair", "decided"), [(4, False, False), (5, False, True), (5, True, False), (6, True, True)]
)
def test_a_later_change_counts_and_a_repair_takes_its_number_again(number, repair, decided):
    found = intended(write(5, repair=repair), Present(pad(str(number)), None), FORWARD, inverse())

    assert (found is Applied.SUPERSEDED) is decided


def test_a_repair_has_what_is_there_for_before():
    found = intended(write(5, repair=True), Present(pad("5"), item("a")), FORWARD, inverse())

    assert found == Intended(item("a", "new"))


# --- any order, repetition, batching ----------------------------------------------------------

KEYS = "abc"
STEPS = st.lists(st.tuples(st.sampled_from(KEYS), st.one_of(st.none(), st.sampled_from("xyz"))), max_size=12)
FAULTS = st.lists(st.sampled_from(["conflict", "after", "throttled", None]), max_size=6)


def history(steps):
    """The leader's changes, as its stream says them, and what it holds at the end."""
    leader, changes = dict.fromkeys(KEYS[:2], "old"), []
    for number, (key, v) in enumerate(steps, 1):
        if v is None and key not in leader:
            continue
        name = "REMOVE" if v is None else "MODIFY" if key in leader else "INSERT"
        changes.append(change(name, key, number, v=v and f"{v}{number}"))
        if v is None:
            del leader[key]
        else:
            leader[key] = f"{v}{number}"
    return changes, leader


def check_ends_as_the_leader(steps, faults, seed, function=wider):
    rng = random.Random(seed)
    changes, leader = history(steps)
    hidden = item("hidden", hidden={"BOOL": True})
    bench = Bench(function, items=[*(item(key) for key in KEYS[:2]), hidden])
    delivered = [*changes, *rng.choices(changes, k=len(changes))] if changes else []
    rng.shuffle(delivered)
    kinds = {
        "conflict": refusal("TransactionConflictException"),
        "after": ("after", refusal("InternalServerError")),
        "throttled": refusal("ThrottlingException"),
        None: None,
    }
    bench.database.faults.extend(kinds[one] for one in faults)
    while delivered:
        count = rng.randrange(1, 4)
        batch, delivered = delivered[:count], delivered[count:]
        if bench.deliver(*batch):
            delivered += batch
    assert not bench.reasons()
    found = bench.follower
    assert found.pop("hidden") == hidden
    made = {key: FORWARD(one)[0] for key, one in found.items()}
    assert made == {key: {"pk": {"S": key}, "v": {"S": v}} for key, v in leader.items()}
    return found


@settings(max_examples=200)
@given(STEPS, FAULTS, st.integers(0, 2**32))
def test_any_order_repetition_and_batching_ends_in_what_becomes_the_leader(steps, faults, seed):
    check_ends_as_the_leader(steps, faults, seed)


@settings(max_examples=200)
@given(STEPS)
def test_in_order_and_one_by_one_what_the_transform_leaves_out_stays_with_its_item(steps):
    changes, leader = history(steps)
    bench = Bench(items=[item(key) for key in KEYS[:2]])

    for one in changes:
        bench.deliver(one)

    gone = {one.keys["pk"]["S"] for one in changes if one.event_name == "REMOVE"}
    for key, found in bench.follower.items():
        mine = key in KEYS[:2] and key not in gone
        assert found == ({**item(key, leader[key])} if mine else {"id": {"S": key}, "v": {"S": leader[key]}})


def without_the_guard(patch):
    def entry(ledger, write, present):
        item = {"pk": {"S": f"s#{write.source_hash}"}, "n": {"S": write.number}}
        return {"Put": {"TableName": LEDGER, "Item": item}}

    def decided(write, present, *rules):
        return intended(write, replace(present, number=""), *rules)

    patch.setattr(inverse_ledger.InverseLedger, "_entry", entry)
    patch.setattr(inverse_ledger, "intended", decided)


def search():
    rng = random.Random(1)
    for seed in range(300):
        steps = [(rng.choice(KEYS), rng.choice([None, *"xyz"])) for _ in range(6)]
        check_ends_as_the_leader(steps, [], seed)


def test_without_the_guard_the_property_finds_a_counter_example(monkeypatch):
    without_the_guard(monkeypatch)
    with pytest.raises(AssertionError):
        search()


# --- deployed ---------------------------------------------------------------------------------


@pytest.fixture
def deployed(monkeypatch, tmp_path):
    """What the function makes of its environment, and of a bundle."""
    (tmp_path / "inverse_rules_for_tests.py").write_text(
        "def there(item): return {'pk': item.pop('id'), **item}\n"
        "def back(item, before): return {'id': item.pop('pk'), **item}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    names = ("inverse_rules_for_tests:there", "inverse_rules_for_tests:back")
    monkeypatch.setattr(consumer_module, "bundled_digest", lambda name: {names[1]: "b"}.get(name, "a"))
    yield lambda **more: [
        *[monkeypatch.setenv(name, value) for name, value in {**ENVIRONMENT, **more}.items()],
        consumer_module._deployment.__wrapped__(),
    ][-1]
    sys.modules.pop("inverse_rules_for_tests", None)


THROUGH = {
    "SOURCE_KEYS": '{"pk":"S"}',
    "TRANSFORM": "inverse_rules_for_tests:there",
    "TRANSFORM_DIGEST": "a",
    "INVERSE": "inverse_rules_for_tests:back",
    "INVERSE_DIGEST": "b",
}


def test_a_consumer_with_an_inverse_takes_what_leads_and_writes_what_it_makes(deployed):
    made = deployed(**THROUGH)

    assert (made.transform.function, made.transform.source_keys) == (None, LEADER)
    assert made.transform.target_key_of({"pk": {"S": "a"}}) == {"id": {"S": "a"}}
    assert made.ledger.transform({"id": {"S": "a"}}) == [{"pk": {"S": "a"}}]
    assert made.ledger.inverse({"pk": {"S": "a"}}, None) == {"id": {"S": "a"}}
    assert made.ledger.ledger.target_keys == FOLLOWER


def test_an_inverse_that_is_not_the_one_of_the_migration_is_refused(deployed):
    with pytest.raises(RuntimeError, match=r"the bundle's inverse .* is not the one"):
        deployed(**THROUGH | {"INVERSE_DIGEST": "c"})


def test_without_an_inverse_the_consumer_is_as_ever(deployed):
    assert isinstance(deployed().ledger, Ledger)


def test_an_inverse_that_hangs_costs_its_key():
    def hangs(item, before):
        while True:
            pass

    bench = Bench(limited(hangs, 0.05), items=[item("a")])

    bench.deliver(change("MODIFY", "a", 1, v="new"))

    assert bench.reasons() == {"a": "The inverse rules:back raised TookTooLong."}
