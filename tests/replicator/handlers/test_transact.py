"""Units of writes: all or nothing each, told apart by what DynamoDB answers."""

from __future__ import annotations

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st

from replicator.handlers import transact
from replicator.handlers.transact import Fate, Unit
from tests.replicator.fakes import LEDGER, TARGET, FakeDynamoDB, no_answer, refusal
from tests.replicator.wired import Wire


def put(table, key, **attributes):
    name = "pk" if table == LEDGER else "id"
    return {"Put": {"TableName": table, "Item": {name: {"S": key}, **attributes}}}


def unit(name, *, stale=False, poison=False, actions=2):
    guard = put(LEDGER, name)
    if stale:
        guard["Put"]["ConditionExpression"] = "n = :n"
        guard["Put"]["ExpressionAttributeValues"] = {":n": {"S": "never"}}
    extra = {"poison": {"S": ""}} if poison else {}
    return Unit(name, (guard, *(put(TARGET, f"{name}/{n}", **extra) for n in range(actions - 1))))


def write(database, units):
    return transact.write(database, units, sleep=database.sleep)


def cancelled(*codes):
    return refusal("TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes])


KINDS = st.lists(st.tuples(st.sampled_from(["good", "stale", "poison"]), st.integers(2, 30)), max_size=25)
WRITTEN_WHEN = {"good": Fate.WRITTEN, "stale": Fate.CONDITION, "poison": Fate.REFUSED}


@given(KINDS, st.booleans())
def test_each_unit_is_judged_by_itself_and_written_whole_or_not_at_all(kinds, poison_in_reasons):
    database = FakeDynamoDB()
    database.poison_in_reasons = poison_in_reasons
    units = [
        unit(f"u{at}", stale=kind == "stale", poison=kind == "poison", actions=actions)
        for at, (kind, actions) in enumerate(kinds)
    ]
    fates = write(database, units)

    # Poison hides conditions: alone with its own stale guard a unit may be either.
    assert fates == {f"u{at}": WRITTEN_WHEN[kind] for at, (kind, _) in enumerate(kinds)}
    for one in units:
        there = f"S{len(one.name)}:{one.name}" in database.items(LEDGER)
        mine = [
            item for item in database.items(TARGET).values() if item["id"]["S"].startswith(one.name + "/")
        ]
        assert there == (fates[one.name] is Fate.WRITTEN)
        assert len(mine) == (len(one.actions) - 1 if there else 0)
    assert all(size <= transact.MOST_ACTIONS for size in database.sizes)


FAULTS = st.sampled_from(
    ["conflict", "throttled", "in progress", "500", "after", "before", "HTML", "cancelled for throughput"]
)


def fault(name):
    return {
        "conflict": cancelled("TransactionConflict"),
        "throttled": refusal("ThrottlingException"),
        "in progress": refusal("TransactionInProgressException"),
        "500": refusal("InternalServerError"),
        "after": ("after", no_answer()),
        "before": EndpointConnectionError(endpoint_url="x"),
        "HTML": ResponseParserError("no JSON"),
        "cancelled for throughput": cancelled("None", "ThrottlingError", "ProvisionedThroughputExceeded"),
    }[name]


@given(st.lists(FAULTS, max_size=transact.ATTEMPTS - 1))
def test_what_passes_is_retried(names):
    database = FakeDynamoDB()
    database.faults.extend(fault(name) for name in names)

    assert write(database, [unit("a"), unit("b")]) == {"a": Fate.WRITTEN, "b": Fate.WRITTEN}
    assert len(database.items(TARGET)) == 2


@pytest.mark.parametrize("name", ["conflict", "throttled", "500", "before", "HTML"])
def test_what_does_not_pass_in_time_is_for_later_and_not_written(name):
    database = FakeDynamoDB()
    database.faults.extend([fault(name)] * transact.ATTEMPTS)

    assert write(database, [unit("a")]) == {"a": Fate.LATER}
    assert database.calls["transact_write_items"] == transact.ATTEMPTS
    assert database.items(TARGET) == {}


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_a_missing_permission_may_come_back_so_nothing_is_given_up(code, caplog):
    database = FakeDynamoDB()
    database.faults.append(refusal(code))

    assert write(database, [unit("a")]) == {"a": Fate.LATER}
    assert f"transaction refused: {code}" in caplog.messages


def test_a_conflict_of_one_unit_does_not_decide_the_condition_of_another():
    database = FakeDynamoDB()
    database.faults.append(cancelled("ConditionalCheckFailed", "None", "TransactionConflict", "None"))

    assert write(database, [unit("a"), unit("b")]) == {"a": Fate.CONDITION, "b": Fate.WRITTEN}


def test_an_ambiguous_reply_of_a_guarded_unit_is_superseded_by_itself():
    """The write happened, its answer was lost: the second try fails on the guard that the first one wrote."""
    database = FakeDynamoDB()
    database.faults.append(("after", no_answer()))
    once = unit("a")
    once.actions[0]["Put"]["ConditionExpression"] = "attribute_not_exists(pk)"

    assert write(database, [once]) == {"a": Fate.CONDITION}
    assert len(database.items(TARGET)) == 1


@given(st.integers(1, 40), st.data())
def test_halving_isolates_the_bad_unit(count, data):
    bad = data.draw(st.integers(0, count - 1))
    database = FakeDynamoDB()
    fates = write(database, [unit(f"u{at}", poison=at == bad) for at in range(count)])

    assert [name for name, fate in fates.items() if fate is not Fate.WRITTEN] == [f"u{bad}"]
    assert fates[f"u{bad}"] is Fate.REFUSED


def test_a_throttled_half_of_a_refused_request_is_retried():
    database = FakeDynamoDB()
    database.faults.extend([None, refusal("ThrottlingException"), None, None])

    fates = write(database, [unit("a"), unit("b", poison=True)])

    assert fates == {"a": Fate.WRITTEN, "b": Fate.REFUSED}


@given(st.lists(st.integers(1, 100), min_size=1, max_size=40))
def test_transactions_stay_within_a_hundred_actions_and_no_unit_is_torn(actions):
    database = FakeDynamoDB()
    write(database, [unit(f"u{at}", actions=max(2, size)) for at, size in enumerate(actions)])

    assert max(database.sizes) <= 100
    assert sum(database.sizes) == sum(max(2, size) for size in actions)


def test_transactions_stay_below_four_megabytes():
    database = FakeDynamoDB()
    seen = []
    real = database.transact_write_items

    def measured(*, TransactItems):  # noqa: N803
        seen.append(sum(len(str(one)) for one in TransactItems))
        return real(TransactItems=TransactItems)

    database.transact_write_items = measured
    units = [Unit(f"u{at}", (put(LEDGER, f"u{at}", x={"S": "x" * 390_000}),)) for at in range(20)]

    assert set(write(database, units).values()) == {Fate.WRITTEN}
    assert max(seen) < 4_000_000
    assert len(seen) == 3


def test_nothing_to_write_asks_nothing():
    database = FakeDynamoDB()

    assert write(database, []) == {}
    assert not database.calls


@pytest.mark.parametrize("code", ["SerializationException"])
def test_what_dynamodb_cannot_parse_is_refused_for_good(code):
    class Unparsed(FakeDynamoDB):
        def transact_write_items(self, *, TransactItems):  # noqa: N803
            if any(self.poison(one["Put"]["Item"]) for one in TransactItems):
                raise refusal(code)
            return super().transact_write_items(TransactItems=TransactItems)

    fates = write(Unparsed(), [unit("a"), unit("b", poison=True)])
    assert fates == {"a": Fate.WRITTEN, "b": Fate.REFUSED}


def test_what_botocore_itself_refuses_is_refused_alone():
    """An attribute of a type that this botocore does not know: it raises, and sends nothing."""
    database = FakeDynamoDB()
    wire = Wire("dynamodb", database)
    units = [
        Unit(name, (put(LEDGER, name), put(TARGET, name, **more)))
        for name, more in [("a", {}), ("b", {"x": {"NEW": "1"}}), ("c", {})]
    ]

    assert transact.write(wire.client, units, sleep=database.sleep) == {
        "a": Fate.WRITTEN,
        "b": Fate.REFUSED,
        "c": Fate.WRITTEN,
    }
    assert {one["id"]["S"] for one in database.items(TARGET).values()} == {"a", "c"}
