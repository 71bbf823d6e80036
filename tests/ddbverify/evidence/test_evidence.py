"""Only the very bytes that a trusted key has signed are evidence."""

from __future__ import annotations

import base64
import json
import stat

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbverify.config import load
from ddbverify.errors import ConfigurationError
from ddbverify.evidence import envelope, evidence, folders, signing
from ddbverify.evidence.consistency import contradictions
from ddbverify.evidence.envelope import NotTrusted
from ddbverify.evidence.record import FACTS, ComparisonRecord, Fact
from tests.ddbverify import projects
from tests.ddbverify.judged import NOW, good_evidence


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """A configuration, its key, its evidence, and the signed file."""
    config = load(projects.make_project(tmp_path_factory.mktemp("signed")))
    key = signing.signing_key(config)
    found = good_evidence(config)
    return config, key, found, evidence.encode(found, key)


def test_evidence_survives_its_envelope(signed):
    _, key, found, content = signed

    assert evidence.decode(content, (key.public,)) == found


@settings(max_examples=300)
@given(data=st.data())
def test_no_byte_can_be_changed(signed, data):
    _, key, _, content = signed
    place = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(NotTrusted):
        evidence.decode(bytes(changed), (key.public,))


@given(data=st.data())
def test_no_part_can_be_left_out_or_added(signed, data):
    _, key, _, content = signed
    cut = data.draw(st.integers(0, len(content) - 1))

    for changed in (content[:cut], content + b" ", content[:cut] + b" " + content[cut:]):
        with pytest.raises(NotTrusted):
            evidence.decode(changed, (key.public,))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 1}, "schema '1' is not known to this version, which knows 2; run again"),
        ({"schema": None}, "not known"),
        ({"extra": 1}, "does not follow its schema"),
        ({"verdict": "fine"}, "does not follow its schema"),
        ({"checks": [{"id": "x"}]}, "does not follow its schema"),
    ],
)
def test_a_signed_document_of_another_form_is_refused(signed, change, said):
    _, key, _, content = signed
    payload = json.loads(base64.b64decode(json.loads(content)["payload"]))
    sealed = envelope.seal(json.dumps(payload | change).encode(), envelope.RUN, key)

    with pytest.raises(NotTrusted, match=said):
        evidence.decode(sealed, (key.public,))


def test_no_field_can_be_missing(signed):
    _, key, _, content = signed
    payload = json.loads(base64.b64decode(json.loads(content)["payload"]))

    for name in payload:
        rest = {other: value for other, value in payload.items() if other != name}
        with pytest.raises(NotTrusted):
            evidence.decode(envelope.seal(json.dumps(rest).encode(), envelope.RUN, key), (key.public,))


def test_run_folders_are_private_unguessable_and_never_reused(tmp_path):
    config = load(projects.make_project(tmp_path))
    first, second = (folders.new_run_id(1_795_000_000.0) for _ in range(2))
    assert first != second
    assert first.startswith("20261118T")

    folder = folders.make_run_folder(config, first, None)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folders.home(config).stat().st_mode) == 0o700
    assert (folders.home(config) / ".gitignore").read_text() == "*\n"
    assert folders.latest(config).resolve() == folder.resolve()
    folders.make_run_folder(config, second, tmp_path / "elsewhere")
    assert folders.latest(config).resolve() == (tmp_path / "elsewhere").resolve()
    (folder / "x").write_text("")
    with pytest.raises(ConfigurationError, match="not empty"):
        folders.make_run_folder(config, first, folder)


@pytest.mark.parametrize("value", [3, 0.5, "by cause", ("one", "two")])
def test_a_fact_of_a_known_name_about_a_run_a_pair_or_a_check_is_evidence(signed, value):
    config, key, found, _ = signed
    for about in ("", config.tables[0].id, found.checks[0].id):
        fact = Fact(name=next(iter(FACTS)), about=about, value=value)
        told = msgspec.structs.replace(found, facts=(fact,))

        assert list(contradictions(told)) == []
        assert evidence.decode(evidence.encode(told, key), (key.public,)).facts == (fact,)


@pytest.mark.parametrize(
    "facts",
    [
        (Fact(name="of-a-later-version", about="", value=1),),
        (Fact(name="causes", about="no-such-pair", value=1),),
        (Fact(name="causes", about="", value=1), Fact(name="causes", about="", value=2)),
    ],
)
def test_a_fact_that_this_version_does_not_know_or_of_nothing_or_told_twice_contradicts(signed, facts):
    found = signed[2]

    assert len(list(contradictions(msgspec.structs.replace(found, facts=facts)))) == 1


def test_evidence_says_how_many_differences_were_established_by_their_cause(
    signed,
):
    _, _, found, _ = signed
    counts = {"matched": 3, "missing": 1, "extraneous": 2, "different": 4}
    for by_cause, is_believed in ((0, True), (7, True), (8, False)):
        read = ComparisonRecord.of(
            projects.comparison(
                found.pairs[0].id, counts=counts, different_by_cause=by_cause, started_epoch=NOW - 320
            )
        )
        pair = msgspec.structs.replace(found.pairs[0], comparison=read)
        said = list(contradictions(msgspec.structs.replace(found, pairs=(pair, *found.pairs[1:]))))

        assert read.different_by_cause == by_cause
        assert any("more keys differ by their cause than differ" in one for one in said) is not is_believed
