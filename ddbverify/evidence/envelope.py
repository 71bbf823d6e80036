"""
DSSE envelopes whose every byte matters: https://github.com/secure-systems-lab/dsse, version 1.0.0. Pure.

On top of DSSE only the exact bytes that `seal` writes are accepted, with exactly one signature, so
that no byte of a file can be changed without closing the gate, not even one that carries no meaning.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

RUN = "application/vnd.ddbverify.evidence+json"
"""Payload type of the evidence of a run."""

CUTOVER = "application/vnd.ddbverify.cutover+json"
"""Payload type of the evidence of a cutover."""

REPAIR = "application/vnd.ddbverify.repair+json"
"""Payload type of the evidence of a repair."""

_BYTES = {"ed25519": 32, "ecdsa-p256": 33}  # of a raw key; of a compressed point


class NotTrusted(ValueError):
    """An envelope that must not be believed; the text says why."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """
    A key that evidence may be signed with.

    Written ``ed25519:`` or ``ecdsa-p256:`` and 44 characters of base64.
    """

    kind: Literal["ed25519", "ecdsa-p256"]
    raw: bytes

    def __str__(self) -> str:
        return f"{self.kind}:{base64.b64encode(self.raw).decode()}"

    @property
    def id(self) -> str:
        """What an envelope calls the key: SHA-256 of its SubjectPublicKeyInfo (DER), in hex."""
        spki = self._loaded().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hashlib.sha256(spki).hexdigest()

    def verify(self, signature: bytes, message: bytes) -> None:
        """
        Hold a signature against what it is said to sign.

        Raises:
            NotTrusted: It does not fit.
        """
        key = self._loaded()
        try:
            if isinstance(key, Ed25519PublicKey):
                key.verify(signature, message)
            else:
                key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise NotTrusted("its signature does not fit: it has been changed since it was signed") from error

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """
        Read a key in its short form, or in PEM.

        Raises:
            ValueError: It is neither; or no key of these two kinds.
        """
        if text.lstrip().startswith("-----BEGIN "):
            try:
                return cls.of(serialization.load_pem_public_key(text.encode()))
            except UnsupportedAlgorithm as error:
                raise ValueError("a kind of key that is not known") from error
        kind, _, rest = text.partition(":")
        raw = base64.b64decode(rest, validate=True)
        if len(raw) != _BYTES.get(kind):
            raise ValueError("neither ed25519: nor ecdsa-p256: with a key of that kind")
        key = cls(kind, raw)  # type: ignore[arg-type]  # a kind of _BYTES, as was just seen
        key._loaded()
        return key

    @classmethod
    def of_spki(cls, der: bytes) -> PublicKey:
        """
        Read a SubjectPublicKeyInfo, as KMS gives it.

        Raises:
            ValueError: It is none, or of another kind of key.
        """
        try:
            return cls.of(serialization.load_der_public_key(der))
        except UnsupportedAlgorithm as error:
            raise ValueError("a kind of key that is not known") from error

    @classmethod
    def of(cls, key: object) -> PublicKey:
        """
        Take over a key of `cryptography`.

        Raises:
            ValueError: It is neither Ed25519 nor on the curve P-256.
        """
        if isinstance(key, Ed25519PublicKey):
            return cls("ed25519", key.public_bytes_raw())
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
            point = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
            return cls("ecdsa-p256", point)
        raise ValueError("neither an Ed25519 key nor one on the curve P-256")

    def _loaded(self) -> Ed25519PublicKey | ec.EllipticCurvePublicKey:
        if self.kind == "ed25519":
            return Ed25519PublicKey.from_public_bytes(self.raw)
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.raw)


class SigningKey(Protocol):
    """Whatever signs: a key in a file, or one that never leaves KMS."""

    @property
    def public(self) -> PublicKey:
        """Its public half."""

    def sign(self, message: bytes) -> bytes:
        """Sign *message*, which may be of any length."""


def seal(payload: bytes, kind: str, key: SigningKey) -> bytes:
    """A DSSE envelope around *payload*, whose payload type is *kind*."""
    return _envelope(payload, kind, key.public, key.sign(authenticated(payload, kind)))


def open_envelope(content: bytes, kind: str, trusted: tuple[PublicKey, ...]) -> bytes:
    """
    The payload of an envelope that one of the *trusted* keys has signed.

    Args:
        content: The file.
        kind: The payload type that it has to have.
        trusted: As configured.

    Raises:
        NotTrusted: It is not such an envelope, to the last byte.
    """
    payload, type_, key_id, signed = _parsed(content)
    if type_ != kind:
        raise NotTrusted(f"it is a signed document of another type, {str(type_)[:80]!r}")
    key = next((key for key in trusted if key.id == key_id), None)
    if key is None:
        raise NotTrusted("it is signed by a key that is not trusted here")
    key.verify(signed, authenticated(payload, kind))
    if _envelope(payload, kind, key, signed) != content:
        raise NotTrusted("it has been changed since it was signed, outside the signed part")
    return payload


def type_of(content: bytes) -> str:
    """
    What an envelope says that it holds; to be believed only once it has been opened as that.

    Raises:
        NotTrusted: It is no envelope.
    """
    return str(_parsed(content)[1])


def _parsed(content: bytes) -> tuple[bytes, Any, Any, bytes]:
    """Payload, payload type, id of the key, signature; nothing of it is believed yet."""
    try:
        document = json.loads(content)
        payload = base64.b64decode(document["payload"], validate=True)
        type_, signatures = document["payloadType"], document["signatures"]
        found = [(one["keyid"], base64.b64decode(one["sig"], validate=True)) for one in signatures]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NotTrusted("it is not a signed envelope") from error
    if len(found) != 1:
        raise NotTrusted(f"it has {len(found)} signatures, and exactly one is expected")
    return payload, type_, *found[0]


def authenticated(payload: bytes, kind: str) -> bytes:
    """DSSE's pre-authentication encoding: type and payload, each with its length in bytes."""
    type_ = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(type_), type_, len(payload), payload)


def _envelope(payload: bytes, kind: str, key: PublicKey, signature: bytes) -> bytes:
    document: dict[str, Any] = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": [{"keyid": key.id, "sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(document, indent=2).encode() + b"\n"
