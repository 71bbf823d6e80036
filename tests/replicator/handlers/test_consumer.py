"""The consumer: what is handed back, what is dropped, what is put aside, and where it all ends."""

from __future__ import annotations

import copy
import itertools
import json
import random
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbverify.items.transform import MANIFEST, Transform, bundled_digest, contents_digest, key_hash
from ddbverify.names import Fact, canary_key
from replicator.handlers import consumer
from replicator.handlers.applier import Applier, Message
from replicator.handlers.consumer import (
    Settings,
    bundled_transform,
    consume,
    measurements,
    opened,
    progress_of,
)
from replicator.handlers.envelope import Letter, pack
from replicator.handlers.ledger import Applied, Write
from replicator.handlers.limit import Allowance, limited
from replicator.handlers.records import NO_NUMBER, Change, pad
from replicator.handlers.state import State
from tests.replicator.fakes import (
    ARN,
    KEYS,
    STATE,
    TARGET,
    FakeDynamoDB,
    FakeNotebook,
    body_text,
    change,
    ledger_on,
    refusal,
)

BOUNDARY = 1_000
SETTINGS = Settings("orders", ARN, restart=3, boundary=BOUNDARY)
IDENTITY = Transform("", None, KEYS, KEYS)


def hashed(key):
    return key_hash({"id": {"S": key}}, KEYS)


def message(number, *changes, group="g0"):
    return Message(f"m{number}", group, Letter(ARN, 3, changes))


SCRIPTS = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()))


def check_handed_back(script, consume):
    """Each group is handed back from its first failure on, and nothing else is."""
    batch = [Message(str(n), group, None) for n, (group, _) in enumerate(script)]
    works = {str(n): ok for n, (_, ok) in enumerate(script)}

    returned = consume(batch, lambda messages: {m.message_id for m in messages if not works[m.message_id]})

    assert returned == [m.message_id for m in batch if m.message_id in returned]
    for group in "abc":
        mine = [m.message_id for m in batch if m.group_id == group]
        kept = list(itertools.takewhile(works.get, mine))
        assert [one for one in mine if one in returned] == mine[len(kept) :]


@given(SCRIPTS)
def test_a_group_is_handed_back_from_its_first_failure_on(script):
    check_handed_back(script, consume)


class Bench:
    """Applier, ledger and notebook over a fake target."""

    def __init__(self, transform=IDENTITY, source=()):
        self.database, self.notebook = FakeDynamoDB(), FakeNotebook()
        self.ledger = ledger_on(self.database, self.notebook)
        self.transform, self.source = transform, dict(source)
        self.counts = Counter()

    def deliver(self, *batch, dies=False):
        """Hand *batch* to a consumer, which *dies* before it looks into the quarantine."""
        applier = Applier(
            self.transform, self.ledger, self.notebook, BOUNDARY, lambda key: self.source.get(key["id"]["S"])
        )
        returned = consume(batch, applier)
        if dies:
            return None
        applier.clear_quarantine()
        self.counts += applier.counts
        self.canaries = applier.canaries
        return returned

    @property
    def target(self):
        return {item["id"]["S"]: item.get("v", {}).get("S") for item in self.database.items(TARGET).values()}


def v(text):
    return {"v": {"S": text}}


def late(key, number, image=None, **more):
    return change(key, number, image, at=BOUNDARY + number, **more)


# --- the last change of a key -----------------------------------------------------------------


def test_the_last_change_of_a_key_in_a_batch_wins_wherever_it_stands():
    bench = Bench()
    bench.deliver(message(1, late("a", 3, v("3")), late("a", 5, v("5"))), message(2, late("a", 4, v("4"))))

    assert bench.target == {"a": "5"}
    assert bench.counts == {"applied": 1, "superseded": 2}
    assert bench.database.calls["transact_write_items"] == 1


