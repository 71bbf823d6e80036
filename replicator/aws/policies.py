"""
Resource policies of tables, as DynamoDB treats them: read late, changed seldom, limited in size.

For some seconds after a change a read may answer with the policy before it, or with none. For 15 seconds
after a change the next one of the same table is refused. A policy has 20,480 bytes, blanks counted.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GetResourcePolicy.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/rbac-considerations.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ddbverify.errors import AccessError, EngineError, NotFoundError
from ddbverify.tables.aws import translated
from replicator.context import clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LIMIT_BYTES: Final = 20_480

LAG_SECONDS: Final = 15.0
"""A read answers with what was there so long ago at most: AWS says "a few seconds"."""

PATIENCE_SECONDS: Final = 60.0
"""A change is tried again for so long: AWS refuses one for 15 seconds, and throttles."""

_POLL_SECONDS: Final = 1.0

_NO_REVISION: Final = "no-revision-of-any-policy"

Policy = Mapping[str, Any]


class Changed(EngineError):
    """The policy is not, or is no longer, the one that was to be changed."""


@dataclass(frozen=True, slots=True)
class Policies:
    """
    Reads and changes the resource policies of tables.

    Args:
        client: A boto3 DynamoDB client.
        tell: Told, once per change, what is waited for.
        sleep: Waits so many seconds.
        seconds: A clock for waiting.
        patience_seconds: How long a change is tried again.
    """

    client: DynamoDBClient
    tell: Callable[[str], None] = lambda _: None
    sleep: Callable[[float], None] = time.sleep
    seconds: Callable[[], float] = clock.seconds
    patience_seconds: float = PATIENCE_SECONDS

    def read(self, arn: str) -> tuple[Policy | None, str | None]:
        """A table's policy and revision, perhaps of `LAG_SECONDS` ago; ``None`` where there is none."""
        try:
            with translated(f"read the resource policy of {_name(arn)}"):
                answer = self.client.get_resource_policy(ResourceArn=arn)
        except NotFoundError as error:
            if "PolicyNotFound" in error.message:
                return None, None
            raise
        policy: dict[str, Any] = json.loads(answer["Policy"])
        if isinstance(policy.get("Statement"), dict):  # IAM allows a single statement without its list
            policy["Statement"] = [policy["Statement"]]
        return policy, answer.get("RevisionId")

    def change(
        self, arn: str, policy: Policy | None, revision: str | None, *, doing: str, insist: bool = False
    ) -> str:
        """
        Replace the policy that has this *revision*, as soon as AWS takes a change.

        Args:
            policy: What the table has from now on; ``None``: no policy.
            revision: Of the policy that is replaced; ``None``: the table has none.
            doing: What the change is for, as the words after "AWS refused to".
            insist: Try again whatever AWS says but that access is denied, and not only where it is known to
                take the change later.

        Returns:
            The new revision; empty where there is no policy any more.

        Raises:
            Changed: The table's policy has another revision.
            EngineError: AWS does not take it, or has not for ``patience_seconds``.
        """
        deadline, told = self.seconds() + self.patience_seconds, False
        while True:
            try:
                return self._change(arn, policy, revision, doing)
            except (AccessError, Changed):
                raise
            except EngineError as error:
                if self.seconds() >= deadline or not (insist or _may_pass(error)):
                    raise
                if not told:
                    self.tell(f"AWS does not take a change of {_name(arn)}'s policy yet: trying again")
                    told = True
            self.pause()

    def need_permitted(
        self, arns: Iterable[str], is_removed: Callable[[Policy], bool] = lambda _: False
    ) -> list[str]:
        """
        Find out whether we may change the policies of tables, by changes that AWS refuses for another reason.

        They name a revision that no policy has, so that nothing is put or removed: who may is told that there
        is no such revision. What one would put is what is there, or denies nobody.

        Args:
            is_removed: Whether a policy that is there is to be removed, since nothing else is in it.

        Returns:
            What could not be found out, in words; empty where all was.

        Raises:
            AccessError: We may not.
        """
        found = [(arn, self.read(arn)[0]) for arn in arns]
        return [
            unknown
            for arn, policy in found
            if (unknown := self._what_is_unknown(arn, policy, removed=policy is None or is_removed(policy)))
        ]

    def _what_is_unknown(self, arn: str, policy: Policy | None, *, removed: bool) -> str:
        tried: list[Policy | None] = [_denies_nobody(arn) if policy is None else policy]
        if removed:  # last: by then it is known that a wrong revision changes nothing
            tried.append(None)
        for one in tried:  # the fence is put; it is lifted by putting what was there, or by removing it
            try:
                self._change(arn, one, _NO_REVISION, f"change the resource policy of {_name(arn)}")
            except Changed:
                continue
            except AccessError:
                raise
            except EngineError as error:
                return f"whether the resource policy of {_name(arn)} may be changed: {error.message}"
            return f"whether the resource policy of {_name(arn)} may be changed: AWS took a wrong revision"
        return ""

    def pause(self) -> None:
        """Wait between two looks at a policy."""
        self.sleep(_POLL_SECONDS)

    def _change(self, arn: str, policy: Policy | None, revision: str | None, doing: str) -> str:
        try:
            with translated(doing):
                if policy is None:
                    if revision is None:
                        return ""  # none is there, and none is wanted
                    self.client.delete_resource_policy(ResourceArn=arn, ExpectedRevisionId=revision)
                    return ""
                answer = self.client.put_resource_policy(
                    ResourceArn=arn, Policy=text_of(policy), ExpectedRevisionId=revision or "NO_POLICY"
                )
        except NotFoundError as error:
            if "PolicyNotFound" in error.message:
                raise Changed(error.message, "run the command again: it reads the policy anew.") from error
            raise
        return str(answer["RevisionId"])


def text_of(policy: Policy) -> str:
    """A policy as it is sent: without blanks, since AWS counts them."""
    return json.dumps(policy, separators=(",", ":"), ensure_ascii=False)


def size_of(policy: Policy) -> int:
    """Bytes that AWS counts."""
    return len(text_of(policy).encode())


def _denies_nobody(arn: str) -> Policy:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "NobodyAtNoTime",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "dynamodb:PutItem",
                "Resource": arn,
                "Condition": {"DateLessThan": {"aws:CurrentTime": "2000-01-01T00:00:00Z"}},
            }
        ],
    }


def _may_pass(error: EngineError) -> bool:
    """Whether AWS may take the same change later. The code for one that comes too soon is not documented."""
    return "Validation" not in error.message


def _name(arn: str) -> str:
    return arn.rpartition("/")[2]
