"""
The fence: no more writes to the source, so that the last change can be the last.

Either a deny statement in the table's own policy, or the operator's command, called with
``on`` or ``off``. Both are idempotent, and both are lifted when a cutover fails.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass
from typing import Any, Protocol

from ddbverify.errors import EngineError, NotFoundError
from ddbverify.names import FENCE_SID
from ddbverify.tables.aws import Client, translated
from replicator.context.context import Context
from replicator.context.tables import TableFacts

# Every action that changes an item. https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
_WRITES = [
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:PartiQLDelete",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLUpdate",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
]


class Fence(Protocol):
    """Keeps writers off the source tables."""

    def raise_(self) -> None:
        """Put the fence up; nothing happens if it is up."""

    def lift(self) -> None:
        """Take the fence down; nothing happens if it is down."""


@dataclass(frozen=True, slots=True)
class PolicyFence:
    """
    A deny statement in the resource policy of each source table.

    Args:
        client: A boto3 DynamoDB client of the source.
        tables: The source tables.
        exempt: ARNs of the identities that may still write: the operator, who flies canaries.
    """

    client: Client
    tables: tuple[TableFacts, ...]
    exempt: tuple[str, ...]

    def raise_(self) -> None:
        """Add the statement to each table's policy, keeping what else is in it."""
        for table in self.tables:
            policy, revision = self._policy(table)
            statement = {
                "Sid": FENCE_SID,
                "Effect": "Deny",
                "Principal": "*",
                "Action": _WRITES,
                "Resource": table.arn,
                "Condition": {"ArnNotLike": {"aws:PrincipalArn": list(self.exempt)}},
            }
            statements = [one for one in policy["Statement"] if one.get("Sid") != FENCE_SID]
            self._put(table, {**policy, "Statement": [*statements, statement]}, revision)

    def lift(self) -> None:
        """
        Take the statement out of each table's policy; a policy that held nothing else is removed.

        Raises:
            EngineError: The first that was met, once every table has been tried.
        """
        errors = []
        for table in self.tables:
            try:
                self._lift(table)
            except EngineError as error:  # the other tables' writers must not wait for this one
                errors.append(error)
        if errors:
            raise errors[0]

    def _lift(self, table: TableFacts) -> None:
        policy, revision = self._policy(table)
        statements = [one for one in policy["Statement"] if one.get("Sid") != FENCE_SID]
        if len(statements) == len(policy["Statement"]):
            return
        if statements:
            self._put(table, {**policy, "Statement": statements}, revision)
            return
        with translated(f"lift the fence from {table.name}"):
            self.client.delete_resource_policy(ResourceArn=table.arn, **_expecting(revision))

    def _policy(self, table: TableFacts) -> tuple[dict[str, Any], str | None]:
        try:
            with translated(f"read the resource policy of {table.name}"):
                answer = self.client.get_resource_policy(ResourceArn=table.arn)
        except NotFoundError:
            return {"Version": "2012-10-17", "Statement": []}, None
        policy: dict[str, Any] = json.loads(answer["Policy"])
        if isinstance(policy.get("Statement"), dict):  # IAM allows a single statement without its list
            policy["Statement"] = [policy["Statement"]]
        return policy, answer.get("RevisionId")

    def _put(self, table: TableFacts, policy: dict[str, Any], revision: str | None) -> None:
        with translated(f"change the resource policy of {table.name}"):
            self.client.put_resource_policy(
                ResourceArn=table.arn, Policy=json.dumps(policy), **_expecting(revision or "NO_POLICY")
            )


@dataclass(frozen=True, slots=True)
class CommandFence:
    """The operator's own command, run by the shell's rules of quoting but without a shell."""

    command: str
    folder: str
    timeout_seconds: float = 120.0

    def raise_(self) -> None:
        """Run the command with ``on``."""
        self._run("on")

    def lift(self) -> None:
        """Run the command with ``off``."""
        self._run("off")

    def _run(self, word: str) -> None:
        hint = "run it by hand to see why; it has to succeed with `on` and with `off`, twice in a row too."
        try:
            done = subprocess.run(
                [*shlex.split(self.command), word],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=self.timeout_seconds,
                check=False,
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise EngineError(f"The fence's command could not be run: {error}", hint) from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing"]
            raise EngineError(
                f"The fence's command ended with {done.returncode} for `{word}`, saying: {said[0]}", hint
            )


def _expecting(revision: str | None) -> dict[str, str]:
    return {"ExpectedRevisionId": revision} if revision else {}


def of(context: Context) -> Fence:
    """The fence that ``[cutover] fence`` asks for, of all sources of the migration."""
    setting = context.config.cutover.fence
    if setting.startswith("command:"):
        return CommandFence(setting.removeprefix("command:"), str(context.config.folder))
    with translated("ask who we are"):
        identity = context.source_client("sts").get_caller_identity()["Arn"]
    sources = tuple(context.source_table(pair) for pair in context.config.tables)
    return PolicyFence(context.source, sources, role_of(identity))


def role_of(identity: str) -> tuple[str, ...]:
    """
    What ``aws:PrincipalArn`` may say for a caller: the role behind an assumed-role session.

    Two patterns, since a role's path is not part of the session's ARN.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
    """
    if ":assumed-role/" not in identity:
        return (identity,)
    head, _, rest = identity.partition(":assumed-role/")
    account = head.rpartition(":")[2]
    partition = identity.split(":", 2)[1]
    name = rest.partition("/")[0]
    return (f"arn:{partition}:iam::{account}:role/{name}", f"arn:{partition}:iam::{account}:role/*/{name}")
