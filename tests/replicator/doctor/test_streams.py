"""The source's stream: what its records hold, and who else reads it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replicator.aws.readers import Reader, filter_pattern
from replicator.context.tables import TableFacts
from replicator.doctor import streams
from replicator.doctor.findings import State
from replicator.doctor.looking import Known, Unknown

SOURCE = TableFacts(
    name="orders",
    arn="arn:aws:dynamodb:eu-west-1:111122223333:table/orders",
    region="eu-west-1",
    account="111122223333",
    status="ACTIVE",
    keys={"id": "S"},
    stream_arn="arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/2026-11-30T00:00:00.000",
    stream_view="NEW_IMAGE",
    stream_since="2026-11-30T00:00:00.000",
    description={},
)
OFF = replace(SOURCE, stream_arn=None, stream_view=None)
GLOBAL = replace(SOURCE, description={"Replicas": [{"RegionName": "eu-west-1"}, {"RegionName": "us-east-1"}]})


@pytest.mark.parametrize(
    ("table", "state"),
    [
        (OFF, State.OK),
        (SOURCE, State.OK),
        (replace(SOURCE, stream_view="NEW_AND_OLD_IMAGES"), State.OK),
        (replace(SOURCE, stream_view="KEYS_ONLY"), State.WARNING),
        (replace(SOURCE, stream_view="OLD_IMAGE"), State.WARNING),
        (replace(SOURCE, stream_view="ANOTHER"), State.WARNING),
    ],
)
def test_a_view_without_the_new_image_costs_reads(table, state):
    (found,) = streams.view(table)
    assert found.state is state


def told(*others, table=SOURCE, forwarders=1, canary=True):
    looked = Known([Reader(name, reads=reads, is_reached=reached) for name, reads, reached in others])
    return list(streams.readers(table, looked, forwarders=forwarders, canary=canary))


MAILER, SEARCH = ("mailer", True, False), ("search", True, False)


@pytest.mark.parametrize(
    ("others", "table", "forwarders", "state"),
    [
        ([], SOURCE, 1, State.OK),
        ([MAILER], SOURCE, 1, State.OK),
        ([MAILER, SEARCH], SOURCE, 1, State.PROBLEM),
        ([MAILER], SOURCE, 2, State.PROBLEM),
        ([], SOURCE, 3, State.PROBLEM),
        ([MAILER, ("off", False, False)], SOURCE, 1, State.OK),
        ([], GLOBAL, 1, State.OK),
        ([MAILER], GLOBAL, 1, State.WARNING),
        ([MAILER, SEARCH], GLOBAL, 1, State.PROBLEM),
        ([], OFF, 1, State.OK),
    ],
)
def test_two_read_a_shard_and_one_that_of_a_global_table(others, table, forwarders, state):
    (found,) = told(*others, table=table, forwarders=forwarders)

    assert (found.check, found.state) == ("stream-readers", state)


def test_a_function_that_gets_the_canary_is_named_with_what_leaves_it_out():
    reached = ("mailer", True, True)
    _, found = told(reached)

    assert (found.check, found.state) == ("canary", State.WARNING)
    assert "mailer" in found.what
    assert filter_pattern(SOURCE.keys) in found.hint
    assert len(told(reached, canary=False)) == 1
    assert len(told(("replicator-shop-orders-1a2b-capture-Forwarder-9XyZ", True, True))) == 1


def test_readers_that_may_not_be_listed_are_not_called_none():
    looked = Unknown("AWS refused to list the functions", "allow lambda:ListEventSourceMappings.")
    (found,) = streams.readers(SOURCE, looked, forwarders=1, canary=True)

    assert found.state is State.NOT_CHECKED
