"""
How a check counts: what a counter-example means, which coverage is enough, what is tolerated. Pure.

Said with `check` above a function, and read by the plugin, the record and the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, TypeVar

from ddbverify.compare.alterations import ControlKind
from ddbverify.config import duration
from ddbverify.names import table_name

SETTINGS: Final = "ddb_settings"
"""The attribute of a check function that holds its `CheckSettings`."""

_F = TypeVar("_F", bound=Callable[..., Any])


class Severity(StrEnum):
    """What a check that does not pass does."""

    ERROR = "error"  # fails the run and closes the gate
    WARN = "warn"  # is shown and recorded, and does neither


class Coverage(StrEnum):
    """How much of the tables a check has to have seen."""

    FULL = "full"
    SAMPLE = "sample"  # a sample is enough


class MarkError(TypeError):
    """A mark that says something impossible. The message says what is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """
    How one check counts.

    Args:
        severity: See `Severity`.
        coverage: See `Coverage`.
        tolerate: How many counter-examples are allowed: a count, or (a float below 1) a fraction
            of what was examined.
        covers: Names of the negative controls that this check claims to notice, see `ControlKind`.
        time_limit: Seconds that one call may take, the shared pass apart; ``None``: the run's.
        tables: Names of the source tables that it is about; none: every pair.
        stateless: Of a check on items: whether it keeps nothing between items.
        by_key: Whether its claim holds of all keys if it holds of each.
    """

    severity: Severity = Severity.ERROR
    coverage: Coverage = Coverage.FULL
    tolerate: int | float = 0
    covers: frozenset[str] = frozenset()
    time_limit: float | None = None
    tables: tuple[str, ...] = ()
    stateless: bool = False
    by_key: bool = False

    def allowed(self, examined: int) -> int:
        """How many counter-examples among so many examined are tolerated."""
        return self.tolerate if isinstance(self.tolerate, int) else int(self.tolerate * examined)


def settings_of(
    *,
    severity: Any = "error",
    coverage: Any = "full",
    tolerate: Any = 0,
    covers: Any = (),
    time_limit: Any = None,
    tables: Any = (),
    stateless: Any = False,
    by_key: Any = False,
) -> CheckSettings:
    """
    The settings that a mark's arguments mean, as users wrote them: see `check`.

    Raises:
        MarkError: One of them is impossible.
    """
    try:
        made_severity, made_coverage = Severity(severity), Coverage(coverage)
    except ValueError as error:
        raise MarkError(f'{error}: severity is "error" or "warn", coverage is "full" or "sample"') from None
    fraction = isinstance(tolerate, float) and 0 < tolerate < 1
    count = isinstance(tolerate, int) and not isinstance(tolerate, bool) and tolerate >= 0
    if not fraction and not count:
        raise MarkError(
            f"tolerate={tolerate!r}: give a count such as 3, or a fraction above 0 and below 1 such as 0.001"
        )
    if isinstance(covers, str):
        covers = (covers,)
    names = frozenset(covers)
    for name in names:
        kind, mark, attribute = name.partition(":") if isinstance(name, str) else ("", "", "")
        if kind not in set(ControlKind) or bool(mark) != bool(attribute):
            raise MarkError(
                f"covers: {name!r} is no control. Use {', '.join(ControlKind)}, or one of them with the "
                "attribute that is altered, such as covers={'missing', 'value:total'}"
            )
    for name, flag in (("stateless", stateless), ("by_key", by_key)):
        if not isinstance(flag, bool):
            raise MarkError(f"{name}={flag!r}: give True or False")
    return CheckSettings(
        severity=made_severity,
        coverage=made_coverage,
        tolerate=tolerate,
        covers=names,
        time_limit=_seconds(time_limit),
        tables=_tables(tables),
        stateless=stateless,
        by_key=by_key,
    )


def is_bound(tables: tuple[str, ...], source: str) -> bool:
    """Whether a check that names *tables* is about the pair of this source, by its name or ARN."""
    return not tables or source in tables or table_name(source) in tables


def of_no_pair(tables: Iterable[str], sources: Iterable[str]) -> list[str]:
    """Those of *tables* that are the source of no pair: a name that was misspelt is a table unchecked."""
    known = list(sources)
    return [name for name in tables if not any(is_bound((name,), source) for source in known)]


def _tables(tables: Any) -> tuple[str, ...]:
    names = (tables,) if isinstance(tables, str) else tuple(tables)
    if not all(isinstance(name, str) and name for name in names):
        raise MarkError(f'tables={tables!r}: give names of source tables, such as tables=["orders"]')
    return names


def _seconds(time_limit: Any) -> float | None:
    if time_limit is None:
        return None
    try:
        seconds = duration(time_limit) if isinstance(time_limit, str) else float(time_limit)
    except (ValueError, TypeError):
        seconds = 0.0
    if isinstance(time_limit, bool) or not 0 < seconds < float("inf"):
        raise MarkError(f'time_limit={time_limit!r}: give seconds above 0, or a text such as "90s" or "5m"')
    return float(seconds)


def check(
    *misplaced: object,
    severity: str = "error",
    coverage: str = "full",
    tolerate: float = 0,
    covers: Iterable[str] = (),
    time_limit: float | str | None = None,
    tables: Iterable[str] = (),
    stateless: bool = False,
    by_key: bool = False,
) -> Callable[[_F], _F]:
    """
    Say how a check counts; above or below `each_item`, or on a function that takes a ``pair``.

    ::

        @check(severity="warn", tolerate=0.001)
        @each_item
        def check_nearly_every_order_has_an_owner(target):
            assert target.get("owner")

    Args:
        severity: ``"error"``, or ``"warn"``: shown and recorded, but it neither fails the run
            nor closes the gate.
        coverage: ``"full"``, or ``"sample"``: a sample is enough for it.
        tolerate: How many findings are allowed, as a count, or as a fraction (a float below 1)
            of what was examined. They are shown and recorded all the same.
        covers: Names of the negative controls that it claims to notice: ``missing``, ``extraneous``,
            ``added``, ``removed``, ``value``, ``type``, or one with an attribute, ``value:total``.
        tables: Names of the source tables that it is about, as ``[[tables]] source`` has them; by default
            it is run on every pair. Written out, since a gate reads them without running the file.
        time_limit: Seconds (or ``"90s"``, ``"5m"``) that one call may take, the shared pass apart.
        stateless: The check on items keeps nothing between items, so that several processes may call it at
            the same time, in any order. Where all checks on items are, all cores are used.
        by_key: The check reads ``pair.comparison``, and what it claims holds of all keys if it holds of each,
            such as "none differs". After a run that has passed it may then be shown the keys alone that were
            written since; a check that is not marked, and reads it, needs a pass over the whole tables.

    Raises:
        MarkError: An argument that means nothing.
    """
    if misplaced:  # `@check` alone is given the function
        raise MarkError("@check takes its arguments by name, in parentheses: write @check(), or leave it out")
    settings = settings_of(
        severity=severity,
        coverage=coverage,
        tolerate=tolerate,
        covers=covers,
        time_limit=time_limit,
        tables=tables,
        stateless=stateless,
        by_key=by_key,
    )

    def mark(function: _F) -> _F:
        before = getattr(function, SETTINGS, None)
        own = replace(settings, tables=before.tables) if before and not settings.tables else settings
        setattr(function, SETTINGS, own)
        return function

    return mark
