"""Evidence that opens a gate, for tests that alter one thing of it."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ddbverify.config import Config
from ddbverify.evidence import digests, evidence, folders, row, signing
from ddbverify.evidence.evidence import Evidence, PairEvidence
from ddbverify.evidence.record import CheckRecord, CheckState, ComparisonRecord, TableRecord
from ddbverify.suite.definitions import check_functions
from tests.ddbverify import projects

NOW = 1_795_000_600.0
ENDED = NOW - 300.0


def good_evidence(config: Config, **changes: Any) -> Evidence:
    """What a run that passed leaves behind."""
    checks = folders.checks_folder(config)
    pairs = tuple(
        PairEvidence(
            id=pair.id,
            source=TableRecord.of(projects.table(pair.source, config.source.region or "")),
            target=TableRecord.of(projects.table(pair.target, config.target.region or "")),
            comparison=ComparisonRecord.of(projects.comparison(pair.id, started_epoch=ENDED - 20)),
        )
        for pair in config.tables
    )
    found = Evidence(
        schema=evidence.SCHEMA,
        run_id=run_id(),
        previous=None,
        tool_version=evidence.tool_version(),
        verdict="passed",
        complete=True,
        shortcomings=(),
        unclaimed=(),
        facts=(),
        coverage="full",
        pairs=pairs,
        checks=tuple(
            CheckRecord(id=f"{name}[{pair.id}]", name=name, pair=pair.id, state=CheckState.PASSED, examined=3)
            for name in check_functions(checks)
            for pair in config.tables
        ),
        digests=digests.current(config, checks),
        extensions=(),
        plugins={"ddbverify": evidence.tool_version(), "pytest": pytest.__version__},
        identities={"source": "arn:aws:iam::123456789012:user/ci", "target": None},
        endpoints={
            "source": "https://dynamodb.eu-west-1.amazonaws.com",
            "target": "https://dynamodb.eu-central-1.amazonaws.com",
        },
        emulator=False,
        started_epoch=ENDED - 30,
        ended_epoch=ENDED,
        valid_until_epoch=ENDED + 3600,
    )
    return msgspec.structs.replace(found, **changes)


def run_id(began: float = ENDED - 30) -> str:
    return f"{datetime.fromtimestamp(began, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(16)}"


def leave(config: Config, found: Evidence, out: Path | None = None) -> Path:
    """Write evidence, signed, as the latest run, after those that are there; in *out*, if given."""
    if (folders.runs(config) / found.run_id).exists():  # one more of the same moment
        found = msgspec.structs.replace(found, run_id=run_id(found.started_epoch))
    found = msgspec.structs.replace(found, previous=row.previous(config, signing.trusted_keys(config)))
    folder = folders.make_run_folder(config, found.run_id, out)
    (folder / folders.SETTINGS).write_text("")
    key = signing.signing_key(config)
    (folder / folders.EVIDENCE).write_bytes(evidence.encode(found, key))
    return folder
