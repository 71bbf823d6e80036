"""
The keys that sign evidence, in a file or in KMS, and those whose signature is believed.

A file holds an Ed25519 key. A key of KMS is of the spec ECC_NIST_P256: KMS has Ed25519 keys, too
(ECC_NIST_EDWARDS25519), but signs with them at most 4,096 bytes as they are, and evidence is larger.
https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ddbverify.config import Config
from ddbverify.errors import ConfigurationError, EngineError
from ddbverify.evidence.envelope import NotTrusted, PublicKey, SigningKey
from ddbverify.names import region_of
from ddbverify.tables import aws
from ddbverify.tables.references import require_named

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

# https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id-key-ARN
_KMS_ARN = re.compile(r"arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:(key|alias)/[\w/-]+")


@dataclass(frozen=True, slots=True)
class FileKey:
    """An Ed25519 key of a file, and whether it was made just now."""

    private: Ed25519PrivateKey
    path: Path
    is_new: bool = False

    @property
    def public(self) -> PublicKey:
        """Its public half."""
        return PublicKey("ed25519", self.private.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Sign *message*."""
        return self.private.sign(message)


@dataclass(frozen=True, slots=True)
class KmsKey:
    """A key on the curve P-256 that never leaves KMS."""

    client: KMSClient
    arn: str
    public: PublicKey

    def sign(self, message: bytes) -> bytes:
        """
        Sign *message*, whose SHA-256 alone travels: KMS takes no more than 4,096 bytes.

        Raises:
            EngineError: KMS refused, or its answer does not fit the key.
        """
        with aws.translated(f"sign with the KMS key {self.arn}"):
            answer = self.client.sign(
                KeyId=self.arn,
                Message=hashlib.sha256(message).digest(),
                MessageType="DIGEST",
                SigningAlgorithm="ECDSA_SHA_256",
            )
        signature = bytes(answer["Signature"])
        try:
            self.public.verify(signature, message)
        except NotTrusted as error:
            raise EngineError(
                f"What KMS signed with {self.arn} does not fit that key.",
                "run again; an emulator may not honour MessageType DIGEST (moto does not).",
            ) from error
        return signature


def signing_key(config: Config) -> SigningKey:
    """
    The configured key; one in a file is made (mode 0600) where it is missing.

    Raises:
        ConfigurationError: It is no key of the right kind, or others may read or replace it.
        EngineError: KMS refused.
    """
    path = key_path(config)
    if path is None:
        return kms_key(config, _place(config))
    return _of_file(path) if path.exists() else make(path)


def key_path(config: Config) -> Path | None:
    """Where the configured key file is, or is to be; ``None`` for a key in KMS."""
    kind, place = config.gate.signing_key.partition(":")[0], _place(config)
    return config.folder / place if kind == "file" else None


def make(path: Path) -> FileKey:
    """
    Make a key, mode 0600. Nothing is ever overwritten.

    Raises:
        ConfigurationError: The file cannot be written, or another run made a key that cannot be used.
    """
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        if path.exists():  # two first runs at once: one key is enough
            return _of_file(path)
        raise _unwritten(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
    except OSError as error:
        path.unlink()  # half a key would be refused for ever, and is never overwritten
        raise _unwritten(path, error) from error
    return FileKey(private, path, is_new=True)


def _unwritten(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"The signing key {path} cannot be written: {error.strerror}.",
        "make room or name another place in [gate] signing_key.",
    )


def kms_key(config: Config, reference: str) -> KmsKey:
    """
    A key of KMS, in the account of the source (or where its ARN says).

    Args:
        config: The source's credentials are used.
        reference: ``alias/NAME``, a key's id, or an ARN of either.

    Raises:
        ConfigurationError: It is not a signing key of the spec ECC_NIST_P256, or KMS answers with another
            key than the ARN names.
        EngineError: KMS refused.
    """
    region = region_of(reference) or region_of(config.tables[0].source)
    client = aws.client(config.source, "kms", region=region)
    with aws.translated(f"read the public key of the KMS key {reference}"):
        answer = client.get_public_key(KeyId=reference)
    # The answer names the key itself, also where it was asked for by an alias.
    is_key = ":key/" in reference
    require_named(reference, answer.get("KeyId"), place="[gate] KMS key", same_resource=is_key)
    spec = str(answer.get("KeySpec") or answer.get("CustomerMasterKeySpec"))
    if spec != "ECC_NIST_P256" or answer.get("KeyUsage") != "SIGN_VERIFY":
        raise ConfigurationError(
            f"The KMS key {reference} is of the spec {spec} for {answer.get('KeyUsage')}.",
            "make one with --key-spec ECC_NIST_P256 --key-usage SIGN_VERIFY; with others KMS cannot sign "
            "documents of this size in a form that can be verified elsewhere.",
        )
    try:
        public = PublicKey.of_spki(bytes(answer["PublicKey"]))
    except ValueError as error:
        raise EngineError(
            f"KMS gave something that is no public key for {reference}.", "look at the key in KMS."
        ) from error
    return KmsKey(client, str(answer["KeyId"]), public)


def trusted_keys(config: Config) -> tuple[PublicKey, ...]:
    """
    The keys whose signature this configuration believes: by default the signing key's own.

    Returns:
        Nothing where none are named and no signing key has been made.

    Raises:
        ConfigurationError: One of them is no key.
        EngineError: KMS refused to show one.
    """
    if config.gate.trusted_keys:
        return tuple(_trusted(config, text) for text in config.gate.trusted_keys)
    path = key_path(config)
    if path is None:
        return (kms_key(config, _place(config)).public,)
    return (_of_file(path).public,) if path.exists() else ()


def _trusted(config: Config, text: str) -> PublicKey:
    arn = _KMS_ARN.fullmatch(text)
    if arn is not None and arn[1] == "key":
        return kms_key(config, text).public
    if arn is not None:
        raise ConfigurationError(
            f"[gate] trusted_keys: {text} is an alias, and an alias can be pointed at another key.",
            "name the key by its own ARN (…:key/…), or by the public key that `ddbverify keygen` prints.",
        )
    try:
        return PublicKey.parse(text)
    except ValueError as error:
        raise ConfigurationError(
            f"[gate] trusted_keys: {text[:80]!r} is not a public key.",
            "write what `ddbverify keygen` printed (ed25519:… or ecdsa-p256:…), a public key in PEM, or the "
            "ARN of a KMS key.",
        ) from error


def _place(config: Config) -> str:
    return config.gate.signing_key.partition(":")[2]


def _of_file(path: Path) -> FileKey:
    """A key that only its owner can read, and nobody else can replace."""
    try:
        status = path.stat()
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"The signing key {path} cannot be used: {type(error).__name__}.",
            "put the right file there, or move it away and let `ddbverify keygen` make a new key.",
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigurationError(
            f"The signing key {path} is not an Ed25519 key.",
            "move it away and let `ddbverify keygen` make one.",
        )
    if status.st_mode & 0o077:
        raise ConfigurationError(
            f"The signing key {path} can be read by others.",
            f"chmod 600 {path}; if others may have read it, delete it and run again for a new one.",
        )
    if status.st_uid not in (os.geteuid(), 0) or path.parent.stat().st_mode & 0o1002 == 0o002:
        raise ConfigurationError(
            f"The signing key {path} can be replaced by others: its owner, or all who may write its folder.",
            f"chown it to yourself, and chmod o-w {path.parent}.",
        )
    return FileKey(private, path)
