"""
Stacks that others have deployed, taken as they are: looked at, never made or changed.

Nothing here, and nothing behind it, calls an action of IAM or changes a stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any, Final, Literal, cast

from ddbverify.errors import AccessError, Refused
from ddbverify.tables.aws import translated
from replicator.commands.wanted import Wanted
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.stack import stacks
from replicator.stack.deployed import (
    Fault,
    defaults,
    drifted,
    faults_of_account,
    faults_of_function,
    faults_of_mapping,
    faults_of_stack,
)

Which = Literal["Forwarder", "Consumer"]

NOTED = "by_others"
"""Of a pair's resources: whether its stacks were deployed by others, so that `down` leaves them there."""


def is_asked_for(context: Context) -> bool:
    """Whether this command is to take what others have deployed."""
    return context.root.config.stack.deployed or context.shared.by_others


def take(context: Context, stack: Wanted, step: Step) -> dict[str, str]:
    """
    The outputs of a stack, if it is what is wanted.

    Raises:
        Refused: It is not, with every fault.
    """
    found = stacks.look(stack.client(context), stack.name)
    need_none(faults_of_stack(stack.name, found, stack.parameters, stack.text))
    if found is None:
        raise AssertionError("that is a fault")
    made = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())}
    need_none(_of_other_accounts(context, stack, made))
    _look_for_drift(context, stack, found.get("DriftInformation") or {})
    step.result = "deployed by others"
    return made


def need_none(faults: Iterator[Fault]) -> None:
    """
    Refuse what has faults.

    Raises:
        Refused: With each, and what to do about the first.
    """
    found = list(faults)
    if found:
        raise Refused(" ".join(one.message for one in found), found[0].hint)


def _of_other_accounts(context: Context, stack: Wanted, made: Mapping[str, str]) -> Iterator[Fault]:
    identity = context.source_identity if stack.side == "source" else context.target_identity
    account = identity.split(":")[4]
    for output, what in (
        ("QueueArn", "queue"),
        ("StateTableArn", "state table"),
        ("LedgerTableArn", "ledger"),
        ("ForwarderRoleArn", "role"),
        ("ConsumerRoleArn", "role"),
        ("AuditorRoleArn", "role"),
    ):
        if output in made:
            yield from faults_of_account(stack.name, what, made[output], account)


def _look_for_drift(context: Context, stack: Wanted, told: Mapping[str, Any]) -> None:
    """
    Refuse a stack in which CloudFormation has found what was changed by hand; what it was not asked is told.

    To ask it anew would take reading permissions of every service, IAM's too, so that is for the other team.
    """
    status = told.get("StackDriftStatus", "NOT_CHECKED")
    if status == "IN_SYNC":
        return
    if status != "DRIFTED":
        context.console.warn(
            f"whether somebody has changed the roles of {stack.name} by hand is not known: ask "
            f"CloudFormation (`aws cloudformation detect-stack-drift --stack-name {stack.name}`)"
        )
        return
    ask = partial(stack.client(context).describe_stack_resource_drifts, StackName=stack.name)
    rows: list[Mapping[str, Any]] = []
    try:
        with translated(f"read what has drifted in the stack {stack.name}"):
            answer = ask(MaxResults=100)
            rows.extend(answer["StackResourceDrifts"])
            while more := answer.get("NextToken"):
                answer = ask(MaxResults=100, NextToken=more)
                rows.extend(answer["StackResourceDrifts"])
    except AccessError as error:
        context.console.warn(f"{stack.name} has drifted, and in what is not known: {error.message}")
        return
    if changed := drifted(rows):
        raise Refused(
            f"The stack {stack.name} is no longer as it was deployed: {', '.join(changed)}.",
            "undo what was changed by hand, or deploy the stack again; ask CloudFormation for its drift anew "
            "(detect-stack-drift), then run the command again.",
        )


