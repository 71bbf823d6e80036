"""
Forwarder and consumer as one would write them with boto3 on an afternoon: a batch entry per change,
a guarded transaction per change.

The yardstick of `python -m benchmarks`: they keep the same promise about order on a good day, and
nothing in them is slower than the documentation's own examples.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer


def forward(event: Mapping[str, Any], sqs: Any, queue_url: str, keys: Mapping[str, str]) -> dict[str, Any]:
    """One message per record, ten to a call; the first that failed is reported."""
    records = event["Records"]
    for start in range(0, len(records), 10):
        entries = []
        for position, record in enumerate(records[start : start + 10]):
            change = record["dynamodb"]
            key = json.dumps([change["Keys"][name] for name in keys])
            entries.append(
                {
                    "Id": str(position),
                    "MessageBody": json.dumps(
                        {
                            "event": record["eventName"],
                            "number": change["SequenceNumber"],
                            "keys": change["Keys"],
                            "image": change.get("NewImage"),
                        }
                    ),
                    "MessageGroupId": hashlib.sha256(key.encode()).hexdigest(),
                    "MessageDeduplicationId": change["SequenceNumber"],
                }
            )
        answer = sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)
        if answer.get("Failed"):
            first = min(int(entry["Id"]) for entry in answer["Failed"])
            number = records[start + first]["dynamodb"]["SequenceNumber"]
            return {"batchItemFailures": [{"itemIdentifier": number}]}
    return {"batchItemFailures": []}


def consume(event: Mapping[str, Any], dynamodb: Any, target: str, ledger: str) -> dict[str, Any]:
    """One transaction per message, each with the change and the last number of its key."""
    for record in event["Records"]:
        change = json.loads(record["body"])
        key = _for_boto(change["keys"])
        number = change["number"].rjust(40, "0")
        write = (
            {"Delete": {"TableName": target, "Key": key}}
            if change["image"] is None
            else {"Put": {"TableName": target, "Item": _for_boto(change["image"])}}
        )
        guard = {
            "Put": {
                "TableName": ledger,
                "Item": {
                    "pk": {"S": hashlib.sha256(json.dumps(change["keys"]).encode()).hexdigest()},
                    "n": {"S": number},
                },
                "ConditionExpression": "attribute_not_exists(pk) OR n < :n",
                "ExpressionAttributeValues": {":n": {"S": number}},
            }
        }
        dynamodb.transact_write_items(TransactItems=[guard, write])
    return {"batchItemFailures": []}


def consume_back(
    event: Mapping[str, Any],
    dynamodb: Any,
    target: str,
    ledger: str,
    keys: Mapping[str, str],
    inverse: Callable[[dict[str, Any], dict[str, Any] | None], dict[str, Any]],
) -> dict[str, Any]:
    """Through an inverse: what the target holds is read, and written over as long as it is that."""
    read, write = TypeDeserializer().deserialize, TypeSerializer().serialize
    for record in event["Records"]:
        change = json.loads(record["body"])
        number = change["number"].rjust(40, "0")
        key = _for_boto(change["keys"])
        entry = {"pk": {"S": hashlib.sha256(json.dumps(change["keys"]).encode()).hexdigest()}}
        last = dynamodb.get_item(TableName=ledger, Key=entry, ConsistentRead=True).get("Item")
        present = dynamodb.get_item(TableName=target, Key=key, ConsistentRead=True).get("Item")
        before = None if present is None else {name: read(value) for name, value in present.items()}
        item = {name: read(value) for name, value in _for_boto(change["image"]).items()}
        made = {name: write(value) for name, value in inverse(item, before).items()}
        others = [name for name in present or () if name not in keys]
        held = {
            "ConditionExpression": " AND ".join(f"#{at} = :{at}" for at, _ in enumerate(others)),
            "ExpressionAttributeNames": {f"#{at}": name for at, name in enumerate(others)},
            "ExpressionAttributeValues": {f":{at}": present[name] for at, name in enumerate(others)},
        }
        guard = {
            "Put": {
                "TableName": ledger,
                "Item": {**entry, "n": {"S": number}},
                "ConditionExpression": "attribute_not_exists(pk)" if last is None else "n < :n",
                **({} if last is None else {"ExpressionAttributeValues": {":n": {"S": number}}}),
            }
        }
        put = {"Put": {"TableName": target, "Item": made, **(held if others else {})}}
        dynamodb.transact_write_items(TransactItems=[guard, put])
    return {"batchItemFailures": []}


def _for_boto(item: Mapping[str, Any]) -> dict[str, Any]:
    """Binary attributes as bytes, which boto3 encodes; the rest stands as it is."""
    made = {}
    for name, value in item.items():
        ((kind, content),) = value.items()
        made[name] = {"B": base64.b64decode(content)} if kind == "B" else value
    return made
