"""What a run has verified, as one versioned document that a gate can judge later. Pure but for files."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from ddbverify.evidence import envelope
from ddbverify.evidence.digests import Digests
from ddbverify.evidence.envelope import NotTrusted, PublicKey, SigningKey
from ddbverify.evidence.record import CheckRecord, CheckState, ComparisonRecord, Fact, TableRecord
from ddbverify.evidence.strict import Strict, decoded
from ddbverify.plugins.loading import PluginRecord

SCHEMA: Final = 2

NO_EVIDENCE = "none left"
"""What stands for the run before where it was killed, or its evidence is gone."""

Verdict = Literal["passed", "failed", "inconclusive"]

_RunId = Annotated[str, Meta(pattern="^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{32}$")]


class PairEvidence(Strict, frozen=True):
    """One pair, bound to its very tables."""

    id: str
    source: TableRecord
    target: TableRecord
    comparison: ComparisonRecord | None


class Unclaimed(Strict, frozen=True):
    """Keys that the pass found to differ, and that no check of the run has answered for."""

    pair: str
    state: Literal["missing", "extraneous", "different"]
    keys: Annotated[int, Meta(ge=1)]
    allowed: bool  # by ``[gate] unclaimed``, which names the state
    why: str  # one sentence without its end, no key and no value in it

    def __str__(self) -> str:
        return f"{self.pair}: {self.why}"


class Evidence(Strict, frozen=True):
    """
    One run. No item values, and no keys either.

    Times are of DynamoDB's clock (the ``Date`` of its answers), in seconds since the epoch.
    """

    schema: Literal[2]
    run_id: _RunId
    previous: Annotated[str, Meta(pattern=f"^([0-9a-f]{{64}}|{NO_EVIDENCE})$")] | None
    """SHA-256 of the evidence file of the run that was started before this one; ``None`` for the first."""
    tool_version: str
    verdict: Verdict
    complete: bool
    shortcomings: tuple[str, ...]  # why it is not complete, in words
    unclaimed: tuple[Unclaimed, ...]
    coverage: Annotated[str, Meta(pattern=r"^(full|[0-9]+(\.[0-9]+)?%)$")]
    pairs: tuple[PairEvidence, ...]
    checks: tuple[CheckRecord, ...]
    facts: tuple[Fact, ...]
    digests: Digests
    extensions: tuple[PluginRecord, ...]  # plugins that implement hooks of ddbverify
    plugins: dict[str, str]  # distribution -> version, of pytest and its plugins
    identities: dict[str, str | None]  # source, target -> ARN of the caller
    endpoints: dict[str, str]
    emulator: bool
    started_epoch: float
    ended_epoch: float
    valid_until_epoch: float

    @property
    def empty_pairs(self) -> tuple[str, ...]:
        """Ids of the pairs of which both tables were empty, and allowed to be."""
        return tuple(fact.about for fact in self.facts if fact.name == "empty")

    @property
    def only_churning(self) -> bool:
        """Whether all that keeps the run from passing is keys that never held still."""
        undecided = [check for check in self.checks if check.counts and check.is_open]
        decided_but_for_them = self.complete and all(one.allowed for one in self.unclaimed)
        return decided_but_for_them and bool(undecided) and all(check.only_churning for check in undecided)


def verdict_of(
    checks: Iterable[CheckRecord], *, complete: bool, unclaimed: Iterable[Unclaimed] = ()
) -> Verdict:
    """
    A counter-example stands whatever else went wrong; "passed" needs everything to have gone right.

    Args:
        checks: Of the run.
        complete: Whether everything was done.
        unclaimed: Differences that no check has answered for: nothing has passed over these, unless allowed.
    """
    counting = [check for check in checks if check.counts]
    states = {check.state for check in counting}
    if CheckState.FAILED in states:
        return "failed"
    claimed = all(one.allowed for one in unclaimed)
    shown = CheckState.PASSED in states and not any(check.is_open for check in counting)
    return "passed" if complete and claimed and shown else "inconclusive"


def encode(evidence: Evidence, key: SigningKey) -> bytes:
    """The signed file of *evidence*."""
    return envelope.seal(msgspec.json.encode(evidence), envelope.RUN, key)


def decode(content: bytes, trusted: tuple[PublicKey, ...]) -> Evidence:
    """
    The evidence in a signed file.

    Raises:
        NotTrusted: Not signed by a trusted key, edited, of a schema that is not known here, or not
            written as `encode` writes it: nothing is left out, said twice or in another way.
    """
    payload = envelope.open_envelope(content, envelope.RUN, trusted)
    try:
        schema = json.loads(payload)["schema"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NotTrusted("it names no schema") from error
    if schema != SCHEMA:
        raise NotTrusted(
            f"its schema {str(schema)[:20]!r} is not known to this version, which knows {SCHEMA}; run again"
        )
    return decoded(payload, Evidence)


def tool_version() -> str:
    """Version of the installed distribution."""
    try:
        return importlib.metadata.version("ddbverify")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
