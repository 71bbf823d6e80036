"""
Findings that leave a machine encrypted: any runner seals them, only who has the private key opens them.

They hold raw keys, so a pipeline must not keep ``findings.jsonl``. It keeps ``findings.sealed`` beside the
evidence, and `ddbverify explain` opens it elsewhere. The public key stands in ``migration.toml``
(X25519), or is read from KMS (an RSA key for ENCRYPT_DECRYPT), so that a runner needs no right to decrypt.

The file: a line of JSON (`_Header`), then pieces of 64 KiB under AES-256-GCM, each with its number and
whether it is the last as nonce, and the line as what is authenticated beside it. A file that was cut off,
or put together from two, does not open.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ddbverify.config import Config, Side
from ddbverify.errors import ConfigurationError
from ddbverify.names import region_of
from ddbverify.tables import aws
from ddbverify.tables.references import require_named

FORMAT: Final = "ddbverify-findings-1"

_PIECE = 64 * 1024
_TAG = 16
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
_OAEP_IN_KMS: Final = "RSAES_OAEP_SHA_256"


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line of a sealed file."""

    format: str
    recipient: str  # ``x25519:BASE64`` or ``kms:ARN``
    share: bytes  # the sender's public key, or the file's own key as RSA hides it


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who can open what is sealed now."""

    name: str  # as in `_Header.recipient`
    public: X25519PublicKey | RSAPublicKey


def recipient(config: Config) -> Recipient | None:
    """
    Whom ``[verification] findings_key`` names; ``None`` where it names nobody.

    Raises:
        ConfigurationError: It is no such key.
        EngineError: KMS refused to show it.
    """
    named = config.verification.findings_key
    if named is None:
        return None
    kind, _, rest = named.partition(":")
    if kind == "x25519":
        public = X25519PublicKey.from_public_bytes(base64.b64decode(rest))
        try:
            X25519PrivateKey.generate().exchange(public)  # some numbers are no key, which only use shows
        except ValueError as error:
            raise ConfigurationError(
                "[verification] findings_key is no X25519 key.",
                "write what `ddbverify keygen --findings FILE` printed.",
            ) from error
        return Recipient(named, public)
    return _of_kms(config, rest)


def seal(source: Path, target: Path, to: Recipient) -> None:
    """
    Write *source* encrypted to *target*, which is replaced.

    Raises:
        OSError: One cannot be read, or the other not be written.
    """
    key, share = _new_key(to)
    header = msgspec.json.encode(_Header(FORMAT, to.name, share))
    with source.open("rb") as plain, target.open("wb") as out:
        out.write(header + b"\n")
        cipher, number, piece = AESGCM(key), 0, plain.read(_PIECE)
        while True:
            following = plain.read(_PIECE)
            out.write(cipher.encrypt(_nonce(number, last=not following), piece, header))
            if not following:
                return
            number, piece = number + 1, following


def lines(path: Path, private_key: Path | None) -> Iterator[str]:
    """
    The lines of sealed findings.

    Args:
        path: The sealed file.
        private_key: File of the X25519 key; not needed where KMS holds the key.

    Raises:
        ConfigurationError: There is no key that opens it, or it was altered or cut off. The last can be found
            out after lines have been handed out.
        EngineError: KMS refused.
    """
    with path.open("rb") as file:
        first = file.readline(16 * 1024).rstrip(b"\n")
        try:
            header = msgspec.json.decode(first, type=_Header)
        except msgspec.DecodeError as error:
            raise _damaged(path) from error
        if header.format != FORMAT:
            raise ConfigurationError(
                f"{path} is of the format {header.format[:40]!r}.", "open it with the ddbverify that made it."
            )
        rest = b""
        for piece in _pieces(file, path, AESGCM(_key_of(header, path, private_key)), first):
            *whole, rest = (rest + piece).split(b"\n")
            yield from (line.decode("ascii", "replace") for line in whole)
        if rest:
            yield rest.decode("ascii", "replace")


def make_private_key(path: Path) -> str:
    """
    Make an X25519 key, mode 0600, and return its public half as ``findings_key`` wants it.

    Raises:
        ConfigurationError: There is a file already, or it cannot be written.
    """
    private = X25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
    except OSError as error:
        raise ConfigurationError(
            f"The key {path} cannot be made: {error.strerror}.", "name a new file that can be written."
        ) from error
    return _text_of(private.public_key())


def _of_kms(config: Config, reference: str) -> Recipient:
    region = region_of(reference) or region_of(config.tables[0].source)
    with aws.translated(f"read the public key of the KMS key {reference}"):
        answer = aws.client(config.source, "kms", region=region).get_public_key(KeyId=reference)
    is_key = ":key/" in reference
    place = "[verification] findings_key"
    require_named(reference, answer.get("KeyId"), place=f"{place}: KMS key", same_resource=is_key)
    if _OAEP_IN_KMS not in (answer.get("EncryptionAlgorithms") or ()):
        raise ConfigurationError(
            f"{place}: the KMS key {reference} is of the spec {answer.get('KeySpec')} for "
            f"{answer.get('KeyUsage')}, and encrypts nothing outside KMS.",
            "make one with --key-spec RSA_4096 --key-usage ENCRYPT_DECRYPT.",
        )
    public = serialization.load_der_public_key(bytes(answer["PublicKey"]))
    if not isinstance(public, RSAPublicKey):
        raise ConfigurationError(f"{place}: KMS gave no RSA key for {reference}.", "look at the key in KMS.")
    return Recipient(f"kms:{answer['KeyId']}", public)


def _new_key(to: Recipient) -> tuple[bytes, bytes]:
    """A key for one file, and what its recipient finds it out by."""
    if isinstance(to.public, RSAPublicKey):
        key = AESGCM.generate_key(256)
        return key, to.public.encrypt(key, _OAEP)
    mine = X25519PrivateKey.generate()
    share = mine.public_key().public_bytes_raw()
    return _agreed(mine.exchange(to.public), share, to.name), share


def _key_of(header: _Header, path: Path, private_key: Path | None) -> bytes:
    if header.recipient.startswith("kms:"):
        arn = header.recipient.removeprefix("kms:")
        with aws.translated(f"decrypt with the KMS key {arn}"):
            answer = aws.client(Side(), "kms", region=region_of(arn)).decrypt(
                KeyId=arn, CiphertextBlob=header.share, EncryptionAlgorithm=_OAEP_IN_KMS
            )
        return bytes(answer["Plaintext"])
    if private_key is None:
        raise ConfigurationError(
            f"{path} is sealed for {header.recipient}.", "name the file of its private key with --key."
        )
    private = _private(private_key)
    if _text_of(private.public_key()) != header.recipient:
        raise ConfigurationError(
            f"{path} is sealed for {header.recipient}, and {private_key} is another key.",
            "name the file of that key with --key.",
        )
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(header.share))
    except ValueError as error:  # of another length, or one that agrees on nothing
        raise _damaged(path) from error
    return _agreed(shared, header.share, header.recipient)


def _private(path: Path) -> X25519PrivateKey:
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(
                f"The key {path} can be read by others.",
                f"chmod 600 {path}; if others have read it, change it.",
            )
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"The key {path} cannot be used: {type(error).__name__}.",
            "name the file that `ddbverify keygen --findings` made.",
        ) from error
    if not isinstance(private, X25519PrivateKey):
        raise ConfigurationError(
            f"The key {path} is not an X25519 key.", "name the file that `ddbverify keygen --findings` made."
        )
    return private


def _agreed(shared: bytes, share: bytes, name: str) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=share, info=f"{FORMAT} {name}".encode()).derive(shared)


def _pieces(file: BinaryIO, path: Path, cipher: AESGCM, header: bytes) -> Iterator[bytes]:
    number, piece = 0, file.read(_PIECE + _TAG)
    while True:
        following = file.read(_PIECE + _TAG)
        try:
            yield cipher.decrypt(_nonce(number, last=not following), piece, header)
        except InvalidTag as error:
            raise _damaged(path) from error
        if not following:
            return
        number, piece = number + 1, following


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _text_of(public: X25519PublicKey) -> str:
    return f"x25519:{base64.b64encode(public.public_bytes_raw()).decode()}"


def _damaged(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path} is no sealed findings file, or was altered or cut off.", "fetch it again from the pipeline."
    )
