"""Resource policies in memory, with DynamoDB's manners: late reads, blocked changes, a limit of size."""

from __future__ import annotations

import fnmatch
import json
from datetime import datetime
from typing import Any

from replicator.aws.policies import LIMIT_BYTES, Policies
from tests.replicator.fakes import refusal

NOON = 1_800_000_000.0
APPLICATION = "arn:aws:iam::123456789012:role/app"


class Clock:
    """Seconds that pass only when somebody waits."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.at += seconds


class FakePolicies:
    """
    The resource policy of one table.

    Args:
        policy: What the table has to begin with, or nothing.
        lag: A read answers with what was there so many seconds ago.
        block: For so many seconds after a change the next one is refused.
        spread: So many seconds after a change there are requests that are still held against the policy
            before it: "it will take some time to apply the policy to all requests".
    """

    def __init__(
        self,
        policy: Any = None,
        *,
        clock: Clock | None = None,
        lag: float = 0.0,
        block: float = 0.0,
        spread: float = 0.0,
    ) -> None:
        self.clock, self.lag, self.block, self.spread = clock or Clock(), lag, block, spread
        self.revision, self.writes, self.refused = 1, 0, 0
        text = None if policy is None else json.dumps(policy)
        self.history: list[tuple[float, str | None, str]] = [(0.0, text, "1")]
        self.texts: list[str] = []

    @property
    def policy(self) -> Any:
        """What the table has now, whatever reads say."""
        text = self.history[-1][1]
        return None if text is None else json.loads(text)

    def denies(self, epoch: float, who: str = APPLICATION) -> bool:
        """Whether every request of the application is refused at this moment."""
        return all(denied(text, epoch, who) for text in self._held_against(epoch))

    def lets_through(self, epoch: float, who: str = APPLICATION) -> bool:
        """Whether no request of the application is refused at this moment."""
        return not any(denied(text, epoch, who) for text in self._held_against(epoch))

    def _held_against(self, epoch: float) -> list[str | None]:
        """The policies that requests of this moment are held against: one of them each."""
        put = [one for one in self.history if one[0] <= epoch]
        spread = [at for at, one in enumerate(put) if one[0] <= epoch - self.spread]
        return [text for _, text, _ in put[spread[-1] :]]

    def get_resource_policy(self, *, ResourceArn: str) -> dict[str, Any]:  # noqa: N803
        del ResourceArn
        shown = [one for one in self.history if one[0] <= self.clock.at - self.lag]
        _, text, revision = shown[-1]
        if text is None:
            raise refusal("PolicyNotFoundException")
        return {"Policy": text, "RevisionId": revision}

    def put_resource_policy(
        self,
        *,
        ResourceArn: str,  # noqa: N803
        Policy: str,  # noqa: N803
        ExpectedRevisionId: str,  # noqa: N803
    ) -> dict[str, Any]:
        del ResourceArn
        if len(Policy.encode()) > LIMIT_BYTES:
            raise refusal("ValidationException")
        self.texts.append(Policy)
        return {"RevisionId": self._changed(Policy, ExpectedRevisionId)}

    def delete_resource_policy(self, *, ResourceArn: str, ExpectedRevisionId: str) -> dict[str, Any]:  # noqa: N803
        del ResourceArn
        return {"RevisionId": self._changed(None, ExpectedRevisionId)}

    def _changed(self, text: str | None, expected: str) -> str:
        began, current, revision = self.history[-1]
        if self.clock.at < began + self.block:
            self.refused += 1
            raise refusal("LimitExceededException")
        if expected != ("NO_POLICY" if current is None else revision):
            raise refusal("PolicyNotFoundException")
        self.writes += 1
        self.revision += 1
        self.history.append((self.clock.at, text, str(self.revision)))
        return str(self.revision)


def denied(text: str | None, epoch: float, who: str) -> bool:
    """Whether a policy denies a request of that second: conditions are held against each, to the second."""
    for one in json.loads(text)["Statement"] if text else ():
        exempt = one.get("Condition", {}).get("ArnNotLike", {}).get("aws:PrincipalArn", ())
        if one["Effect"] != "Deny" or any(fnmatch.fnmatchcase(who, pattern) for pattern in exempt):
            continue
        begin = one["Condition"].get("DateGreaterThan", {}).get("aws:CurrentTime")
        end = one["Condition"].get("DateLessThan", {}).get("aws:CurrentTime")
        begun = begin is None or int(epoch) > epoch_of(begin)
        if begun and (end is None or int(epoch) < epoch_of(end)):
            return True
    return False


def of(client: Any, clock: Clock | None = None, tell: Any = lambda _: None) -> Policies:
    """Reads and changes through *client*, by its clock."""
    by = clock or getattr(client, "clock", None) or Clock()
    return Policies(client, tell, by.sleep, by.now)


def epoch_of(text: str) -> float:
    """Seconds since the epoch of a moment in a policy."""
    return datetime.fromisoformat(text).timestamp()
