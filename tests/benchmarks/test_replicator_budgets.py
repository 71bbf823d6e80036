"""Budgets of the replicator on made-up measurements, and a small real run on the loopback."""

from __future__ import annotations

import pytest

from benchmarks.changes import FILMS, records
from benchmarks.loopback import Billed, item_size, loopback
from benchmarks.replicating import Job, Measured, measure
from benchmarks.replicator_budgets import JUDGED, Row, judge, ways
from replicator.handlers.envelope import sqs_units


def measured(microseconds=10.0, *, changes=1000, receives=10, growth=0):
    return Measured(
        cpu_seconds=microseconds * changes / 1e6,
        wall_seconds=1.0,
        changes=changes,
        messages=32,
        receive_units=receives,
        delete_units=10,
        peak_bytes=50_000_000 + growth,
        peak_bytes_at_a_tenth=50_000_000,
    )


def rows(*, forwarder=10.0, consumer=10.0, requests=10.0, back=(10.0, 10.0, 20.0)):
    costs = {
        "forwarder": (forwarder, requests, 10),
        "plain forwarder": (100.0, 300.0, 300),
        "consumer": (consumer, 0.0, 10),
        "plain consumer": (100.0, 0.0, 300),
        "reverse forwarder": (back[0], requests, 10),
        "reverse consumer": (back[1], 0.0, 10),
        "inverse consumer": (back[2], 0.0, 10),
        "plain inverse consumer": (200.0, 0.0, 300),
    }
    return [
        Row(
            who=who,
            content=content,
            item_bytes=size,
            measured=measured(cost, receives=receives),
            bill={"SendMessageBatch": Billed(units=units), "TransactWriteItems": Billed(units=4000.0)},
        )
        for content, size in JUDGED
        for who, (cost, units, receives) in costs.items()
    ]


def unmet(found):
    return [budget.name.partition(",")[0] for budget in found if not budget.met]


def test_what_is_within_every_limit_is_met():
    assert unmet(judge(rows(), measured())) == []


@pytest.mark.parametrize(
    ("worse", "name"),
    [
        ({"forwarder": 34.0}, "CPU per change"),
        ({"consumer": 21.0}, "CPU per change"),
        ({"requests": 35.0}, "queue cost"),
        ({"back": (34.0, 10.0, 20.0)}, "CPU per change"),
        ({"back": (10.0, 21.0, 20.0)}, "CPU per change"),
        ({"back": (10.0, 10.0, 41.0)}, "CPU per change"),
    ],
)
def test_what_is_beyond_a_limit_is_not_met(worse, name):
    assert name in unmet(judge(rows(**worse), measured()))


def test_memory_that_grows_is_not_flat():
    assert unmet(judge(rows(), measured(growth=10_000_001))) == ["memory"]


def test_what_was_not_measured_is_not_met():
    assert all(not budget.met and budget.found == "not measured" for budget in judge([], None))
    half = [row for row in rows() if row.who != "plain consumer"]
    assert "queue cost" in unmet(judge(half, measured()))


def test_a_way_costs_what_both_halves_cost():
    way = next(one for one in ways(rows()) if one.who == "ours")

    assert way.sqs_requests == pytest.approx((10 + 10 + 10) / 1000)
    assert way.write_units == 4.0
    assert way.dollars == pytest.approx(0.03 * 0.5 + 4 * 0.625 + way.lambda_dollars)


def test_sqs_bills_each_64_kb():
    assert [sqs_units(size) for size in (0, 1, 65_536, 65_537, 1_000_000)] == [1, 1, 1, 2, 16]


def test_an_item_has_the_size_that_dynamodb_bills():
    item = {"id": {"S": "é"}, "n": {"N": "-12.5"}, "b": {"B": "AAAA"}, "l": {"L": [{"BOOL": True}]}}
    assert item_size(item) == (2 + 2) + (1 + 3) + (1 + 3) + (1 + 3 + 1 + 1)


@pytest.mark.parametrize("content", ["text", "random", "films"])
def test_changes_are_of_the_size_asked_for_and_the_same_every_time(content):
    if content == "films" and not FILMS.is_file():
        pytest.skip("needs ../shared/data/movies.json.gz beside the checkout")
    made = list(records(content, 1000, 300))
    sizes = [item_size(record["dynamodb"]["NewImage"]) for record in made]

    assert made == list(records(content, 1000, 300))
    if content != "films":
        assert 800 < sum(sizes) / len(sizes) < 1200
    assert len({str(record["dynamodb"]["Keys"]) for record in made}) == 300


def test_both_handlers_get_every_change_through():
    with loopback() as server:

        def run(who):
            job = Job(
                who=who, endpoint_url=server.endpoint_url, content="text", item_bytes=300, changes=1_500
            )
            return measure(job), server.bill()

        found, bill = run("both")
        plain, plain_bill = run("plain consumer")

    assert (found.changes, plain.changes) == (1_500, 1_500)
    assert bill["TransactWriteItems target"].entries == 1_500
    assert bill["TransactWriteItems ledger"].entries == 1_500
    assert bill["TransactWriteItems"].requests < 1_500 / 20
    assert plain_bill["TransactWriteItems"].requests == 1_500
    assert 0 < found.messages <= 2 * 32
    assert found.cpu_seconds > 0


def test_a_way_back_writes_over_what_is_there():
    with loopback() as server:

        def run(who, changes):
            job = Job(
                who=who, endpoint_url=server.endpoint_url, content="text", item_bytes=300, changes=changes
            )
            return measure(job), server.bill()

        back, bill = run("reverse consumer", 1_000)
        through, read = run("inverse consumer", 1_000)
        plain, plain_read = run("plain inverse consumer", 50)

    assert (back.changes, through.changes, plain.changes) == (1_000, 1_000, 50)
    assert bill["TransactWriteItems held"].entries == 1_000
    assert "BatchGetItem" not in bill
    assert read["TransactWriteItems held"].entries == 1_000
    assert read["BatchGetItem"].entries == 2 * 1_000
    assert (plain_read["GetItem"].requests, plain_read["TransactWriteItems"].requests) == (2 * 50, 50)
