"""
CloudFormation stacks: made, changed, awaited and removed, each step safe to repeat.

A stack that an earlier attempt left behind is taken up where it is: one that is still moving is
waited for, one that could not be made is removed and made anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, Literal

from botocore.exceptions import ClientError

from ddbverify.errors import ConfigurationError, EngineError, NotFoundError
from ddbverify.tables.aws import Client, error_code, is_emulator, translated

Template = Literal["base", "capture", "target", "apply"]

Progress = Callable[[str], None]
"""Called with one line of plain words whenever something has happened."""


def _silent(line: str) -> None:
    del line


TAG: Final = "replicator:migration"
"""Tag of every resource of a stack; CloudFormation hands the stack's tags on to them."""

_AWS_POLL_SECONDS: Final = 3.0
_EMULATOR_POLL_SECONDS: Final = 0.05
_LIMIT_SECONDS: Final = 1800.0

# Stacks that CloudFormation can only delete: nothing in them was ever complete.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
_NEVER_MADE: Final = {
    "CREATE_FAILED",
    "DELETE_FAILED",
    "REVIEW_IN_PROGRESS",
    "ROLLBACK_COMPLETE",
    "ROLLBACK_FAILED",
}
_DONE: Final = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
_NO_REASONS: Final = ("Resource creation cancelled", "Resource update cancelled")


@dataclass(frozen=True, slots=True)
class Timing:
    """
    How long the consumer may work on a batch, and how long its messages are hidden meanwhile.

    Args:
        timeout_seconds: The consumer's, 1 to 900.
        visibility_seconds: The queue's, up to 43,200. AWS recommends six times the time-out; under
            an emulator that only makes a demonstration wait after a failure.

    Raises:
        ConfigurationError: A message could come back while it is still being worked on. AWS
            refuses such a mapping, an emulator does not.

    Source:
        https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    """

    timeout_seconds: int = 60
    visibility_seconds: int = 360

    def __post_init__(self) -> None:
        if not 1 <= self.timeout_seconds <= min(self.visibility_seconds, 900):
            raise ConfigurationError(
                f"A consumer with a time-out of {self.timeout_seconds} s cannot work on a queue that hides "
                f"its messages for {self.visibility_seconds} s.",
                "use a time-out of at most 900 s, and a visibility time-out that is no shorter.",
            )


def template_body(template: Template) -> str:
    """The text of one of our templates."""
    return resources.files("replicator.stack").joinpath("templates", f"{template}.yaml").read_text("utf-8")


def deploy(
    cloudformation: Client,
    name: str,
    body: str,
    parameters: Mapping[str, str | int],
    *,
    migration: str,
    progress: Progress = _silent,
    poll_seconds: float | None = None,
    limit_seconds: float = _LIMIT_SECONDS,
) -> dict[str, str]:
    """
    Make the stack, or bring it to this template and these parameters, and wait until it is there.

    Args:
        cloudformation: Client of the account and region it belongs to.
        name: See `ddbverify.names.stack_name`.
        body: The template's text, at most 51,200 bytes.
        parameters: All that differ from the template's defaults, every time: one that is left out
            goes back to its default.
        migration: The migration's name, written on everything in the stack as a tag.
        progress: Called for every resource that reached another status.
        poll_seconds: Pause between looks; by default 3 on AWS and 0.05 under an emulator.
        limit_seconds: How long to wait in all.

    Returns:
        The stack's outputs.

    Raises:
        EngineError: It could not be made or changed, with the reason of every resource that
            failed; or it is still under way after *limit_seconds*.
    """
    waiter = _Waiter.of(cloudformation, name, progress, poll_seconds, limit_seconds)
    stack = waiter.settled()
    if stack is not None and stack["StackStatus"] in _NEVER_MADE:
        progress(f"{name}: an earlier attempt left it in {stack['StackStatus']}; it is made anew")
        waiter.delete(stack)
        stack = None
    request = {
        "StackName": name,
        "TemplateBody": body,
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": str(value)} for key, value in sorted(parameters.items())
        ],
        "Capabilities": ["CAPABILITY_IAM"],  # roles, none of them with a name of our choosing
        "Tags": [{"Key": TAG, "Value": migration}],
    }
    if stack is None:
        progress(f"{name}: is being made")
        with _explained(f"create the stack {name}"):
            made = cloudformation.create_stack(**request)["StackId"]
        return _outputs(waiter.done(made, "made", seen=None))
    seen = waiter.newest_event(stack["StackId"])
    if not _update(cloudformation, name, request):
        return _outputs(stack)
    progress(f"{name}: is being changed")
    return _outputs(waiter.done(stack["StackId"], "changed", seen=seen))


