"""
The least role of each function: with one action less something fails that names it, and none is too many.

The real handlers run in every situation in which they need AWS, on moto and the harness's stream, with IAM
before each request. What no request of theirs asks for is what AWS itself does with the role, and is listed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from ddbverify.errors import DdbVerifyError
from ddbverify.words import docs_folder
from replicator.handlers import forwarder
from replicator.stack import stacks
from tests.replicator.stack.iam import Need, covers, granted
from tests.replicator.stack.situations import SITUATIONS, ComesAgain, World
from tests.replicator.stack.template_rules import parsed

FUNCTIONS: dict[str, stacks.Template] = {
    "ForwarderRole": "capture",
    "ConsumerRole": "apply",
    "AuditorRole": "audit",
}

BY_AWS: dict[str, set[Need]] = {
    "ForwarderRole": {
        *((f"dynamodb:{one}", "StreamArn") for one in ("DescribeStream", "GetRecords", "GetShardIterator")),
        ("dynamodb:ListStreams", "ListTheTablesStreams"),
        *((f"logs:{one}", "ForwarderLogs") for one in ("CreateLogStream", "PutLogEvents")),
    },
    "ConsumerRole": {
        (f"sqs:{one}", "QueueArn")
        for one in ("ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "ReceiveMessage")
    }
    | {(f"logs:{one}", "ConsumerLogs") for one in ("CreateLogStream", "PutLogEvents")},
    "AuditorRole": {(f"logs:{one}", "AuditorLogs") for one in ("CreateLogStream", "PutLogEvents")},
}
"""
What Lambda does with a function's role, and the function never asks for: it reads stream and queue, and logs.

https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-eventsourcemapping.html,
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html (`sqs:ChangeMessageVisibility` for a
batch that is answered in part) and
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html.
"""


@contextmanager
def a_world(role: str, without: Need | None = None) -> Iterator[World]:
    with mock_aws():
        yield World(role, without)


@functools.cache
def asked_in(role: str, situation: Callable[[World], None]) -> frozenset[Need]:
    with a_world(role) as world:
        situation(world)
        return frozenset(world.iam.asked)


def grants_of(role: str) -> set[Need]:
    return granted(parsed(stacks.template_body(FUNCTIONS[role])), role)


def all_asked(role: str) -> set[Need]:
    return {need for one in SITUATIONS[role] for need in asked_in(role, one)}


@pytest.mark.parametrize("role", FUNCTIONS)
def test_a_role_covers_what_its_function_asks_for_and_nothing_else(role):
    asked, grants = all_asked(role), grants_of(role)

    assert [need for need in asked if not covers(grants, need)] == []
    assert {one for one in grants if not any(covers([one], need) for need in asked)} == BY_AWS[role]


def failure_of(situation: Callable[[World], None], world: World, log: Callable[[], str]) -> str:
    """What says that a function could not do its work."""
    try:
        situation(world)
    except (ClientError, DdbVerifyError) as error:
        return str(error)  # the call fails, and is repeated
    except ComesAgain:
        return log()
    return ""


@pytest.mark.parametrize(
    ("role", "need"),
    [
        pytest.param(role, (action.rstrip("*"), of), id=f"{role}: {action} on {of}")
        for role in FUNCTIONS
        for action, of in sorted(grants_of(role) - BY_AWS[role])
    ],
)
def test_without_an_action_what_needs_it_fails_and_names_it(role, need, monkeypatch, caplog):
    told = dict[str, float]()
    monkeypatch.setattr(forwarder, "emit", lambda _, __, found: told.update(found))
    situation = next((one for one in SITUATIONS[role] if need in asked_in(role, one)), None)
    assert situation is not None, "nothing asks for it"

    with a_world(role, need) as world:
        said = failure_of(situation, world, lambda: caplog.text)

    # Capture goes on where the forwarder cannot watch, and an alarm rings.
    assert need[0] in said or told.get("NotWatched") == 1


def test_the_writer_of_another_account_may_what_the_consumer_may_in_its_own():
    beside = {
        (action, of) for action, of in grants_of("ConsumerRole") if of in ("TargetTableArn", "LedgerTableArn")
    }
    writer = granted(parsed(stacks.template_body("target")), "WriterRole")
    assert {(action, {"Ledger": "LedgerTableArn"}.get(of, of)) for action, of in writer} == beside


def test_the_reader_of_another_account_may_what_the_auditor_may_in_its_own():
    beside = {action for action, of in grants_of("AuditorRole") if of == "LedgerTableArn"}
    assert granted(parsed(stacks.template_body("target")), "ReaderRole") == {
        (one, "Ledger") for one in beside
    }


PLACES = {
    "stream": {"StreamArn"},
    "streams of the source": {"ListTheTablesStreams"},
    "queue": {"Queue", "QueueArn"},
    "dead letters": {"FileDeadLetters"},
    "facts of the pair": {"StateTableArn/pair#${Pair}"},
    "facts of the migration": {"StateTableArn/migration"},
    "source": {"SourceTableArn"},
    "target": {"TargetTableArn"},
    "ledger": {"LedgerTableArn"},
    "its log": {"ForwarderLogs", "ConsumerLogs", "AuditorLogs"},
}
"""What docs/permissions.md calls what the templates name."""


@pytest.mark.parametrize("role", FUNCTIONS)
def test_the_page_has_each_action_of_a_function_with_what_fails_without_it(role):
    """A sign marks those that Lambda itself asks for."""
    page = (docs_folder() / "permissions.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (`\w+:.*?) \| (.*?) \| .+ \|$", page, re.MULTILINE)
    found = {
        (action, name, bool(sign))
        for function, actions, places in rows
        if function in (role.removesuffix("Role").lower(), "each")
        for action, sign in re.findall(r"`([\w:]+)`( †)?", actions)
        for place in places.split(", ")
        for name in PLACES[place]
    }
    grants = grants_of(role)
    wanted = {(action.rstrip("*"), of, (action, of) in BY_AWS[role]) for action, of in grants}

    assert wanted <= found
    named = {of for _, of in grants}
    assert {one for one in found if one[1] in named} - wanted == set()
