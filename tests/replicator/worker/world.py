"""A worker's surroundings in memory: two clocks, the state table, clients that ask for the lease."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from replicator.aws import workers
from replicator.context import clock
from replicator.handlers.state import State
from replicator.worker.leases import Keeper, Terms
from tests.replicator.fakes import STATE, FakeDynamoDB
from tests.replicator.stream_harness import Streams

TERMS = Terms(lasts=30, renew_every=5, one_request=15)
PAIR = SimpleNamespace(id="orders")


class Asking:
    """A client over a fake: whoever registered is asked before each request, as botocore does."""

    def __init__(self, fake: Any) -> None:
        self._fake, self._hooks = fake, list[Callable[[], None]]()
        self.meta = SimpleNamespace(events=SimpleNamespace(register=lambda _, hook: self._hooks.append(hook)))

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            for hook in self._hooks:
                hook()
            return getattr(self._fake, name)(**arguments)

        return (
            call
            if callable(getattr(self._fake, name)) and name != "get_paginator"
            else self._fake.get_paginator
        )


class FakeSqs:
    """One FIFO queue as a consumer sees it: a group's messages are one receiver's until they are visible."""

    def __init__(self, seconds: Callable[[], float], visibility: float) -> None:
        self.seconds, self.visibility = seconds, visibility
        self.messages: list[dict[str, Any]] = []
        self.hidden: dict[str, float] = {}
        self.faults: list[Exception] = []

    def put(self, body: str, group: str = "g0") -> None:
        number = len(self.messages)
        self.messages.append(
            {
                "MessageId": f"m{number}",
                "ReceiptHandle": f"r{number}",
                "Body": body,
                "Attributes": {"MessageGroupId": group},
            }
        )

    def receive_message(self, *, MaxNumberOfMessages: int, **_: Any) -> dict[str, Any]:  # noqa: N803
        now = self.seconds()
        busy = {
            m["Attributes"]["MessageGroupId"]
            for m in self.messages
            if self.hidden.get(m["MessageId"], 0) > now
        }
        given = [m for m in self.messages if m["Attributes"]["MessageGroupId"] not in busy][
            :MaxNumberOfMessages
        ]
        self.hidden |= {one["MessageId"]: now + self.visibility for one in given}
        return {"Messages": given} if given else {}

    def delete_message_batch(self, *, Entries: list[dict[str, str]], **_: Any) -> dict[str, Any]:  # noqa: N803
        gone = {one["ReceiptHandle"] for one in Entries}
        self.messages = [one for one in self.messages if one["ReceiptHandle"] not in gone]
        return {"Successful": [{"Id": one["Id"]} for one in Entries]}


class World:
    """All that the workers of one pair share."""

    def __init__(self, monkeypatch: Any) -> None:
        self.database, self.streams = FakeDynamoDB(), Streams()
        self.machine = 100.0
        self.visibility = 360.0
        self.sqs: Any = FakeSqs(lambda: self.streams.now, self.visibility)
        self.state = State.of_pair(self.database, STATE, "orders")  # type: ignore[arg-type]
        monkeypatch.setattr(clock, "seconds", lambda: self.machine)

    def pass_by(self, seconds: float) -> None:
        self.streams.now += seconds
        self.machine += seconds

    def context(self) -> Any:
        fakes = {"sqs": self.sqs, "dynamodb": self.database, "dynamodbstreams": self.streams}
        made = SimpleNamespace(
            source=self.database,
            source_side="source",
            target_side="target",
            source_client=lambda service: fakes[service],
            own_client=lambda _, service: Asking(fakes[service]),
            state=lambda _: self.state,
            state_table=STATE,
            server_time=lambda: self.streams.now,
            resources=lambda _: {"forwarder_mapping": "worker", "consumer_mapping": "worker"},
            pace=SimpleNamespace(poll_seconds=0.0),
        )
        made.root = made
        return made

    def keeper(self) -> Keeper:
        return Keeper(TERMS)

    def state_of(self, part: workers.Part) -> str:
        return workers.state_of(self.context(), PAIR, part)  # type: ignore[arg-type]
