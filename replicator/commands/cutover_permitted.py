"""
What is first asked of AWS behind the fence, asked before it: a refusal there would cost refused writes.

Fence and pointer are asked here; the follower's stream where a way back is armed (`way_back.arm`), the tables
where the last verification reads them (`last_verification.waiting`). All else is asked before it anyway.
"""

from __future__ import annotations

from ddbverify.tables.aws import translated
from replicator.aws.fence import Fence
from replicator.aws.pointer import Pointer
from replicator.aws.stream_tail import Tail
from replicator.context.context import Context


def is_known(context: Context) -> bool:
    """Whether there are permissions to ask for: an emulator has none."""
    return not context.emulator


def need(context: Context, put: Fence, pointer: Pointer) -> None:
    """
    Refuse to go on where fence or pointer cannot be changed; what could not be found out is told.

    Raises:
        AccessError: AWS does not let us.
        Refused: A policy has no room for the fence.
    """
    put.check()
    for unknown in changes(context, put, pointer):
        context.console.line(f"  · not checked: {unknown}")


def changes(context: Context, put: Fence, pointer: Pointer) -> list[str]:
    """
    Find out whether fence and pointer can be changed as they have to be, without changing one.

    Returns:
        What could not be found out, in words; nothing where there are no permissions.

    Raises:
        AccessError: AWS does not let us.
    """
    if not is_known(context):
        return []
    with context.console.step("what the fence and the pointer need is permitted"):
        return [*put.rehearse(), *pointer.rehearse()]


def followers_streams(context: Context) -> list[str]:
    """
    Read the ends of the targets' streams, as a way back does behind the fence; one that is off is made later.

    Returns:
        What could not be found out, in words.

    Raises:
        EngineError: AWS refused.
    """
    unknown = []
    for pair in context.config.tables:
        target = context.target_table(pair)
        if target is None or target.stream_arn is None:
            unknown.append(f"whether the stream of {pair.target} may be read: it is not on yet")
            continue
        with translated(f"read the stream of {target.name}"):
            for _ in Tail(context.target_client("dynamodbstreams"), target.stream_arn).read():
                pass
    return unknown