def fuzzy_backup_history(rng):
    """Writes of two keys over time, and a backup that holds each write around its time, or not."""
    backup_time = BOUNDARY + 60
    events, moment = [], BOUNDARY - 100
    for number in range(1, rng.randrange(2, 10)):
        moment += rng.choice([0, 0, 1, 20, 50, 90])
        image = None if rng.random() < 0.3 else v(str(number))
        events.append(change(rng.choice("ab"), number, image, at=moment))
    backup = {}
    for key in "ab":
        mine = [one for one in events if one.keys["id"]["S"] == key]
        surely = sum(one.created_at < backup_time - 60 for one in mine)
        perhaps = sum(one.created_at <= backup_time + 60 for one in mine)
        held = mine[: rng.randint(surely, perhaps)]
        if held and held[-1].new_image:
            backup[key] = held[-1].new_image
    return events, backup


def check_converges(seed):
    """Any order, repetition and batching of a stream, over any backup that AWS may make."""
    rng = random.Random(seed)
    events, backup = fuzzy_backup_history(rng)
    bench = Bench()
    for item in backup.values():
        bench.database.seed(TARGET, item)
    delivered = [*events, *rng.choices(events, k=rng.randrange(len(events) + 1))]
    rng.shuffle(delivered)
    while delivered:
        size = rng.randrange(1, 5)
        batch, delivered = delivered[:size], delivered[size:]
        assert bench.deliver(*(message(at, one) for at, one in enumerate(batch))) == []
    wanted = {one.keys["id"]["S"]: one.new_image and one.new_image["v"]["S"] for one in events}
    assert bench.target == {key: value for key, value in wanted.items() if value}


@given(st.integers(0, 2**64))
def test_any_delivery_over_any_backup_ends_like_the_source(seed):
    check_converges(seed)


# --- the boundary -----------------------------------------------------------------------------


def test_a_change_before_the_boundary_is_dropped_and_counted_where_the_key_has_no_entry():
    bench = Bench()
    bench.deliver(message(1, change("a", 1, v("1"), at=BOUNDARY - 1), change("b", 2, v("2"), at=BOUNDARY)))

    assert bench.target == {"b": "2"}
    assert bench.counts == {"dropped": 1, "applied": 1}


def test_a_change_before_the_boundary_is_the_guards_to_judge_once_its_key_has_an_entry():
    bench = Bench()
    bench.deliver(message(1, late("a", 3, v("3"))))
    bench.deliver(message(2, change("a", 2, v("2"), at=BOUNDARY - 1)))

    assert bench.target == {"a": "3"}
    assert bench.counts == {"applied": 1, "superseded": 1}


def test_a_newer_change_with_an_earlier_time_does_not_drop_the_one_behind_the_boundary():
    # Found by `make model` (seed 9001): the audit called the first one lost.
    bench = Bench()
    bench.deliver(message(1, change("a", 1, v("1"), at=BOUNDARY), change("a", 2, v("2"), at=BOUNDARY - 1)))

    assert bench.target == {"a": "2"}
    assert bench.counts == {"applied": 1, "superseded": 1}


def test_an_entry_that_only_a_load_has_written_does_not_count():
    bench = Bench(Transform("t:t", lambda item: item, KEYS, KEYS, rekeys=True))
    bench.ledger.apply(
        [Write(hashed("a"), {"id": {"S": "a"}}, NO_NUMBER, [{"id": {"S": "a"}, **v("load")}], None)]
    )
    bench.deliver(message(1, change("a", 2, v("early"), at=BOUNDARY - 1)))

    assert bench.target == {"a": "load"}
    assert bench.counts == {"dropped": 1}


def test_an_early_change_behind_a_late_one_in_a_batch_does_not_drop_the_late_one():
    bench = Bench()
    bench.deliver(message(1, change("a", 1, v("1"), at=BOUNDARY - 1), late("a", 2)))

    assert bench.target == {}
    assert bench.counts == {"applied": 1, "superseded": 1}


# --- poison -----------------------------------------------------------------------------------


