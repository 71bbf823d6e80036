"""One stack until it stands still: what CloudFormation says meanwhile, and why something in it failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from ddbverify.errors import EngineError
from ddbverify.tables.aws import error_code, is_emulator, translated

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef, StackTypeDef

Progress = Callable[[str], None]
"""Called with one line of plain words whenever something has happened."""


_AWS_POLL_SECONDS: Final = 3.0
_EMULATOR_POLL_SECONDS: Final = 0.05
_DONE: Final = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
_NO_REASONS: Final = ("Resource creation cancelled", "Resource update cancelled")


@dataclass(slots=True)
class Waiter:
    """Looks at one stack until it stands still, and tells of each resource that reached another status."""

    client: CloudFormationClient
    name: str
    progress: Progress
    pause: float
    limit: float
    deadline: float

    @classmethod
    def of(
        cls,
        client: CloudFormationClient,
        name: str,
        progress: Progress,
        poll_seconds: float | None,
        limit: float,
    ) -> Waiter:
        """Wait for the stack *name* at most *limit* seconds in all."""
        deadline = time.monotonic() + limit
        return cls(client, name, progress, pause_between_looks(client, poll_seconds), limit, deadline)

    def settled(self) -> StackTypeDef | None:
        """The stack once nothing moves in it any more; ``None`` if there is none."""
        told = False
        while True:
            stack = describe(self.client, self.name)
            if stack is None or not moves(stack["StackStatus"]):
                return stack
            if not told:
                self.progress(f"{self.name}: {stack['StackStatus']} from an earlier attempt; waiting for it")
                told = True
            self._sleep(stack["StackStatus"])

    def done(self, stack_id: str, what: str, *, seen: str | None) -> StackTypeDef:
        """Follow an operation to its end and tell of it; *seen* is the newest event before it."""
        reasons: list[str] = []
        told: set[str] = set()
        while True:
            stack = describe(self.client, stack_id)
            for event in self._events(stack_id, until=seen, told=told):
                self._tell(event, reasons)
            status = stack["StackStatus"] if stack else "DELETE_COMPLETE"
            if stack is None or not moves(status):
                break
            self._sleep(status)
        if stack is not None and status in _DONE:
            return stack
        detail = "".join(f"\n  {reason}" for reason in reasons) or " CloudFormation names no reason."
        raise EngineError(
            f"The stack {self.name} could not be {what}; it is in {status}.{detail}",
            "mend the first reason, then run the command again: it goes on from there.",
        )

    def delete(self, stack: StackTypeDef) -> None:
        """
        Remove the stack, and wait until it is gone.

        Raises:
            EngineError: Something in it could not be removed, with the reason of each.
        """
        stack_id = stack["StackId"]
        seen = self.newest_event(stack_id)
        with explained(f"delete the stack {self.name}"):
            self.client.delete_stack(StackName=self.name)
        reasons: list[str] = []
        told: set[str] = set()
        while True:
            found = describe(self.client, stack_id)  # by its id a stack that is gone can still be seen
            for event in self._events(stack_id, until=seen, told=told):
                self._tell(event, reasons)
            if found is None or found["StackStatus"] == "DELETE_COMPLETE":
                return
            if found["StackStatus"] == "DELETE_FAILED" and (reasons or told):
                raise EngineError(
                    f"The stack {self.name} could not be removed." + "".join(f"\n  {r}" for r in reasons),
                    "mend the first reason, then run the command again; what is gone is skipped.",
                )
            self._sleep(found["StackStatus"])

    def newest_event(self, stack_id: str) -> str | None:
        """Id of the newest thing that happened in it."""
        with translated(f"read the events of the stack {self.name}"):
            events = self.client.describe_stack_events(StackName=stack_id)["StackEvents"]
        return events[0]["EventId"] if events else None

    def _events(self, stack_id: str, *, until: str | None, told: set[str]) -> list[StackEventTypeDef]:
        """Events after *until* that are not in *told* yet, oldest first; adds them to it."""
        found = []
        with translated(f"read the events of the stack {self.name}"):
            for event in self._newest_first(stack_id):
                if event["EventId"] == until or event["EventId"] in told:
                    break
                found.append(event)
        told.update(event["EventId"] for event in found)
        return found[::-1]

    def _newest_first(self, stack_id: str) -> Iterator[StackEventTypeDef]:
        for page in self.client.get_paginator("describe_stack_events").paginate(StackName=stack_id):
            yield from page["StackEvents"]

    def _tell(self, event: StackEventTypeDef, reasons: list[str]) -> None:
        status, part = event["ResourceStatus"], event["LogicalResourceId"]
        if moves(status):
            return  # beginnings are not news
        self.progress(f"{self.name}: {part} {status}")
        reason = event.get("ResourceStatusReason", "")
        if status.endswith("_FAILED") and not reason.startswith(_NO_REASONS):
            reasons.append(f"{part} ({event['ResourceType']}): {reason or status}")

    def _sleep(self, status: str) -> None:
        if time.monotonic() > self.deadline:
            raise EngineError(
                f"The stack {self.name} is still in {status} after {self.limit:.0f} s.",
                "run the command again: it waits for the stack and goes on from there.",
            )
        time.sleep(self.pause)


@contextmanager
def explained(action: str) -> Iterator[None]:
    """Like `translated`, with the text of a refused template or parameter: it holds names, no items."""
    with translated(action):
        try:
            yield
        except ClientError as error:
            if error_code(error) != "ValidationError":
                raise
            raise EngineError(
                f"CloudFormation refused to {action}: {error.response['Error'].get('Message', '')}",
                "mend what it names, then run the command again; a stack that is stuck has to be deleted "
                "or rolled back in CloudFormation's console first.",
            ) from error


def describe(client: CloudFormationClient, name: str) -> StackTypeDef | None:
    """A stack by its name or id; ``None`` where there is none."""
    with translated(f"describe the stack {name}"):
        try:
            found: StackTypeDef = client.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            # CloudFormation has no code of its own for this; every tool reads the message.
            if "does not exist" in error.response["Error"].get("Message", ""):
                return None
            raise
    return found


def moves(status: str) -> bool:
    """A stack in review stands still: it waits for a person, and nothing in it was made yet."""
    return status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS"


def pause_between_looks(client: BaseClient, poll_seconds: float | None) -> float:
    """Seconds: as given, or as patient as AWS needs and an emulator does not."""
    if poll_seconds is not None:
        return poll_seconds
    return _EMULATOR_POLL_SECONDS if is_emulator(client) else _AWS_POLL_SECONDS
