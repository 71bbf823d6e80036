"""What is protected against deletion, looked at before a command that deletes changes anything."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ddbverify.config import Pair
from ddbverify.errors import Refused
from replicator.backfill import ownership
from replicator.backfill.ownership import MADE
from replicator.context import tables
from replicator.context.context import Context
from replicator.stack import stacks

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient

    OneTable = tuple[DynamoDBClient, str]
    OneStack = tuple[CloudFormationClient, str]
    # A client, and the name of something in its account and region.


def need_unprotected(command: str, found: Iterable[OneTable], of_stacks: Iterable[OneStack] = ()) -> None:
    """
    Refuse a command that could not delete what it has to, before it has changed anything.

    Args:
        command: Such as ``down``.
        found: Tables that the command deletes; those that are not there are passed over.
        of_stacks: Stacks that it removes, likewise.

    Raises:
        Refused: With everything that is protected, and how to lift each protection.
    """
    words, hints = [], []
    for client, name in found:
        table = tables.find(client, name)
        if table is not None and table.description.get("DeletionProtectionEnabled"):
            words.append(f"the table {name}")
            hints.append(f"aws dynamodb update-table --no-deletion-protection-enabled --table-name {name}")
    for cloudformation, name in of_stacks:
        if stacks.is_protected(cloudformation, name):
            words.append(f"the stack {name}")
            hints.append(
                "aws cloudformation update-termination-protection --no-enable-termination-protection "
                f"--stack-name {name}"
            )
    if words:
        raise Refused(
            f"Protected against deletion, so nothing was touched: {', '.join(words)}.",
            f"find out who protects it; then, and before `replicator {command}`: {'; '.join(hints)}",
        )


def deleted_with(context: Context, pair: Pair, *, keep_target: bool) -> Iterable[OneTable]:
    """The tables of a pair that `restart` and `down` delete: ledger, staging table, a target of ours."""
    ledger = context.resources(pair).get("ledger_table")
    if ledger:
        yield context.target, ledger
    staging = ownership.staging(context, pair)
    if staging:
        yield context.source, staging
    target = None if keep_target else tables.find(context.target, pair.target)
    if target is not None and ownership.is_ours(context, pair, MADE, target):
        yield context.target, target.name
