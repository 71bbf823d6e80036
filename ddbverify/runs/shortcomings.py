"""
What keeps a run from being complete, in words: what its record lacks, and what changed under it.

The record is believed only as far as pytest's exit status and the tables themselves agree with it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ddbverify import config as configuration
from ddbverify.code.bound import Bound
from ddbverify.config import Config
from ddbverify.errors import DdbVerifyError
from ddbverify.evidence import digests
from ddbverify.evidence.digests import Digests
from ddbverify.evidence.record import CheckState, Record, TableRecord
from ddbverify.plugins.loading import PluginRecord, Plugins
from ddbverify.session.checking import UNWRITABLE_STATUS
from ddbverify.suite.definitions import is_brought
from ddbverify.suite.marks import Coverage
from ddbverify.tables import table as tables
from ddbverify.tables.capacity import shares_in_words
from ddbverify.words import are, number_of

# pytest's own: https://docs.pytest.org/en/stable/reference/exit-codes.html
_ALL_PASSED, _TESTS_FAILED = 0, 1

# States of a check that say nothing about its claim.
_LEFT_OPEN = (
    CheckState.SKIPPED,
    CheckState.XFAILED,
    CheckState.DESELECTED,
    CheckState.ERRORED,
    CheckState.NOT_RUN,
)


@dataclass(frozen=True, slots=True)
class Before:
    """What holds when a run starts, and has to hold still when it ends."""

    tables: dict[str, tuple[TableRecord, TableRecord]]
    digests: Digests
    extensions: tuple[PluginRecord, ...]
    shares: tuple[str, ...]  # what the run is about to take of the tables' capacity, in words
    bound: Bound

    @classmethod
    def of(cls, config: Config, checks: Path, plugins: Plugins) -> Before:
        """
        Look at all of it now.

        Raises:
            ConfigurationError: A file cannot be read, or a transform not be loaded.
            EngineError: AWS refused.
        """
        rate, setting = config.verification.read_units, "[verification] read_units"
        records, shares = {}, list[str]()
        for pair in config.tables:
            source, target = tables.describe_pair(config, pair)
            records[pair.id] = (TableRecord.of(source), TableRecord.of(target))
            shares += shares_in_words(source, target, rate, setting=setting)
        return cls(
            tables=records,
            digests=digests.current(config, checks),
            extensions=plugins.records,
            shares=tuple(shares),
            bound=digests.bound(config, checks, plugins.files),
        )


def shortcomings(recorded: Record, status: int, before: Before, stuck: str) -> list[str]:
    """
    Everything that keeps the record from being a complete one, in words.

    Args:
        recorded: What the child has written.
        status: What it left with; negative: the signal that ended it.
        before: What held at the start.
        stuck: Where a child that hung stood, in words; empty for one that did not.
    """
    if status == UNWRITABLE_STATUS:
        return ["the run's folder took no more, so that the checks did not come to their end"]
    if not recorded.plugins:  # the first line of every record
        return [f"nothing was run: pytest {_left_with(status)} before it came to the checks"]
    found = []
    if not recorded.is_finished:
        found.append(f"the checks did not come to their end (exit status {status}){_where(recorded, stuck)}")
    elif recorded.exit_status != status:
        found.append(f"pytest recorded exit status {recorded.exit_status} and left with {status}")
    if all(is_brought(check.name) for check in recorded.checks.values()):
        found.append(
            "no check was collected but those that plugins bring"
            if recorded.checks
            else "no check was collected"
        )
    found += recorded.lost
    if recorded.checks and recorded.settings != before.digests.configuration:
        found.append("the checks were run with other settings than migration.toml held at the start")
    if recorded.checks and recorded.extensions != before.extensions:
        found.append("the checks were run with other plugins than those that were found at the start")
    states = [check.state for check in recorded.checks.values() if check.counts]
    counts = {state: states.count(state) for state in _LEFT_OPEN}
    found += [f"{number_of(count, 'check')} {are(count)} {state}" for state, count in counts.items() if count]
    if recorded.checks and status not in (_ALL_PASSED, _TESTS_FAILED):
        found.append(f"pytest ended with exit status {status}")
    if status == _TESTS_FAILED and states and set(states) <= {CheckState.PASSED, CheckState.NOT_APPLICABLE}:
        found.append("pytest ended with exit status 1 although every check passed")
    found += [
        f"the checks of {pair.id} read other tables than those described at the start"
        for pair in recorded.pairs.values()
        if (pair.source, pair.target) != before.tables.get(pair.id)
    ]
    return [*found, *_not_read(recorded, before)]


def _not_read(recorded: Record, before: Before) -> Iterator[str]:
    """A pair over whose tables no pass was made: whatever its checks said, they did not see the items."""
    for pair in before.tables if recorded.checks else ():
        found = recorded.pairs.get(pair)
        if found is None or found.comparison is None:
            yield f"no check has read the tables of {pair}"


def _left_with(status: int) -> str:
    if status >= 0:
        return f"left with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _where(recorded: Record, stuck: str) -> str:
    """What was under way when the record broke off."""
    if recorded.hung:
        return f": {recorded.hung}"
    if stuck:
        return f": it hung {stuck}"
    during = f" during {recorded.running}" if recorded.running else ""
    return during + (f", while {recorded.reading} was read" if recorded.reading else "")


def samples(recorded: Record, *, asked: bool) -> list[str]:
    """
    Every pair of which a sample was read, in words: that can show differences, never that there are none.

    Args:
        recorded: What the child has written.
        asked: Whether ``--sample`` did. A configured sample will do for a suite whose every check says that
            a sample is enough for it.
    """
    enough = {check.coverage for check in recorded.checks.values() if check.counts} == {Coverage.SAMPLE}
    if enough and not asked:
        return []
    return [
        f"of {pair.id} a sample was read: {read.segments_planned:,} of {read.segments_total:,} segments were "
        "to be read"
        for pair in recorded.pairs.values()
        if (read := pair.comparison) is not None and 0 < read.segments_planned < read.segments_total
    ]


def unread(recorded: Record) -> list[str]:
    """
    What of the tables was not read or could not be decided, in words, whatever the checks made of it.

    Keys that never held still are left out: whether they may pass is the gate's to say.
    """
    found = []
    for pair in recorded.pairs.values():
        read = pair.comparison
        if read is None:
            continue
        if read.gap is not None:
            found.append(f"the pass over {pair.id} {read.gap}")
        found += [f"{keys}, of {pair.id}" for keys in read.open_keys]
    return found


def changed_since(
    before: Before, config_file: Path, coverage: str | None, checks: Path, plugins: Plugins
) -> list[str]:
    """Everything that is not at the end of the run as it was at its start, in words."""
    try:
        config = configuration.load(config_file)
        if coverage is not None:
            config = configuration.with_coverage(config, coverage)
        after = Before.of(config, checks, plugins)
    except DdbVerifyError as error:
        return [f"tables and settings could not be looked at again at the end: {error.message}"]
    changed = []
    if after.tables != before.tables:
        changed.append("a table was deleted and made anew during the run")
    if after.digests != before.digests:
        changed.append("migration.toml, a check, a transform or ddbverify itself was changed during the run")
    if after.extensions != before.extensions:
        changed.append("a plugin was changed during the run")
    return changed
