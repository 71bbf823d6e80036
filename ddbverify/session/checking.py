"""What one session of checks knows: the configuration, a `Pair` per table, each check's state. No pytest."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Final, TextIO

import msgspec

from ddbverify import config as configuration
from ddbverify.compare.causes import Causes, without_depth
from ddbverify.compare.comparison import Comparison
from ddbverify.compare.inspection import EXAMPLES_KEPT, ItemCheck, Refutation
from ddbverify.compare.request import Progress
from ddbverify.config import Config
from ddbverify.errors import ConfigurationError
from ddbverify.evidence import digests, folders, pair_facts
from ddbverify.evidence.events import EventLog
from ddbverify.evidence.findings import FindingsFile
from ddbverify.evidence.record import (
    CheckRecord,
    ComparisonRecord,
    Fact,
    PairRecord,
    RecordWriter,
    TableRecord,
)
from ddbverify.items.states import Difference
from ddbverify.plugins.loading import Plugins
from ddbverify.session import loading, reached, unlooked, watchdog
from ddbverify.session.watchdog import Running
from ddbverify.suite.pair import Pair
from ddbverify.words import as_json, number_of

HUNG_STATUS: Final = 3
"""The exit status of a process that the watchdog has ended; nothing is decided by it."""

ORPHANED_STATUS: Final = 3
"""That of one whose parent is gone: nobody is left to read it."""

UNWRITABLE_STATUS: Final = 74
"""That of one whose record could not be written any more (EX_IOERR of sysexits.h)."""

MOST_REVEALED: Final = 100

Report = Callable[[Progress], None]
Display = Callable[[Pair], AbstractContextManager[Report]]


class Checking:
    """One session. What is read, is read when the first check asks for it."""

    def __init__(
        self,
        file: Path,
        *,
        sample: str | None = None,
        changed: Path | None = None,
        time_limit: float | None = None,
        record: Path | None = None,
        reveal: bool = False,
        display: Display = lambda _: nullcontext(lambda _: None),
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """
        Prepare; nothing is looked at yet, not even *file*.

        Args:
            file: The ``migration.toml``.
            sample: Coverage in place of the configured one, such as ``"0.5%"``.
            changed: Folder with a file of keys for each pair: only these are looked at.
            time_limit: Seconds that a call of a check may take, in place of the configured ones.
            record: File for the session's record; ``None`` where nobody judges it.
            reveal: Keys, and what failing assertions on items compared, may be shown.
            display: Shows how far a shared pass is.
            say: Shows a line, whatever else becomes of the session's output.
        """
        self.file = file
        self.record, self.reveal = record, reveal
        self.events = EventLog(record and record.with_name(folders.EVENTS))
        self.checks: dict[str, CheckRecord] = {}
        self.messages: dict[str, str] = {}
        self.causes: dict[str, Causes] = defaultdict(Causes)  # by pair
        self.warned: Counter[str] = Counter()  # kinds of warnings
        self.refuted: Counter[str] = Counter()  # checks on items -> items that they failed on
        self.items_read: dict[str, int] = {}  # by pair, of both tables, so far
        self._changed = changed
        self._sample, self._time_limit, self._display, self._say = sample, time_limit, display, say
        self._config: Config | None = None
        self._pairs: list[Pair] = []
        self._conftests: list[ModuleType] = []
        self._plugins: Plugins | None = None
        self._writer: RecordWriter | None = None
        self._findings: FindingsFile | None = None
        self.unwritten = ""  # why keys of findings cannot be looked up later, in words
        self._lock = threading.Lock()
        self._running: Running | None = None
        self._limits: dict[str, float] = {}  # of checks on items, by their ids
        self._longest = 0.0
        self._keys: dict[str, str] = {}  # hash -> key, where keys may be shown
        self._operands: list[str] = []

    @property
    def is_gated(self) -> bool:
        """Whether `ddbverify run` is listening: then every test of the session counts as a check."""
        return self.record is not None

    @property
    def config(self) -> Config:
        """The settings, with what the session's own options change. Raises ConfigurationError."""
        if self._config is None:
            config = configuration.load(self.file)
            if self._sample is not None:
                config = configuration.with_coverage(config, self._sample)
            if self._time_limit is not None:
                limit = configuration.Duration(self._time_limit)
                verification = msgspec.structs.replace(config.verification, time_limit=limit)
                config = msgspec.structs.replace(config, verification=verification)
            self._config = config
        return self._config

    @property
    def time_limit(self) -> float:
        """Seconds that a call may take, unless its check says otherwise."""
        return self._time_limit or float(self.config.verification.time_limit)

    def add_conftest(self, module: ModuleType) -> None:
        """
        A ``conftest.py`` has hooks of ours.

        Raises:
            ConfigurationError: They come too late: plugins have been asked already.
        """
        if self._plugins is not None:
            raise ConfigurationError(
                f"{module.__file__} has hooks of ddbverify, and is loaded too late for them.",
                "move the hooks to the conftest.py of the checks folder itself.",
            )
        self._conftests.append(module)

    @property
    def plugins(self) -> Plugins:
        """What the configuration allows, and every ``conftest.py`` that pytest has loaded by now."""
        if self._plugins is None:
            folders.make_importable(self.config)
            plugins = Plugins(self.config)
            for module in self._conftests:
                plugins.add_conftest(module)
            plugins.add_allowed()
            self._plugins = plugins
        return self._plugins

    @property
    def has_pairs(self) -> bool:
        """Whether this session is about checks at all."""
        return bool(self._pairs)

    @property
    def pairs(self) -> list[Pair]:
        """One object per pair, shared by all checks. Raises ConfigurationError."""
        if not self._pairs:
            secret = self._findings.secret if self._findings else secrets.token_bytes(32)
            folders.make_importable(self.config)
            fraction = self.config.verification.sampled_fraction
            self._pairs = [
                Pair(
                    self.config,
                    table,
                    fraction=fraction,
                    changed=self._changed and folders.changed_keys(self._changed, table.id),
                    secret=secret,
                    found=self._found,
                    reading=self._reading,
                    compared=self._compared,
                    plugins=self.plugins,
                )
                for table in self.config.tables
            ]
        return self._pairs

    @property
    def compared(self) -> Iterable[tuple[Pair, Comparison]]:
        """Pairs whose shared pass has been made, with the pass."""
        return ((pair, pair.compared) for pair in self._pairs if pair.compared is not None)

    @property
    def revealed(self) -> Iterator[str]:
        """What may be shown of keys and values, if anything; see *reveal*."""
        if self._keys or self._operands:
            yield ""
            yield "Revealed (--ddb-reveal):"
        yield from (f"  {key_hash} is {key}" for key_hash, key in self._keys.items())
        yield from (f"  {line}" for line in self._operands)

    @property
    def seconds_reading(self) -> float:
        """That all shared passes have taken so far."""
        return sum(pair.seconds_reading for pair in self._pairs)

    # --- the record -----------------------------------------------------------------------

    def begin(self, versions: Mapping[str, str]) -> None:
        """Begin the record, if there is one, with the versions of pytest and its plugins."""
        if self.record is None:
            return
        self._writer = RecordWriter(self.record, self._unwritable)
        self._findings = FindingsFile(self.record.with_name(folders.FINDINGS), repairable=True)
        self._writer.plugins(versions)
        loading.note_reads(self._writer)

    def note_plugins(self) -> None:
        """Note in the record which plugins take part, and by which settings. Raises ConfigurationError."""
        records = self.plugins.records
        if self._writer is not None:
            self._writer.settings(digests.configuration_digest(self.config))
            self._writer.extensions(records)

    def learn(self, check: CheckRecord, message: str = "") -> None:
        """Note where a check stands; the last word counts."""
        self.checks[check.id] = check
        if message:
            self.messages[check.id] = message
        if self._writer is not None:
            self._writer.check(check)
            self.events.check(check)

    def note_whole(self, check_id: str) -> None:
        """Note that a check has read the comparison as a whole: it cannot be shown changes only."""
        if self._writer is not None:
            self._writer.fact(Fact(name="whole", about=check_id, value="pair.comparison"))

    def miss(self, lost: Sequence[str]) -> None:
        """Note checks that nothing runs, in words; the run is not complete then."""
        if self._writer is not None:
            self._writer.lost(lost)

    def end(self, exit_status: int) -> None:
        """Close the record. Without this, the session is taken for dead."""
        if self._findings is not None:
            self._findings.finish(self.compared, self._unwritable)
        if self._writer is None:
            return
        for pair in self._pairs:
            if pair.was_refused:
                self._writer.pair(PairRecord(id=pair.id, refused=True))
        loading.note_texts(self._writer)
        self._writer.end(exit_status)

    def _found(self, pair_id: str, one: Difference | Refutation, key_hash: str) -> None:
        if self.reveal and len(self._keys) < MOST_REVEALED:
            self._keys[key_hash] = as_json(one.key)
        # At once: what was written survives whatever becomes of the session.
        findings = self._findings_file()
        try:
            if isinstance(one, Refutation):
                self.refuted[one.check] += 1
                if findings is not None:
                    findings.write_refutation(pair_id, one, key_hash=key_hash)
                return
            self.causes[pair_id].add(one.state, map(without_depth, one.paths), one.reason)
            if findings is not None:
                findings.write(pair_id, one, key_hash=key_hash)
        except OSError as error:
            self._unwritable(error)
            self.unwritten, self._findings = f"findings.jsonl: {error.strerror}", None
            if findings is not None:
                with suppress(OSError):  # what it could not flush it tries once more
                    findings.close()

    def _unwritable(self, error: OSError) -> None:
        """End a gated session whose files take no more; of another one only keys cannot be looked up."""
        if not self.is_gated:
            return
        self._say(f"ddbverify: the run's folder takes no more: {error.strerror}. The run is ended.")
        os._exit(UNWRITABLE_STATUS)

    def _findings_file(self) -> FindingsFile | None:
        """Beside the record; else, from the first finding on, in a folder of the session's own."""
        with self._lock:
            if self._findings is None and not self.unwritten:
                try:
                    folder = folders.make_session_folder(self.config, folders.new_run_id(time.time()))
                    self._findings = FindingsFile(folder / folders.FINDINGS)
                except (OSError, ConfigurationError) as error:
                    # Where nothing can be written, checks can be run all the same.
                    self.unwritten = str(error)
            return self._findings

    @contextmanager
    def _reading(self, pair: Pair) -> Iterator[Report]:
        if self._writer is not None:
            self._writer.reading(pair.id)
        with reached.not_followed(), unlooked.not_looking(), self._display(pair) as report:

            def noted(progress: Progress) -> None:
                self.items_read[pair.id] = progress.source_items + progress.target_items
                report(progress)

            yield noted

    def _compared(self, pair: Pair, comparison: Comparison) -> None:
        if self._writer is not None:
            self._writer.pair(
                PairRecord(
                    id=pair.id,
                    source=TableRecord.of(pair.source),
                    target=TableRecord.of(pair.target),
                    comparison=ComparisonRecord.of(comparison),
                )
            )
            tables = (pair.source, pair.target)
            for fact in pair_facts.of(pair.id, tables, comparison, self.causes[pair.id]):
                self._writer.fact(fact)

    # --- what runs --------------------------------------------------------------------------

    def subscribe(self, pair: Pair, check: ItemCheck, time_limit: float | None) -> None:
        """Let a check on items see the shared pass of *pair*; *time_limit*: seconds, of one call."""
        pair.subscribe(self._revealing(check) if self.reveal else check)
        self._limits[check.id] = time_limit or self.time_limit
        self._longest = max(self._longest, self._limits[check.id])

    def _revealing(self, check: ItemCheck) -> ItemCheck:
        """The same check; what its first failing assertions say is kept."""
        kept: list[str] = []

        def call(*items: object) -> object:
            try:
                return check.function(*items)
            except AssertionError as error:
                if len(kept) < EXAMPLES_KEPT:
                    kept.append(str(error))
                    self._operands.append(f"{check.name}: {error}")
                raise

        return replace(check, function=call, stateless=False)

    def runs(self, what: str, call: str, time_limit: float | None = None) -> None:
        """Note that code of the user's begins: *what* it is, and what tells this call from others."""
        self._running = Running(what, call, time_limit or self.time_limit)
        self._longest = max(self._longest, self._running.limit)

    def rests(self) -> None:
        """Note that none of the user's code runs."""
        self._running = None

    def begins(self, check_id: str) -> None:
        """Note that a check begins."""
        if self._writer is not None:
            self._writer.running(check_id)

    @property
    def running(self) -> Running | None:
        """What of the user's code runs now: of the shared pass, its checks on items and the transform."""
        pair = next((pair for pair in self._pairs if pair.is_reading), None)
        if pair is None:
            return self._running
        if pair.running is not None:
            check, calls = pair.running
            what = f"{check.name}, on an item of {pair.id},"
            return Running(what, (check.id, calls), self._limits[check.id])
        call: Hashable = pair.transforming.oldest or pair.elsewhere.call
        if call is None:
            return None
        name = pair.settings.transform
        what = f"{f'the transform {name}' if name else 'a check on items'}, on an item of {pair.id},"
        return Running(what, (pair.id, call), self.time_limit)

    def watch(self, stuck: TextIO) -> None:
        """
        From now on, end the process when a call takes longer than it may.

        Args:
            stuck: See `ddbverify.session.watchdog.watch`.
        """

        def hung(overdue: Running) -> None:
            what = f"{overdue.what} did not come back within {overdue.limit:g} s{self._how_far()}"
            if self._writer is not None:
                self._writer.hung(what)
            self._say(f"ddbverify: {what}. The run is ended.")
            os._exit(HUNG_STATUS)

        watchdog.watch(lambda: self.running, hung, stuck=stuck, longest=lambda: self._longest)

    def _how_far(self) -> str:
        pair = next((pair for pair in self._pairs if pair.is_reading), None)
        if pair is None or pair.progress is None:
            return ""
        source, target = pair.progress.source_items, pair.progress.target_items
        return f"; of {pair.id}, {number_of(source, 'item')} of the source and {target:,} were read"