def picky(item):
    if item.get("v") == "bad":
        raise LookupError(item["v"])
    return None if item.get("v") == "unwanted" else item


PICKY = Transform("shop:picky", picky, KEYS, KEYS)


def test_a_change_whose_transform_raises_is_put_aside_and_its_neighbours_go_on():
    bench = Bench(PICKY)
    returned = bench.deliver(message(1, late("a", 1, v("x")), late("b", 2, v("bad")), late("c", 3, v("z"))))

    assert returned == []
    assert bench.target == {"a": "x", "c": "z"}
    (entry,) = bench.notebook.quarantined().values()
    assert (entry.key, entry.number) == ({"id": {"S": "b"}}, pad("2"))
    assert "LookupError" in entry.reason
    assert "bad" not in entry.reason


def test_a_change_that_dynamodb_refuses_is_put_aside_and_its_neighbours_go_on():
    bench = Bench()
    bench.deliver(message(1, late("a", 1, v("x")), late("b", 2, {"poison": {"S": ""}})))

    assert bench.target == {"a": "x"}
    assert list(bench.notebook.quarantined()) == [hashed("b")]


def test_a_later_change_of_the_key_clears_its_quarantine():
    bench = Bench(PICKY)
    bench.deliver(message(1, late("a", 1, v("bad"))))
    bench.deliver(message(2, late("a", 2, v("good"))))

    assert bench.notebook.quarantined() == {}
    assert bench.target == {"a": "good"}


def test_a_later_change_clears_it_also_where_its_consumer_died_in_between():
    """The gate stayed shut until a `repair`."""
    bench = Bench(PICKY)
    bench.deliver(message(1, late("a", 1, v("bad"))))
    bench.deliver(message(2, late("a", 2, v("good"))), dies=True)
    assert list(bench.notebook.quarantined()) == [hashed("a")]

    assert bench.deliver(message(2, late("a", 2, v("good")))) == []  # comes again, since nobody took it away
    assert bench.notebook.quarantined() == {}
    assert bench.counts["superseded"] == 1


def test_a_contested_change_that_comes_again_is_superseded_and_stays_in_the_quarantine():
    bench = Bench(Transform("t:t", lambda item: {"id": "taken"}, KEYS, KEYS, rekeys=True))
    bench.deliver(message(1, late("a", 1, v("x"))))
    for _ in range(2):
        bench.deliver(message(2, late("b", 2, v("y"))))
        assert list(bench.notebook.quarantined()) == [hashed("b")]
    assert bench.counts["superseded"] == 1


def test_an_earlier_change_of_the_key_does_not_clear_its_quarantine():
    bench = Bench(PICKY)
    bench.deliver(message(1, late("a", 2, v("bad"))))
    bench.deliver(message(2, late("a", 1, v("good"))))

    assert list(bench.notebook.quarantined()) == [hashed("a")]


def test_poison_that_is_superseded_is_not_put_aside():
    bench = Bench(PICKY)
    bench.deliver(message(1, late("a", 5, v("good"))))
    bench.deliver(message(2, late("a", 4, v("bad"))))

    assert bench.notebook.quarantined() == {}
    assert bench.counts == {"applied": 1, "superseded": 1}


def test_a_result_of_none_is_a_delete():
    bench = Bench(PICKY)
    bench.deliver(message(1, late("a", 1, v("x"))))
    bench.deliver(message(2, late("a", 2, v("unwanted"))))

    assert bench.target == {}


def test_what_may_work_later_goes_back_with_all_that_follows_in_its_group():
    bench = Bench()
    bench.database.faults.append(refusal("AccessDeniedException"))
    batch = [
        message(1, late("a", 1, v("x"))),
        message(2, group="g1"),
        message(3, late("b", 2, v("y"))),
        message(4),
    ]

    assert bench.deliver(*batch) == ["m1", "m3", "m4"]
    assert bench.deliver(*batch) == []
    assert bench.target == {"a": "x", "b": "y"}


