"""Only the very bytes that a trusted key has signed are evidence."""

from __future__ import annotations

import base64
import json
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbverify import evidence, folders, signing
from ddbverify.config import load
from ddbverify.errors import ConfigurationError
from ddbverify.signing import NotTrusted, PublicKey
from tests.ddbverify import projects
from tests.ddbverify.judged import good_evidence


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


def test_the_envelope_is_dsse(signed):
    _, key, _, content = signed
    envelope = json.loads(content)
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"].encode()
    authenticated = b" ".join([b"DSSEv1", b"%d" % len(kind), kind, b"%d" % len(payload), payload])

    key.private.public_key().verify(base64.b64decode(envelope["signatures"][0]["sig"]), authenticated)


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


@given(st.binary(max_size=200))
def test_rubbish_is_not_evidence(signed, content):
    with pytest.raises(NotTrusted):
        evidence.decode(content, (signed[1].public,))


@pytest.mark.parametrize(
    "rubbish", [b"[]", b"{}", b"[" * 100_000, b'{"payload": 1, "signatures": []}', b"null"]
)
def test_json_that_is_no_envelope_is_not_evidence(signed, rubbish):
    with pytest.raises(NotTrusted):
        evidence.decode(rubbish, (signed[1].public,))


def test_another_key_is_not_trusted_even_under_the_right_name(signed, tmp_path):
    _, key, found, content = signed
    other = signing.signing_key(load(projects.make_project(tmp_path)))
    forged = evidence.encode(found, other)

    with pytest.raises(NotTrusted, match="not trusted here"):
        evidence.decode(forged, (key.public,))
    renamed = forged.replace(other.public.id.encode(), key.public.id.encode())
    with pytest.raises(NotTrusted, match="signature does not fit"):
        evidence.decode(renamed, (key.public,))
    assert evidence.decode(content, (other.public, key.public)) == found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "schema '2' is not known"),
        ({"schema": None}, "not known"),
        ({"extra": 1}, "does not follow its schema"),
        ({"verdict": "fine"}, "does not follow its schema"),
        ({"checks": [{"id": "x"}]}, "does not follow its schema"),
    ],
)
def test_a_signed_document_of_another_form_is_refused(signed, change, said):
    _, key, _, content = signed
    payload = json.loads(base64.b64decode(json.loads(content)["payload"]))
    sealed = signing.seal(json.dumps(payload | change).encode(), key)

    with pytest.raises(NotTrusted, match=said):
        evidence.decode(sealed, (key.public,))


def test_no_field_can_be_missing(signed):
    _, key, _, content = signed
    payload = json.loads(base64.b64decode(json.loads(content)["payload"]))

    for name in payload:
        rest = {other: value for other, value in payload.items() if other != name}
        with pytest.raises(NotTrusted):
            evidence.decode(signing.seal(json.dumps(rest).encode(), key), (key.public,))


def test_the_key_is_made_once_for_its_owner_only(tmp_path):
    config = load(projects.make_project(tmp_path))
    assert signing.trusted_keys(config) == ()

    first, second = signing.signing_key(config), signing.signing_key(config)

    assert (first.is_new, second.is_new) == (True, False)
    assert first.public == second.public
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert signing.trusted_keys(config) == (first.public,)
    assert PublicKey.parse(str(first.public)) == first.public


def test_a_key_that_others_can_read_or_that_is_none_is_refused(tmp_path):
    config = load(projects.make_project(tmp_path))
    path = signing.signing_key(config).path
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="read by others"):
        signing.signing_key(config)
    path.write_bytes(b"no key")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        signing.signing_key(config)


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:AAAA", "rsa:" + "A" * 44, "ed25519:!!!"])
def test_a_trusted_key_that_is_none_is_refused(text):
    with pytest.raises(ConfigurationError, match="trusted_keys"):
        PublicKey.parse(text)


def test_kms_is_refused_until_it_works(tmp_path):
    text = projects.TOML + '[gate]\nsigning_key = "kms:alias/x"\n'
    config = load(projects.make_project(tmp_path, toml=text))

    with pytest.raises(ConfigurationError, match="not supported yet"):
        signing.signing_key(config)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        (projects.TOML.replace("orders-v2", "orders-v3"), False),
        (projects.TOML.replace("eu-central-1", "eu-central-2"), False),
        (projects.TOML + 'ignore = ["x"]\n', False),
        (projects.TOML + 'transform = "a:b"\n', False),
        (projects.TOML + '[verification]\ncoverage = "5%"\n', False),
        (projects.TOML + '[verification]\nsettle = "1s"\n', False),
        ('name = "other"\n' + projects.TOML, False),
        (projects.TOML + '[gate]\nmax_age = "2h"\n[cutover]\nfence_limit = "1h"\n', True),
        (projects.TOML + "[verification]\nread_units = 5\n", True),
        ("# a comment\n" + projects.TOML, True),
        (projects.TOML.replace("[target]", '[target]\nprofile = "ci"'), True),
    ],
)
def test_the_digest_binds_what_decides_the_outcome(tmp_path, changed, same):
    before = load(projects.make_project(tmp_path))
    after = load(projects.make_project(tmp_path / "after", toml=changed))

    assert (evidence.configuration_digest(before) == evidence.configuration_digest(after)) is same


def test_the_digest_of_a_folder_is_of_names_and_contents(tmp_path):
    folder = tmp_path / "checks"
    folder.mkdir()
    (folder / "check_a.py").write_text("x")
    seen = [evidence.folder_digest(folder)]
    for change in (
        lambda: (folder / "check_a.py").write_text("y"),
        lambda: (folder / "check_a.py").rename(folder / "check_b.py"),
        lambda: (folder / "helper.txt").write_text(""),
    ):
        change()
        seen.append(evidence.folder_digest(folder))
    assert len(set(seen)) == 4
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_text("cache")
    assert evidence.folder_digest(folder) == seen[-1]


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
