"""The two ways of writing, and whatever others do between any two requests."""

from __future__ import annotations

import pytest

from ddbverify.evidence.repairs import Entry
from ddbverify.items.form import ABSENT, Form
from ddbverify.items.states import State
from ddbverify.items.transform import Transform, key_hash
from replicator.handlers.ceiling import WriteCeiling
from replicator.handlers.ledger import Write
from replicator.handlers.records import NO_NUMBER, pad
from replicator.repairs.deciding import Fate, Rules
from replicator.repairs.reading import PacedReads
from replicator.repairs.writing import OnCondition, OwnSlots, Reads, UnderTheLedger
from tests.replicator.fakes import KEYS, LEDGER, TARGET, FakeDynamoDB, FakeNotebook, ledger_on, refusal

FORM = Form(secret=b"s")
HASH = key_hash({"id": {"S": "a"}}, KEYS)


def item(value, **more):
    return {"id": {"S": "a"}, "v": {"S": value}} | more


class Bench:
    def __init__(self, *, source="new", target="old", piped=True, **more):
        self.database = FakeDynamoDB(source=KEYS)
        if source:
            self.database.seed("source", item(source))
        if target:
            self.database.seed(TARGET, item(target, **more))
        self.slept = []
        reads = [
            PacedReads(self.database, table, KEYS, sleep=self.slept.append) for table in ("source", TARGET)
        ]
        rules, both = Rules(FORM, Transform("", None, KEYS, KEYS)), Reads(*reads)
        self.guard = ledger_on(self.database, FakeNotebook())
        self.writer = (
            UnderTheLedger(rules, both, self.guard)
            if piped
            else OnCondition(rules, both, sleep=self.database.sleep)
        )
        digests = [
            FORM.digest(one[0]).hex() if one else ABSENT.hex() for one in (self.held("source"), self.held())
        ]
        state = State.DIFFERENT if source and target else State.MISSING if source else State.EXTRANEOUS
        self.entry = Entry(
            pair="p",
            finding=state,
            key={"id": {"S": "a"}},
            causes=("c",),
            expected=digests[0],
            target=digests[1],
        )

    def held(self, table=TARGET):
        return list(self.database.items(table).values())

    def repair(self):
        (fate,) = self.writer.repair([self.entry]).values()
        return fate


@pytest.mark.parametrize("piped", [True, False])
@pytest.mark.parametrize(("source", "target"), [("new", "old"), ("new", None), (None, "old")])
def test_the_target_holds_what_the_source_makes(piped, source, target):
    bench = Bench(source=source, target=target, piped=piped)
    assert bench.repair() is (Fate.WRITTEN if source else Fate.DELETED)
    assert bench.held() == ([item("new")] if source else [])
    assert bench.repair() is Fate.EQUAL


def test_under_the_ledger_it_leaves_the_number_that_was_there():
    bench = Bench()
    bench.database.seed(LEDGER, {"pk": {"S": f"s#{HASH}"}, "n": {"S": pad("7")}})
    assert bench.repair() is Fate.WRITTEN
    assert bench.guard.numbers([HASH]) == {HASH: pad("7")}
    other = Bench()
    assert other.repair() is Fate.WRITTEN
    assert other.guard.numbers([HASH]) == {HASH: NO_NUMBER}  # as of a load: every change is later


def test_a_change_that_is_applied_meanwhile_wins():
    bench = Bench()
    key = {"id": {"S": "a"}}

    def consumer():
        bench.database.before_writing = lambda: None
        bench.guard.apply([Write(HASH, key, pad("9"), [item("newest")], key)])

    bench.database.before_writing = consumer
    assert bench.repair() is Fate.OVERTAKEN
    assert bench.held() == [item("newest")]


def test_without_a_pipeline_a_target_that_moves_meanwhile_stays():
    bench = Bench(piped=False)
    bench.database.before_writing = lambda: bench.database.seed(TARGET, item("somebody's"))
    assert bench.repair() is Fate.TARGET_MOVED
    assert bench.held() == [item("somebody's")]


def test_what_no_expression_can_ask_for_is_refused_by_name():
    bench = Bench(piped=False, **{f"a{number}": {"S": "x"} for number in range(150)})
    assert bench.repair() is Fate.TOO_MANY
    assert len(bench.held()[0]) == 152


@pytest.mark.parametrize("piped", [True, False])
def test_what_is_refused_and_what_comes_too_often_is_told_apart(piped):
    bench = Bench(piped=piped)
    bench.database.poison = lambda _: True
    assert bench.repair() is Fate.UNTAKEN
    bench.database.poison = lambda _: False
    bench.database.faults.extend([refusal("ThrottlingException")] * 8)
    assert bench.repair() is Fate.BUSY
    assert bench.repair() is Fate.WRITTEN


def test_what_was_not_given_is_asked_for_again_and_never_absent():
    bench = Bench()
    bench.database.unprocessed = 2
    assert bench.repair() is Fate.WRITTEN


def test_reads_are_paid_for_at_the_ceiling():
    bench, now = Bench(), [0.0]

    def sleep(seconds):
        now[0] += seconds

    reads = PacedReads(bench.database, "source", KEYS, 2, sleep=sleep, clock=lambda: now[0])
    for _ in range(9):
        reads.items([{"id": {"S": "a"}}])
    assert reads.units == 9
    assert now[0] == 8 / 2  # all but the last are paid for


def test_slots_that_nobody_shares_keep_the_rate():
    now = [1_000.0]

    def sleep(seconds):
        now[0] += seconds

    ceiling = WriteCeiling(10, OwnSlots(), sleep=sleep)
    ceiling.server.wall = lambda: now[0]
    for _ in range(50):
        assert ceiling.admit(4)
        ceiling.consumed(4, 4)
    assert now[0] - 1_000 >= 50 * 4 / 10 - 2
