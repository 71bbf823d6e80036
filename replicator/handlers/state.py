"""The state table: one item per fact of a migration. Names and shapes stand in `ddbverify.names`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypedDict

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from ddbverify.names import MIGRATION, Fact, TypedItem, pair_pk
from replicator.handlers.ceiling import Slot

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from replicator.handlers.ledger import Write

_read, _write = TypeDeserializer().deserialize, TypeSerializer().serialize


class _Update(TypedDict):
    UpdateExpression: str
    ConditionExpression: str
    ExpressionAttributeValues: Mapping[str, AttributeValueTypeDef]


@dataclass(frozen=True, slots=True)
class State:
    """
    Facts of one pair, or of the whole migration (`State.whole`).

    Args:
        client: A boto3 DynamoDB client of the source's account and region.
        table: Name of the state table.
        pk: Whose facts: see `ddbverify.names`.
    """

    client: DynamoDBClient
    table: str
    pk: str

    @classmethod
    def of_pair(cls, client: DynamoDBClient, table: str, pair: str) -> State:
        """The facts of the pair with this id."""
        return cls(client, table, pair_pk(pair))

    @classmethod
    def whole(cls, client: DynamoDBClient, table: str) -> State:
        """The facts of the whole migration."""
        return cls(client, table, MIGRATION)

    def get(self, fact: str) -> dict[str, Any] | None:
        """A fact's attributes as Python values, strongly consistent; ``None`` if it is not there."""
        answer = self.client.get_item(TableName=self.table, Key=self._key(fact), ConsistentRead=True)
        return _plain(answer["Item"]) if "Item" in answer else None

    def put(self, fact: str, **attributes: Any) -> None:
        """Write a fact, replacing what was there."""
        item = {**self._key(fact), **_typed(attributes)}
        self.client.put_item(TableName=self.table, Item=item)

    def put_once(self, fact: str, **attributes: Any) -> bool:
        """Write a fact unless it is there already; says whether it was written."""
        item = {**self._key(fact), **_typed(attributes)}
        return self._conditional(
            self.client.put_item, Item=item, ConditionExpression="attribute_not_exists(pk)"
        )

    def put_newer(self, fact: str, number: str, **attributes: Any) -> bool:
        """Write a fact about the change of this padded *number*, unless it is about a later one."""
        return self._conditional(
            self.client.put_item,
            Item={**self._key(fact), **_typed({"number": number, **attributes})},
            ConditionExpression="attribute_not_exists(#number) OR #number <= :number",
            ExpressionAttributeNames={"#number": "number"},
            ExpressionAttributeValues={":number": {"S": number}},
        )

    def put_over(self, fact: str, before: Mapping[str, Any] | None, **attributes: Any) -> bool:
        """Write a fact if it is still what `get` gave for it; says whether it was written."""
        if before is None:
            return self.put_once(fact, **attributes)
        item = {**self._key(fact), **_typed(attributes)}
        same = {"pk": {"S": self.pk}, **_typed(before)}  # with `pk`, so that there is a term of it at least
        return self._conditional(
            self.client.put_item,
            Item=item,
            ConditionExpression=" AND ".join(f"#b{at} = :b{at}" for at in range(len(same))),
            ExpressionAttributeNames={f"#b{at}": name for at, name in enumerate(same)},
            ExpressionAttributeValues={f":b{at}": value for at, value in enumerate(same.values())},
        )

    def delete(self, fact: str) -> None:
        """Remove a fact; nothing happens if it is not there."""
        self.client.delete_item(TableName=self.table, Key=self._key(fact))

    def all(self, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every fact whose name begins with *prefix*: the rest of the name, and the attributes."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.table,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
            ExpressionAttributeValues={":pk": {"S": self.pk}, ":prefix": {"S": prefix}},
        )
        for page in pages:
            for item in page["Items"]:
                yield item["sk"]["S"].removeprefix(prefix), _plain(item)

    def add(self, counts: Mapping[str, int], progress: Mapping[str, int] | None = None) -> int:
        """
        Add to the pair's counters, and note how far each message group is.

        Args:
            counts: Counter -> number to add.
            progress: Message group -> time (epoch seconds) of the newest change applied in it.

        Returns:
            How many changes were ever put aside before, those of this call included. While
            it is 0 nobody has to look into the quarantine.
        """
        steps = []
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        for at, (name, number) in enumerate((progress or {}).items()):
            names[f"#p{at}"], values[f":p{at}"] = Fact.PROGRESS + name, {"N": str(number)}
        if names:
            steps.append("SET " + ", ".join(f"{name} = :{name[1:]}" for name in names))
        added = {f"#c{at}": name for at, (name, number) in enumerate(counts.items()) if number}
        if added:
            names |= added
            values |= {f":{short[1:]}": {"N": str(counts[name])} for short, name in added.items()}
            steps.append("ADD " + ", ".join(f"{short} :{short[1:]}" for short in added))
        if not steps:
            return self.counters().get("quarantined", 0)
        answer = self.client.update_item(
            TableName=self.table,
            Key=self._key(Fact.COUNTERS),
            UpdateExpression=" ".join(steps),
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
        )
        return int(_plain(answer["Attributes"]).get("quarantined", 0))

    def counters(self) -> dict[str, int]:
        """What the consumer has counted so far."""
        facts = self.get(Fact.COUNTERS) or {}
        apart = (Fact.PROGRESS, Fact.COST)
        return {name: int(n) for name, n in sorted(facts.items()) if not name.startswith(apart)}

    def consumer_work(self) -> int:
        """A number that grows whenever the consumer takes a batch; what a load puts aside is not in it."""
        return self.costs().get("calls", 0) + sum(
            number for name, number in self.counters().items() if name != "quarantined"
        )

    def costs(self) -> dict[str, int]:
        """What the consumer's calls have cost so far: see `Fact.COST`."""
        facts = self.get(Fact.COUNTERS) or {}
        return {
            name.removeprefix(Fact.COST): int(n) for name, n in facts.items() if name.startswith(Fact.COST)
        }

    def count(self, fact: str, counts: Mapping[str, int]) -> None:
        """Add to counters of a fact of their own."""
        if counts:
            names = {f"#c{at}": name for at, name in enumerate(counts)}
            self.client.update_item(
                TableName=self.table,
                Key=self._key(fact),
                UpdateExpression="ADD " + ", ".join(f"{short} :{short[1:]}" for short in names),
                ExpressionAttributeNames=names,
                ExpressionAttributeValues={
                    f":{short[1:]}": {"N": str(counts[name])} for short, name in names.items()
                },
            )

    def note_groups(self, numbers: Mapping[str, str]) -> None:
        """
        Note the canary's number for each message group that it has come through.

        One that comes again late moves nothing back: whoever waits for a newer one would wait in vain.
        """
        for group, number in numbers.items():
            self._conditional(
                self.client.update_item,
                Key=self._key(Fact.CANARY_GROUPS),
                UpdateExpression="SET #group = :number",
                ConditionExpression="attribute_not_exists(#group) OR #group < :number",
                ExpressionAttributeNames={"#group": group},
                ExpressionAttributeValues={":number": {"S": number}},
            )

    def latch_gap(self, reason: str) -> None:
        """Latch a gap: the gate stays shut until a restart. The first reason is kept."""
        self.put_once(Fact.GAP, reason=reason, at=now_text())

    # --- the write ceiling --------------------------------------------------------------

    def take_slot(self, seconds: float, now: float, latest: float) -> Slot:
        """
        Give away the next *seconds* of the write ceiling: from *now*, or from what is given away.

        Args:
            seconds: Length of the slot.
            now: DynamoDB's clock as the caller knows it, seconds since the epoch.
            latest: The slot has to begin before this.
        """
        begins, length = round(now * 1000), max(1, round(seconds * 1000))
        behind: _Update = {
            "UpdateExpression": "ADD until_ms :length",
            "ConditionExpression": "until_ms >= :now AND until_ms <= :latest",
            "ExpressionAttributeValues": {
                ":length": {"N": str(length)},
                ":now": {"N": str(begins)},
                ":latest": {"N": str(round(latest * 1000))},
            },
        }
        anew: _Update = {
            "UpdateExpression": "SET until_ms = :until",
            "ConditionExpression": "attribute_not_exists(until_ms) OR until_ms < :now",
            "ExpressionAttributeValues": {
                ":until": {"N": str(begins + length)},
                ":now": {"N": str(begins)},
            },
        }
        answered_at = None
        for request in (behind, anew):
            try:
                answer = self.client.update_item(
                    TableName=self.table, Key=self._key(Fact.CEILING), ReturnValues="ALL_NEW", **request
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                answered_at = _date_of(error.response)
                continue
            until = int(answer["Attributes"]["until_ms"]["N"])
            return Slot((until - length) / 1000, _date_of(answer))
        return Slot(None, answered_at)

    def server_date(self) -> float | None:
        """DynamoDB's clock in whole seconds; ``None`` where its answers do not say."""
        return _date_of(
            self.client.get_item(TableName=self.table, Key=self._key(Fact.CEILING), ConsistentRead=True)
        )

    # --- quarantine ---------------------------------------------------------------------

    def quarantine(self, key_hash: str, key: TypedItem, number: str, reason: str) -> None:
        """Put a change aside, and count it; of several changes of one key the highest number is kept."""
        self.add({"quarantined": 1})
        self._conditional(
            self.client.put_item,
            Item={
                **self._key(Fact.QUARANTINE + key_hash),
                **_typed({"number": number, "reason": reason, "at": now_text()}),
                # Canonical text: a key's binary attributes and exact numbers survive as they are.
                "key": {"M": _key_as_strings(key)},
            },
            ConditionExpression="attribute_not_exists(pk) OR #number <= :number",
            ExpressionAttributeNames={"#number": "number"},
            ExpressionAttributeValues={":number": {"S": number}},
        )

    def contest(self, write: Write) -> None:
        """Put a write aside whose target key belongs to another source key."""
        self.quarantine(
            write.source_hash, write.source_key, write.number, "contested: another item holds its target key"
        )

    def quarantined(self) -> dict[str, Quarantined]:
        """What stands in the quarantine, by the key's hash."""
        return {
            key_hash: Quarantined(key_from_strings(fact["key"]), fact["number"], fact["reason"], fact["at"])
            for key_hash, fact in self.all(Fact.QUARANTINE)
        }

    def release(self, key_hash: str, number: str) -> None:
        """Take a key out of the quarantine, unless a change above *number* stands there."""
        self._conditional(
            self.client.delete_item,
            Key=self._key(Fact.QUARANTINE + key_hash),
            ConditionExpression="#number <= :number",
            ExpressionAttributeNames={"#number": "number"},
            ExpressionAttributeValues={":number": {"S": number}},
        )

    # --------------------------------------------------------------------------------------

    def _key(self, fact: str) -> dict[str, Any]:
        return {"pk": {"S": self.pk}, "sk": {"S": fact}}

    def _conditional(self, call: Any, **arguments: Any) -> bool:
        try:
            call(TableName=self.table, **arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A key whose newest change could not be applied."""

    key: TypedItem
    number: str
    reason: str
    at: str = ""


def _date_of(answer: Mapping[str, Any]) -> float | None:
    """DynamoDB's clock, in whole seconds, as an answer's head says it."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(date).timestamp() if date else None


def now_text() -> str:
    """The present moment, as the state table writes it: ISO 8601, UTC, milliseconds."""
    return text_of(time.time())


def text_of(epoch: float) -> str:
    """A moment in seconds since the epoch, as the state table writes it."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _read(value) for name, value in item.items() if name not in ("pk", "sk")}


def _typed(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _write(value) for name, value in attributes.items() if value is not None}


def _key_as_strings(key: TypedItem) -> dict[str, Any]:
    return {
        name: {"M": {kind: {"S": content}}} for name, value in key.items() for kind, content in value.items()
    }


def key_from_strings(stored: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """A key as `State` keeps it, with its types, as text."""
    return {name: dict(value) for name, value in stored.items()}
