"""
CloudFormation stacks: made, changed, awaited and removed, each step safe to repeat.

A stack that an earlier attempt left behind is taken up where it is: one that is still moving is
waited for, one that could not be made is removed and made anew.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final, Literal, TypedDict

from botocore.exceptions import ClientError

from ddbverify.errors import ConfigurationError, EngineError, NotFoundError
from ddbverify.tables.aws import translated
from replicator.stack.following import Progress, Waiter, describe, explained, pause_between_looks

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.literals import CapabilityType
    from mypy_boto3_cloudformation.type_defs import (
        ParameterTypeDef,
        StackTypeDef,
        TagTypeDef,
    )
    from mypy_boto3_lambda import LambdaClient

Template = Literal["base", "capture", "queue", "target", "apply", "audit", "verify"]


def _silent(line: str) -> None:
    del line


TAG: Final = "replicator:migration"
"""Tag of every resource of a stack; CloudFormation hands the stack's tags on to them."""

_NO_TAGS: Final[Mapping[str, str]] = {}

_LIMIT_SECONDS: Final = 1800.0

# Stacks that CloudFormation can only delete: nothing in them was ever complete.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
NEVER_MADE: Final = {
    "CREATE_FAILED",
    "DELETE_FAILED",
    "REVIEW_IN_PROGRESS",
    "ROLLBACK_COMPLETE",
    "ROLLBACK_FAILED",
}


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


class _Request(TypedDict):
    """What a stack is made and changed with."""

    StackName: str
    TemplateBody: str
    Parameters: list[ParameterTypeDef]
    Capabilities: list[CapabilityType]
    Tags: list[TagTypeDef]


def deploy(
    cloudformation: CloudFormationClient,
    name: str,
    body: str,
    parameters: Mapping[str, str | int],
    *,
    migration: str,
    tags: Mapping[str, str] = _NO_TAGS,
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
        tags: More of them.
        progress: Called for every resource that reached another status.
        poll_seconds: Pause between looks; by default 3 on AWS and 0.05 under an emulator.
        limit_seconds: How long to wait in all.

    Returns:
        The stack's outputs.

    Raises:
        EngineError: It could not be made or changed, with the reason of every resource that
            failed; or it is still under way after *limit_seconds*.
    """
    waiter = Waiter.of(cloudformation, name, progress, poll_seconds, limit_seconds)
    stack = waiter.settled()
    if stack is not None and stack["StackStatus"] in NEVER_MADE:
        progress(f"{name}: an earlier attempt left it in {stack['StackStatus']}; it is made anew")
        waiter.delete(stack)
        stack = None
    request: _Request = {
        "StackName": name,
        "TemplateBody": body,
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": str(value)} for key, value in sorted(parameters.items())
        ],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],  # `[stack] role_prefix` names roles
        "Tags": [{"Key": key, "Value": value} for key, value in {TAG: migration, **tags}.items()],
    }
    if stack is None:
        progress(f"{name}: is being made")
        with explained(f"create the stack {name}"):
            made = cloudformation.create_stack(**request)["StackId"]
        return _outputs(waiter.done(made, "made", seen=None))
    seen = waiter.newest_event(stack["StackId"])
    if not _update(cloudformation, name, request):
        return _outputs(stack)
    progress(f"{name}: is being changed")
    return _outputs(waiter.done(stack["StackId"], "changed", seen=seen))


def outputs(cloudformation: CloudFormationClient, name: str) -> dict[str, str]:
    """
    The outputs of a stack.

    Raises:
        NotFoundError: There is no such stack.
        EngineError: AWS refused to say.
    """
    stack = describe(cloudformation, name)
    if stack is None:
        raise NotFoundError(
            f"There is no stack {name}.", "run `replicator up` first, with this migration.toml."
        )
    return _outputs(stack)


def outputs_if_any(cloudformation: CloudFormationClient, name: str) -> dict[str, str]:
    """Like `outputs`; empty where there is no such stack."""
    stack = describe(cloudformation, name)
    return {} if stack is None else _outputs(stack)


def exists(cloudformation: CloudFormationClient, name: str) -> bool:
    """Whether there is a stack of this name, in whatever status."""
    return describe(cloudformation, name) is not None


def look(cloudformation: CloudFormationClient, name: str) -> StackTypeDef | None:
    """A stack as CloudFormation describes it; ``None`` where there is none."""
    return describe(cloudformation, name)


def is_protected(cloudformation: CloudFormationClient, name: str) -> bool:
    """Whether there is a stack of this name, and its termination protection is on."""
    stack = describe(cloudformation, name)
    return stack is not None and bool(stack.get("EnableTerminationProtection"))


def delete(
    cloudformation: CloudFormationClient,
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
    waiter = Waiter.of(cloudformation, name, progress, poll_seconds, limit_seconds)
    stack = waiter.settled()
    if stack is None:
        return False
    progress(f"{name}: is being removed")
    waiter.delete(stack)
    return True


def check_code(
    functions: LambdaClient,
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
    pause = pause_between_looks(functions, poll_seconds)
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


def _update(client: CloudFormationClient, name: str, request: _Request) -> bool:
    """Ask for the change; says whether there is anything to change."""
    with explained(f"update the stack {name}"):
        try:
            client.update_stack(**request)
        except ClientError as error:
            if "No updates are to be performed" in error.response["Error"].get("Message", ""):
                return False
            raise
    return True


def _outputs(stack: StackTypeDef) -> dict[str, str]:
    return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", ())}
