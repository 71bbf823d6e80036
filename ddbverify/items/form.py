"""
Items by meaning: a canonical form, typed equality, digests. Pure.

Equality is exact (docs/checks.md): ``N`` by decimal value, sets without order, ``L`` with order,
``B`` by bytes, absent ≠ ``NULL`` ≠ empty. Left out is only what the configuration names, and
``aws:rep:*``, which legacy global tables write (docs/aws.md T22).
"""

from __future__ import annotations

import binascii
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from ddbverify.items.paths import AttributePath, parse_path
from ddbverify.names import TypedItem

ABSENT: Final = b""
"""The state of a key that holds no item; no digest is empty."""

_REPLICATION_PREFIX = "aws:rep:"
NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)  # no more: Decimal would raise

_Ignored = Mapping[str | int, Any]  # name or index -> _Ignored; empty: all from here on


class UnknownValue(ValueError):
    """A value that this version cannot compare. The message names types, never values."""


@dataclass(frozen=True, slots=True)
class Form:
    """
    How two items of one pair are compared.

    Args:
        ignore: Attribute paths that do not count.
        secret: Key of the digests; one per run, so that they tell nothing to anyone else.
    """

    ignore: tuple[AttributePath, ...] = ()
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @classmethod
    def of(cls, ignore: Sequence[str], secret: bytes | None = None) -> Form:
        """From the ``ignore`` of a pair, such as ``["updated_at", "list[0].c"]``; a new secret by default."""
        return cls(tuple(parse_path(text) for text in ignore), secret or secrets.token_bytes(32))

    def canonical(self, item: TypedItem) -> bytes:
        """
        One sequence of bytes per meaning: equal exactly when the items are.

        Raises:
            UnknownValue: An unknown type descriptor, or content that its type cannot have.
        """
        kept = {name: value for name, value in item.items() if not name.startswith(_REPLICATION_PREFIX)}
        return _map(kept, _tree(self.ignore))

    def digest(self, item: TypedItem) -> bytes:
        """128 keyed bits that stand for the canonical form (BLAKE2b)."""
        return hashlib.blake2b(self.canonical(item), digest_size=16, key=self.secret).digest()

    def same(self, one: TypedItem, other: TypedItem) -> bool:
        """Whether two items are equal."""
        return self.canonical(one) == self.canonical(other)

    def without_ignored(self, item: TypedItem) -> dict[str, Any]:
        """The item without what does not count; a list keeps its places, ``NULL`` in those left out."""
        kept = {name: value for name, value in item.items() if not name.startswith(_REPLICATION_PREFIX)}
        return _pruned_map(kept, _tree(self.ignore))


def epoch_seconds(item: TypedItem, attribute: str) -> Decimal | None:
    """The number in *attribute*, ``None`` where there is none."""
    value = item.get(attribute, {}).get("N")
    return Decimal(value) if isinstance(value, str) and NUMBER.fullmatch(value) else None


def _tree(paths: Sequence[AttributePath]) -> _Ignored:
    root: dict[str | int, Any] = {}
    for path in sorted(paths, key=len, reverse=True):  # the shorter path wins: it is set last
        *parents, last = path
        node = root
        for step in parents:
            node = node.setdefault(step, {})
        node[last] = {}
    return root


def _is_left_out(step: str | int, ignored: _Ignored) -> bool:
    return step in ignored and not ignored[step]


def _frame(tag: bytes, content: bytes) -> bytes:
    return b"%s%d:%s" % (tag, len(content), content)


def _value(value: Any, ignored: _Ignored) -> bytes:
    if not isinstance(value, Mapping) or len(value) != 1:
        raise UnknownValue("a value without exactly one type descriptor")
    ((kind, content),) = value.items()
    if kind == "M":
        return _map(content, ignored)
    if kind == "L":
        return _list(content, ignored)
    encode = _SCALARS.get(kind)
    if encode is not None:
        return _frame(kind.encode(), encode(content))
    encode = _SETS.get(kind)
    if encode is None:
        raise UnknownValue(f"an attribute of the unknown type {kind[:16]!r}")
    if not isinstance(content, list) or not content:
        raise UnknownValue(f"a malformed {kind}")
    members = sorted({encode(member) for member in content})
    return _frame(kind.encode(), b"".join(_frame(b"", member) for member in members))


def _map(content: Any, ignored: _Ignored) -> bytes:
    if not isinstance(content, Mapping):
        raise UnknownValue("a malformed M")
    return _frame(
        b"M",
        b"".join(
            _frame(b"", name.encode("utf-8", "surrogatepass")) + _value(value, ignored.get(name, {}))
            for name, value in sorted(content.items())
            if not _is_left_out(name, ignored)
        ),
    )


def _list(content: Any, ignored: _Ignored) -> bytes:
    if not isinstance(content, list):
        raise UnknownValue("a malformed L")
    parts = []
    for index, element in enumerate(content):
        if _is_left_out(index, ignored):
            continue
        # With a place left out, elements are told by their index: the rest must not slide into it.
        place = b"%d" % index if ignored else b""
        parts.append(place + _value(element, ignored.get(index, {})))
    return _frame(b"L", b"".join(parts))


def _text(content: Any) -> bytes:
    if not isinstance(content, str):
        raise UnknownValue("a malformed S")
    return content.encode("utf-8", "surrogatepass")


def _number(content: Any) -> bytes:
    if not isinstance(content, str) or not NUMBER.fullmatch(content):
        raise UnknownValue("a malformed N")
    sign, digits, exponent = Decimal(content).as_tuple()
    # Not Decimal.normalize(): that rounds to the context's 28 digits.
    text = "".join(map(str, digits)).lstrip("0")
    significant = text.rstrip("0")
    if not significant:
        return b"0"
    exponent = int(exponent) + len(text) - len(significant)
    return f"{'-' if sign else ''}{significant}E{exponent}".encode()


def bytes_of(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    try:
        return binascii.a2b_base64(content, strict_mode=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise UnknownValue("a malformed B") from error


def _bool(content: Any) -> bytes:
    if not isinstance(content, bool):
        raise UnknownValue("a malformed BOOL")
    return b"1" if content else b"0"


def _null(content: Any) -> bytes:
    if content is not True:
        raise UnknownValue("a malformed NULL")
    return b""


_SCALARS: Final[Mapping[str, Callable[[Any], bytes]]] = {
    "S": _text,
    "N": _number,
    "B": bytes_of,
    "BOOL": _bool,
    "NULL": _null,
}
_SETS: Final[Mapping[str, Callable[[Any], bytes]]] = {"SS": _text, "NS": _number, "BS": bytes_of}


def _pruned_map(content: Mapping[str, Any], ignored: _Ignored) -> dict[str, Any]:
    return {
        name: _pruned(value, ignored.get(name, {}))
        for name, value in content.items()
        if not _is_left_out(name, ignored)
    }


def _pruned(value: Mapping[str, Any], ignored: _Ignored) -> Mapping[str, Any]:
    if not ignored or len(value) != 1:
        return value
    ((kind, content),) = value.items()
    if kind == "M" and isinstance(content, Mapping):
        return {"M": _pruned_map(content, ignored)}
    if kind == "L" and isinstance(content, list):
        return {
            "L": [
                {"NULL": True} if _is_left_out(index, ignored) else _pruned(element, ignored.get(index, {}))
                for index, element in enumerate(content)
            ]
        }
    return value