# --- fetch, canary ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "wanted"), [({"a": {"id": {"S": "a"}, **v("now")}}, {"a": "now"}), ({}, {})]
)
def test_a_fetch_applies_what_the_source_holds_under_its_own_number(there, wanted):
    bench = Bench(source=there)
    bench.database.seed(TARGET, {"id": {"S": "a"}, **v("old")})
    bench.deliver(message(1, late("a", 7, fetch=True)))

    assert bench.target == wanted
    assert bench.ledger.numbers([hashed("a")]) == {hashed("a"): pad("7")}


def test_the_canary_is_deleted_from_the_target_even_when_it_is_older_than_the_boundary():
    bench = Bench()
    key = canary_key(KEYS)
    bench.database.seed(TARGET, key)
    bench.deliver(message(1, Change(pad("1"), "INSERT", key, key, BOUNDARY - 5)))

    assert bench.target == {}
    assert [one.sequence_number for one in bench.canaries] == [pad("1")]


# --- messages ---------------------------------------------------------------------------------


def sqs(body, number=1, group="g0"):
    return {"messageId": f"m{number}", "body": body, "attributes": {"MessageGroupId": group}}


def test_a_message_of_a_stream_that_a_restart_has_left_is_dropped_and_counted(monkeypatch):
    deployed = Deployment(monkeypatch)
    old = pack([late("a", 1), late("b", 2)], stream_arn=ARN + "-old", schema=KEYS, groups=1, restart=2)

    assert deployed.handle(old[0].body) == {"batchItemFailures": []}
    assert deployed.state.counters() == {"retired": 2}
    assert deployed.state.get(Fact.GAP) is None


def test_a_message_sent_before_a_restart_counts_where_the_stream_is_the_same(monkeypatch):
    """Found by the order model: what is forwarded while a restart goes on is sent only once."""
    deployed = Deployment(monkeypatch)
    sent = pack([late("a", 1, v("x"))], stream_arn=ARN, schema=KEYS, groups=1, restart=2)

    deployed.handle(sent[0].body)
    assert deployed.state.counters() == {"applied": 1}


@pytest.mark.parametrize(
    "body", ["hello", body_text([], arn=ARN + "-other", restart=3), body_text([], restart=4), '{"v":9}']
)
def test_a_message_that_is_not_ours_latches_a_gap_and_is_not_delivered_for_ever(body):
    gaps = []
    assert opened(sqs(body), SETTINGS, KEYS, gaps.append).letter is None
    assert len(gaps) == 1


def test_progress_counts_only_what_was_dealt_with():
    batch = [
        message(1, late("a", 1)),
        message(2, late("b", 2), late("a", 3), group="g1"),
        Message("m3", "g2", None),
    ]

    assert progress_of(batch, ["m1"]) == {"g1": BOUNDARY + 3}


def test_the_age_of_a_batch_is_that_of_its_oldest_change_that_was_dealt_with():
    """One fresh change hid that its neighbours had waited for an hour: no alarm on lag would have fired."""
    batch = [
        message(1, late("a", 1)),
        message(2, late("b", 20), late("c", 90), group="g1"),
        message(3, late("d", 30), group="g2"),
    ]
    applier = Applier(IDENTITY, None, FakeNotebook(), BOUNDARY, lambda key: None)

    assert measurements(batch, ["m1"], applier, BOUNDARY + 100)["AppliedAgeSeconds"] == 80
    assert measurements(batch, [], applier, BOUNDARY)["AppliedAgeSeconds"] == 0, (
        "this machine's clock is behind"
    )
    assert "AppliedAgeSeconds" not in measurements(batch, ["m1", "m2", "m3"], applier, BOUNDARY + 100)


