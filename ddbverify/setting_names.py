"""
What the settings of a table are called, wherever they are compared, reported or accepted.

``[[tables]] accept`` names them, and so does each finding about one. `docs/checks.md` says what
each of them is.

A `Setting` is a value with parts, because names of indexes and tags are users' text: an index may be
called ``order.status``. Its spelling is made from the parts, and only a `Pattern` is ever read from text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

SETTINGS: Final = (
    "autoscaling.read",
    "autoscaling.write",
    "billing",
    "capacity.max_read",
    "capacity.max_write",
    "capacity.read",
    "capacity.warm_read",
    "capacity.warm_write",
    "capacity.write",
    "contributor_insights",
    "deletion_protection",
    "encryption",
    "encryption.key",
    "kinesis",
    "pitr",
    "pitr.days",
    "policy",
    "replicas",
    "stream",
    "table_class",
    "ttl",
)
"""Those that every table has; the rest is named after an index, a tag, or a member of AWS's answer."""


class Kind(StrEnum):
    """What a setting belongs to; the value is what its spelling begins with."""

    TABLE = ""
    INDEX = "index"
    INDEX_CAPACITY = "capacity.index"
    INDEX_AUTOSCALING = "autoscaling.index"
    INDEX_UNKNOWN = "unknown.index"
    UNKNOWN = "unknown"
    TAG = "tags"


_RATES: Final = ("read", "write")
_FIELDS: Final = {
    Kind.INDEX: ("keys", "projection", "status"),
    Kind.INDEX_CAPACITY: (*_RATES, *(f"{most}_{rate}" for most in ("max", "warm") for rate in _RATES)),
    Kind.INDEX_AUTOSCALING: _RATES,
}
"""What a setting of an index can be about. A member that this version does not know can be any."""

_LONGEST_FIRST: Final = sorted((kind for kind in Kind if kind), key=len, reverse=True)

FAMILIES: Final = tuple(f"{kind}." for kind in Kind if kind)
"""What the names of the others begin with: ``index.by_date``, ``index.by_date.projection``, ``tags.team``."""

_DOT: Final = "\0"  # in a matched text: a dot that belongs to a name. No name and no spelling holds it.
_INDEX_NAME: Final = re.compile(r"[A-Za-z0-9_.*-]+")
_TAG_KEY: Final = re.compile(r"[^\0-\x1f\x7f]+")
_QUOTED: Final = re.compile(r'"([^"]+)"(?:\.(.+))?')


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """
    One setting of one table.

    Args:
        kind: What it belongs to.
        name: Of the index, the tag or the unknown member; empty for the table's own.
        field: Which of it, such as ``pitr.days`` or ``keys``; empty for the index or tag itself.
    """

    kind: Kind
    name: str
    field: str = ""

    @classmethod
    def own(cls, field: str) -> Setting:
        """One of `SETTINGS`."""
        return cls(Kind.TABLE, "", field)

    @property
    def of_index(self) -> bool:
        """Whether it belongs to an index."""
        return self.kind in (Kind.INDEX, Kind.INDEX_CAPACITY, Kind.INDEX_AUTOSCALING, Kind.INDEX_UNKNOWN)

    def __str__(self) -> str:
        """As ``accept`` spells it: with the name in quotation marks where it would be misread without."""
        if self.kind is Kind.TABLE:
            return self.field
        plain, quoted = (
            ".".join(filter(None, (self.kind, name, self.field))) for name in (self.name, f'"{self.name}"')
        )
        read = Pattern.parse(plain)
        return plain if read is not None and read.text == matched_text(self) else quoted


def matched_text(setting: Setting) -> str:
    """What patterns are held against: the spelling, in which no dot of a name can be taken for another."""
    parts = (setting.kind, setting.name.replace(".", _DOT), setting.field)
    return ".".join(filter(None, parts))


@dataclass(frozen=True, slots=True)
class Pattern:
    """One or many settings, as ``accept`` and the checks name them; ``*`` stands for any text."""

    text: str

    @classmethod
    def parse(cls, spelling: str) -> Pattern | None:
        """
        Read a spelling such as ``pitr*``, ``tags.team`` or ``index."order.status".keys``.

        Of a name without quotation marks the last part counts as a field if it can be one, so
        ``index.order.status`` is the status of the index ``order``.

        Returns:
            ``None`` if it can mean no setting; it has to begin with a name.
        """
        kind = next((kind for kind in _LONGEST_FIRST if spelling.startswith(f"{kind}.")), None)
        if kind is None or (rest := spelling[len(kind) + 1 :]) == "*":
            # With a star alone after its kind it stands for the table's own of that kind, too.
            known = kind is not None or any(fnmatchcase(name, spelling) for name in SETTINGS)
            return cls(spelling) if known and re.fullmatch(r"[a-z][a-z_.*]*", spelling) else None
        name, field = _split(kind, rest)
        if field and not _can_be(kind, field):
            return None
        legal = _TAG_KEY if kind in (Kind.TAG, Kind.UNKNOWN) else _INDEX_NAME
        if not legal.fullmatch(name):
            return None
        return cls(".".join(filter(None, (kind, name.replace(".", _DOT), field))))

    def means(self, setting: Setting | Pattern) -> bool:
        """Whether *setting* is one of those meant; of another pattern, whether all of those are."""
        other = setting.text if isinstance(setting, Pattern) else matched_text(setting)
        parts = (re.escape(part) for part in self.text.split("*"))
        return re.fullmatch(".*".join(parts), other, re.DOTALL) is not None

    def __str__(self) -> str:
        return self.text.replace(_DOT, ".")


def _split(kind: Kind, rest: str) -> tuple[str, str]:
    """Name and field of what stands behind the kind."""
    if kind is Kind.TAG:
        quoted = _QUOTED.fullmatch(rest)
        return (quoted[1], "") if quoted and not quoted[2] else (rest, "")
    if kind is Kind.UNKNOWN:
        return rest, ""
    if quoted := _QUOTED.fullmatch(rest):
        return quoted[1], quoted[2] or ""
    name, _, field = rest.rpartition(".")
    return (name, field) if name and field and _can_be(kind, field) else (rest, "")


def _can_be(kind: Kind, field: str) -> bool:
    fields = _FIELDS.get(kind)
    return fields is None or any(fnmatchcase(one, field) for one in fields)


ALL: Final = Pattern("*")


def pattern(spelling: str) -> Pattern:
    """
    Like `Pattern.parse`, for a spelling that was checked or stands in code; ``*`` means every setting.

    Raises:
        ValueError: It means no setting.
    """
    read = ALL if spelling == "*" else Pattern.parse(spelling)
    if read is None:
        raise ValueError(f"{spelling!r} names no setting of a table")
    return read


def is_one_of(setting: Setting | Pattern, patterns: Iterable[Pattern]) -> bool:
    """Whether a setting is meant by one of *patterns*."""
    return any(one.means(setting) for one in patterns)
