"""The list of what could not be applied."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from ddbverify.config import parse
from ddbverify.items.transform import key_hash
from replicator.commands import quarantine
from replicator.context.console import Console
from replicator.handlers.envelope import pack
from replicator.handlers.records import NO_NUMBER
from replicator.handlers.state import State
from tests.replicator.fakes import ARN, KEYS, STATE, FakeDynamoDB, Rooted, change

URL = "https://dead-letters.fifo"


class DeadLetters:
    def __init__(self, *bodies):
        self.messages = list(bodies)

    def get_queue_attributes(self, **_):
        none = {"ApproximateNumberOfMessagesNotVisible": "0", "ApproximateNumberOfMessagesDelayed": "0"}
        return {"Attributes": {"ApproximateNumberOfMessages": str(len(self.messages)), **none}}


def bodies(*changes, arn=ARN, restart=1):
    return [one.body for one in pack(changes, stream_arn=arn, schema=KEYS, groups=1, restart=restart)]


def context(tmp_path, *letters):
    config = parse('[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n', tmp_path)
    state, queue = State.of_pair(FakeDynamoDB(), STATE, config.tables[0].id), DeadLetters(*letters)
    return Rooted(
        whole=State.whole(FakeDynamoDB(), STATE),
        config=config,
        pair=config.tables[0],
        console=Console(as_json=True),
        need_begun=lambda: None,
        queue=queue,
        state=lambda pair: state,
        resources=lambda pair: {"dead_letter_url": URL, "stream_arn": ARN},
        source_table=lambda pair: SimpleNamespace(keys=KEYS),
        source_client=lambda service: queue,
    )


def hashed(key):
    return key_hash({"id": {"S": key}}, KEYS)


@pytest.mark.parametrize("keys", [False, True])
def test_the_list_has_hashes_reasons_and_counts_and_raw_keys_only_when_asked_for(tmp_path, capsys, keys):
    made = context(tmp_path, *bodies(change("x", 9)))
    for key, number in (("secret-a", NO_NUMBER), ("secret-b", NO_NUMBER), ("secret-c", "7" * 40)):
        reason = "refused by DynamoDB" if key.endswith("c") else "the transform raised KeyError"
        made.state(made.pair).quarantine(hashed(key), {"id": {"S": key}}, number, reason)

    answer = quarantine.listed(made, keys=keys)["pairs"][str(made.pair)]

    assert answer["quarantined"] == 3
    assert answer["dead_letters"] == 1
    assert answer["reasons"] == {"the transform raised KeyError": 2, "refused by DynamoDB": 1}
    assert {one["key_hash"] for one in answer["keys"]} == {hashed(f"secret-{one}") for one in "abc"}
    assert [one["from_the_load"] for one in answer["keys"]] == [False, True, True]
    shown = json.dumps(answer) + capsys.readouterr().err
    assert ("secret" in shown) is keys
    assert len(made.queue.messages) == 1, "a list changes nothing"
