"""DynamoDB, SQS and Streams in memory: strict where AWS is strict, with faults as switches."""

from __future__ import annotations

import copy
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from ddbverify.items.transform import canonical_key, key_hash
from ddbverify.items.values import with_base64
from ddbverify.names import KeySchema, TypedItem
from replicator.handlers.ledger import Ledger, Write
from replicator.handlers.records import Change, pad
from replicator.handlers.state import Quarantined

LEDGER, TARGET, STATE = "ledger", "target", "state"
KEYS: KeySchema = {"id": "S"}
ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"

MOST_ACTIONS = 100


def refusal(code: str, operation: str = "Anything", **more: Any) -> ClientError:
    """What botocore raises when AWS refuses a call."""
    return ClientError({"Error": {"Code": code, "Message": "as asked for by a test"}, **more}, operation)


def no_answer(*_: object) -> ReadTimeoutError:
    """The connection broke: the call may or may not have been carried out."""
    return ReadTimeoutError(endpoint_url="https://nowhere.invalid")


class Rooted(SimpleNamespace):
    """A context that is the migration itself, with no other direction."""

    cycle = 0
    flips_with = "cutover"
    shared = SimpleNamespace(by_others=False)

    def resources(self, pair: Any) -> dict[str, Any]:
        del pair  # nothing is deployed
        return {}

    @property
    def root(self) -> Rooted:
        return self

    def turned(self, cycle: int) -> Rooted:
        assert cycle == 0, cycle
        return self


