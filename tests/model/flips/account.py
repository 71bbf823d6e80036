"""
An account in memory as far as flips need it: two tables with streams and policies, stacks, a parameter.

Writes to the two tables are held against the policy of the table and the role of the writer, and leave
records in the table's stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from ddbverify.names import marker_key
from replicator.handlers import forwarder
from tests.model.fifo_queue import FifoQueue
from tests.replicator.fakes import KEYS, FakeDynamoDB, refusal
from tests.replicator.policies import FakePolicies, epoch_of
from tests.replicator.stream_harness import SLOTS, Streams
from tests.replicator.stream_harness import Mapping as StreamMapping

ACCOUNT = "123456789012"
REGIONS = {"orders": "eu-west-1", "orders-v2": "eu-central-1"}
SIDES = {"source": "orders", "target": "orders-v2"}
OPERATOR = f"arn:aws:iam::{ACCOUNT}:user/ops"
APPLICATION = f"arn:aws:iam::{ACCOUNT}:role/app"
SLOT = {"a": 0, "b": 8, "c": 4}
ELSEWHERE = 12  # keys of ours: the canary's
MARKERS = {marker_key(KEYS, slot)["id"]["S"]: slot for slot in range(SLOTS)}
"""One marker for each slot."""

BY_TTL = {"userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}}


def arn_of(table: str) -> str:
    """Of a table."""
    return f"arn:aws:dynamodb:{REGIONS.get(table, 'eu-west-1')}:{ACCOUNT}:table/{table}"


class Database(FakeDynamoDB):
    """
    DynamoDB with two tables of the user's, whose writes leave records.

    Args:
        now: Seconds since the epoch.
        skew: Table -> by how many seconds the times of its records are beside the clock.
    """

    def __init__(self, now: Callable[[], float], skew: Mapping[str, float]) -> None:
        super().__init__(**dict.fromkeys(REGIONS, KEYS))
        clock = SimpleNamespace(now=now)
        self.now, self.skew = now, dict(skew)
        # Numbers of two streams are not to be compared: those of the source's second shard are far higher.
        self.streams = {
            name: Streams(roots, arn=f"{arn_of(name)}/stream/2026")
            for name, roots in zip(REGIONS, (2, 1), strict=True)
        }
        self.policies = {arn_of(name): FakePolicies(clock=_At(clock)) for name in REGIONS}
        self.roles: set[str] = set()  # that stacks have made
        self.numbers_checked: dict[tuple[str, str], str] = {}
        self._denials: dict[str, tuple[int, list[tuple[int | None, int | None]]]] = {}
        self._seen: dict[str, dict[str, Any]] = {name: {} for name in REGIONS}

    def of(self, who: str) -> Any:
        """What *who* has of it."""
        return _Caller(self, who)

    def may_write(self, table: str, who: str) -> bool:
        """Whether a write by *who* is let through now."""
        if ":role/replicator" in who and who not in self.roles:
            return False
        return table not in REGIONS or not self.policies[arn_of(table)].denies(self.now(), who)

    def opens(self, table: str) -> list[tuple[int | None, int | None]]:
        """When the application is denied: pairs of moments, behind the one and before the other."""
        held = self.policies[arn_of(table)]
        if self._denials.get(table, (0, []))[0] == held.revision:
            return self._denials[table][1]
        policy, found = held.policy, []
        for one in policy["Statement"] if policy else ():
            condition = one["Condition"]
            begin, end = (
                condition.get(operator, {}).get("aws:CurrentTime")
                for operator in ("DateGreaterThan", "DateLessThan")
            )
            moments = [None if at is None else int(epoch_of(at)) for at in (begin, end)]
            found.append((moments[0], moments[1]))
        self._denials[table] = held.revision, found
        return found

    def record(self, *, late: float = 0.0, is_silent: bool = False, **more: Any) -> None:
        """
        Leave a record of whatever has changed in the two tables.

        Args:
            late: So many seconds pass before it is readable.
            is_silent: None is left.
            more: What the record has beside.
        """
        for name, before in self._seen.items():
            there = self.tables[name]
            for key in [*(one for one in before if one not in there), *there]:
                was, image = before.get(key), there.get(key)
                if was == image:
                    continue  # a write that changes nothing makes no record
                event = "REMOVE" if image is None else "INSERT" if was is None else "MODIFY"
                item = image or was or {}
                key_text = item["id"]["S"]
                slot = SLOT.get(key_text, MARKERS.get(key_text, ELSEWHERE))
                created = self.now() + self.skew[name]
                if not is_silent:
                    self.streams[name].append(
                        slot, event, {"id": item["id"]}, image, created=created, late=late, **more
                    )
            self._seen[name] = {key: dict(item) for key, item in there.items()}

    def check_numbers(self, table: str) -> None:
        """Promise 2, of one ledger: numbers never go down."""
        for entry in self.tables[table].values():
            place, number = (table, entry["pk"]["S"]), entry["n"]["S"]
            assert number >= self.numbers_checked.get(place, ""), "an applied number went down"
            self.numbers_checked[place] = number

    # --- what the product asks for beside items -----------------------------------------------

    def describe_table(self, *, TableName: str) -> dict[str, Any]:  # noqa: N803
        if TableName not in self.tables:
            raise refusal("ResourceNotFoundException", "DescribeTable")
        streamed = TableName in REGIONS
        view = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
        schema = self.schemas[TableName]
        table = {
            "TableName": TableName,
            "TableArn": arn_of(TableName),
            "TableId": TableName,
            "TableStatus": "ACTIVE",
            "KeySchema": [
                {"AttributeName": name, "KeyType": kind}
                for name, kind in zip(schema, ("HASH", "RANGE"), strict=False)
            ],
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": kind} for name, kind in schema.items()
            ],
        }
        if streamed:
            stream = self.streams[TableName].arn
            table |= {"StreamSpecification": view, "LatestStreamArn": stream, "LatestStreamLabel": "2026"}
        return {"Table": table}

    def describe_time_to_live(self, *, TableName: str) -> dict[str, Any]:  # noqa: N803
        del TableName
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}

    def get_resource_policy(self, *, ResourceArn: str) -> dict[str, Any]:  # noqa: N803
        return self.policies[ResourceArn].get_resource_policy(ResourceArn=ResourceArn)

    def put_resource_policy(self, *, ResourceArn: str, **arguments: Any) -> dict[str, Any]:  # noqa: N803
        return self.policies[ResourceArn].put_resource_policy(ResourceArn=ResourceArn, **arguments)

    def delete_resource_policy(self, *, ResourceArn: str, **arguments: Any) -> dict[str, Any]:  # noqa: N803
        return self.policies[ResourceArn].delete_resource_policy(ResourceArn=ResourceArn, **arguments)


class _At:
    """The clock of `FakePolicies`."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    @property
    def at(self) -> float:
        return float(self._clock.now())