def remember(context: Context) -> None:
    """Take the stacks of others where neither option nor setting says so, once a command has taken them."""
    if any(context.resources(pair).get(NOTED) for pair in context.config.tables):
        context.shared.by_others = True


def check_function(
    context: Context, stack: Wanted, made: Mapping[str, str], which: Which, sha256_base64: str
) -> None:
    """
    Make sure that a stack's function runs exactly this code; that of others also as whom, and on what.

    Args:
        made: Outputs of the stack.
        which: Its function's name among them.
        sha256_base64: Of the code.

    Raises:
        Refused: Somebody has changed it since it was deployed.
        EngineError: It runs other code, or did not become ready.
    """
    client = context.source_client("lambda")
    stacks.check_code(client, made[which], sha256_base64)
    if not is_asked_for(context):
        return
    given = {**defaults(stack.text), **stack.parameters}
    with translated(f"look at the function {made[which]}"):
        function = client.get_function_configuration(FunctionName=made[which])
    with translated(f"look at the mapping of {made[which]}"):
        mapping = client.get_event_source_mapping(UUID=made[f"{which}Mapping"])
    variables = {name: given[parameter] for name, parameter in _VARIABLES[which].items()}
    if which == "Forwarder":
        variables["QUEUE_URL"] = made["QueueUrl"]
    role, reads = made[f"{which}RoleArn"], given["StreamArn" if which == "Forwarder" else "QueueArn"]
    need_none(
        chain(
            faults_of_function(
                stack.name,
                cast("Mapping[str, Any]", function),
                role=role,
                variables=variables,
                sha256_base64=sha256_base64,
            ),
            faults_of_mapping(
                stack.name, cast("Mapping[str, Any]", mapping), function=made[which], reads=reads
            ),
        )
    )


def check_auditor(context: Context, stack: Wanted, made: Mapping[str, str], sha256_base64: str) -> None:
    """
    Make sure that the auditor runs exactly this code; that of others also as whom, and on what.

    Raises:
        Refused: Somebody has changed it since it was deployed.
        EngineError: It runs other code, or did not become ready.
    """
    client, name = context.source_client("lambda"), made["Auditor"]
    stacks.check_code(client, name, sha256_base64)
    if not is_asked_for(context):
        return
    given = {**defaults(stack.text), **stack.parameters}
    with translated(f"look at the function {name}"):
        function = client.get_function_configuration(FunctionName=name)
    need_none(
        faults_of_function(
            stack.name,
            cast("Mapping[str, Any]", function),
            role=made["AuditorRoleArn"],
            variables={variable: given[parameter] for variable, parameter in _AUDITOR.items()},
            sha256_base64=sha256_base64,
        )
    )


_AUDITOR: Final = {
    "MIGRATION": "Migration",
    "PAIR": "Pair",
    "READER_ROLE": "ReaderRoleArn",
    "YOUNG_SECONDS": "YoungSeconds",
}
_BOTH: Final = {"MIGRATION": "Migration", "PAIR": "Pair", "RESTART": "Restart", "STREAM_ARN": "StreamArn"}
_VARIABLES: Final[Mapping[Which, Mapping[str, str]]] = {
    "Forwarder": {**_BOTH, "STREAM_VIEW": "StreamViewType", "KEY_SCHEMA": "KeySchema", "GROUPS": "Groups"},
    "Consumer": {
        **_BOTH,
        "BOUNDARY": "Boundary",
        "SOURCE_KEYS": "SourceKeys",
        "TARGET_KEYS": "TargetKeys",
        "WRITER_ROLE": "WriterRoleArn",
        "TRANSFORM": "Transform",
        "TRANSFORM_DIGEST": "TransformDigest",
        "INVERSE": "Inverse",
        "INVERSE_DIGEST": "InverseDigest",
        "REKEYS": "Rekeys",
        "WRITE_UNITS": "WriteUnits",
    },
}
"""Variable of a function -> parameter of its stack: what it works on, whatever else it has."""