def outputs(cloudformation: Client, name: str) -> dict[str, str]:
    """
    The outputs of a stack.

    Raises:
        NotFoundError: There is no such stack.
        EngineError: AWS refused to say.
    """
    stack = _describe(cloudformation, name)
    if stack is None:
        raise NotFoundError(
            f"There is no stack {name}.", "run `replicator up` first, with this migration.toml."
        )
    return _outputs(stack)


def exists(cloudformation: Client, name: str) -> bool:
    """Whether there is a stack of this name, in whatever status."""
    return _describe(cloudformation, name) is not None


def is_protected(cloudformation: Client, name: str) -> bool:
    """Whether there is a stack of this name, and its termination protection is on."""
    stack = _describe(cloudformation, name)
    return stack is not None and bool(stack.get("EnableTerminationProtection"))


def delete(
    cloudformation: Client,
    name: str,
    *,
    progress: Progress = _silent,
    poll_seconds: float | None = None,
    limit_seconds: float = _LIMIT_SECONDS,
) -> bool:
    """
    Remove a stack and all that it made, and wait until it is gone.

    Returns:
        Whether there was one.

    Raises:
        EngineError: Something could not be removed, with the reason of each; or it is still under
            way after *limit_seconds*.
    """
    waiter = _Waiter.of(cloudformation, name, progress, poll_seconds, limit_seconds)
    stack = waiter.settled()
    if stack is None:
        return False
    progress(f"{name}: is being removed")
    waiter.delete(stack)
    return True


def check_code(
    functions: Client,
    name: str,
    sha256_base64: str,
    *,
    poll_seconds: float | None = None,
    limit_seconds: float = 120.0,
) -> None:
    """
    Make sure that a function is ready and runs exactly this code.

    A stack says nothing about the bytes: an emulator reports CREATE_COMPLETE without any.

    Args:
        functions: Lambda client of the function's account and region.
        name: The function's.
        sha256_base64: See `replicator.stack.bundle.Bundle`.
        poll_seconds: Pause between looks; by default 3 on AWS and 0.05 under an emulator.
        limit_seconds: How long to wait for the function to become ready.

    Raises:
        EngineError: It runs other code, or did not become ready.
    """
    pause = _pause(functions, poll_seconds)
    deadline = time.monotonic() + limit_seconds
    while True:
        with translated(f"look at the function {name}"):
            found = functions.get_function_configuration(FunctionName=name)
        state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
        if (state != "Pending" and update != "InProgress") or time.monotonic() > deadline:
            break
        time.sleep(pause)
    if found["CodeSha256"] == sha256_base64 and state != "Failed" and update == "Successful":
        return
    raise EngineError(
        f"The function {name} does not run the code that was deployed: its CodeSha256 is "
        f"{found['CodeSha256']} instead of {sha256_base64} (state {state}, last update {update}).",
        "check that the bundle is in the migration's bucket, then run the command again.",
    )


