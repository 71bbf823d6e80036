"""What a run has verified, as one versioned document that a gate can judge later. Pure but for files."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

import ddbverify
from ddbverify.config import Config
from ddbverify.errors import ConfigurationError
from ddbverify.evidence import envelope
from ddbverify.evidence.envelope import NotTrusted, PublicKey, SigningKey
from ddbverify.evidence.record import CheckRecord, CheckState, ComparisonRecord, TableRecord
from ddbverify.evidence.strict import Strict, decoded
from ddbverify.items import transform
from ddbverify.plugins.loading import PluginRecord

SCHEMA: Final = 1

NO_EVIDENCE = "none left"
"""What stands for the run before where it was killed, or its evidence is gone."""

# What Python and pytest write while they run. Bytecode outside of these folders is imported without a
# source, and therefore bound.
_CACHES = ("__pycache__", ".pytest_cache")

Verdict = Literal["passed", "failed", "inconclusive"]

_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256, in hex")]
_RunId = Annotated[str, Meta(pattern="^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{32}$")]


class PairEvidence(Strict, frozen=True):
    """One pair, bound to its very tables."""

    id: str
    source: TableRecord
    target: TableRecord
    comparison: ComparisonRecord | None


class Digests(Strict, frozen=True):
    """SHA-256 of everything that decides what "passed" means."""

    configuration: _Digest
    checks: _Digest
    program: _Digest  # of the files of ddbverify itself: one version may have been altered in place
    transforms: dict[str, _Digest]  # module:function -> digest of its package


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


def digests(config: Config, checks: Path) -> Digests:
    """
    Everything that decides what "passed" means, as it is now.

    Raises:
        ConfigurationError: A transform does not load.
    """
    names = sorted({pair.transform for pair in config.tables if pair.transform})
    return Digests(
        configuration=configuration_digest(config),
        checks=folder_digest(checks),
        program=program_digest(),
        transforms={name: transform.package_digest(name) for name in names},
    )


def configuration_digest(config: Config) -> str:
    """
    SHA-256 of the settings that decide what is compared with what, and how.

    Bound: name (it finds the pipeline), tables with their transforms and ignored paths, region
    and endpoint of both sides, coverage, settle time, plugins. Not bound: profiles (the tables are bound
    by ARN and id, however one logs in), rates and memory, and everything that the gate and the
    cutover read anew when they act.
    """
    return _digest(
        {
            "name": config.name,
            "tables": msgspec.to_builtins(config.tables),
            "sides": [[side.region, side.endpoint_url] for side in (config.source, config.target)],
            "coverage": config.verification.coverage,
            "settle_seconds": float(config.verification.settle),
            "plugins": list(config.verification.plugins),
        }
    )


def program_digest() -> str:
    """SHA-256 of the files of ddbverify, without the default suite, which counts as checks."""
    return folder_digest(Path(ddbverify.__file__).parent, leaving_out="_checks")


def folder_digest(folder: Path, *, leaving_out: str | None = None) -> str:
    """
    SHA-256 over names and contents of all files below *folder*, caches left out.

    Raises:
        ConfigurationError: A file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for name, file in sorted(_files_below(folder, leaving_out)):
            content = file.read_bytes()
            digest.update(f"{len(name)}:{name}{len(content)}:".encode() + content)
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or folder} cannot be read: {error.strerror}.",
            "make it readable, or remove it: evidence has to be bound to every file there.",
        ) from error
    return digest.hexdigest()


def _files_below(folder: Path, leaving_out: str | None) -> Iterator[tuple[str, Path]]:
    """Name and place of every file, through links to folders as well: Python imports through them, too."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place)
        seen.add(here.resolve())
        folders[:] = [
            name
            for name in folders
            if name not in _CACHES
            and (here / name).resolve() not in seen
            and not (here == folder and name == leaving_out)
        ]
        for name in files:
            if (here / name).is_file():  # else a pipe, a socket, or a link to nowhere
                yield (here / name).relative_to(folder).as_posix(), here / name


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
