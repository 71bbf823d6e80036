"""
What a cutover did, as one signed document: ``.ddbverify/cutover.json``.

The replicator writes it, for a cutover that flipped and for one that was rolled back. Its payload
type is one of its own, so that it cannot be taken for the evidence of a run, or a run's for it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from ddbverify.config import Config
from ddbverify.evidence import envelope, folders, repaired, signing
from ddbverify.evidence import evidence as runs
from ddbverify.evidence.envelope import NotTrusted, PublicKey
from ddbverify.evidence.record import TableRecord
from ddbverify.evidence.strict import Strict, decoded

SCHEMA: Final = 1
FILE: Final = "cutover.json"

Outcome = Literal["flipped", "rolled-back"]


class CutoverPair(Strict, frozen=True):
    """One pair, as the last verification found its tables."""

    id: str
    source: TableRecord
    target: TableRecord


class VerifiedBy(Strict, frozen=True):
    """The last verification, made under the fence; its evidence is signed itself."""

    run_id: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]  # of its evidence file


class CutoverEvidence(Strict, frozen=True):
    """One attempt of a cutover. No item values and no keys."""

    schema: Literal[1]
    name: str  # of the migration
    tool_version: str
    outcome: Outcome
    reason: str | None  # why it was rolled back, in words
    pointer: str
    value: str | None  # what the pointer was set to; None if it was not
    steps: dict[str, str]  # step -> ISO 8601 time at which it was done, in order
    verified_by: VerifiedBy | None  # None where it came to none
    pairs: tuple[CutoverPair, ...]  # empty where it came to no verification
    operator: str | None  # ARN of the caller
    emulator: bool
    written: str  # ISO 8601


def path(config: Config) -> Path:
    """Where the evidence of the latest attempt is."""
    return folders.home(config) / FILE


def make(config: Config, **fields: Any) -> CutoverEvidence:
    """Evidence of a cutover of *config*; see `CutoverEvidence` for the fields."""
    return CutoverEvidence(schema=SCHEMA, name=config.name, tool_version=runs.tool_version(), **fields)


def write(config: Config, evidence: CutoverEvidence) -> Path:
    """
    Sign evidence with the migration's key, and let it stand for the latest attempt.

    Raises:
        ConfigurationError: The signing key cannot be used.
        EngineError: KMS refused.
    """
    sealed = encode(evidence, signing.signing_key(config))
    folders.make_home(config)
    folders.write_atomically(path(config), sealed)
    return path(config)


def latest_outcome(config: Config) -> Outcome | None:
    """What the evidence that is here says; ``None`` where there is none, or none to be believed."""
    found = latest(config)
    return None if found is None else found.outcome


def latest(config: Config) -> CutoverEvidence | None:
    """The evidence that is here; ``None`` where there is none, or none to be believed."""
    try:
        return decode(path(config).read_bytes(), signing.trusted_keys(config))
    except (OSError, NotTrusted):
        return None


def encode(evidence: CutoverEvidence, key: envelope.SigningKey) -> bytes:
    """The signed file of *evidence*."""
    return envelope.seal(msgspec.json.encode(evidence), envelope.CUTOVER, key)


def decode(content: bytes, trusted: tuple[PublicKey, ...]) -> CutoverEvidence:
    """
    The evidence in a signed file.

    Raises:
        NotTrusted: Not signed by a trusted key, edited, or of a form that is not known here.
    """
    return decoded(envelope.open_envelope(content, envelope.CUTOVER, trusted), CutoverEvidence)


def read_signed(content: bytes, trusted: tuple[PublicKey, ...]) -> dict[str, Any]:
    """
    What a signed file says, of a run, of a cutover or of a repair.

    Raises:
        NotTrusted: It must not be believed.
    """
    kind = envelope.type_of(content)
    if kind == envelope.CUTOVER:
        decode(content, trusted)
    elif kind == envelope.REPAIR:
        repaired.decode(content, trusted)
    else:
        runs.decode(content, trusted)
        kind = envelope.RUN
    document: dict[str, Any] = json.loads(envelope.open_envelope(content, kind, trusted))
    return document