class _Caller:
    """A database's client with an identity."""

    meta = SimpleNamespace(region_name="eu-west-1")

    def __init__(self, database: Database, who: str) -> None:
        self._database, self._who = database, who

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._database, name)
        if name == "get_paginator":
            return lambda operation: _Pages(self._database, method(operation))
        if name.endswith("_resource_policy"):
            return method

        def call(**arguments: Any) -> Any:
            tables = _named(arguments)
            for table in tables:
                if table not in self._database.tables:
                    raise refusal("ResourceNotFoundException", name)
                if name in _WRITING and not self._database.may_write(table, self._who):
                    raise refusal("AccessDeniedException", name)
            answer = method(**arguments)
            if name not in _WRITING:
                return answer
            self._database.record()
            for table in tables:
                if self._database.schemas[table] == {"pk": "S"}:
                    self._database.check_numbers(table)
            return answer

        return call


_WRITING = ("transact_write_items", "batch_write_item", "put_item", "delete_item", "update_item")


class _Pages:
    """A paginator, of tables that may be gone."""

    def __init__(self, database: Database, pages: Any) -> None:
        self._database, self._pages = database, pages

    def paginate(self, **arguments: Any) -> Any:
        if arguments["TableName"] not in self._database.tables:
            raise refusal("ResourceNotFoundException", "Query")
        return self._pages.paginate(**arguments)


def _named(arguments: Mapping[str, Any]) -> set[str]:
    if "TransactItems" in arguments:
        return {action["TableName"] for one in arguments["TransactItems"] for action in one.values()}
    return set(arguments.get("RequestItems", ())) or {arguments["TableName"]}


@dataclass
class Pipeline:
    """What the stacks of one direction have made."""

    name: str
    streams: Streams
    queue: FifoQueue
    mapping: StreamMapping
    restart: int
    groups: int
    forwarder_on: bool = True
    consumer: Mapping[str, Any] | None = None  # what it was deployed with
    consumer_on: bool = False
    was_on: bool = False  # Lambda may still start a call of it
    unseen: set[object] = field(default_factory=set)  # receipts of messages that SQS does not count

    @property
    def role(self) -> str:
        """Of its consumer."""
        return f"arn:aws:iam::{ACCOUNT}:role/{self.name}-consumer"


