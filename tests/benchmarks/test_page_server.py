"""The page server is a measuring instrument: what it serves, counts and breaks is what it says."""

from __future__ import annotations

import http.client
import itertools
import json
import zlib

import pytest

from benchmarks.page_server import (
    EXTRA,
    REGION,
    Fault,
    Generated,
    Listed,
    page_server,
)
from ddbverify.compare.request import PassRequest
from ddbverify.compare.runner import compare
from ddbverify.compare.settle import State
from ddbverify.config import Config, Pair, Side, Verification
from ddbverify.errors import AccessError
from ddbverify.tables import aws

pytestmark = pytest.mark.usefixtures("on_loopback")

N = 50
LISTED = [{"id": {"S": name}, "at": {"N": str(number)}} for number, name in enumerate("dabbed")]
TABLES = {
    "plain": Generated(items=N, page_items=7),
    "other-pages": Generated(items=N, page_items=4),
    "attribute-order": Generated(items=N, page_items=7, layout="attribute-order"),
    "scan-order": Generated(items=N, page_items=7, layout="scan-order"),
    "planted": Generated(items=N, page_items=7, planted={0: "missing", 24: "changed", 49: "extra"}),
    "by-number": Generated(items=N, page_items=7, keys={"id": "N"}),
    "empty": Generated(items=0),
    "listed": Listed(keys={"id": "S", "at": "N"}, items=LISTED, page_items=2),
    "listed-backwards": Listed(keys={"id": "S", "at": "N"}, items=LISTED[::-1], page_items=4),
}


@pytest.fixture(scope="module")
def server():
    with page_server(TABLES) as running:
        yield running


def post(server, operation, **asked):
    """Status, headers and body of one request, without any client's help."""
    connection = http.client.HTTPConnection(server.endpoint_url.removeprefix("http://"), timeout=10)
    try:
        target = f"DynamoDB_20120810.{operation}"
        connection.request("POST", "/", json.dumps(asked), {"X-Amz-Target": target})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def pages(server, table, **asked):
    """The pages of one segment."""
    while True:
        _, headers, body = post(server, "Scan", TableName=table, ConsistentRead=True, **asked)
        assert headers["x-amz-crc32"] == str(zlib.crc32(body))
        page = json.loads(body)
        assert page["Count"] == len(page["Items"]) == page["ScannedCount"]
        yield page
        if "LastEvaluatedKey" not in page:
            return
        asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def scanned(server, table, segments=1):
    """All items, segment by segment."""
    return [
        item
        for segment in range(segments)
        for page in pages(server, table, Segment=segment, TotalSegments=segments)
        for item in page["Items"]
    ]


def comparison(server, source, target, **more):
    side = Side(region=REGION, endpoint_url=server.endpoint_url)
    pair = Pair(source=source, target=target)
    settings = Verification(settle=0.05)
    return compare(
        Config(tables=(pair,), source=side, target=side, verification=settings), pair, PassRequest(**more)
    )


def by_key(items):
    return {item["pk"]["S"]: item for item in items}


@pytest.mark.parametrize("segments", [1, 3, 60])
@pytest.mark.parametrize("table", ["plain", "other-pages", "attribute-order", "scan-order", "by-number"])
def test_every_segmentation_serves_every_item_once(server, table, segments):
    items = scanned(server, table, segments)

    (key, kind), *_ = TABLES[table].keys.items()
    assert len(items) == N
    assert len({item[key][kind] for item in items}) == N


def test_layouts_change_what_they_say_and_nothing_else(server):
    plain, attributes, order = (scanned(server, name) for name in ("plain", "attribute-order", "scan-order"))

    assert attributes == plain  # dictionaries: by meaning
    assert all([*one] != [*other] for one, other in zip(plain, attributes, strict=True))
    assert by_key(order) == by_key(plain)
    neighbours = set(itertools.pairwise(by_key(plain)))
    assert neighbours.isdisjoint(itertools.pairwise(by_key(order)))


def test_items_are_of_the_size_and_mix_that_the_budgets_name():
    tables = {"one": Generated(items=400)}
    with page_server(tables) as server:
        items = scanned(server, "one")
        described = json.loads(post(server, "DescribeTable", TableName="one")[2])["Table"]

    size = len(json.dumps(items, separators=(",", ":"), ensure_ascii=False).encode()) / len(items)
    assert 450 < size < 510
    assert described["TableSizeBytes"] / 400 == pytest.approx(size, abs=5)
    assert {kind for item in items for value in item.values() for kind in value} == {
        *("S", "N", "B", "BOOL", "NULL", "SS", "L", "M")
    }


def test_planted_differences_are_there_and_found(server):
    ran = comparison(server, "plain", "planted")

    found = {one.key["pk"]["S"].removeprefix("customer-"): one.state for one in ran.differences}
    assert found == {
        "0000000000": State.MISSING,
        "0000000024": State.DIFFERENT,
        f"{49 + EXTRA}": State.EXTRANEOUS,
    }
    assert ran.counts[State.MATCHED] == N - 2


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("plain", "other-pages"),
        ("plain", "attribute-order"),
        ("plain", "scan-order"),
        ("listed", "listed-backwards"),
    ],
)
@pytest.mark.parametrize("segments", [1, 3])
def test_equal_tables_are_found_equal(server, source, target, segments):
    ran = comparison(server, source, target, segments=segments)

    assert {state for state, count in ran.counts.items() if count} == {State.MATCHED}
    assert not ran.unexamined


def test_listed_items_come_in_the_order_given(server):
    assert scanned(server, "listed") == LISTED
    assert scanned(server, "listed-backwards") == LISTED[::-1]
    assert [len(page["Items"]) for page in pages(server, "listed")] == [2, 2, 2]
    assert sorted(map(str, scanned(server, "listed", 3))) == sorted(map(str, LISTED))


