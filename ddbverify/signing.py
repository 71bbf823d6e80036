"""
Ed25519 keys, and DSSE envelopes whose every byte matters.

The envelope is the one of https://github.com/secure-systems-lab/dsse/blob/master/protocol.md ;
on top of it, only the exact bytes that `seal` writes are accepted, so that no byte of a file
can be changed without closing the gate, not even one that carries no meaning.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ddbverify.config import Config
from ddbverify.errors import ConfigurationError

PAYLOAD_TYPE = "application/vnd.ddbverify.evidence+json"
_PREFIX = "ed25519:"


class NotTrusted(ValueError):
    """An envelope that must not be believed; the text says why."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that evidence may be signed with, written ``ed25519:`` and 44 characters of base64."""

    raw: bytes

    def __str__(self) -> str:
        return _PREFIX + base64.b64encode(self.raw).decode()

    @property
    def id(self) -> str:
        """What an envelope calls the key."""
        return hashlib.sha256(self.raw).hexdigest()

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """
        Read a key of ``[gate] trusted_keys``.

        Raises:
            ConfigurationError: It is not an Ed25519 public key in that form.
        """
        try:
            raw = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            raw = b""
        if not text.startswith(_PREFIX) or len(raw) != 32:
            raise ConfigurationError(
                f"[gate] trusted_keys: {text[:80]!r} is not a public key.",
                "write ed25519: and the base64 that `ddbverify run` printed when it made the key.",
            )
        return cls(raw)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, and whether it was made just now."""

    private: Ed25519PrivateKey
    path: Path
    is_new: bool = False

    @property
    def public(self) -> PublicKey:
        """Its public half."""
        return PublicKey(self.private.public_key().public_bytes_raw())


def key_path(config: Config) -> Path:
    """
    Where the configured key file is, relative to the folder of the configuration.

    Raises:
        ConfigurationError: It is not a file but a KMS key.
    """
    kind, _, place = config.gate.signing_key.partition(":")
    if kind != "file":
        raise ConfigurationError(
            f"[gate] signing_key = {config.gate.signing_key!r}: KMS keys are not supported yet.",
            'use a key file, such as "file:.ddbverify/key.pem".',
        )
    return config.folder / place


def signing_key(config: Config) -> SigningKey:
    """
    Load the configured key, or make it (mode 0600) where the file is missing.

    Raises:
        ConfigurationError: The file is not an Ed25519 key without a password, or others may read it.
    """
    path = key_path(config)
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        private = Ed25519PrivateKey.generate()
        pem = private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:  # two first runs at once: one key is enough
            return signing_key(config)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        return SigningKey(private, path, is_new=True)
    private = _load(path)
    if path.stat().st_mode & 0o077:
        raise ConfigurationError(
            f"The signing key {path} can be read by others.",
            f"chmod 600 {path}; if others may have read it, delete it and run again for a new one.",
        )
    return SigningKey(private, path)


def trusted_keys(config: Config) -> tuple[PublicKey, ...]:
    """
    The keys whose signature this configuration believes: by default the signing key's own.

    Returns:
        Nothing where none are named and no signing key has been made.
    """
    if config.gate.trusted_keys:
        return tuple(PublicKey.parse(text) for text in config.gate.trusted_keys)
    path = key_path(config)
    return (SigningKey(_load(path), path).public,) if path.exists() else ()


def _load(path: Path) -> Ed25519PrivateKey:
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"The signing key {path} cannot be used: {type(error).__name__}.",
            "put the right file there, or delete it and let the next run make a new key.",
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigurationError(
            f"The signing key {path} is not an Ed25519 key.", "delete it and let the next run make one."
        )
    return private


def seal(payload: bytes, key: SigningKey) -> bytes:
    """A DSSE envelope around *payload*."""
    return _envelope(payload, key.public, key.private.sign(_authenticated(payload)))


def open_envelope(content: bytes, trusted: tuple[PublicKey, ...]) -> bytes:
    """
    The payload of an envelope that one of the *trusted* keys has signed.

    Raises:
        NotTrusted: It is not such an envelope, to the last byte.
    """
    try:
        envelope = json.loads(content)
        payload = base64.b64decode(envelope["payload"], validate=True)
        (signature,) = envelope["signatures"]
        signed = base64.b64decode(signature["sig"], validate=True)
        key_id = signature["keyid"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NotTrusted("it is not a signed envelope") from error
    key = next((key for key in trusted if key.id == key_id), None)
    if key is None:
        raise NotTrusted("it is signed by a key that is not trusted here")
    try:
        Ed25519PublicKey.from_public_bytes(key.raw).verify(signed, _authenticated(payload))
    except InvalidSignature as error:
        raise NotTrusted("its signature does not fit: it has been changed since it was signed") from error
    if _envelope(payload, key, signed) != content:
        raise NotTrusted("it has been changed since it was signed, outside the signed part")
    return payload


def _authenticated(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: type and payload, each with its length."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _envelope(payload: bytes, key: PublicKey, signature: bytes) -> bytes:
    document: dict[str, Any] = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": key.id, "sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(document, indent=2).encode() + b"\n"
