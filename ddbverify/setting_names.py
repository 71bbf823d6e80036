"""
What the settings of a table are called, wherever they are compared, reported or accepted.

``[[tables]] accept`` names them, and so does each finding about one. `docs/checks.md` says what
each of them is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
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
"""Those that every table has; the rest is named after an index or a tag."""

FAMILIES: Final = ("index.", "tags.", "capacity.index.", "autoscaling.index.")
"""What the names of the others begin with: ``index.by_date``, ``index.by_date.projection``, ``tags.team``."""

_PATTERN: Final = re.compile(r"[a-z][A-Za-z0-9_.:/=+@ *-]*")  # what names of indexes and tags hold, and *


def is_known(pattern: str) -> bool:
    """Whether a pattern (``*`` stands for any text) can mean a setting; it has to begin with a name."""
    if not _PATTERN.fullmatch(pattern):
        return False
    in_a_family = any(len(pattern) > len(family) and pattern.startswith(family) for family in FAMILIES)
    return in_a_family or any(fnmatchcase(name, pattern) for name in SETTINGS)


def is_one_of(name: str, patterns: Iterable[str]) -> bool:
    """Whether a setting is meant by one of *patterns*."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
