"""The envelope is DSSE's, and only the very bytes that a trusted key has signed come out of it."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.evidence import envelope
from ddbverify.evidence.envelope import (
    CUTOVER,
    RUN,
    NotTrusted,
    PublicKey,
    authenticated,
    open_envelope,
    seal,
)
from ddbverify.evidence.signing import FileKey
from tests.ddbverify.keys import P256Key, ed25519_key

KEYS = [ed25519_key(1), P256Key(1)]
KEY, OTHER = ed25519_key(1), ed25519_key(2)
BY_KIND = {key.public.kind: seal(b'{"a": 1}', RUN, key) for key in KEYS}
SEALED = BY_KIND["ed25519"]


def reshaped(**changes):
    """The sealed document with other members, written as `seal` would."""
    return json.dumps(json.loads(SEALED) | changes, indent=2).encode() + b"\n"


def test_the_specification_s_own_vector():
    """https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, "Test Vectors"."""
    kind, payload = "http://example.com/HelloWorld", b"hello world"
    assert authenticated(payload, kind) == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    public = PublicKey.of(
        ec.EllipticCurvePublicNumbers(
            46950820868899156662930047687818585632848591499744589407958293238635476079160,
            5640078356564379163099075877009565129882514886557779369047442380624545832820,
            ec.SECP256R1(),
        ).public_key()
    )
    raw = base64.b64decode(
        "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
    )
    # There r and s one after the other; KMS and cryptography write them in DER.
    signature = utils.encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))

    public.verify(signature, authenticated(payload, kind))
    with pytest.raises(NotTrusted):
        public.verify(signature, authenticated(payload + b"!", kind))


def test_lengths_are_of_bytes_not_of_characters():
    assert authenticated("ü".encode(), "é") == b"DSSEv1 2 \xc3\xa9 2 \xc3\xbc"


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.public.kind)
@given(payload=st.binary(max_size=9000))
def test_what_was_sealed_comes_out(key, payload):
    assert open_envelope(seal(payload, RUN, key), RUN, (OTHER.public, key.public)) == payload


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.public.kind)
@given(data=st.data())
def test_no_byte_can_be_changed_left_out_or_added(key, data):
    content = BY_KIND[key.public.kind]
    place = data.draw(st.integers(0, len(content) - 1))
    byte = bytes([content[place] ^ data.draw(st.integers(1, 255))])

    for changed in (
        content[:place] + byte + content[place + 1 :],
        content[:place] + content[place + 1 :],
        content[:place] + byte + content[place:],
        content[:place],
        content + byte,
    ):
        if changed != content:
            with pytest.raises(NotTrusted):
                open_envelope(changed, RUN, (key.public,))


@given(st.binary(max_size=200))
def test_rubbish_is_no_envelope(content):
    with pytest.raises(NotTrusted):
        open_envelope(content, RUN, (KEY.public,))


@pytest.mark.parametrize(
    "rubbish",
    [
        b"[]",
        b"{}",
        b"null",
        b"[" * 100_000,
        b'{"payload": 1, "payloadType": "", "signatures": []}',
        b'{"payload": "", "payloadType": "", "signatures": 1}',
        b'{"payload": "", "payloadType": "", "signatures": [1]}',
        reshaped(signatures=None),
        reshaped(payload="%%%%"),
        b"\xff\xfe" + SEALED,
        SEALED.decode().encode("utf-16"),
    ],
)
def test_json_that_is_no_envelope_is_refused(rubbish):
    with pytest.raises(NotTrusted):
        open_envelope(rubbish, RUN, (KEY.public,))


@pytest.mark.parametrize("number", [0, 2, 3])
def test_exactly_one_signature_is_expected(number):
    (signature,) = json.loads(SEALED)["signatures"]

    with pytest.raises(NotTrusted, match=f"{number} signatures"):
        open_envelope(reshaped(signatures=[signature] * number), RUN, (KEY.public,))


def test_a_name_twice_is_refused():
    twice = SEALED.replace(b'"payloadType"', b'"payloadType": "x",\n  "payloadType"', 1)
    assert json.loads(twice) == json.loads(SEALED)

    with pytest.raises(NotTrusted, match="outside the signed part"):
        open_envelope(twice, RUN, (KEY.public,))


def test_a_document_of_another_type_is_not_taken_for_this_one():
    with pytest.raises(NotTrusted, match="another type"):
        open_envelope(SEALED, CUTOVER, (KEY.public,))
    with pytest.raises(NotTrusted, match="does not fit"):  # relabelled: the type is signed, too
        open_envelope(reshaped(payloadType=CUTOVER), CUTOVER, (KEY.public,))


def test_another_key_is_not_trusted_even_under_the_right_name():
    forged = seal(b'{"a": 1}', RUN, OTHER)

    with pytest.raises(NotTrusted, match="not trusted here"):
        open_envelope(forged, RUN, (KEY.public,))
    renamed = forged.replace(OTHER.public.id.encode(), KEY.public.id.encode())
    with pytest.raises(NotTrusted, match="does not fit"):
        open_envelope(renamed, RUN, (KEY.public,))
    with pytest.raises(NotTrusted, match="not trusted here"):
        open_envelope(SEALED, RUN, ())


def test_base64_of_another_spelling_is_refused_since_every_byte_counts():
    content = seal(b"\xff\xfe\xfd??>>", RUN, KEY)
    assert b"//79Pz8+Pg==" in content

    for other in (content.replace(b"//79", b"__79"), content.replace(b"Pg==", b"Ph==")):
        with pytest.raises(NotTrusted):
            open_envelope(other, RUN, (KEY.public,))


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.public.kind)
def test_a_public_key_has_a_short_form_and_pem(key):
    public = key.public
    spki = public._loaded().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    assert len(str(public).partition(":")[2]) == 44
    assert PublicKey.parse(str(public)) == PublicKey.parse(spki.decode()) == public


RSA = rsa.generate_private_key(65537, 2048).public_key()
P384 = ec.generate_private_key(ec.SECP384R1()).public_key()


def pem(key):
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


@pytest.mark.parametrize(
    "text",
    [
        *("", "ed25519:", "ed25519:AAAA", "rsa:" + "A" * 44, "ed25519:!!!", str(P256Key(1).public)[11:]),
        *("ecdsa-p256:" + "A" * 44, "ed25519:" + "A" * 44 + "\n", pem(RSA), pem(P384)),
        "-----BEGIN PUBLIC KEY-----\nrubbish\n-----END PUBLIC KEY-----\n",
        Ed25519PrivateKey.generate()
        .private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        .decode(),
    ],
)
def test_what_is_no_public_key_of_the_two_kinds_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the words are those of other libraries
        PublicKey.parse(text)


def test_a_key_file_signs_as_anyone_with_its_private_key_would():
    assert isinstance(KEY, FileKey)
    document = json.loads(SEALED)
    signature = base64.b64decode(document["signatures"][0]["sig"])

    KEY.private.public_key().verify(signature, envelope.authenticated(b'{"a": 1}', RUN))
