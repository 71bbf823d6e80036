"""What a cutover did is signed like a run, and cannot be taken for one."""

from __future__ import annotations

import json

import jsonschema
import msgspec
import pytest
from click.testing import CliRunner

from ddbverify.cli import main
from ddbverify.config import load
from ddbverify.evidence import cutover as cutover_evidence
from ddbverify.evidence import envelope, evidence, folders, schema, signing
from ddbverify.evidence.cutover import CutoverPair, VerifiedBy
from ddbverify.evidence.envelope import NotTrusted
from tests.ddbverify import projects
from tests.ddbverify.judged import good_evidence, leave


@pytest.fixture
def config(tmp_path):
    return load(projects.make_project(tmp_path))


def made(config, **changes):
    pair = good_evidence(config).pairs[0]
    fields = {
        "outcome": "flipped",
        "reason": None,
        "pointer": "/shop/orders-table",
        "value": pair.target.arn,
        "steps": {"gate": "2026-11-18T11:00:00.000Z", "flip": "2026-11-18T11:05:00.000Z"},
        "verified_by": VerifiedBy(run_id="run", sha256="0" * 64),
        "pairs": (CutoverPair(id=pair.id, source=pair.source, target=pair.target),),
        "operator": "arn:aws:iam::123456789012:user/ops",
        "emulator": False,
        "written": "2026-11-18T11:05:01.000Z",
    }
    return cutover_evidence.make(config, **fields | changes)


def show(config, *arguments):
    return CliRunner().invoke(
        main, ["evidence", "--config", str(config.folder / "migration.toml"), *arguments]
    )


def test_it_survives_its_envelope_and_follows_its_schema(config):
    document = made(config)

    file = cutover_evidence.write(config, document)

    trusted = signing.trusted_keys(config)
    assert cutover_evidence.decode(file.read_bytes(), trusted) == document
    assert cutover_evidence.latest_outcome(config) == "flipped"
    published = json.loads((schema.FOLDER / f"cutover-v{cutover_evidence.SCHEMA}.json").read_text())
    payload = json.loads(envelope.open_envelope(file.read_bytes(), envelope.CUTOVER, trusted))
    jsonschema.validate(payload, published)


def test_the_latest_attempt_is_kept(config):
    assert cutover_evidence.latest_outcome(config) is None
    for outcome in ("rolled-back", "flipped", "rolled-back"):
        cutover_evidence.write(config, made(config, outcome=outcome))
        assert cutover_evidence.latest_outcome(config) == outcome
    cutover_evidence.path(config).write_text("{}")
    assert cutover_evidence.latest_outcome(config) is None


def test_a_cutover_is_no_run_and_a_run_no_cutover(config):
    key = signing.signing_key(config)
    with pytest.raises(NotTrusted, match="another type"):
        evidence.decode(cutover_evidence.encode(made(config), key), (key.public,))
    with pytest.raises(NotTrusted, match="another type"):
        cutover_evidence.decode(evidence.encode(good_evidence(config), key), (key.public,))


def test_no_field_can_be_left_out_or_said_otherwise(config):
    key = signing.signing_key(config)
    payload = json.loads(msgspec.json.encode(made(config)))
    for name in payload:
        for changed in (
            {other: value for other, value in payload.items() if other != name},
            payload | {name: {"of": ["another", "kind"]}},
        ):
            sealed = envelope.seal(msgspec.json.encode(changed), envelope.CUTOVER, key)
            with pytest.raises(NotTrusted):
                cutover_evidence.decode(sealed, (key.public,))


def test_what_is_signed_can_be_shown_and_nothing_else(config, tmp_path):
    run = leave(config, good_evidence(config))
    cutover = cutover_evidence.write(config, made(config))

    for arguments in ((), (str(run),), (str(run / folders.EVIDENCE),)):
        done = show(config, *arguments)
        assert (done.exit_code, json.loads(done.stdout)["verdict"]) == (0, "passed")
    assert json.loads(show(config, str(cutover)).stdout)["outcome"] == "flipped"

    cutover.write_bytes(cutover.read_bytes().replace(b'"sig": "', b'"sig": "A', 1))
    for path in (cutover, tmp_path / "none", tmp_path):
        done = show(config, str(path))
        assert (done.exit_code, done.stdout) == (5, "")
        assert "must not be believed" in done.stderr
