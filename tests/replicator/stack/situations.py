"""A pair in memory, and every situation in which one of its functions needs AWS, by a role."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import boto3

from ddbverify.names import Fact, canary_key
from replicator.audits import function as auditor
from replicator.handlers import consumer, forwarder
from replicator.handlers.envelope import pack
from replicator.handlers.records import change_from_record
from replicator.handlers.state import State
from tests.contracts.test_handler_contracts import KEYS, REGION, deployed
from tests.replicator.stack.iam import Iam, Need, Streams
from tests.replicator.stream_harness import Streams as Stream

PAIR = "orders"
DEAD_LETTERS = "dead-letters.fifo"


class ComesAgain(Exception):
    """A function gave back what it was given."""


class World:
    """A pair's tables, queues and stream, with the functions' real code between them, by a role."""

    def __init__(self, role: str, without: Need | None = None) -> None:
        self._queue = "Queue" if role == "ForwarderRole" else "QueueArn"  # who makes it names it otherwise
        session = boto3.Session("testing", "testing", region_name=REGION)
        engine = deployed(session.client, lambda name: f"{name}-of-the-test")
        self.names, self.database, self.queue = engine.names, engine.database, engine.queue
        attributes = {"FifoQueue": "true"}
        made = self.queue.create_queue(QueueName=DEAD_LETTERS, Attributes=attributes)
        self.dead_letters = made["QueueUrl"]
        self.stream = Stream(arn=engine.stream_arn)
        self.stream.now = time.time() - 3600  # what is not applied is lost, not under way
        self.state = State.of_pair(self.database, self.names["state"], PAIR)
        self.iam = Iam(self._named, without)
        self.client = lambda service: self.iam.over(session.client(service))

    def _named(self, of: str, key: str) -> str:
        tables = {self.names[name]: f"{name.title()}TableArn" for name in ("source", "target", "ledger")}
        if of == self.names["state"]:
            return f"StateTableArn/{key.replace(PAIR, '${Pair}')}"
        queue = self.names["queue"].rpartition("/")[2]
        return {**tables, queue: self._queue, "dead-letters.fifo": "FileDeadLetters", "stream": "StreamArn"}[
            of
        ]

    def environment(self, **more: str) -> dict[str, str]:
        """As the templates tell the functions."""
        return {
            "MIGRATION": "shop",
            "PAIR": PAIR,
            "SOURCE_TABLE": self.names["source"],
            "STREAM_ARN": self.stream.arn,
            "QUEUE_URL": self.names["queue"],
            "STATE_TABLE": self.names["state"],
            "TARGET_TABLE": self.names["target"],
            "LEDGER_TABLE": self.names["ledger"],
            "KEY_SCHEMA": json.dumps(KEYS),
            "SOURCE_KEYS": json.dumps(KEYS),
            "TARGET_KEYS": json.dumps(KEYS),
            "GROUPS": "4",
            "RESTART": "0",
            "BOUNDARY": "0",
            "YOUNG_SECONDS": "60",
            **more,
        }

    def record(self, key: str, event: str = "MODIFY", **image: Any) -> dict[str, Any]:
        keys = canary_key(KEYS) if key == "canary" else {"id": {"S": key}}
        return self.stream.append(0, event, keys, None if event == "REMOVE" else {**keys, **image})

    # --- the functions ------------------------------------------------------------------

    def forward(self, *records: Mapping[str, Any]) -> None:
        made = forwarder.deployment(
            self.environment(), self.client("sqs"), self.client("dynamodb"), self.client("dynamodb")
        )
        if forwarder.take(records, made, self.environment()).first_unsent is not None:
            raise ComesAgain

    def letters(self, *records: Mapping[str, Any]) -> list[dict[str, Any]]:
        changes = [change_from_record(record) for record in records]
        made = pack(changes, stream_arn=self.stream.arn, schema=KEYS, groups=1, restart=0)
        return [self.letter(one.body) for one in made]

    def letter(self, body: str) -> dict[str, Any]:
        return {"messageId": "m", "body": body, "attributes": {"MessageGroupId": "g"}}

    def consume(self, *letters: Mapping[str, Any], **environment: str) -> None:
        told = self.environment(**environment)
        made = consumer.deployment(
            told, self.client("dynamodb"), self.client("dynamodb"), digest_of=lambda _: "0" * 64
        )
        if consumer.take(letters, made, told, seconds=30):
            raise ComesAgain

    def audit(self) -> auditor.Found:
        resources = {
            "stream_arn": self.stream.arn,
            "queue_url": self.names["queue"],
            "dead_letter_url": self.dead_letters,
            "ledger_table": self.names["ledger"],
        }
        self.state.put(Fact.RESOURCES, **resources)
        self.state.put(Fact.FOLLOWING, since="now")
        self.state.put(Fact.BOUNDARY, boundary_epoch=int(time.time()) - 20 * 3600)
        clients = auditor.Clients(
            self.client("dynamodb"),
            lambda: Streams(self.iam, self.stream),
            lambda: self.client("sqs"),
            lambda _: self.client("dynamodb"),
        )
        settings = auditor.Settings.from_environment(self.environment())
        return auditor.audit(settings, self.names["state"], clients, lambda: True)


# --- the situations ---------------------------------------------------------------------


def changes(world: World) -> None:
    world.forward(world.record("a", v={"S": "1"}))


def a_canary(world: World) -> None:
    world.forward(world.record("canary"))


def what_cannot_be_replicated(world: World) -> None:
    world.forward({"eventName": "MODIFY"})


def late_writes(world: World) -> None:
    world.state.put(Fact.MOVED, at="now")
    world.forward(world.record("a", v={"S": "1"}))


def puts_and_deletes(world: World) -> None:
    world.consume(*world.letters(world.record("a", v={"S": "1"}), world.record("b", "REMOVE")))


def a_canary_arrives(world: World) -> None:
    world.consume(*world.letters(world.record("canary")))


def without_an_image(world: World) -> None:
    world.stream.view = "KEYS_ONLY"
    world.database.put_item(TableName=world.names["source"], Item={"id": {"S": "a"}})
    world.consume(*world.letters(world.record("a")))


def an_unreadable_body(world: World) -> None:
    world.consume(world.letter("no letter"))


def raising(item: dict[str, Any]) -> dict[str, Any]:
    if "bad" in item:
        raise KeyError("bad")
    return item


TRANSFORM = {"TRANSFORM": f"{__name__}:raising", "TRANSFORM_DIGEST": "0" * 64}


def the_quarantine_and_out_of_it(world: World) -> None:
    bad, good = world.record("a", bad={"S": "1"}), world.record("a", v={"S": "1"})
    world.consume(*world.letters(bad), **TRANSFORM)
    assert world.state.quarantined()
    world.consume(*world.letters(good), **TRANSFORM)
    assert not world.state.quarantined()


def a_write_ceiling(world: World) -> None:
    world.consume(*world.letters(world.record("a", v={"S": "1"})), WRITE_UNITS="100000")


def forth(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "made": True}


def back(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "made"}


def through_an_inverse(world: World) -> None:
    named = {"TRANSFORM": f"{__name__}:forth", "INVERSE": f"{__name__}:back"}
    digests = dict.fromkeys(("TRANSFORM_DIGEST", "INVERSE_DIGEST"), "0" * 64)
    item = {"v": {"S": "1"}, "made": {"BOOL": True}}
    world.consume(*world.letters(world.record("a", **item), world.record("b", "REMOVE")), **named, **digests)


def keyed(item: dict[str, Any]) -> dict[str, Any]:
    return {"id": item["v"]}


def a_key_that_moves(world: World) -> None:
    named = {"TRANSFORM": f"{__name__}:keyed", "TRANSFORM_DIGEST": "0" * 64, "REKEYS": "true"}
    for value in "12":
        world.consume(*world.letters(world.record("a", v={"S": value})), **named)


def an_audit(world: World) -> None:
    record = world.record("a", v={"S": "1"})
    world.iam, role = Iam(world._named), world.iam  # the consumer's role is not what is looked at
    world.consume(*world.letters(record))
    world.iam = role
    assert world.audit().findings == 0


def an_audit_that_finds_something(world: World) -> None:
    world.record("a", v={"S": "1"})
    assert world.audit().findings == 1


def an_audit_with_dead_letters(world: World) -> None:
    (letter,) = world.letters(world.record("a", v={"S": "1"}))
    told = {"QueueUrl": world.dead_letters, "MessageGroupId": "g", "MessageDeduplicationId": "d"}
    world.queue.send_message(MessageBody=letter["body"], **told)
    assert world.audit().findings == 0
    assert world.state.quarantined()


def a_look_behind_the_flip(world: World) -> None:
    world.audit()
    world.state.put(Fact.MOVED, at="now")
    kept = world.state.get("audit") or {}
    world.state.put("audit", **{**kept, "audited_epoch": int(time.time()) - 13 * 3600})
    world.state.delete(Fact.AUDIT_DUE)
    world.record("a", v={"S": "1"})
    assert world.audit().findings == 1


SITUATIONS: dict[str, tuple[Callable[[World], None], ...]] = {
    "ForwarderRole": (changes, a_canary, what_cannot_be_replicated, late_writes),
    "ConsumerRole": (
        *(puts_and_deletes, a_canary_arrives, without_an_image, an_unreadable_body),
        *(the_quarantine_and_out_of_it, a_write_ceiling, through_an_inverse, a_key_that_moves),
    ),
    "AuditorRole": (
        *(an_audit, an_audit_that_finds_something, an_audit_with_dead_letters, a_look_behind_the_flip),
    ),
}