class Deployment:
    """The handler's world, in memory."""

    def __init__(self, monkeypatch, transform=IDENTITY):
        self.database, self.notebook = FakeDynamoDB(), FakeNotebook()
        self.state = State.of_pair(self.database, STATE, "orders")
        ledger = ledger_on(self.database, self.notebook)
        made = consumer.Deployment(SETTINGS, transform, ledger, self.state, self.database)
        monkeypatch.setattr(consumer, "_deployment", lambda: made)

    def handle(self, *bodies):
        return consumer.handler({"Records": [sqs(body, at) for at, body in enumerate(bodies)]}, None)


def bodies_of(*changes, groups=1):
    return [one.body for one in pack(changes, stream_arn=ARN, schema=KEYS, groups=groups, restart=3)]


def test_the_handler_answers_sqs_with_message_ids(monkeypatch):
    deployed = Deployment(monkeypatch)

    assert deployed.handle(*bodies_of(late("a", 1, v("x")))) == {"batchItemFailures": []}
    deployed.database.faults.append(refusal("AccessDeniedException"))
    answer = deployed.handle(*bodies_of(late("a", 2, v("y"))), *bodies_of(late("b", 3, v("z"))))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}, {"itemIdentifier": "m1"}]}
    assert deployed.state.counters() == {"applied": 1}


def test_the_handler_notes_canary_groups_and_a_gap(monkeypatch):
    deployed = Deployment(monkeypatch)
    flight = Change(pad("5"), "REMOVE", canary_key(KEYS), None, BOUNDARY + 5)

    deployed.handle(*bodies_of(flight), "rubbish")

    assert deployed.state.get(Fact.CANARY_ARRIVED)["number"] == pad("5")
    assert deployed.state.get(Fact.CANARY_GROUPS) == {"g0": pad("5")}
    assert "not ours" in deployed.state.get(Fact.GAP)["reason"]


def test_a_canary_that_could_not_be_applied_has_not_arrived(monkeypatch):
    """Silence is not health (docs/promises.md 8): a consumer that may not write must not look alive."""
    deployed = Deployment(monkeypatch)
    deployed.database.faults.append(refusal("AccessDeniedException"))
    flight = Change(pad("5"), "REMOVE", canary_key(KEYS), None, BOUNDARY + 5)

    assert deployed.handle(*bodies_of(flight))["batchItemFailures"]
    assert deployed.state.get(Fact.CANARY_GROUPS) is None
    assert deployed.state.get(Fact.CANARY_ARRIVED) is None


def test_a_change_without_the_tables_key_is_a_gap_and_not_the_end_of_its_batch(monkeypatch):
    deployed = Deployment(monkeypatch)
    stranger = body_text([{"n": "1", "e": "R", "k": {"other": {"S": "x"}}, "t": BOUNDARY}], restart=3)

    assert deployed.handle(stranger, *bodies_of(late("a", 1, v("x")))) == {"batchItemFailures": []}
    assert deployed.state.get(Fact.GAP)
    assert deployed.state.counters() == {"applied": 1}


def test_many_changes_whose_transform_hangs_leave_the_call_time_for_their_neighbours(
    monkeypatch,
):
    given = []

    def hangs(item):
        given.append(allowance.seconds)
        while item["v"] == "bad":
            time.sleep(0.001)
        return item

    deployed = Deployment(monkeypatch)
    made, allowance = consumer._deployment(), Allowance(each=0.2, together=0.4, least=0.01)
    transform = Transform("t:t", limited(hangs, allowance), KEYS, KEYS, rekeys=False)
    made = replace(made, transform=transform, allowance=allowance)
    monkeypatch.setattr(consumer, "_deployment", lambda: made)
    changes = [late(f"k{at}", at, v("good" if at == 9 else "bad")) for at in range(1, 10)]

    for _ in range(2):  # each call has an allowance of its own
        assert deployed.handle(*bodies_of(*changes)) == {"batchItemFailures": []}
    assert given == 2 * [0.2, 0.2, *[0.01] * 7]
    assert len(deployed.state.quarantined()) == 8
    assert deployed.state.counters()["applied"] == 1


