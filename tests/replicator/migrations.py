"""Whole small migrations on the embedded AWS, command by command, in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ddbverify import config as configuration
from replicator.aws import queue
from replicator.commands import cutback, cutover, down, restart, restore, settle, up
from replicator.context.console import Console
from replicator.context.context import Context
from replicator.embedded.aws import EmbeddedAws

SOURCE_REGION, TARGET_REGION = "eu-west-1", "eu-central-1"

TRANSFORMS = """
import time

def same(item):
    return item

def louder(item):
    return None if item["v"] == "unwanted" else {**item, "v": item["v"].upper()}

def slowly(item):
    time.sleep(0.02)
    return louder(item)

def narrower(item):
    if item["v"] == "unwanted":
        return None
    return {"id": item["id"], "value": item["v"]} | ({"sum": item["sum"]} if "sum" in item else {})

def wider(item, before):
    kept = {"kept": before["kept"]} if before and "kept" in before else {}
    return {"id": item["id"], "v": item["value"], **kept} | ({"sum": item["sum"]} if "sum" in item else {})

def forgetful(item):
    return wider(item, None)

def by_name(item):
    return [{"id": "n" + item["v"], "from": item["id"]}] if item["v"] != "unwanted" else []

def sulky(item):
    if item["v"] == "bad":
        raise LookupError
    return {**item, "seen": True}
"""


class Migration:
    """One pair: a source table with items, its migration.toml, and what the two tables hold."""

    def __init__(
        self, aws: EmbeddedAws, name: str, folder: Path, *, target_region: str = TARGET_REGION
    ) -> None:
        self.aws, self.name, self.folder, self.target_region = aws, name[:14], folder, target_region
        self.source, self.target = f"{name}-orders", f"{name}-orders-v2"
        self.module = name.replace("-", "_") + "_transforms"
        (folder / f"{self.module}.py").write_text(TRANSFORMS)
        self.database = aws.client("dynamodb", SOURCE_REGION)
        self.create(self.source, SOURCE_REGION)
        self.lines: list[str] = []

    def create(self, name: str, region: str) -> None:
        self.aws.client("dynamodb", region).create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def put(self, key: str, value: str) -> None:
        self.database.put_item(TableName=self.source, Item={"id": {"S": key}, "v": {"S": value}})

    def remove(self, key: str) -> None:
        self.database.delete_item(TableName=self.source, Key={"id": {"S": key}})

    def configure(
        self,
        *,
        backfill: str = "backup",
        transform: str = "",
        inverse: str = "",
        rekeys: bool = False,
        pointer: str = "ssm:/shop/orders",
        way_back: str = "off",
    ) -> None:
        pair = (
            f'transform = "{self.module}:{transform}"\nrekeys = {str(rekeys).lower()}\n' if transform else ""
        )
        if inverse:
            named = inverse if ":" in inverse else f"{self.module}:{inverse}"
            pair += f'inverse = "{named}"\n'
        self.transform, self.rekeys = transform, rekeys
        (self.folder / "migration.toml").write_text(
            f'name = "{self.name}"\n[source]\nregion = "{SOURCE_REGION}"\n'
            f'[target]\nregion = "{self.target_region}"\n'
            f'[[tables]]\nsource = "{self.source}"\ntarget = "{self.target}"\n{pair}'
            f'[replication]\nbackfill = "{backfill}"\noverlap = "1s"\ngroups = 2\n'
            f'[gate]\nemulator = true\n[cutover]\npointer = "{pointer}"\nquiet = "0s"\n'
            f'way_back = "{way_back}"\n'
        )

    def context(self) -> Context:
        path = self.folder / "migration.toml"
        return Context(configuration.load(path), Console(as_json=True), path)

    @property
    def pair(self) -> Any:
        return self.context().config.tables[0]

    def state(self) -> Any:
        context = self.context()
        return context.state(context.config.tables[0])

    def up(self) -> Any:
        return up.up(self.context())

    def restore(self) -> Any:
        return restore.restore(self.context())

    def restart(self, **options: Any) -> Any:
        return restart.restart(self.context(), **options)

    def cutover(self) -> Any:
        return cutover.cutover(self.context())

    def cutback(self) -> Any:
        return cutback.cutback(self.context())

    def settle(self) -> Any:
        return settle.settle(self.context())

    def down(self) -> Any:
        return down.down(self.context())

    # --- what is there --------------------------------------------------------------------

    def items(self, region: str, table: str) -> dict[str, Any]:
        pages = (
            self.aws.client("dynamodb", region)
            .get_paginator("scan")
            .paginate(TableName=table, ConsistentRead=True)
        )
        return {item["id"]["S"]: item for page in pages for item in page["Items"]}

    def wanted(self) -> dict[str, Any]:
        made = self.items(SOURCE_REGION, self.source)
        if self.transform:
            context = self.context()
            source = context.source_table(self.pair)
            transform = context.transform(self.pair, source.keys, source.keys)
            results = [one for item in made.values() for one in transform(item)]
            made = {one["id"]["S"]: dict(one) for one in results}
        return made

    def drain(self) -> None:
        context = self.context()
        deadline = time.monotonic() + 60
        while any(queue.queue_depth(context, self.pair).values()):
            assert time.monotonic() < deadline, "the queue does not become empty"
            time.sleep(0.1)

    def assert_equal(self) -> None:
        """The target is transform(source), once what is under way has arrived."""
        deadline = time.monotonic() + 30
        while True:
            self.drain()
            wanted, there = self.wanted(), self.items(self.target_region, self.target)
            if wanted == there:
                return
            if time.monotonic() > deadline:
                assert there == wanted
            time.sleep(0.1)

    def left_over(self) -> list[str]:
        """Names of everything that a finished `down` ought to have removed."""
        found = [
            name
            for region in (SOURCE_REGION, self.target_region)
            for name in self.aws.client("dynamodb", region).list_tables()["TableNames"]
            if f"replicator-{self.name}" in name or name == self.target
        ]
        for region in (SOURCE_REGION, self.target_region):
            stacks = self.aws.client("cloudformation", region).describe_stacks()["Stacks"]
            found += [
                one["StackName"]
                for one in stacks
                if one["StackName"].startswith(f"replicator-{self.name}")
                and "DELETE" not in one["StackStatus"]
            ]
        for region in (SOURCE_REGION, self.target_region):
            queues = self.aws.client("sqs", region).list_queues().get("QueueUrls", [])
            found += [one for one in queues if f"replicator-{self.name}" in one]
        return found

    @contextmanager
    def traffic(self, write: Callable[[int], None], pause: float = 0.02) -> Iterator[None]:
        """Somebody writes for the length of the block: *write* is called with 0, 1, 2..."""
        stop, failures = threading.Event(), []

        def go() -> None:
            number = 0
            while not stop.wait(pause):
                try:
                    write(number)
                except Exception as error:  # told to the test, at its end
                    failures.append(error)
                    return
                number += 1

        writer = threading.Thread(target=go)
        writer.start()
        try:
            yield
        finally:
            stop.set()
            writer.join()
        assert not failures, failures
