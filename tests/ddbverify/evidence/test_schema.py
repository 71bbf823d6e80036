"""The published schemas are those of the types, and evidence follows them."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from ddbverify.config import load
from ddbverify.evidence import envelope, evidence, record, schema
from tests.ddbverify import projects
from tests.ddbverify.judged import good_evidence
from tests.ddbverify.keys import ed25519_key


@pytest.mark.parametrize("name", schema.schemas())
def test_the_published_files_are_those_of_the_types(name):
    published = (schema.FOLDER / name).read_text(encoding="utf-8")

    assert published == schema.text(schema.schemas()[name]), "run `python -m ddbverify.evidence.schema`"


def test_no_other_file_is_published():
    assert {path.name for path in schema.FOLDER.iterdir()} == set(schema.schemas())


def test_evidence_follows_its_schema(tmp_path):
    config = load(projects.make_project(tmp_path))
    sealed = evidence.encode(good_evidence(config), ed25519_key(1))
    payload = json.loads(envelope.open_envelope(sealed, envelope.RUN, (ed25519_key(1).public,)))
    published = json.loads((schema.FOLDER / f"evidence-v{evidence.SCHEMA}.json").read_text())

    jsonschema.Draft202012Validator.check_schema(published)
    jsonschema.validate(payload, published)
    for broken in (payload | {"verdict": "fine"}, payload | {"extra": 1}, payload | {"run_id": "run"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, published)


def test_every_field_of_a_run_is_documented():
    text = (Path(__file__).parents[3] / "docs" / "evidence.md").read_text(encoding="utf-8")
    fields = {field.name for field in msgspec.structs.fields(evidence.Evidence)}

    assert {name for name in (*fields, *record.FACTS) if f"`{name}`" not in text} == set()