def test_every_gap_is_in_the_metric_that_the_alarm_looks_at(monkeypatch):
    deployed, told = Deployment(monkeypatch), []
    monkeypatch.setattr(consumer, "emit", lambda _service, _environment, values: told.append(values["Gaps"]))
    stranger = body_text([{"n": "1", "e": "R", "k": {"other": {"S": "x"}}, "t": BOUNDARY}], restart=3)

    deployed.handle(stranger)
    deployed.handle("rubbish", stranger)
    deployed.handle(*bodies_of(late("a", 1, v("x"))))

    assert told == [1, 2, 0]


def test_every_change_that_is_put_aside_is_in_the_metric_that_the_alarm_looks_at(monkeypatch):
    def transform(item):
        return {"id": "taken"} if item.get("v") else None

    told = []
    monkeypatch.setattr(
        consumer, "emit", lambda _service, _environment, values: told.append(values["Quarantined"])
    )
    deployed = Deployment(monkeypatch, Transform("t:t", transform, KEYS, KEYS, rekeys=True))
    deployed.handle(*bodies_of(late("a", 1, v("x"))))
    deployed.handle(*bodies_of(late("b", 2, v("x"))))  # contested

    assert len(deployed.notebook.quarantined()) == 1
    assert told == [0, 1]


def test_the_quarantine_is_looked_into_only_once_something_was_put_aside(monkeypatch):
    deployed = Deployment(monkeypatch)
    looks = []
    monkeypatch.setattr(State, "quarantined", lambda self: looks.append(self) or {})

    deployed.handle(*bodies_of(late("a", 1, v("x"))))
    assert looks == []
    deployed.state.quarantine("hash", {"id": {"S": "b"}}, pad("2"), "why")
    deployed.handle(*bodies_of(late("a", 3, v("y"))))
    assert len(looks) == 1


def test_a_batch_that_writes_a_key_takes_it_out_of_the_quarantine(monkeypatch):
    deployed = Deployment(monkeypatch)
    key = {"id": {"S": "a"}}
    deployed.state.quarantine(key_hash(key, KEYS), key, pad("1"), "why")

    deployed.handle(*bodies_of(late("b", 2, v("x"))))
    assert deployed.state.quarantined()
    deployed.handle(*bodies_of(late("a", 3, v("x"))))
    assert deployed.state.quarantined() == {}