class FakeDynamoDB:
    """
    As much of a DynamoDB client as the replicator uses.

    `faults` is taken from the left, one per write request: ``None`` lets it through, an
    exception is raised before anything is written, ``("after", exception)`` after it was
    written. `poison` says which items DynamoDB refuses. `unprocessed` counts batch requests
    of which half is handed back.
    """

    def __init__(self, **schemas: KeySchema) -> None:
        self.schemas = {LEDGER: {"pk": "S"}, TARGET: KEYS, STATE: {"pk": "S", "sk": "S"}, **schemas}
        self.tables: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in self.schemas}
        self.faults: deque[Any] = deque()
        self.poison: Callable[[Mapping[str, Any]], bool] = lambda item: "poison" in item
        self.poison_in_reasons = False
        self.before_writing: Callable[[], None] = lambda: None  # what others do between our requests
        self.unprocessed = 0
        self.units_an_item = 1.0  # that a plain write consumes; more where an index takes its part
        self.page_items = 3  # of a scan or query
        self.calls: Counter[str] = Counter()
        self.sizes: list[int] = []  # actions of each transaction
        self.stalls = 0

    # --- what tests look at -------------------------------------------------------------

    def items(self, table: str) -> dict[str, dict[str, Any]]:
        return self.tables[table]

    def seed(self, table: str, item: Mapping[str, Any]) -> None:
        self.tables[table][self._key(table, item)] = copy.deepcopy(dict(item))

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.stalls += 1

    # --- the client ---------------------------------------------------------------------

    def transact_write_items(self, *, TransactItems: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.before_writing()
        self.calls["transact_write_items"] += 1
        self.sizes.append(len(TransactItems))
        after = self._fault("TransactWriteItems")
        actions = [(*next(iter(one.items())),) for one in TransactItems]
        if not actions or len(actions) > MOST_ACTIONS:
            raise refusal("ValidationException")
        touched = [
            (action["TableName"], self._key(action["TableName"], action.get("Item", action.get("Key"))))
            for _, action in actions
        ]
        if len(set(touched)) != len(touched):
            raise refusal("ValidationException")
        refused = [kind == "Put" and self.poison(action["Item"]) for kind, action in actions]
        if any(refused) and not self.poison_in_reasons:
            raise refusal("ValidationException")
        codes = [
            "ValidationError" if bad else "None" if self._holds(action, key) else "ConditionalCheckFailed"
            for bad, (_, action), (_, key) in zip(refused, actions, touched, strict=True)
        ]
        if set(codes) != {"None"}:
            raise refusal(
                "TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes]
            )
        for (kind, action), (table, key) in zip(actions, touched, strict=True):
            if kind == "Put":
                self.tables[table][key] = copy.deepcopy(action["Item"])
            else:
                self.tables[table].pop(key, None)
        if after is not None:
            raise after
        return {}

    def batch_get_item(
        self,
        *,
        RequestItems: Mapping[str, Any],  # noqa: N803
        ReturnConsumedCapacity: str = "NONE",  # noqa: N803
    ) -> dict[str, Any]:
        self.calls["batch_get_item"] += 1
        ((table, asked),) = RequestItems.items()
        assert asked["ConsistentRead"] is True, "the guard reads what is, not what was"
        keys = asked["Keys"]
        assert 0 < len(keys) <= 100
        now, later = self._split(keys)
        found = [
            self.tables[table][self._key(table, key)]
            for key in now
            if self._key(table, key) in self.tables[table]
        ]
        answer: dict[str, Any] = {"Responses": {table: copy.deepcopy(found)}}
        if ReturnConsumedCapacity == "TOTAL":
            units = float(max(1, len(now)))
            answer["ConsumedCapacity"] = [{"TableName": table, "CapacityUnits": units}]
        return {**answer, "UnprocessedKeys": {table: {**asked, "Keys": later}} if later else {}}

    def batch_write_item(
        self,
        *,
        RequestItems: Mapping[str, Any],  # noqa: N803
        ReturnConsumedCapacity: str = "NONE",  # noqa: N803
    ) -> dict[str, Any]:
        self.calls["batch_write_item"] += 1
        after = self._fault("BatchWriteItem")
        ((table, requests),) = RequestItems.items()
        kinds = {"PutRequest": "Item", "DeleteRequest": "Key"}
        items = [one[kind][part] for one in requests for kind, part in kinds.items() if kind in one]
        if len(items) > 25 or len({self._key(table, item) for item in items}) != len(items):
            raise refusal("ValidationException")
        if any(self.poison(item) for item in items):
            raise refusal("ValidationException")
        now, later = self._split(requests)
        for request in now:
            if "PutRequest" in request:
                self.seed(table, request["PutRequest"]["Item"])
            else:
                self.tables[table].pop(self._key(table, request["DeleteRequest"]["Key"]), None)
        answer: dict[str, Any] = {"UnprocessedItems": {table: later} if later else {}}
        if ReturnConsumedCapacity == "TOTAL":
            units = self.units_an_item * len(now)
            answer["ConsumedCapacity"] = [{"TableName": table, "CapacityUnits": units}]
        if after is not None:
            raise after
        return answer

    def put_item(
        self,
        *,
        TableName: str,  # noqa: N803
        Item: Mapping[str, Any],  # noqa: N803
        ReturnConsumedCapacity: str = "NONE",  # noqa: N803
        **condition: Any,
    ) -> dict[str, Any]:
        self._fault("PutItem")
        if self.poison(Item):
            raise refusal("ValidationException")
        self._demand(condition, TableName, Item)
        self.seed(TableName, Item)
        if ReturnConsumedCapacity == "TOTAL":
            return {"ConsumedCapacity": {"TableName": TableName, "CapacityUnits": self.units_an_item}}
        return {}

    def delete_item(self, *, TableName: str, Key: Mapping[str, Any], **condition: Any) -> dict[str, Any]:  # noqa: N803
        self._fault("DeleteItem")
        self._demand(condition, TableName, Key)
        self.tables[TableName].pop(self._key(TableName, Key), None)
        return {}

    def get_item(self, *, TableName: str, Key: Mapping[str, Any], ConsistentRead: bool) -> dict[str, Any]:  # noqa: N803
        assert ConsistentRead is True
        found = self.tables[TableName].get(self._key(TableName, Key))
        return {} if found is None else {"Item": copy.deepcopy(found)}

    def update_item(
        self,
        *,
        TableName: str,  # noqa: N803
        Key: Mapping[str, Any],  # noqa: N803
        UpdateExpression: str,  # noqa: N803
        ReturnValues: str = "NONE",  # noqa: N803
        **condition: Any,
    ) -> dict[str, Any]:
        self._fault("UpdateItem")
        self._demand(condition, TableName, Key)
        names, values = (
            condition.get("ExpressionAttributeNames", {}),
            condition.get("ExpressionAttributeValues", {}),
        )
        item = self.tables[TableName].setdefault(self._key(TableName, Key), dict(Key))
        for verb, names_of, terms in _clauses(UpdateExpression):
            for term in terms:
                parts = term.replace("=", " ").split()
                name = names.get(parts[0], parts[0])
                if verb == "SET":
                    item[name] = values[parts[1]]
                elif verb == "ADD":
                    before = Decimal(item.get(name, {"N": "0"})["N"])
                    item[name] = {"N": str(before + Decimal(values[parts[1]]["N"]))}
                else:
                    item.pop(name, None)
            assert names_of == verb
        return {"Attributes": copy.deepcopy(item)} if ReturnValues == "ALL_NEW" else {}

    def scan(self, *, TableName: str, ConsistentRead: bool, **arguments: Any) -> dict[str, Any]:  # noqa: N803
        """One page of a segment, three items; behind an `ExclusiveStartKey` in the order of hashes."""
        assert ConsistentRead is True
        self.calls["scan"] += 1
        schema = self.schemas[TableName]
        segment, total = arguments.get("Segment", 0), arguments.get("TotalSegments", 1)
        hashed = sorted(
            ((key_hash(item, schema), item) for item in self.tables[TableName].values()),
            key=lambda one: one[0],
        )
        start = arguments.get("ExclusiveStartKey")
        behind = "" if start is None else key_hash(with_base64(start), schema)
        found = [item for one, item in hashed if int(one, 16) % total == segment and one > behind]
        page = copy.deepcopy(found[:3])
        answer: dict[str, Any] = {"Items": page, "Count": len(page)}
        if len(found) >= 3:  # as AWS: a full page has a key to go on from, even at the very end
            answer["LastEvaluatedKey"] = {name: page[-1][name] for name in schema}
        if "ReturnConsumedCapacity" in arguments:
            answer["ConsumedCapacity"] = {"CapacityUnits": 10.0}
        return answer

    def get_paginator(self, operation: str) -> Any:
        return _Pages(self, operation)

    # --- inside ---------------------------------------------------------------------------

    def _key(self, table: str, item: Mapping[str, Any]) -> str:
        if table not in self.schemas:
            raise refusal("ResourceNotFoundException")
        try:
            for name, kind in self.schemas[table].items():
                if not item[name][kind]:
                    raise refusal("ValidationException")
            return canonical_key(item, self.schemas[table])
        except KeyError:
            raise refusal("ValidationException") from None

    def _fault(self, operation: str) -> BaseException | None:
        fault = self.faults.popleft() if self.faults else None
        if isinstance(fault, tuple):
            return fault[1]
        if fault is not None:
            raise fault
        return None

    def _split(self, members: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        if not self.unprocessed:
            return members, []
        self.unprocessed -= 1
        return members[: len(members) // 2], members[len(members) // 2 :]

    def _demand(self, condition: Mapping[str, Any], table: str, key: Mapping[str, Any]) -> None:
        if not self._holds({"TableName": table, **condition}, self._key(table, key)):
            raise refusal("ConditionalCheckFailedException")

    def _holds(self, action: Mapping[str, Any], key: str) -> bool:
        expression = action.get("ConditionExpression")
        if expression is None:
            return True
        item = self.tables[action["TableName"]].get(key, {})
        names, values = (
            action.get("ExpressionAttributeNames", {}),
            action.get("ExpressionAttributeValues", {}),
        )
        return any(
            all(_true(term.strip(), item, names, values) for term in choice.split(" AND "))
            for choice in expression.split(" OR ")
        )


def _clauses(expression: str) -> Iterable[tuple[str, str, list[str]]]:
    words = expression.replace("ADD ", "|ADD ").replace("SET ", "|SET ").replace("REMOVE ", "|REMOVE ")
    for clause in filter(None, words.split("|")):
        verb, _, rest = clause.partition(" ")
        yield verb, verb, [term.strip() for term in rest.split(",")]


def _true(term: str, item: Mapping[str, Any], names: Mapping[str, str], values: Mapping[str, Any]) -> bool:
    if term.startswith("attribute_not_exists("):
        name = term[len("attribute_not_exists(") : -1]
        return names.get(name, name) not in item
    name, operator, placeholder = term.split()
    left, right = item.get(names.get(name, name)), values[placeholder]
    if left is None or set(left) != set(right):
        return False
    ((kind, one),), ((_, other),) = left.items(), right.items()
    if kind == "N":
        one, other = Decimal(one), Decimal(other)
    if operator == "=":
        return bool(one == other)
    return bool({"<": one < other, "<=": one <= other, ">=": one >= other}[operator])


class _Pages:
    def __init__(self, fake: FakeDynamoDB, operation: str) -> None:
        self.fake, self.operation = fake, operation

    def paginate(self, *, TableName: str, **arguments: Any) -> Iterable[dict[str, Any]]:  # noqa: N803
        """Page by page, each as the table is by then: a scan of a live table is no snapshot."""
        last = ("", "")
        while True:
            found = sorted(self._found(TableName, arguments))
            rest = [at for at in found if at > last]
            names = rest[: self.fake.page_items]
            page = [copy.deepcopy(self.fake.tables[TableName][name]) for _, name in names]
            yield {"Items": page, "Count": len(page)}
            if len(names) == len(rest):
                return
            last = names[-1]

    def _found(self, table: str, arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Place in the scan's (or query's) order, and name, of each item."""
        items = self.fake.tables[table]
        if self.operation == "query":
            assert arguments["KeyConditionExpression"] == "pk = :pk AND begins_with(sk, :prefix)"
            values = arguments["ExpressionAttributeValues"]
            return [
                (item["sk"]["S"], name)
                for name, item in items.items()
                if item["pk"] == values[":pk"] and item["sk"]["S"].startswith(values[":prefix"]["S"])
            ]
        schema = self.fake.schemas[table]
        places = [(key_hash(item, schema), name) for name, item in items.items()]
        if "Segment" in arguments:
            segment, total = arguments["Segment"], arguments["TotalSegments"]
            return [(at, name) for at, name in places if int(at, 16) % total == segment]
        return places


class FakeQueue:
    """
    SQS's FIFO queue, the sending side: what was placed, in order, less duplicates.

    `script` is taken from the left, one per call: a set of numbers of the entries that fail,
    an exception (nothing is placed), or ``("after", exception)`` (placed, but nobody says so).
    """

    def __init__(self, script: Iterable[Any] = ()) -> None:
        self.script = deque(script)
        self.calls: list[list[str]] = []  # groups of each call
        self.bodies: list[tuple[str, str]] = []  # (group, body) in the order placed
        self.seen: set[str] = set()

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[Mapping[str, str]]) -> dict[str, Any]:  # noqa: N803
        self.calls.append([entry["MessageGroupId"] for entry in Entries])
        assert 1 <= len(Entries) <= 10
        assert len({entry["Id"] for entry in Entries}) == len(Entries)
        assert sum(len(entry["MessageBody"]) for entry in Entries) <= 1_048_576
        step = self.script.popleft() if self.script else set()
        if isinstance(step, BaseException):
            raise step
        failed = set() if isinstance(step, tuple) else step
        answer: dict[str, Any] = {"Successful": [], "Failed": []}
        for number, entry in enumerate(Entries):
            if number in failed:
                answer["Failed"].append({"Id": entry["Id"], "SenderFault": False, "Code": "InternalError"})
                continue
            answer["Successful"].append({"Id": entry["Id"]})
            if entry["MessageDeduplicationId"] not in self.seen:
                self.seen.add(entry["MessageDeduplicationId"])
                self.bodies.append((entry["MessageGroupId"], entry["MessageBody"]))
        if isinstance(step, tuple):
            raise step[1]
        return answer


class FakeNotebook:
    """The consumer's notebook in memory."""

    def __init__(self) -> None:
        self.aside: dict[str, Quarantined] = {}
        self.gaps: list[str] = []

    def quarantine(self, key_hash: str, key: TypedItem, number: str, reason: str) -> None:
        standing = self.aside.get(key_hash)
        if standing is None or standing.number <= number:
            self.aside[key_hash] = Quarantined(key, number, reason)

    def quarantined(self) -> dict[str, Quarantined]:
        return dict(self.aside)

    def release(self, key_hash: str, number: str) -> None:
        standing = self.aside.get(key_hash)
        if standing is not None and standing.number <= number:
            del self.aside[key_hash]

    def latch_gap(self, reason: str) -> None:
        self.gaps.append(reason)

    def contest(self, write: Write) -> None:
        self.quarantine(write.source_hash, write.source_key, write.number, "contested")


def ledger_on(client: Any, notebook: FakeNotebook, *, table: str = LEDGER, target: str = TARGET) -> Ledger:
    """A ledger that does not sleep, and puts contested writes into *notebook*."""
    return Ledger(client, table, target, KEYS, notebook.contest, sleep=lambda _: None)


def change(
    key: str,
    number: int,
    image: Mapping[str, Any] | None = None,
    *,
    at: int = 1_800_000_000,
    fetch: bool = False,
) -> Change:
    """One change of the item ``{"id": key}``; without *image* (and *fetch*) its removal."""
    keys = {"id": {"S": key}}
    name = "REMOVE" if image is None and not fetch else "MODIFY"
    whole = None if image is None else {**keys, **image}
    return Change(pad(str(number)), name, keys, whole, at, fetch)  # type: ignore[arg-type]


def record(one: Change, *, view: str = "NEW_IMAGE", arn: str = ARN) -> dict[str, Any]:
    """A `Change` as the stream record of a Lambda event."""
    stream: dict[str, Any] = {
        "Keys": dict(one.keys),
        "SequenceNumber": one.sequence_number.lstrip("0"),
        "ApproximateCreationDateTime": float(one.created_at),
        "StreamViewType": view,
    }
    if one.new_image is not None:
        stream["NewImage"] = dict(one.new_image)
    return {"eventName": one.event_name, "eventSourceARN": arn, "eventID": "an-id", "dynamodb": stream}


def body_text(changes: Sequence[Mapping[str, Any]], *, restart: int = 1, arn: str = ARN) -> str:
    """A plain body, made by hand from the format's description."""
    return json.dumps({"v": 1, "stream": arn, "restart": restart, "changes": list(changes)})
