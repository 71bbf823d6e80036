"""What `replicator status` says of a pair whose consumer is not on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.names import WORKER, Fact
from replicator.aws import sight, workers
from replicator.commands import status
from replicator.handlers.state import State
from tests.replicator.fakes import STATE, FakeDynamoDB, refusal

PAIR = SimpleNamespace(id="orders-00000000")
FOLLOWS = {"following": "2026-01-01T00:00:00+00:00"}
ON, OFF, UNKNOWN = ({"on": on, "unknown": None if on is not None else "denied"} for on in (True, False, None))


def seen(state):
    def get_event_source_mapping(*, UUID):  # noqa: N803
        assert UUID == "uuid"
        if isinstance(state, Exception):
            raise state
        return {"State": state}

    functions = SimpleNamespace(get_event_source_mapping=get_event_source_mapping)
    context = SimpleNamespace(
        source_client=lambda service: {"lambda": functions}[service],
        resources=lambda _: {"consumer_mapping": "uuid"},
    )
    return sight.consumer(context, PAIR)


@pytest.mark.parametrize(
    ("state", "on"),
    [
        *[(one, True) for one in ("Enabled", "Enabling", "Updating")],
        *[(one, False) for one in ("Disabled", "Disabling", "Creating", "Deleting", "Another")],
    ],
)
def test_a_consumer_is_on_where_its_mapping_is(state, on):
    assert seen(state) == {"on": on, "unknown": None}


def test_a_consumer_that_may_not_be_looked_at_is_neither_on_nor_off():
    found = seen(refusal("AccessDeniedException"))
    assert found["on"] is None
    assert "AccessDenied" in found["unknown"]


@pytest.mark.parametrize(
    ("paused", "consumer", "phase", "row"),
    [
        (False, ON, "following: the target keeps up with the source", ""),
        # Killed behind a cutover that was rolled back, before the consumer was on again.
        (False, OFF, "following, but its consumer is off: nothing is applied", "`replicator resume` switch"),
        (False, UNKNOWN, "following; whether the target keeps up is not known", "not known: denied"),
        (True, OFF, "following, but paused: nothing is applied", "`replicator resume` goes on"),
    ],
)
def test_a_target_keeps_up_only_where_something_applies_changes(paused, consumer, phase, row):
    assert status._phase(FOLLOWS, None, paused=paused, consumer=consumer) == phase

    told = [text for name, text in status._consumer_rows({"paused": paused, "consumer": consumer})]
    assert len(told) == bool(row)
    assert row in "".join(told)


class Carried(SimpleNamespace):
    """A pair that workers carry, and the leases that they have left."""

    def __init__(self, *, shard, hand, on=True, by=WORKER):
        state = State.of_pair(FakeDynamoDB(), STATE, PAIR.id)
        for part, name, ends in (("forwarder", f"{Fact.SHARD}1", shard), ("consumer", f"{Fact.HAND}0", hand)):
            workers.tell(state, part, {})
            workers.ask(state, part, on=on)
            state.put(name, holder="one", until_epoch=ends)
        super().__init__(
            state=lambda _: state,
            server_time=lambda: 1000.0,
            resources=lambda _: {"forwarder_mapping": by, "consumer_mapping": by},
        )


@pytest.mark.parametrize(
    ("context", "missing"),
    [
        (Carried(shard=1020, hand=1020), []),
        (Carried(shard=999, hand=1020), ["forwarder"]),
        (Carried(shard=1020, hand=999), ["consumer"]),
        (Carried(shard=999, hand=999), ["forwarder", "consumer"]),
        (Carried(shard=999, hand=999, on=False), []),  # paused, or not begun: nobody is to be there
        (Carried(shard=999, hand=999, by="uuid"), []),
    ],
)
def test_a_part_is_missing_where_it_is_on_and_no_worker_has_it(context, missing):
    """Of a worker that was killed leases are left, which end by DynamoDB's clock."""
    seen = workers.seen(context, PAIR)
    assert ([] if seen is None else list(seen.missing)) == missing


@pytest.mark.parametrize("missing", [["forwarder"], ["consumer"], ["forwarder", "consumer"]])
def test_a_target_does_not_keep_up_where_no_worker_is_at_work(missing):
    phase = status._phase(FOLLOWS, None, consumer=ON, missing=missing)
    assert phase == "following, but no worker is at it: the target falls behind"
    ((name, told),) = status._worker_rows({"workers_missing": missing})
    assert name.strip() == "NO WORKER"
    assert all(part in told for part in missing)
    assert "start `replicator worker`" in told
    assert "24 hours" in told if "forwarder" in missing else "24 hours" not in told


def test_where_all_workers_are_there_no_row_says_so():
    assert status._worker_rows({"workers_missing": []}) == []


def test_before_it_follows_the_next_command_says_what_to_do():
    begun = dict.fromkeys(status.UP_STEPS, "x")
    assert "run `replicator restore`" in status._phase(begun, None, consumer=OFF)
    assert "run `replicator restart`" in status._phase(FOLLOWS, {"number": 1}, consumer=OFF)
    assert status._phase(FOLLOWS, None, flipped=True, consumer=OFF).startswith("cut over")
    assert status._consumer_rows({"paused": False, "consumer": None}) == []


@pytest.mark.parametrize(("days", "told"), [(None, False), (9.9, False), (10, True), (13.9, True)])
def test_a_queue_that_is_near_its_retention_is_told_what_to_do(days, told):
    """That of a way back, say, which nobody looks at: behind it changes are lost, and it takes an audit."""
    oldest = None if days is None else days * 86_400
    facts = {"last_applied_seconds_ago": None, "metrics": {"oldest_message_seconds": oldest}}
    rows = dict(status._lag_rows(facts))
    assert ("  FORGETS SOON" in rows) is told
    assert not told or "14 days" in rows["  FORGETS SOON"]


def test_who_is_missing_and_who_stands_is_named_with_the_age_of_its_last_sign():
    known = {"worked_seconds_ago": {"forwarder": 7200.0, "consumer": 900.0}, "standing": ["consumer"]}
    rows = dict(status._worker_rows({"workers_missing": ["forwarder"], "workers": known}))

    assert rows["  workers"] == "forwarder worked 2.0 h ago, consumer worked 15 min ago"
    assert "nobody is forwarder" in rows["  NO WORKER"]
    assert rows["  WORKER STANDS"].startswith("consumer: look in the worker's log")


def test_the_lag_of_a_worker_is_told_as_a_bound():
    facts = {"last_applied_seconds_ago": None, "metrics": {"iterator_age_seconds": 61.0}}
    assert dict(status._lag_rows(facts))["  lag"] == "forwarder 61 s behind the stream"
    assert dict(status._lag_rows({**facts, "workers": {"behind_seconds": 61.0}}))["  lag"] == (
        "forwarder at most 61 s behind the stream"
    )