# --- the bundled transform --------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path, monkeypatch):
    (tmp_path / "shop_transform_for_tests.py").write_text("def same(item):\n    return item\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "rates.json").write_text("{}")
    places = ["rates.json", "shop_transform_for_tests.py"]
    (tmp_path / MANIFEST).write_text(json.dumps({NAME: places}))
    yield Shop(tmp_path, contents_digest({place: (tmp_path / place).read_bytes() for place in places}))
    sys.modules.pop("shop_transform_for_tests", None)


NAME = "shop_transform_for_tests:same"


class Shop(NamedTuple):
    """An unpacked bundle with a transform, and the digest that the migration began with."""

    bundle: Path
    digest: str

    def transform(self, name: str = NAME) -> Transform:
        return bundled_transform(
            name,
            self.digest,
            source_keys=KEYS,
            target_keys=KEYS,
            rekeys=False,
            allowance=Allowance(),
            digest_of=partial(bundled_digest, bundle=self.bundle),
        )


def test_the_transform_that_the_migration_was_started_with_is_loaded(shop):
    assert shop.transform()({"id": {"S": "a"}}) == [{"id": {"S": "a"}}]


@pytest.mark.parametrize("place", ["shop_transform_for_tests.py", "rates.json"])
def test_a_changed_transform_is_refused(shop, place):
    (shop.bundle / place).write_text("def same(item):\n    return None\n")

    with pytest.raises(RuntimeError, match="not the one"):
        shop.transform()


def test_a_bundle_without_a_file_of_the_transform_is_refused(shop):
    (shop.bundle / "rates.json").unlink()

    with pytest.raises(FileNotFoundError):
        shop.transform()


@pytest.mark.parametrize("name", ["shop_transform_for_tests:smae", "shop_trnasform:same"])
def test_a_misspelt_transform_is_never_the_identity(shop, name):
    with pytest.raises(RuntimeError, match="not the one"):
        shop.transform(name)


# --- re-keying, end to end --------------------------------------------------------------------


def by_name(item):
    return [{"id": name, "v": item["id"]} for name in sorted(item.get("names", ()))]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sets(st.sampled_from("xyz"), max_size=2)), min_size=1, max_size=8
    ),
    st.integers(0, 2**32),
)
def test_rekeyed_changes_leave_nothing_behind_and_nothing_in_two_hands(history, seed):
    rng = random.Random(seed)
    bench = Bench(Transform("shop:by_name", by_name, KEYS, KEYS, rekeys=True))
    ending = [("a", {"x"}), ("b", {"y", "z"})]
    events = [
        late(key, number, {"names": {"SS": sorted(names)}} if names else {"other": {"S": "x"}})
        for number, (key, names) in enumerate([*history, *ending], 1)
    ]
    delivered = [*events, *events]
    rng.shuffle(delivered)
    for at in range(0, len(delivered), 3):
        assert bench.deliver(*(message(n, one) for n, one in enumerate(delivered[at : at + 3]))) == []
    last = {one.keys["id"]["S"]: one for one in events}
    for _ in range(3):
        for source_hash, entry in bench.notebook.quarantined().items():
            results = bench.transform(last[entry.key["id"]["S"]].new_image)
            write = Write(source_hash, entry.key, entry.number, results, None, repair=True)
            if bench.ledger.apply([write])[source_hash] in (Applied.WRITTEN, Applied.SUPERSEDED):
                bench.notebook.release(source_hash, entry.number)

    assert bench.notebook.quarantined() == {}
    assert bench.target == {"x": "a", "y": "b", "z": "b"}


# --- the rules, taken away: the property finds a counter-example ------------------------------


def counter_example():
    for seed in range(2_000):
        try:
            check_converges(seed)
        except AssertionError:
            return seed
    return None


def test_without_faults_the_search_finds_nothing():
    assert counter_example() is None


def test_the_property_sees_the_first_change_of_a_key_win(monkeypatch):
    real = Applier._last_change_of_each_key

    def without_the_rule(self, batch):
        newest, holders = real(self, batch)
        for one in batch:
            for change_ in one.letter.changes:
                mine = key_hash(change_.keys, KEYS)
                if change_.sequence_number < newest[mine].sequence_number:
                    newest[mine] = copy.copy(change_)
        return newest, holders

    monkeypatch.setattr(Applier, "_last_change_of_each_key", without_the_rule)
    assert counter_example() is not None


def test_the_property_sees_a_boundary_that_ignores_the_ledger_and_one_that_is_not_there(monkeypatch):
    monkeypatch.setattr(Applier, "_before_the_boundary", lambda self, newest: set(newest))
    assert counter_example() is not None


def test_the_property_sees_a_consumer_that_does_not_stop_at_the_first_failure():
    def without_the_rule(batch, apply):
        failed = apply(batch)
        return [one.message_id for one in batch if one.message_id in failed]

    @settings(database=None)
    @given(SCRIPTS)
    def search(script):
        check_handed_back(script, without_the_rule)

    with pytest.raises(AssertionError):
        search()


def test_the_settings_come_from_the_environment():
    made = Settings.from_environment(
        {"SOURCE_TABLE": "o", "STREAM_ARN": ARN, "RESTART": "3", "BOUNDARY": "9"}
    )
    assert made == Settings("o", ARN, 3, 9)
    with pytest.raises(KeyError):
        Settings.from_environment(json.loads("{}"))
