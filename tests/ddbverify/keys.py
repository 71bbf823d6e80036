"""Keys for tests: the same ones every time."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ddbverify.evidence.envelope import PublicKey
from ddbverify.evidence.signing import FileKey

ARN = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def ed25519_key(number: int) -> FileKey:
    return FileKey(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32), Path("key.pem"))


class P256Key:
    """A `SigningKey` on the curve that KMS signs with."""

    def __init__(self, number: int) -> None:
        self.private = ec.derive_private_key(number * 10**30 + 7, ec.SECP256R1())
        self.public = PublicKey.of(self.private.public_key())

    def sign(self, message: bytes) -> bytes:
        return self.private.sign(message, ec.ECDSA(hashes.SHA256()))


class FakeKms:
    """The two calls that are made of KMS, as strict as AWS documents them."""

    def __init__(self, key: Any = None, *, spec: str = "ECC_NIST_P256", usage: str = "SIGN_VERIFY") -> None:
        self.key = key or P256Key(3).private
        self.spec, self.usage = spec, usage
        self.calls: list[str] = []
        self.breaks = False  # whether it signs something else

    def get_public_key(self, *, KeyId: str) -> dict[str, Any]:  # noqa: N803
        self.calls.append(f"GetPublicKey {KeyId}")
        der = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return {"KeyId": ARN, "PublicKey": der, "KeySpec": self.spec, "KeyUsage": self.usage}

    def sign(self, *, KeyId: str, Message: bytes, MessageType: str, SigningAlgorithm: str) -> dict[str, Any]:  # noqa: N803
        assert (MessageType, SigningAlgorithm, len(Message)) == ("DIGEST", "ECDSA_SHA_256", 32)
        self.calls.append(f"Sign {KeyId}")
        digest = hashlib.sha256(Message).digest() if self.breaks else Message
        signature = self.key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        return {"KeyId": ARN, "Signature": signature, "SigningAlgorithm": SigningAlgorithm}
