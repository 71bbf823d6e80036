"""
Items by meaning: a canonical form, typed equality, digests. Pure.

Equality is exact (docs/checks.md): ``N`` by decimal value, sets without order, ``L`` with order,
``B`` by bytes, absent ≠ ``NULL`` ≠ empty. Left out is only what the configuration names, and
``aws:rep:*``, which legacy global tables write (docs/aws.md T22).
"""

from __future__ import annotations

import binascii
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import msgspec

from ddbverify.items.paths import AttributePath, parse_path
from ddbverify.names import TypedItem, TypedValue

ABSENT: Final = b""
"""The state of a key that holds no item; no digest is empty."""

REPLICATION_PREFIX = "aws:rep:"
NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)  # no more: Decimal would raise

_ENCODER = msgspec.json.Encoder(order="sorted")

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
    _ignored: _Ignored = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ignored", _tree(self.ignore))

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
        return _written(self._normal(item))

    def digest(self, item: TypedItem) -> bytes:
        """128 keyed bits that stand for the canonical form (BLAKE2b)."""
        return self._hash(self._normal(item))

    def digests(self, one: TypedItem, other: TypedItem) -> tuple[bytes, bytes]:
        """The digests of two items; a value that is one object in both is brought into form once."""
        ours = self._normal(one)
        apart = {name: value for name, value in other.items() if value is not one.get(name)}
        theirs = {name: value for name, value in ours.items() if name in other and name not in apart}
        theirs |= self._normal(apart)
        return self._hash(ours), self._hash(theirs)

    def _hash(self, normal: dict[str, Any]) -> bytes:
        return hashlib.blake2b(_written(normal), digest_size=16, key=self.secret).digest()

    def same(self, one: TypedItem, other: TypedItem) -> bool:
        """Whether two items are equal."""
        return self._normal(one) == self._normal(other)

    def _normal(self, item: TypedItem) -> dict[str, Any]:
        """The item in one spelling, without what does not count: as it is written down by `canonical`."""
        kept = {name: value for name, value in item.items() if not name.startswith(REPLICATION_PREFIX)}
        return _map(kept, self._ignored)

    def without_ignored(self, item: TypedItem) -> dict[str, Any]:
        """The item without what does not count; a list keeps its places, ``NULL`` in those left out."""
        kept = {name: value for name, value in item.items() if not name.startswith(REPLICATION_PREFIX)}
        return _pruned_map(kept, self._ignored) if self._ignored else kept


def epoch_seconds(item: TypedItem, attribute: str) -> Decimal | None:
    """The number in *attribute*, ``None`` where there is none."""
    value = item.get(attribute, {}).get("N")
    return Decimal(value) if isinstance(value, str) and NUMBER.fullmatch(value) else None


def _written(normal: dict[str, Any]) -> bytes:
    try:
        return _ENCODER.encode(normal)
    except UnicodeEncodeError:  # a lone surrogate, which JSON in UTF-8 cannot hold; no other text begins so
        return json.dumps(normal, sort_keys=True).encode("ascii")


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


def same_value(one: TypedValue, other: TypedValue) -> bool:
    """
    Whether two typed values are equal.

    Raises:
        UnknownValue: As `Form.canonical`.
    """
    return _value(one, {}) == _value(other, {})


def _value(value: Any, ignored: _Ignored) -> Mapping[str, Any]:
    # By exact type first: what an abstract class is asked takes as long as all the rest.
    if (type(value) is not dict and not isinstance(value, Mapping)) or len(value) != 1:
        raise UnknownValue("a value without exactly one type descriptor")
    ((kind, content),) = value.items()
    if kind == "S" and type(content) is str and type(value) is dict:
        return value  # most values: a text has one spelling
    encode = _SCALARS.get(kind)
    if encode is not None:
        return {kind: encode(content)}
    if kind == "M":
        return {kind: _map(content, ignored)}
    if kind == "L":
        return {kind: _list(content, ignored)}
    encode = _SETS.get(kind)
    if encode is None:
        raise UnknownValue(f"an attribute of the unknown type {kind[:16]!r}")
    if not isinstance(content, list) or not content:
        raise UnknownValue(f"a malformed {kind}")
    return {kind: sorted({encode(member) for member in content})}


def _map(content: Any, ignored: _Ignored) -> dict[str, Any]:
    if type(content) is not dict and not isinstance(content, Mapping):
        raise UnknownValue("a malformed M")
    if not ignored:
        return {name: _value(value, ignored) for name, value in content.items()}
    return {
        name: _value(value, ignored.get(name, {}))
        for name, value in content.items()
        if not _is_left_out(name, ignored)
    }


def _list(content: Any, ignored: _Ignored) -> list[Any]:
    if not isinstance(content, list):
        raise UnknownValue("a malformed L")
    if not ignored:
        return [_value(element, ignored) for element in content]
    # With a place left out, elements are told by their index: the rest must not slide into it.
    return [
        [index, _value(element, ignored.get(index, {}))]
        for index, element in enumerate(content)
        if not _is_left_out(index, ignored)
    ]


def _text(content: Any) -> str:
    if not isinstance(content, str):
        raise UnknownValue("a malformed S")
    return content


def _number(content: Any) -> str:
    """Its digits without zeros at either end, and their exponent: one text for each value."""
    if not isinstance(content, str):
        raise UnknownValue("a malformed N")
    whole, _, fraction = content.partition(".")
    digits = whole + fraction
    if digits.isdigit() and digits.isascii() and digits[0] != "0":  # most numbers
        short = digits.rstrip("0")
        return f"{short}E{len(whole) - len(short)}"
    if not NUMBER.fullmatch(content):
        raise UnknownValue("a malformed N")
    if "e" in content or "E" in content:
        sign, parts, exponent = Decimal(content).as_tuple()
        # Not Decimal.normalize(): that rounds to the context's 28 digits.
        digits, power, is_negative = "".join(map(str, parts)), int(exponent), bool(sign)
    else:
        whole, _, fraction = content.lstrip("-").partition(".")
        digits, power, is_negative = whole + fraction, -len(fraction), content[0] == "-"
    text = digits.lstrip("0")
    significant = text.rstrip("0")
    if not significant:
        return "0"
    return f"{'-' if is_negative else ''}{significant}E{power + len(text) - len(significant)}"


def bytes_of(content: Any) -> bytes:
    """
    Binary content, from base64 text where it is not bytes already.

    Raises:
        UnknownValue: It is neither.
    """
    if isinstance(content, bytes):
        return content
    try:
        return binascii.a2b_base64(content, strict_mode=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise UnknownValue("a malformed B") from error


def _binary(content: Any) -> str:
    return binascii.b2a_base64(bytes_of(content), newline=False).decode()


def _bool(content: Any) -> bool:
    if not isinstance(content, bool):
        raise UnknownValue("a malformed BOOL")
    return content


def _null(content: Any) -> bool:
    if content is not True:
        raise UnknownValue("a malformed NULL")
    return content


_SCALARS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "S": _text,
    "N": _number,
    "B": _binary,
    "BOOL": _bool,
    "NULL": _null,
}
_SETS: Final[Mapping[str, Callable[[Any], str]]] = {"SS": _text, "NS": _number, "BS": _binary}


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
