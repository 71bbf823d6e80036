"""A repair writes what the migration writes, or nothing."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from ddbverify.code.digest import transform_digest
from ddbverify.config import Config, Pair, Replication
from ddbverify.errors import EngineError, Refused
from ddbverify.items.transform import Transform, key_hash
from ddbverify.names import Fact
from replicator.commands import repair
from replicator.commands.repair import Repaired
from replicator.commands.repair_asked import need_same_transform
from replicator.handlers.envelope import pack
from replicator.handlers.records import pad
from replicator.handlers.state import State
from tests.model.fifo_queue import Entry, FifoQueue
from tests.replicator.fakes import ARN, KEYS, LEDGER, STATE, TARGET, FakeDynamoDB, Rooted, change, refusal


@pytest.fixture
def pair(tmp_path, monkeypatch):
    (tmp_path / "repair_shapes.py").write_text("def made(item):\n    return item\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return Pair(source="orders", target="orders-v2", transform="repair_shapes:made")


def test_the_transform_of_the_beginning_is_taken(pair):
    config = Config(tables=(pair,))
    need_same_transform(config, pair, {"transform": pair.transform, "digest": transform_digest(config, pair)})
    need_same_transform(config, Pair(source="orders", target="orders-v2"), {"transform": "", "digest": ""})


@pytest.mark.parametrize(
    "change", [{"digest": "0" * 64}, {"transform": "repair_shapes:other"}, {"transform": ""}]
)
def test_another_transform_is_refused(pair, change):
    config = Config(tables=(pair,))
    bound = {"transform": pair.transform, "digest": transform_digest(config, pair), **change}
    with pytest.raises(Refused, match="has changed since the migration began"):
        need_same_transform(config, pair, bound)


@pytest.mark.parametrize(
    "moved",
    [
        {"live": {"table": "target", "cycle": 0}},
        {"live": {"table": "between", "cycle": 0}},
        {"cutover": {"flipped": True}},  # of a build before `live`
    ],
)
def test_nothing_is_repaired_in_a_table_that_is_the_applications(moved):
    """What the source holds of a key is older by then than what the application has written."""
    bench = Bench(letter(change("a", 1, {"v": {"S": "old"}})))
    bench.database.seed("source", item("a", "old"))
    bench.database.seed(TARGET, item("a", "the application's"))
    whole = State.whole(bench.database, STATE)
    for fact, noted in moved.items():
        whole.put(fact, **noted)
    context = Rooted(
        **{
            **vars(bench.context),
            "whole": whole,
            "need_begun": lambda: None,
            "need_no_restart": lambda: None,
            "locked": lambda _: nullcontext(),
            "config": Config(tables=(Pair(source="source", target=TARGET),)),
            "console": SimpleNamespace(line=lambda _: None, warn=lambda _: None),
        }
    )

    with pytest.raises(Refused, match="has been moved, or may have been"):
        repair.repair(context)
    assert bench.target == {"a": "the application's"}
    assert len(bench.queue.dead) == 1


def test_a_way_back_whose_inverse_is_gone_from_the_settings_repairs_nothing():
    """The follower would get the leader's items as they are."""
    bench = Bench(letter(change("a", 1, {"v": {"S": "old"}})))
    bench.database.seed("source", item("a", "as it leads"))
    bench.database.seed(TARGET, item("a", "as it follows"))
    bench.state.put("bound", transform="", digest="", through={"InverseDigest": "1", "TransformDigest": "2"})

    with pytest.raises(Refused, match="since the way back was armed"):
        bench.repair()
    assert bench.target == {"a": "as it follows"}


# --- dead letters -----------------------------------------------------------------------------


RESTART = 3


