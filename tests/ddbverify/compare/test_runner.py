"""A whole pass: totals that add up, faults that stay visible, traffic that is not reported."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from ddbverify.compare.one_pass import Pass
from ddbverify.compare.request import Listeners, PassRequest
from ddbverify.compare.runner import compare
from ddbverify.config import Duration, Verification, parse
from ddbverify.errors import AccessError, ConfigurationError, EngineError, NotFoundError
from ddbverify.evidence.findings import FindingsFile
from ddbverify.items.form import ABSENT
from ddbverify.items.states import State
from ddbverify.names import canary_key
from ddbverify.tables.segments import Plan, cut
from ddbverify.tables.table import table_from
from tests.ddbverify.fakes import SCHEMA, Clock, FakeTable, item, make_judge, on

REFUSED = EngineError("the connection was reset", "try again.")


def run(source, target, *, judge=None, segments=1, drawn=None, clock=None, settle=1.0, memory=10**9, **more):
    clock = clock or Clock()
    total = Plan(segments, tuple(range(segments)) if drawn is None else drawn, 7 if drawn else None)
    return Pass(
        "pair",
        source,
        target,
        judge or make_judge(),
        total,
        Verification(settle=Duration(settle), memory=memory),
        running=on(clock),
        **more,
    ).run()


def found(comparison):
    schema_key = [(str(one.state), next(iter(one.key.values()))["S"]) for one in comparison.differences]
    return sorted(schema_key)


def table(content, **more):
    return FakeTable([item(key, v=value) for key, value in content.items()], **more)


contents = st.dictionaries(st.sampled_from("abcdefghijklmnop"), st.sampled_from("xyz"))


@settings(max_examples=200)
@given(contents, contents, st.integers(1, 4), st.integers(1, 5), st.randoms(use_true_random=False))
def test_the_totals_are_those_of_the_tables_whatever_the_order(source, target, segments, size, chance):
    """Every key has exactly one state, and it is the true one."""
    orders = {key: chance.random() for key in "abcdefghijklmnop"}
    here = table(source, page_size=size)
    there = table(target, page_size=chance.randint(1, 5), order=lambda key: (orders[key[0]], key))
    comparison = run(here, there, segments=segments)
    expected = [("missing", key) for key in source.keys() - target.keys()]
    expected += [("extraneous", key) for key in target.keys() - source.keys()]
    expected += [("different", key) for key in source.keys() & target.keys() if source[key] != target[key]]
    assert found(comparison) == sorted(expected)
    assert sum(comparison.counts.values()) == len(source.keys() | target.keys())
    assert comparison.source.items == comparison.source.scanned == len(source)
    assert comparison.target.items == comparison.target.scanned == len(target)
    assert comparison.segments_finished == comparison.segments_planned == segments
    assert comparison.unexamined == ()
    assert comparison.converged == 0
    assert here.scans == there.scans == 1


def test_differences_name_paths_and_the_target_key():
    comparison = run(table({"a": "x"}), table({"a": "y"}))
    (difference,) = comparison.differences
    assert difference.key == {"id": {"S": "a"}}
    assert difference.paths == ("v: value",)


@pytest.mark.parametrize("kind", [AccessError, NotFoundError])
def test_a_refusal_before_anything_was_read_is_raised(kind):
    source = table({"a": "x"})
    source.fails_in[0, 0] = kind("no permission", "ask for it.")
    with pytest.raises(kind):
        run(source, table({"a": "x"}))


def test_a_refusal_later_leaves_the_rest_unexamined():
    content = {f"k{number}": "x" for number in range(10)}
    source = table(content)
    source.fails_in[0, 2] = AccessError("the token has expired", "log in again.")
    comparison = run(source, table(content))
    assert "the token has expired" in comparison.unexamined[0]
    assert comparison.segments_finished == 0


def test_a_scan_that_does_not_move_on_ends():
    class Stuck(FakeTable):
        def scan_page(self, segment, total_segments, start):
            return super().scan_page(segment, total_segments, None)

    content = {f"k{number}": "x" for number in range(10)}
    stuck = Stuck([item(key, v="x") for key in content])
    comparison = run(stuck, table(content))
    assert "does not move on" in comparison.unexamined[0]


@pytest.mark.parametrize("rekeys", [False, True])
def test_the_memory_bound_changes_nothing(rekeys):
    source, target = {f"k{n}": "x" for n in range(50)}, {f"k{n}": "xy"[n == 9] for n in range(1, 51)}
    judge = make_judge((lambda one: [one]) if rekeys else None, rekeys=rekeys)
    results = [run(table(source), table(target), judge=judge, memory=bound) for bound in (1_000, 10**9)]
    assert results[0].counts == results[1].counts
    assert results[0].counts[State.MATCHED] == 48


def test_an_error_in_a_callback_ends_the_pass():
    def broken(_):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        run(table({"a": "x"}), table({"a": "x"}), listeners=Listeners(progress=broken))


def test_canary_and_expired_items_do_not_count():
    source = table({"a": "x"})
    source.put(canary_key(SCHEMA))
    source.put({**item("old"), "expires": {"N": "1799999999"}})
    comparison = run(source, table({"a": "x"}), judge=make_judge(ttl=["expires"]))
    assert found(comparison) == []
    assert comparison.counts[State.EXCLUDED] == 2
    assert comparison.source.items == comparison.target.items == 1
    assert comparison.source.scanned == 3


class TestRekeyed:
    @staticmethod
    def owner_of(one):
        return [{"id": key, "of": one["id"]} for key in one["v"].split(",") if key]

    def test_the_target_is_read_before_the_source(self):
        order = []

        class Noted(FakeTable):
            def scan_page(self, *args):
                order.append(self)
                return super().scan_page(*args)

        source, target = Noted([item("s", v="a,b")]), Noted([item("a", of="s"), item("b", of="s")])
        comparison = run(source, target, judge=make_judge(self.owner_of, rekeys=True), segments=2)
        in_all = 2 * (1 + 1)  # two segments, of a page and the word that it was the last
        assert order == [target] * in_all + [source] * in_all
        assert comparison.counts[State.MATCHED] == 2

    def test_leftovers_cost_one_second_pass_and_no_more(self):
        source = table({f"s{number}": f"k{number}" for number in range(20)})
        target = FakeTable([item(f"k{number}", of=f"s{number}") for number in range(20)])
        target.put(item("ghost", of="s1"))
        target.put(item("k3", of="wrong"))
        comparison = run(source, target, judge=make_judge(self.owner_of, rekeys=True))
        assert found(comparison) == [("different", "k3"), ("extraneous", "ghost")]
        assert source.scans == 2
        assert target.scans == 1
        assert comparison.source.scanned == 20

    def test_an_owner_that_comes_back_is_found_by_the_second_pass(self):
        clock = Clock()
        source, target = table({"s": "b"}), FakeTable([item("a", of="s"), item("b", of="s")])
        clock.at(0.1, lambda: source.put(item("s", v="a,b")))
        comparison = run(source, target, judge=make_judge(self.owner_of, rekeys=True), clock=clock)
        assert found(comparison) == []
        assert comparison.counts[State.MATCHED] == 2

    def test_a_swap_in_flight_is_not_reported(self):
        clock = Clock()
        source = table({"s1": "a", "s2": "b"})
        target = FakeTable([item("a", of="s1"), item("b", of="s2")])
        names = itertools.cycle([("b", "a"), ("a", "b")])

        def swap():
            first, second = next(names)
            source.put(item("s1", v=first))
            source.put(item("s2", v=second))
            clock.at(0.35, lambda: (target.put(item(first, of="s1")), target.put(item(second, of="s2"))))

        for number in range(40):
            clock.at(number * 0.2, swap)
        for reader in (source, target):
            reader.clock, reader.seconds_per_page, reader.page_size = clock, 0.15, 1
        comparison = run(source, target, judge=make_judge(self.owner_of, rekeys=True), clock=clock)
        assert found(comparison) == []

    @pytest.mark.parametrize("held", [[], [item("a", of="s1")], [item("a", of="nobody")]])
    def test_two_owners_of_one_key_are_uncomparable(self, held):
        comparison = run(
            table({"s1": "a", "s2": "a"}), FakeTable(held), judge=make_judge(self.owner_of, rekeys=True)
        )
        assert found(comparison) == [("uncomparable", "a")]
        assert "several source items" in comparison.differences[0].reason

    def test_a_second_pass_that_fails_decides_nothing(self):
        source = table({"s": "a"})
        target = FakeTable([item("a", of="s"), item("ghost", of="s")])
        source.fails_in = {}
        clock = Clock()
        clock.at(0.5, lambda: source.fails_in.update({(0, 0): REFUSED}))
        comparison = run(source, target, judge=make_judge(self.owner_of, rekeys=True), clock=clock)
        assert found(comparison) == [("undecided", "ghost")]
        assert "second pass" in comparison.unexamined[0]


class TestSample:
    def test_a_sample_reads_its_segments_only_and_says_what_it_bounds(self):
        content = {f"k{number}": "x" for number in range(200)}
        source, target = table(content), table(content)
        comparison = run(source, target, segments=20, drawn=(3, 8))
        assert comparison.is_sample
        assert comparison.seed == 7
        assert comparison.segments_planned == comparison.segments_finished == 2
        assert comparison.source.scanned == comparison.target.scanned < 60
        assert "2 of 20 segments" in comparison.notes[-1]
        assert "95 %" in comparison.notes[-1]

    def test_an_engine_that_cuts_its_segments_otherwise_gives_no_false_finding(self):
        """Equal scan orders are for speed, never for correctness."""
        content = {f"k{number}": "x" for number in range(60)}
        source, target = table(content), table(content)
        target.hashed = lambda key: FakeTable.hashed(("salt", key))
        target.order = target.hashed
        comparison = run(source, target, segments=10, drawn=(1, 4))
        assert found(comparison) == []
        assert comparison.converged == 0


def described(name, *, size=0, items=0):
    return table_from(
        {
            "TableName": name,
            "TableArn": f"arn:aws:dynamodb:eu-west-1:123456789012:table/{name}",
            "TableStatus": "ACTIVE",
            "CreationDateTime": datetime(2026, 1, 1, tzinfo=UTC),
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "ItemCount": items,
            "TableSizeBytes": size,
        },
        {},
        name,
    )


@pytest.mark.parametrize(
    ("size", "total"), [(0, 1), (7_999_999, 1), (8_000_000, 8), (640_000_001, 11), (10**15, 1_000_000)]
)
def test_segments_follow_the_size(size, total):
    chosen = cut(described("one", size=size), described("two"), sample=None, seed=None)
    assert chosen.total == total
    assert not chosen.is_sample


@pytest.mark.parametrize(("items", "total"), [(1_200_000, 8), (1_200_001, 9), (15_000_000, 100)])
def test_a_segment_holds_no_more_items_than_can_all_be_suspects_in_memory(items, total):
    """Sixteen million bytes of tiny items; each that differs takes a kilobyte, however small it is."""
    for pair in ((items, 0), (0, items)):
        one, two = (described(f"t{count}", size=16 * 10**6, items=count) for count in pair)
        assert cut(one, two, sample=None, seed=None).total == total


def test_a_sample_has_many_segments_none_of_them_tiny():
    one, two = described("one", items=10**9, size=10**9), described("two")
    chosen = cut(one, two, sample=0.005, seed=None)
    assert chosen.total == 20_000
    assert len(chosen.segments) == 100
    assert chosen.seed is not None
    assert cut(one, two, sample=0.005, seed=chosen.seed) == chosen
    small = cut(described("one", items=4_609), two, sample=0.1, seed=1)
    assert small.total == 230
    assert cut(one, two, sample=1.0, seed=1).seed is None


def test_findings_are_private_lines_of_json(tmp_path):
    path = tmp_path / "findings.jsonl"
    with FindingsFile(path) as file:
        run(
            table({"a": "x", "b": "é"}),
            table({"a": "y"}),
            listeners=Listeners(found=lambda one: file.write("pair", one)),
        )
        lines = [json.loads(line) for line in path.read_text().splitlines()]  # flushed already
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(line["finding"] for line in lines) == ["different", "missing"]
    assert all(set(line) == {"pair", "key_hash", "finding", "key", "paths", "reason"} for line in lines)
    with pytest.raises(ConfigurationError, match="cannot be made"):
        FindingsFile(path)


# --- on AWS's interface -------------------------------------------------------------------

TOML = """
[source]
region = "eu-west-1"
[target]
region = "eu-central-1"
[verification]
settle = "0s"
[[tables]]
source = "one"
target = "two"
"""


@pytest.fixture
def moto(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        yield


def create(client, name, attribute="id", kind="S"):
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": attribute, "AttributeType": kind}],
        KeySchema=[{"AttributeName": attribute, "KeyType": "HASH"}],
    )


def test_compare_with_moto(moto, tmp_path):
    one, two = (boto3.client("dynamodb", region) for region in ("eu-west-1", "eu-central-1"))
    create(one, "one")
    create(two, "two")
    for number in range(30):
        for client, name in ((one, "one"), (two, "two")):
            content = {"id": {"S": str(number)}, "raw": {"B": bytes([number, 255])}}
            client.put_item(TableName=name, Item=content)
    two.put_item(TableName="two", Item={"id": {"S": "3"}, "raw": {"B": b"\0"}})
    two.delete_item(TableName="two", Key={"id": {"S": "4"}})
    config = parse(TOML, tmp_path)
    comparison = compare(config, config.tables[0], PassRequest(segments=2))
    assert found(comparison) == [("different", "3"), ("missing", "4")]
    assert comparison.only(State.DIFFERENT)[0].paths == ("raw: value",)
    assert comparison.counts[State.MATCHED] == 28
    assert comparison.source.read_units > 0


@pytest.mark.parametrize("again", [True, False], ids=["made anew", "gone"])
@pytest.mark.parametrize("name", ["one", "two"])
def test_a_table_that_is_made_anew_while_it_is_read_is_not_equal(moto, tmp_path, name, again):
    clients = {
        name: boto3.client("dynamodb", region)
        for name, region in (("one", "eu-west-1"), ("two", "eu-central-1"))
    }

    def fill(name):
        create(clients[name], name)
        for number in range(30):
            clients[name].put_item(TableName=name, Item={"id": {"S": str(number)}})

    def at_the_end(progress):
        if progress.segments_finished == progress.segments_planned and not done:
            done.append(name)
            clients[name].delete_table(TableName=name)
            if again:
                fill(name)

    done = []
    for each in clients:
        fill(each)
    config = parse(TOML, tmp_path)
    comparison = compare(config, config.tables[0], PassRequest(segments=2), Listeners(progress=at_the_end))
    assert done
    assert comparison.counts[State.MATCHED] == 30
    (reason,) = comparison.unexamined
    assert ("made anew" if again else "looked at again") in reason
    assert name in reason


def test_tables_that_are_no_pair_are_refused(moto, tmp_path):
    one, two = (boto3.client("dynamodb", region) for region in ("eu-west-1", "eu-central-1"))
    config = parse(TOML, tmp_path)
    with pytest.raises(NotFoundError, match="no table one in eu-west-1"):
        compare(config, config.tables[0])
    create(one, "one")
    create(two, "two", "other")
    with pytest.raises(ConfigurationError, match=r"one -> two: the keys differ") as caught:
        compare(config, config.tables[0])
    assert "transform" in caught.value.hint
    two.delete_table(TableName="two")
    create(two, "two", "id", "N")
    config = parse(TOML + 'transform = "json:loads"\n', tmp_path)
    with pytest.raises(ConfigurationError, match="key types differ") as caught:
        compare(config, config.tables[0])
    assert "rekeys = true" in caught.value.hint


def test_a_rekeyed_pair_cannot_be_sampled(tmp_path):
    config = parse(TOML + 'transform = "json:loads"\nrekeys = true\n', tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be sampled"):
        compare(config, config.tables[0], PassRequest(sample=0.1))


def test_the_state_of_an_absent_item_is_no_digest():
    assert make_judge().state(None) == ABSENT != make_judge().state({})