def test_a_segment_without_items_is_an_empty_page(server):
    assert [page["Items"] for page in pages(server, "empty", Segment=0, TotalSegments=4)] == [[]]


def test_point_reads_find_what_is_there_and_only_that(server):
    here = scanned(server, "plain")[0]  # and not in the other
    there, changed = scanned(server, "planted")[22:24]
    assert changed["total"] != scanned(server, "plain")[24]["total"]
    keys = [{name: item[name] for name in ("pk", "sk")} for item in (here, there, changed)]
    other_sort_key = keys[1] | {"sk": {"N": "1"}}
    beyond = keys[1] | {"pk": {"S": f"customer-{N:010d}"}}
    asked = [*keys, other_sort_key, beyond]

    status, _, body = post(server, "BatchGetItem", RequestItems={"planted": {"Keys": asked}})

    assert status == 200
    assert json.loads(body)["Responses"]["planted"] == [there, changed]
    # A client may spell a number in its own way.
    keys = [{"id": LISTED[3]["id"], "at": {"N": "3.0"}}]
    _, _, body = post(server, "BatchGetItem", RequestItems={"listed": {"Keys": keys}})
    assert json.loads(body)["Responses"]["listed"] == [LISTED[3]]


def test_what_it_counts_is_what_it_served():
    with page_server({"plain": Generated(items=10, page_items=4)}) as server:
        units = sum(page["ConsumedCapacity"]["CapacityUnits"] for page in pages(server, "plain"))
        counted = server.stats()["plain"]["Scan"]

    assert (counted.requests, counted.items, counted.units) == (3, 10, units)
    assert units >= 3


def test_an_unknown_table_or_operation_or_start_is_refused(server):
    start = {"pk": {"S": "customer-9999999999"}, "sk": {"N": "1764000000000"}}
    for operation, asked, code in (
        ("Scan", {"TableName": "none"}, "ResourceNotFoundException"),
        ("PutItem", {"TableName": "plain"}, "UnknownOperationException"),
        ("Scan", {"TableName": "plain", "ExclusiveStartKey": start}, "ValidationException"),
    ):
        status, _, body = post(server, operation, **asked)
        assert (status, json.loads(body)["__type"].partition("#")[2]) == (400, code)


def test_a_specification_that_is_none_does_not_start(capfd):
    bad = Generated(items=1, layout="upside-down")

    with pytest.raises(RuntimeError, match="did not start"), page_server({"bad": bad}):
        pass
    assert "upside-down" in capfd.readouterr().err


# --- switches ---------------------------------------------------------------------------


@pytest.fixture
def broken():
    """A server of two equal tables; give it the faults of the target."""
    tables = {name: Generated(items=N, page_items=7) for name in ("plain", "target")}
    with page_server(tables) as running:

        def set_faults(**fault):
            running.set_faults("target", [Fault(**fault)])
            return running

        yield set_faults


@pytest.mark.parametrize("kind", ["crc", "json", "cut", "reset"])
def test_a_broken_answer_is_never_an_empty_table(broken, kind):
    server = broken(kind=kind, first=2, times=None)

    ran = comparison(server, "plain", "target")

    (said,) = ran.unexamined
    assert said.startswith("segment 1 of 1 of the target was not read to its end")


@pytest.mark.parametrize("kind", ["crc", "cut", "reset", "error"])
def test_what_breaks_once_is_read_again(broken, kind):
    server = broken(kind=kind, first=2, status=500)

    ran = comparison(server, "plain", "target")

    assert ran.counts[State.MATCHED] == N
    assert not ran.unexamined
    assert server.stats()["target"]["Scan"].requests == server.stats()["plain"]["Scan"].requests + 1


def test_a_fault_may_be_bound_to_a_segment(broken):
    server = broken(kind="json", segment=2, times=None)

    ran = comparison(server, "plain", "target", segments=4)

    (said,) = ran.unexamined
    assert said.startswith("segment 3 of 4 of the target")


def test_a_page_that_holds_less_than_it_counts_is_refused(broken):
    ran = comparison(broken(kind="count"), "plain", "target")

    assert "says it holds 8 items and holds 7" in ran.unexamined[0]


def test_a_page_that_ends_where_it_started_is_refused(broken):
    ran = comparison(broken(kind="stuck", first=2), "plain", "target")

    assert "does not move on" in ran.unexamined[0]


def test_a_page_that_ends_early_hides_the_rest(broken):
    """Nothing in such a page is wrong; the point reads of settling then find what it hid."""
    server = broken(kind="end", first=2)

    assert len(scanned(server, "target")) == 14
    assert len(scanned(server, "target")) == N


def test_an_error_has_the_code_that_was_asked_for(broken):
    server = broken(kind="error", code="ExpiredTokenException", times=None)

    with pytest.raises(AccessError, match="ExpiredTokenException"):
        comparison(server, "plain", "target")


def test_keys_left_unprocessed_are_asked_for_again(broken):
    server = broken(kind="unprocessed", operation="BatchGetItem", times=2)
    key = {"pk": {"S": "customer-0000000000"}, "sk": {"N": "1764000000000"}}
    request = {"target": {"Keys": [key]}}

    answers = [json.loads(post(server, "BatchGetItem", RequestItems=request)[2]) for _ in range(3)]

    assert [answer["UnprocessedKeys"] for answer in answers] == [request, request, {}]
    assert [len(answer["Responses"]["target"]) for answer in answers] == [0, 0, 1]


def test_it_says_whose_credentials_these_are(server):
    side = Side(region=REGION, endpoint_url=server.endpoint_url)
    assert aws.caller(side) == "arn:aws:iam::000000000000:user/benchmark"
