"""
A short state that says "surely equal" of two items that are never in one place. Pure.

Where both items are at hand, their bytes are compared (`ddbverify.items.raw`). Where one is here and the
other in another task, or came hours ago, a state stands in for each, in less than half of the time that the
digest of the canonical form takes (`ddbverify.items.form`). Equal states are a quick yes, never said of two
items whose canonical forms differ. Different states say nothing: two spellings of one number have two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Final

import msgspec

from ddbverify.items.form import REPLICATION_PREFIX
from ddbverify.items.keys import JoinKey
from ddbverify.items.paths import AttributePath

STATE_BYTES: Final = 16

UNSURE: Final = bytes(STATE_BYTES)
"""Of an item that is not understood. It equals nothing, not even itself; no digest is likely to be it."""

_REFUSED: Final = (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError, RecursionError)

_KEY_DIGITS: Final = Context(prec=400)  # more than a number can have: nothing is rounded

_REPLICATION_TEXT: Final = f'"{REPLICATION_PREFIX}'.encode()


class _Value(msgspec.Struct, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """One typed value as `raw.Value` has it, but that a set has no order."""

    S: str | msgspec.UnsetType = msgspec.UNSET
    N: str | msgspec.UnsetType = msgspec.UNSET
    B: str | msgspec.UnsetType = msgspec.UNSET
    BOOL: bool | msgspec.UnsetType = msgspec.UNSET
    NULL: bool | msgspec.UnsetType = msgspec.UNSET
    M: dict[str, _Value] | msgspec.UnsetType = msgspec.UNSET
    L: list[_Value] | msgspec.UnsetType = msgspec.UNSET
    SS: set[str] | msgspec.UnsetType = msgspec.UNSET
    NS: set[str] | msgspec.UnsetType = msgspec.UNSET
    BS: set[str] | msgspec.UnsetType = msgspec.UNSET


_ITEM: Final = msgspec.json.Decoder(dict[str, _Value])
_SORTED: Final = msgspec.json.Encoder(order="sorted")


class QuickState:
    """The states of the items of one pair."""

    def __init__(self, secret: bytes, ignore: Sequence[AttributePath] = ()) -> None:
        """
        Follow the rules of a `Form`.

        Args:
            secret: Key of the digests; both sides need the same.
            ignore: Attribute paths that do not count. Those with one step are left out here; of what
                differs below a longer one, the canonical form decides.
        """
        self.secret = secret
        # Begun once: beginning a keyed digest takes as long as a key's own bytes.
        self._begun = hashlib.blake2b(digest_size=STATE_BYTES, key=secret)
        self._begun_for_keys = hashlib.blake2b(digest_size=STATE_BYTES, key=secret, person=b"key")
        self._left_out = frozenset(path[0] for path in ignore if len(path) == 1)

    def of(self, raw: bytes | msgspec.Raw) -> bytes:
        """The state of an item slice; `UNSURE` where it holds what this version does not know."""
        try:
            values = _ITEM.decode(raw)
            if self._left_out:
                for name in self._left_out & values.keys():
                    del values[str(name)]
            if _REPLICATION_TEXT in bytes(raw):
                values = {
                    name: value for name, value in values.items() if not name.startswith(REPLICATION_PREFIX)
                }
            text = _SORTED.encode(values)
        except _REFUSED:
            return UNSURE
        digest = self._begun.copy()
        digest.update(text)
        return digest.digest()

    def of_key(self, key: JoinKey) -> bytes:
        """What stands for a key: equal exactly when the keys are, whatever the spelling of their numbers."""
        digest = self._begun_for_keys.copy()
        for value in key:
            if isinstance(value, str):
                content = b"S" + value.encode("utf-8", "surrogatepass")
            elif isinstance(value, bytes):
                content = b"B" + value
            else:
                content = b"N" + _spelt(value).encode()
            digest.update(len(content).to_bytes(4, "big") + content)
        return digest.digest()


def _spelt(number: Decimal) -> str:
    """The one spelling of a number."""
    text = str(number)
    if text.isdigit() and text[0] != "0" and text[-1] != "0":  # most keys
        return text
    return str(_KEY_DIGITS.normalize(number)) if number else "0"
