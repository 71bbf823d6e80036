"""What a session of checks shows on a terminal: where settings come from, what was read, each check. Pure."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ddbverify.compare.causes import CAUSES_SHOWN
from ddbverify.compare.comparison import Comparison
from ddbverify.config import Config, Side
from ddbverify.evidence.record import CheckRecord, CheckState
from ddbverify.names import table_name
from ddbverify.reports.summary import accepted_lines, check_state, said_by_plugins
from ddbverify.tables.hosts import is_aws
from ddbverify.tables.prices import PER_MILLION_READ_UNITS
from ddbverify.tables.table import Table
from ddbverify.words import about, duration_in_words, money, number_of, plain

if TYPE_CHECKING:
    from ddbverify.session.checking import Checking

PAIRS_SHOWN: Final = 5
CHECKS_SHOWN: Final = 60
"""Above this many, those that passed without a word are counted instead of listed (``-v`` lists all)."""
LONGEST: Final = 100

_ENDED: Final = (CheckState.PASSED, CheckState.FAILED, CheckState.INCONCLUSIVE)

_HEADERS = ("state", "examined", "findings", "cost", "pair", "check")
"""The names last: they are the longest, and what a narrow terminal breaks is then their end only."""


def header(
    file: Path, config: Config, from_options: Mapping[str, str], *, changes_only: bool = False
) -> list[str]:
    """
    What is checked, and where each setting comes from; asks AWS for nothing.

    Args:
        file: The ``migration.toml``.
        config: The settings as they hold.
        from_options: Settings that an option or an ini file made -> its name.
        changes_only: Whether only keys are looked at that have changed since an earlier run.
    """
    written = _written(file)
    lines = [f"migration: {file}"]
    for pair in config.tables[:PAIRS_SHOWN]:
        source, target = _place(pair.source, config.source), _place(pair.target, config.target)
        lines.append(f"  {pair.id}: {source} -> {target}")
    if len(config.tables) > PAIRS_SHOWN:
        lines.append(f"  and {number_of(len(config.tables) - PAIRS_SHOWN, 'more pair')}")
    settings = config.verification
    shown = (
        ("coverage", settings.coverage),
        ("settle", duration_in_words(settings.settle)),
        ("read_units", f"{settings.read_units:,}/s" if settings.read_units else "half of a table's limit"),
        ("time_limit", duration_in_words(settings.time_limit)),
    )
    where = {name: from_options.get(name) or ("default", file.name)[name in written] for name, _ in shown}
    said = {name: f"{name} {value} ({where[name]})" for name, value in shown}
    if changes_only:
        said["coverage"] = "what was written since an earlier run"
    return [*lines, "  " + ", ".join(said.values())]


_SAY_WHY: Final = (CheckState.INCONCLUSIVE, CheckState.NOT_APPLICABLE)
"""States whose message pytest does not list."""


def summary(checking: Checking, *, verbose: bool = False) -> Iterator[str]:
    """
    What was read, one line per check, and what those say that pytest does not list as failed.

    Args:
        checking: The session.
        verbose: List every check, however many there are.
    """
    checks = list(checking.checks.values())
    for pair, comparison in checking.compared:
        yield f"{pair.id}: {pair.source.arn} -> {pair.target.arn}"
        price = usd_per_unit(checking.config, pair.source, pair.target)
        yield f"  {_read(comparison, price, pair.seconds_reading)}"
        yield from (f"  {line}" for line in said_by_plugins(comparison))
        causes = checking.causes[pair.id]
        for cause in causes.most_common(CAUSES_SHOWN):
            share = cause.findings / causes.findings
            yield f"  {share:5.0%}  {cause.text} ({number_of(cause.findings, 'finding')})"
    yield from _table(checks, verbose=verbose)
    yield from accepted_lines(checks)
    said: dict[str, list[str]] = {}  # one cause, an item that cannot be compared say, is many checks' message
    for check in checks:
        message = checking.messages.get(check.id)
        if message and (check.state in _SAY_WHY or not check.counts):
            said.setdefault(message, []).append(shown(check.id))
    for message, names in said.items():
        yield from ("", *names)
        yield from (f"  {line}" for line in message.splitlines())
    if checking.warned:
        kinds = ", ".join(f"{count} {kind}" for kind, count in checking.warned.most_common(3))
        yield f"Checks warned ({kinds}); the texts may hold values, and are shown with --ddb-reveal only."
    if checking.unwritten:
        yield f"Hashes cannot be looked up later ({checking.unwritten}); --ddb-reveal shows keys."
    yield from checking.revealed


def found_so_far(checking: Checking) -> str:
    """What an interrupted session has found, in one line; what has not run says nothing about it."""
    causes = [cause for one in checking.causes.values() for cause in one.most_common(CAUSES_SHOWN)]
    said = [f"{cause.text} ({number_of(cause.findings, 'finding')})" for cause in causes[:CAUSES_SHOWN]]
    said += [
        f"{shown(name)} failed on {number_of(count, 'item')}" for name, count in checking.refuted.items()
    ]
    states = Counter(check.state for check in checking.checks.values())
    ended = [f"{states[state]} {state}" for state in _ENDED if states[state]]
    read = number_of(sum(checking.items_read.values()), "item")
    return (
        f"Interrupted. Found so far, in {read} read: {'; '.join(said) or 'no difference'}. "
        f"Checks that had ended: {', '.join(ended) or 'none'}."
    )


def usd_per_unit(config: Config, *tables: Table) -> float:
    """US dollars for one read unit, roughly; 0 where reads cost nothing of their own."""
    endpoints = [side.endpoint_url for side in (config.source, config.target)]
    billed = all(endpoint is None or is_aws(endpoint) for endpoint in endpoints)
    on_demand = any(table.billing_mode == "PAY_PER_REQUEST" for table in tables)
    return PER_MILLION_READ_UNITS / 1e6 if billed and on_demand else 0.0


def shown(text: str) -> str:
    """A name as it may go to a terminal: in one line, not endless, and without control characters."""
    name = plain(text[: LONGEST + 1])
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _table(checks: list[CheckRecord], *, verbose: bool) -> Iterator[str]:
    listed = checks = [check for check in checks if check.state is not CheckState.DESELECTED]
    if len(checks) > CHECKS_SHOWN and not verbose:
        listed = [check for check in checks if check.state is not CheckState.PASSED or check.findings]
    one_pair = len({check.pair for check in listed}) == 1
    rows: list[tuple[str, ...]] = [_HEADERS]
    last = ""
    for check in sorted(listed, key=lambda check: check.name.partition("::")[0]):
        file, _, function = check.name.partition("::")
        if file != last:
            rows.append((shown(file),))
            last = file
        numbers = (f"{check.examined:,}", f"{check.findings:,}", _cost(check))
        rows.append((check_state(check), *numbers, check.pair or "", shown(function)))
    if listed:
        yield from _aligned([row[:4] + row[5:] for row in rows] if one_pair else rows)
    if len(listed) < len(checks):
        left_out = number_of(len(checks) - len(listed), "check")
        yield f"{left_out} more passed without a finding; -v lists them"


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """
    The lines of a table under its first row; columns 2 to 4 are numbers.

    A row of one cell is a heading of those below it, which stand a little to the right of it.
    """
    widths = [max(map(len, column)) for column in zip(*(row for row in rows if len(row) > 1), strict=True)]
    widths[-1] = len(rows[0][-1])  # nothing is to the right of it that would have to be aligned
    rows.insert(1, tuple("-" * width for width in widths))
    for row in rows:
        cells = [f"{text:{'>' if 1 <= n <= 3 else '<'}{widths[n]}}" for n, text in enumerate(row)]
        yield row[0] if len(row) == 1 else f"  {'  '.join(cells)}".rstrip()


def _cost(check: CheckRecord) -> str:
    if check.state in (CheckState.NOT_RUN, CheckState.DESELECTED):
        return ""
    return f"{check.seconds * 1000:.0f} ms" if check.seconds < 1 else f"{check.seconds:,.1f} s"


def _read(comparison: Comparison, price: float, seconds: float) -> str:
    part = (
        f"a sample, {comparison.segments_planned} of {comparison.segments_total} segments"
        if comparison.is_sample
        else "changes only"
        if comparison.of_changes
        else "full coverage"
    )
    counted = ", ".join(f"{count:,} {state}" for state, count in comparison.counts.items() if count)
    units = comparison.source.read_units + comparison.target.read_units
    cost = [f"{units:g} read units", *([about(money(units * price))] if price else [])]
    cost.append(f"{duration_in_words(seconds)} for all checks")
    return f"{part}: {counted or 'no keys'}; {comparison.converged} converged; {', '.join(cost)}"


def _place(table: str, side: Side) -> str:
    if table.startswith("arn:"):
        return table
    return f"{table_name(table)} ({side.region or 'the region of ' + (side.profile or 'your AWS settings')})"


def _written(file: Path) -> Iterable[str]:
    """Keys that stand in the file's ``[verification]``."""
    with suppress(OSError, ValueError):  # it was read a moment ago; if it is gone, nothing stands in it
        section: Any = tomllib.loads(file.read_text(encoding="utf-8")).get("verification", {})
        return frozenset(section)
    return frozenset()