class Stacks:
    """CloudFormation, and what it makes; in the place of `replicator.stack.stacks` in the product."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.made: dict[str, Mapping[str, Any]] = {}
        self.pipelines: dict[str, Pipeline] = {}  # by their migration's name
        self.forwarding: Pipeline | None = None

    def deploy(self, name: str, parameters: Mapping[str, Any]) -> dict[str, str]:
        """Make a stack, or change it; what it puts out."""
        self.made[name] = parameters
        making = {"base": self._base, "capture": self._capture, "target": self._target, "apply": self._apply}
        return making[name.rpartition("-")[2]](_migration_of(parameters), parameters)

    def _base(self, migration: str, parameters: Mapping[str, Any]) -> dict[str, str]:
        del migration
        self._table(parameters["StateTableName"], {"pk": "S", "sk": "S"})
        return {
            "StateTableName": parameters["StateTableName"],
            "StateTableArn": "arn",
            "BundleBucket": "bucket",
        }

    def _capture(self, migration: str, parameters: Mapping[str, Any]) -> dict[str, str]:
        if migration not in self.pipelines:
            streams = next(
                one for one in self.database.streams.values() if one.arn == parameters["StreamArn"]
            )
            made = Pipeline(
                f"replicator-{migration}",
                streams,
                FifoQueue(self.database.now),
                StreamMapping(streams, lambda event, context: self._forward(migration, event, context)),
                int(parameters["Restart"]),
                int(parameters["Groups"]),
            )
            self.pipelines[migration] = made
        return {
            "QueueUrl": f"{migration}/queue",
            "QueueArn": f"arn:{migration}",
            "DeadLetterUrl": f"{migration}/dead",
            "Forwarder": f"{migration}-forwarder",
            "ForwarderMapping": f"{migration}/forwarder",
        }

    def _target(self, migration: str, parameters: Mapping[str, Any]) -> dict[str, str]:
        del parameters
        ledger = self.ledger_of(migration)
        self._table(ledger, {"pk": "S"})
        return {"LedgerTable": ledger, "LedgerTableArn": arn_of(ledger)}

    def ledger_of(self, migration: str) -> str:
        """The ledger's name: the migration's is in it, and with it the direction's number."""
        return f"replicator-{migration}-ledger"

    def _apply(self, migration: str, parameters: Mapping[str, Any]) -> dict[str, str]:
        pipeline = self.pipelines[migration]
        pipeline.consumer, pipeline.consumer_on, pipeline.was_on = parameters, False, False
        self.database.roles.add(pipeline.role)
        return {
            "Consumer": f"{migration}-consumer",
            "ConsumerMapping": f"{migration}/consumer",
            "ConsumerRoleArn": pipeline.role,
        }

    def _table(self, name: str, schema: Mapping[str, str]) -> None:
        self.database.schemas.setdefault(name, dict(schema))
        self.database.tables.setdefault(name, {})

    def delete(self, name: str) -> bool:
        """Remove a stack, and what it made; whether it was there."""
        parameters = self.made.pop(name, None)
        if parameters is None:
            return False
        migration, kind = _migration_of(parameters), name.rpartition("-")[2]
        if kind == "apply":
            pipeline = self.pipelines[migration]
            self.database.roles.discard(pipeline.role)
            pipeline.consumer, pipeline.consumer_on = None, False
        elif kind == "capture":
            del self.pipelines[migration]
        elif kind == "target":
            self.forget(self.ledger_of(migration))
        else:
            self.forget(parameters["StateTableName"])
        return True

    def forget(self, table: str) -> None:
        """Remove a table."""
        self.database.tables.pop(table, None)
        self.database.schemas.pop(table, None)
        for place in [one for one in self.database.numbers_checked if one[0] == table]:
            del self.database.numbers_checked[place]

    def _forward(self, migration: str, event: Any, context: Any) -> Any:
        self.forwarding = self.pipelines[migration]
        return forwarder.handler(event, context)


def _migration_of(parameters: Mapping[str, Any]) -> str:
    """Whose stack it is: a direction is called like a migration."""
    named = parameters.get("Migration")
    return str(named or parameters["StateTableName"].removeprefix("replicator-").removesuffix("-state"))


