"""Quotas of the account: what the stacks will share with everybody else."""

from __future__ import annotations

import pytest

from replicator.doctor.findings import State
from replicator.doctor.looking import Known, Unknown
from replicator.doctor.quotas import Count, Functions, code, concurrency, room

PLACE = "111122223333/eu-west-1"
DENIED = Unknown("AWS refused to say: AccessDenied", "allow it.")


def lambdas(unreserved=1000, concurrent=1000, used=0, limit=80_530_636_800):
    return Known(Functions(concurrent, unreserved, used, limit))


@pytest.mark.parametrize(
    ("found", "pairs", "shards", "state"),
    [
        (lambdas(), 1, 4, State.OK),
        (lambdas(36), 1, 4, State.OK),  # 4 forwarders and 32 consumers
        (lambdas(35), 1, 4, State.WARNING),
        (lambdas(5), 1, 4, State.WARNING),
        (lambdas(4), 1, 4, State.PROBLEM),  # not even one consumer
        (lambdas(0), 1, None, State.PROBLEM),
        (lambdas(10, 10), 1, None, State.WARNING),  # a new account
        (lambdas(66), 2, None, State.OK),
        (lambdas(65), 2, None, State.WARNING),
        (DENIED, 1, 4, State.NOT_CHECKED),
    ],
)
def test_forwarders_and_consumers_share_what_nobody_has_reserved(found, pairs, shards, state):
    (told,) = concurrency(PLACE, found, pairs=pairs, shards=shards, consumers=32)
    assert (told.check, told.state) == ("concurrency", state)


def test_shards_that_are_not_known_are_said_to_be_more():
    (known,) = concurrency(PLACE, lambdas(), pairs=1, shards=1, consumers=32)
    (unknown,) = concurrency(PLACE, lambdas(), pairs=1, shards=None, consumers=32)

    assert "or more" not in known.what
    assert "1 forwarder or more" in unknown.what


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (lambdas(used=0, limit=2_000), State.OK),
        (lambdas(used=1, limit=2_000), State.PROBLEM),
        (DENIED, State.NOT_CHECKED),
    ],
)
def test_code_has_to_fit_into_what_lambda_stores(found, state):
    (told,) = code(PLACE, found, functions=2, bundle_bytes=1_000)
    assert (told.check, told.state) == ("code", state)


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (Known(Count(1_996, 2_000)), State.OK),
        (Known(Count(1_997, 2_000)), State.PROBLEM),
        (DENIED, State.NOT_CHECKED),
    ],
)
def test_so_many_more_have_to_fit(found, state):
    (told,) = room("stack-quota", PLACE, found, wanted=4, noun="stack")
    assert (told.check, told.state) == ("stack-quota", state)
