"""
What a repair did, as one signed document in the folder of the run that it repaired from.

The replicator writes it. Its payload type is one of its own, so that it cannot be taken for the evidence
of a run: it speaks of the keys that were repaired, and of no other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from ddbverify.config import Config
from ddbverify.evidence import envelope, folders, signing
from ddbverify.evidence import evidence as runs
from ddbverify.evidence.envelope import NotTrusted, PublicKey
from ddbverify.evidence.record import TableRecord
from ddbverify.evidence.strict import Strict, decoded

SCHEMA: Final = 1

_Count = Annotated[int, Meta(ge=0)]


class RepairedPair(Strict, frozen=True):
    """One pair: what was done, and what ddbverify found of the same keys afterwards."""

    id: str
    source: TableRecord
    target: TableRecord
    keys: _Count
    fates: dict[str, _Count]  # in words -> keys
    verified: dict[str, _Count]  # state -> keys
    unexamined: tuple[str, ...]  # why not all of them could be looked at, in words
    read_units: Annotated[float, Meta(ge=0)]  # of the verification


class RepairEvidence(Strict, frozen=True):
    """One repair. No item values and no keys."""

    schema: Literal[1]
    name: str  # of the migration
    tool_version: str
    repair: str  # digest of repair.json
    causes: tuple[str, ...] | None  # those that were chosen; None: all
    deletes: bool  # whether extraneous keys were deleted
    pipeline: bool  # whether it wrote beside one, under the ledger
    pairs: tuple[RepairedPair, ...]
    equal: bool  # every one of these keys is, as ddbverify found it afterwards
    operator: str | None
    emulator: bool
    written: str  # ISO 8601


def id_of(repair: str, causes: Iterable[str] | None, *, deletes: bool) -> str:
    """What tells the same repair from another one of the same findings."""
    said = "\n".join([repair, str(deletes), *(["all"] if causes is None else sorted(causes))])
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:16]


def path(folder: Path, repair_id: str) -> Path:
    """Where the evidence of a repair is."""
    return folder / f"repaired-{repair_id}.json"


def write(config: Config, place: Path, **fields: Any) -> RepairEvidence:
    """
    Sign what a repair did with the migration's key.

    Raises:
        ConfigurationError: The signing key cannot be used.
        EngineError: KMS refused.
        OSError: The disk takes no more.
    """
    made = RepairEvidence(schema=SCHEMA, name=config.name, tool_version=runs.tool_version(), **fields)
    sealed = envelope.seal(msgspec.json.encode(made), envelope.REPAIR, signing.signing_key(config))
    folders.write_atomically(place, sealed)
    return made


def decode(content: bytes, trusted: tuple[PublicKey, ...]) -> RepairEvidence:
    """
    The evidence in a signed file.

    Raises:
        NotTrusted: Not signed by a trusted key, edited, or of a form that is not known here.
    """
    return decoded(envelope.open_envelope(content, envelope.REPAIR, trusted), RepairEvidence)


def written(config: Config, place: Path) -> RepairEvidence | None:
    """What a repair has left there; ``None`` where there is nothing, or nothing to be believed."""
    try:
        return decode(place.read_bytes(), signing.trusted_keys(config))
    except (OSError, NotTrusted):
        return None