class Bench:
    """A repair over fakes: a source, a target with its ledger, and dead letters."""

    def __init__(self, *bodies):
        self.database = FakeDynamoDB(source=KEYS)
        self.queue = FifoQueue(lambda: 0.0)
        self.queue.dead = [Entry(f"m{at}", "g0", body) for at, body in enumerate(bodies)]
        self.state = State.of_pair(self.database, STATE, "pair")
        self.state.put("bound", transform="", digest="")
        table = functools.partial(SimpleNamespace, keys=KEYS)
        self.context = SimpleNamespace(
            state=lambda pair: self.state,
            resources=lambda pair: {"ledger_table": LEDGER, "stream_arn": ARN, "dead_letter_url": "url"},
            restart_number=lambda pair: RESTART,
            source_table=lambda pair: table(name="source"),
            target_table=lambda pair: table(name=TARGET),
            transform=lambda *_: Transform("", None, KEYS, KEYS),
            source=self.database,
            target=self.database,
            source_client={"sqs": self.queue.dead_letters()}.__getitem__,
            config=SimpleNamespace(replicated=Replication()),
            cycle=0,
        )

    def repair(self):
        return repair.run(self.context, Pair(source="source", target=TARGET))

    @property
    def target(self):
        return {item["id"]["S"]: item["v"]["S"] for item in self.database.items(TARGET).values()}


def letter(*changes, arn=ARN, restart=RESTART):
    (message,) = pack(changes, stream_arn=arn, schema=KEYS, groups=1, restart=restart)
    return message.body


def item(key, value):
    return {"id": {"S": key}, "v": {"S": value}}


def test_a_dead_letter_is_repaired_from_the_source_and_never_replayed():
    bench = Bench(letter(change("a", 1, {"v": {"S": "old"}}), change("gone", 2, {"v": {"S": "old"}})))
    bench.database.seed("source", item("a", "now"))
    bench.database.seed(TARGET, item("gone", "older"))

    assert bench.repair() == Repaired(repaired=2, left=())
    assert bench.target == {"a": "now"}
    assert bench.queue.dead == []
    assert bench.state.quarantined() == {}


def test_a_dead_letter_that_was_overtaken_changes_nothing():
    bench = Bench(letter(change("a", 1, {"v": {"S": "old"}})))
    bench.database.seed("source", item("a", "now"))
    bench.database.seed(
        LEDGER, {"pk": {"S": "s#" + key_hash({"id": {"S": "a"}}, KEYS)}, "n": {"S": pad("5")}}
    )
    bench.database.seed(TARGET, item("a", "five"))

    assert bench.repair() == Repaired(repaired=1, left=())
    assert bench.target == {"a": "five"}


def test_a_dead_letter_of_a_stream_that_a_restart_has_left_is_dropped_and_counted():
    """As the consumer does: what its changes were the new backup holds. It latched a gap."""
    bench = Bench(
        letter(change("old", 1, {"v": {"S": "old"}}), change("b", 2), arn=ARN + "-old", restart=RESTART - 1)
    )
    bench.database.seed("source", item("old", "now"))

    assert bench.repair() == Repaired(repaired=0, left=())
    assert (bench.target, bench.queue.dead) == ({}, [])
    assert bench.state.counters() == {"retired": 2}
    assert bench.state.get(Fact.GAP) is None


def test_a_dead_letter_of_this_stream_counts_whatever_restart_it_was_sent_under():
    bench = Bench(letter(change("a", 1, {"v": {"S": "old"}}), restart=RESTART - 1))
    bench.database.seed("source", item("a", "now"))

    assert bench.repair() == Repaired(repaired=1, left=())


@pytest.mark.parametrize(
    "body",
    ["not ours", letter(change("b", 1), arn=ARN + "-other"), letter(change("b", 1), restart=RESTART + 1)],
)
def test_a_dead_letter_that_cannot_be_read_stays_and_is_a_gap(body):
    bench = Bench(body, letter(change("a", 1, {"v": {"S": "old"}})))
    bench.database.seed("source", item("a", "now"))

    assert bench.repair() == Repaired(repaired=1, left=("a dead letter is not ours, or not whole",))
    assert bench.target == {"a": "now"}
    assert [one.message_id for one in bench.queue.dead] == ["m0"]
    assert "dead letter" in bench.state.get(Fact.GAP)["reason"]


def test_a_letter_is_not_removed_before_its_changes_stand_in_the_quarantine():
    bench = Bench(letter(change("a", 1, {"v": {"S": "old"}})))
    bench.database.faults.append(refusal("ThrottlingException"))
    with pytest.raises(EngineError):
        bench.repair()

    assert len(bench.queue.dead) == 1