@dataclass(slots=True)
class _Waiter:
    client: Client
    name: str
    progress: Progress
    pause: float
    limit: float
    deadline: float

    @classmethod
    def of(
        cls, client: Client, name: str, progress: Progress, poll_seconds: float | None, limit: float
    ) -> _Waiter:
        deadline = time.monotonic() + limit
        return cls(client, name, progress, _pause(client, poll_seconds), limit, deadline)

    def settled(self) -> dict[str, Any] | None:
        """The stack once nothing moves in it any more; ``None`` if there is none."""
        told = False
        while True:
            stack = _describe(self.client, self.name)
            if stack is None or not _moves(stack["StackStatus"]):
                return stack
            if not told:
                self.progress(f"{self.name}: {stack['StackStatus']} from an earlier attempt; waiting for it")
                told = True
            self._sleep(stack["StackStatus"])

    def done(self, stack_id: str, what: str, *, seen: str | None) -> dict[str, Any]:
        """Follow an operation to its end and tell of it; *seen* is the newest event before it."""
        reasons: list[str] = []
        told: set[str] = set()
        while True:
            stack = _describe(self.client, stack_id)
            for event in self._events(stack_id, until=seen, told=told):
                self._tell(event, reasons)
            status = stack["StackStatus"] if stack else "DELETE_COMPLETE"
            if stack is None or not _moves(status):
                break
            self._sleep(status)
        if stack is not None and status in _DONE:
            return stack
        detail = "".join(f"\n  {reason}" for reason in reasons) or " CloudFormation names no reason."
        raise EngineError(
            f"The stack {self.name} could not be {what}; it is in {status}.{detail}",
            "mend the first reason, then run the command again: it goes on from there.",
        )

    def delete(self, stack: Mapping[str, Any]) -> None:
        stack_id = stack["StackId"]
        seen = self.newest_event(stack_id)
        with _explained(f"delete the stack {self.name}"):
            self.client.delete_stack(StackName=self.name)
        reasons: list[str] = []
        told: set[str] = set()
        while True:
            found = _describe(self.client, stack_id)  # by its id a stack that is gone can still be seen
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
        with translated(f"read the events of the stack {self.name}"):
            events = self.client.describe_stack_events(StackName=stack_id)["StackEvents"]
        return events[0]["EventId"] if events else None

    def _events(self, stack_id: str, *, until: str | None, told: set[str]) -> list[dict[str, Any]]:
        """Events after *until* that are not in *told* yet, oldest first; adds them to it."""
        found = []
        with translated(f"read the events of the stack {self.name}"):
            for event in self._newest_first(stack_id):
                if event["EventId"] == until or event["EventId"] in told:
                    break
                found.append(event)
        told.update(event["EventId"] for event in found)
        return found[::-1]

    def _newest_first(self, stack_id: str) -> Iterator[dict[str, Any]]:
        for page in self.client.get_paginator("describe_stack_events").paginate(StackName=stack_id):
            yield from page["StackEvents"]

    def _tell(self, event: Mapping[str, Any], reasons: list[str]) -> None:
        status, part = event["ResourceStatus"], event["LogicalResourceId"]
        if _moves(status):
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
def _explained(action: str) -> Iterator[None]:
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


def _update(client: Client, name: str, request: Mapping[str, Any]) -> bool:
    """Ask for the change; says whether there is anything to change."""
    with _explained(f"update the stack {name}"):
        try:
            client.update_stack(**request)
        except ClientError as error:
            if "No updates are to be performed" in error.response["Error"].get("Message", ""):
                return False
            raise
    return True


def _describe(client: Client, name: str) -> dict[str, Any] | None:
    with translated(f"describe the stack {name}"):
        try:
            found: dict[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            # CloudFormation has no code of its own for this; every tool reads the message.
            if "does not exist" in error.response["Error"].get("Message", ""):
                return None
            raise
    return found


def _outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", ())}


def _moves(status: str) -> bool:
    """A stack in review stands still: it waits for a person, and nothing in it was made yet."""
    return status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS"


def _pause(client: Client, poll_seconds: float | None) -> float:
    if poll_seconds is not None:
        return poll_seconds
    return _EMULATOR_POLL_SECONDS if is_emulator(client) else _AWS_POLL_SECONDS
