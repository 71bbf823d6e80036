"""What is asked of an account, page by page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from replicator.doctor import accounts
from replicator.doctor.examination import Examined
from replicator.doctor.findings import State
from replicator.doctor.quotas import Count, Functions
from tests.replicator.doctor.test_keys import ARN, ROOT
from tests.replicator.doctor.test_streams import OFF, SOURCE
from tests.replicator.fakes import refusal


class Paged:
    """A client whose answers come in pages."""

    def __init__(self, **pages):
        self.pages = pages

    def get_paginator(self, name):
        return SimpleNamespace(paginate=lambda: self.pages[name])


def test_stacks_are_counted_over_all_pages_without_those_that_are_gone():
    client = Paged(
        describe_account_limits=[
            {"AccountLimits": [{"Name": "StackOutputsLimit", "Value": 200}]},
            {"AccountLimits": [{"Name": "StackLimit", "Value": 2000}]},
        ],
        list_stacks=[
            {"StackSummaries": [{"StackStatus": "CREATE_COMPLETE"}, {"StackStatus": "DELETE_COMPLETE"}]},
            {"StackSummaries": [{"StackStatus": "DELETE_FAILED"}, {"StackStatus": "ROLLBACK_COMPLETE"}]},
        ],
    )
    assert accounts._stacks(client) == Count(3, 2000)


@pytest.mark.parametrize(
    ("way_back", "counts"),
    [(False, (6, 2, 4, 0, 0, 2)), (True, (8, 8, 4, 4, 2, 2))],
)
def test_a_way_back_wants_as_much_again_on_the_other_side(way_back, counts):
    wanted = accounts.Wanted.of(2, 1, way_back=way_back)
    assert wanted == accounts.Wanted(*counts)


def rooms(source, target, monkeypatch):
    monkeypatch.setattr(accounts, "_count_stacks", lambda _: Count(1, 100))
    monkeypatch.setattr(accounts, "_count_roles", lambda _: Count(1, 100))
    context = SimpleNamespace(source_client=None, target_client=None)
    wanted = accounts.Wanted.of(1, 0, way_back=False)
    found = accounts._rooms(context, source, target, wanted)
    return [(one.check, one.about, re.search(r"up to (\d+) more", one.what)[1]) for one in found]


def test_two_sides_in_one_place_share_its_quota(monkeypatch):
    here, there, abroad = "1111/eu-west-1", "1111/us-east-1", "2222/us-east-1"

    assert rooms(here, here, monkeypatch) == [("stack-quota", here, "4"), ("role-quota", "1111", "2")]
    assert rooms(here, there, monkeypatch) == [
        ("stack-quota", here, "3"),
        ("stack-quota", there, "1"),
        ("role-quota", "1111", "2"),
    ]
    assert rooms(here, abroad, monkeypatch)[2:] == [("role-quota", "1111", "2"), ("role-quota", "2222", "1")]


def test_roles_and_functions_are_read_from_what_aws_calls_them():
    iam = SimpleNamespace(get_account_summary=lambda: {"SummaryMap": {"Roles": 7, "RolesQuota": 1000}})
    limits = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900, "TotalCodeSize": 80}
    functions = SimpleNamespace(
        get_account_settings=lambda: {"AccountLimit": limits, "AccountUsage": {"TotalCodeSize": 3}}
    )

    assert accounts._roles(iam) == Count(7, 1000)
    assert accounts._functions(functions) == Functions(1000, 900, 3, 80)


def stream(*pages, error=None):
    def describe_stream(*, StreamArn, ExclusiveStartShardId=None):  # noqa: N803
        assert StreamArn == SOURCE.stream_arn
        if error is not None:
            raise error
        at = 0 if ExclusiveStartShardId is None else int(ExclusiveStartShardId)
        shards = [{"SequenceNumberRange": {"StartingSequenceNumber": "1", **one}} for one in pages[at]]
        more = {"LastEvaluatedShardId": str(at + 1)} if at + 1 < len(pages) else {}
        return {"StreamDescription": {"Shards": shards, **more}}

    return SimpleNamespace(source_client=lambda _: SimpleNamespace(describe_stream=describe_stream))


OPEN, CLOSED = {}, {"EndingSequenceNumber": "9"}


def test_open_shards_are_counted_over_all_pages():
    examined = Examined(sources={"a": SOURCE})

    assert accounts._shards(stream([OPEN, CLOSED], [OPEN]), examined) == 2
    assert accounts._shards(stream([OPEN], error=refusal("AccessDeniedException")), examined) is None
    assert accounts._shards(stream([OPEN]), Examined(sources={"a": SOURCE, "b": OFF})) is None


def kms(manager="CUSTOMER", **refused):
    def describe_key(*, KeyId):  # noqa: N803
        if "describe" in refused:
            raise refused["describe"]
        return {"KeyMetadata": {"Arn": KeyId, "KeyManager": manager, "KeyState": "Enabled"}}

    def get_key_policy(*, KeyId, PolicyName):  # noqa: N803
        assert (KeyId, PolicyName) == (ARN, "default")
        if "policy" in refused:
            raise refused["policy"]
        return {"Policy": json.dumps({"Statement": [ROOT]})}

    client = SimpleNamespace(describe_key=describe_key, get_key_policy=get_key_policy)
    return lambda service: {"kms": client}[service]


ENCRYPTED = replace(SOURCE, description={"SSEDescription": {"SSEType": "KMS", "KMSMasterKeyArn": ARN}})
NO = refusal("AccessDeniedException")


@pytest.mark.parametrize(
    ("table", "client_of", "state"),
    [
        (SOURCE, kms(describe=NO), State.OK),  # nobody is asked of a key that AWS owns
        (ENCRYPTED, kms("AWS", policy=NO), State.OK),
        (ENCRYPTED, kms(), State.PROBLEM),
        (ENCRYPTED, kms(describe=NO), State.NOT_CHECKED),
        (ENCRYPTED, kms(policy=NO), State.NOT_CHECKED),
    ],
)
def test_a_key_is_asked_for_where_a_table_names_one(table, client_of, state):
    (told,) = accounts._key(table, "source", client_of)
    assert told.state is state