class Functions:
    """Lambda's client: event source mappings."""

    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks

    def get_event_source_mapping(self, *, UUID: str) -> dict[str, Any]:  # noqa: N803
        pipeline, part = self._found(UUID)
        return {"State": "Enabled" if getattr(pipeline, f"{part}_on") else "Disabled"}

    def update_event_source_mapping(self, *, UUID: str, Enabled: bool) -> dict[str, Any]:  # noqa: N803
        pipeline, part = self._found(UUID)
        setattr(pipeline, f"{part}_on", Enabled)
        pipeline.was_on |= part == "consumer" and Enabled
        return {}

    def get_function_configuration(self, *, FunctionName: str) -> dict[str, Any]:  # noqa: N803
        return {"Role": self._stacks.pipelines[FunctionName.removesuffix("-consumer")].role}

    def _found(self, uuid: str) -> tuple[Pipeline, str]:
        migration, _, part = uuid.partition("/")
        pipeline = self._stacks.pipelines.get(migration)
        if pipeline is None or (part == "consumer" and pipeline.consumer is None):
            raise refusal("ResourceNotFoundException", "GetEventSourceMapping")
        return pipeline, part


class Queues:
    """SQS's client."""

    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks

    def get_queue_attributes(self, *, QueueUrl: str, AttributeNames: Any) -> dict[str, Any]:  # noqa: N803
        del AttributeNames
        migration, _, part = QueueUrl.partition("/")
        pipeline = self._stacks.pipelines[migration]
        if part == "dead":
            waiting, in_flight = len(pipeline.queue.dead), 0
        else:
            entries = [one for one in pipeline.queue.entries if one.receipt not in pipeline.unseen]
            in_flight = sum(one.receipt is not None for one in entries)
            waiting = len(entries) - in_flight
        counted = {
            "ApproximateNumberOfMessages": waiting,
            "ApproximateNumberOfMessagesNotVisible": in_flight,
            "ApproximateNumberOfMessagesDelayed": 0,
        }
        return {"Attributes": {name: str(number) for name, number in counted.items()}}

    def receive_message(self, *, QueueUrl: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        return self._dead(QueueUrl).receive_message()

    def delete_message(self, *, QueueUrl: str, ReceiptHandle: str) -> None:  # noqa: N803
        self._dead(QueueUrl).delete_message(QueueUrl=QueueUrl, ReceiptHandle=ReceiptHandle)

    def _dead(self, url: str) -> Any:
        return self._stacks.pipelines[url.partition("/")[0]].queue.dead_letters()


class Parameters:
    """SSM's client."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.values: dict[str, str] = {}
        self.ever: dict[str, list[tuple[float, str]]] = {}  # all values that were put, and when

    def get_parameter(self, *, Name: str) -> dict[str, Any]:  # noqa: N803
        if Name not in self.values:
            raise refusal("ParameterNotFound", "GetParameter")
        return {"Parameter": {"Name": Name, "Type": "String", "Value": self.values[Name]}}

    def put_parameter(self, *, Name: str, Value: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        if self.values.get(Name) != Value:
            self.ever.setdefault(Name, []).append((self._now(), Value))
        self.values[Name] = Value
        return {}


class BothStreams:
    """DynamoDB Streams' client, of both tables."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._of: dict[str, Streams] = {}  # whose an iterator is

    def describe_stream(self, *, StreamArn: str, **arguments: Any) -> dict[str, Any]:  # noqa: N803
        return self._by(StreamArn).describe_stream(StreamArn=StreamArn, **arguments)

    def get_shard_iterator(self, *, StreamArn: str, **arguments: Any) -> dict[str, Any]:  # noqa: N803
        streams = self._by(StreamArn)
        found = streams.get_shard_iterator(StreamArn=StreamArn, **arguments)
        return {"ShardIterator": f"{StreamArn} {found['ShardIterator']}"}

    def get_records(self, *, ShardIterator: str, **arguments: Any) -> dict[str, Any]:  # noqa: N803
        arn, _, token = ShardIterator.partition(" ")
        page = self._by(arn).get_records(ShardIterator=token, **arguments)
        if "NextShardIterator" in page:
            page["NextShardIterator"] = f"{arn} {page['NextShardIterator']}"
        return page

    def _by(self, arn: str) -> Streams:
        return next(one for one in self._database.streams.values() if one.arn == arn)
