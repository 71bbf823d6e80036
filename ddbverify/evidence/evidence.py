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
from ddbverify.evidence.record import CheckRecord, CheckState, ComparisonRecord, TableRecord
from ddbverify.evidence.strict import Strict, decoded
from ddbverify.plugins.loading import PluginRecord

SCHEMA: Final = 1

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


class Evidence(Strict, frozen=True):
    """
    One run. No item values, and no keys either.

    Times are of DynamoDB's clock (the ``Date`` of its answers), in seconds since the epoch.
    """

    schema: Literal[1]
    run_id: _RunId
    previous: Annotated[str, Meta(pattern=f"^([0-9a-f]{{64}}|{NO_EVIDENCE})$")] | None
    """SHA-256 of the evidence file of the run that was started before this one; ``None`` for the first."""
    tool_version: str
    verdict: Verdict
    complete: bool
    shortcomings: tuple[str, ...]  # why it is not complete, in words
    coverage: Annotated[str, Meta(pattern=r"^(full|[0-9]+(\.[0-9]+)?%)$")]
    pairs: tuple[PairEvidence, ...]
    checks: tuple[CheckRecord, ...]
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
    def only_churning(self) -> bool:
        """Whether all that keeps the run from passing is keys that never held still."""
        undecided = [check for check in self.checks if check.counts and check.state is not CheckState.PASSED]
        return self.complete and bool(undecided) and all(check.only_churning for check in undecided)


def verdict_of(checks: Iterable[CheckRecord], *, complete: bool) -> Verdict:
    """A counter-example stands whatever else went wrong; "passed" needs everything to have gone right."""
    states = {check.state for check in checks if check.counts}
    if CheckState.FAILED in states:
        return "failed"
    return "passed" if complete and states == {CheckState.PASSED} else "inconclusive"


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
            f"its schema {str(schema)[:20]!r} is not known to this version, which knows {SCHEMA}"
        )
    return decoded(payload, Evidence)


def tool_version() -> str:
    """Version of the installed distribution."""
    try:
        return importlib.metadata.version("ddbverify")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
