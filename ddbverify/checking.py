"""What one session of checks knows: the configuration, a `Pair` per table, each check's state. No pytest."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from ddbverify import config as configuration
from ddbverify import folders
from ddbverify.causes import Causes, without_depth
from ddbverify.checks import Pair
from ddbverify.comparison import Comparison, Difference
from ddbverify.findings import FindingsFile
from ddbverify.inspection import Refutation
from ddbverify.record import CheckRecord, RecordWriter


class Checking:
    """What this session knows: the configuration, one `Pair` per table, and each check's state."""

    def __init__(self, file: Path, *, sample: str | None, record: Path | None) -> None:
        self.file = file
        self.record = record
        self.checks: dict[str, CheckRecord] = {}
        self.messages: dict[str, str] = {}
        self.writer: RecordWriter | None = None
        self.findings: FindingsFile | None = None
        self.causes: dict[str, Causes] = defaultdict(Causes)  # by pair
        self._sample = sample
        self._config: configuration.Config | None = None
        self._pairs: list[Pair] = []

    @property
    def is_gated(self) -> bool:
        """Whether `ddbverify run` is listening: then every test of the session counts as a check."""
        return self.record is not None

    @property
    def config(self) -> configuration.Config:
        if self._config is None:
            config = configuration.load(self.file)
            if self._sample is not None:
                config = configuration.with_coverage(config, self._sample)
            self._config = config
        return self._config

    @property
    def pairs(self) -> list[Pair]:
        if not self._pairs:
            secret = secrets.token_bytes(32)
            folders.make_importable(self.config)
            fraction = self.config.verification.sampled_fraction
            self._pairs = [
                Pair(self.config, table, fraction=fraction, secret=secret, found=self._found)
                for table in self.config.tables
            ]
        return self._pairs

    @property
    def compared(self) -> Iterable[tuple[Pair, Comparison]]:
        """Pairs whose shared pass has been made, with the pass."""
        return ((pair, pair.compared) for pair in self._pairs if pair.compared is not None)

    @property
    def refused(self) -> Iterable[Pair]:
        """Pairs of which AWS let nothing be read."""
        return (pair for pair in self._pairs if pair.was_refused)

    def _found(self, pair_id: str, one: Difference | Refutation, key_hash: str) -> None:
        # At once: what was written survives whatever becomes of the session.
        if isinstance(one, Refutation):
            if self.findings is not None:
                self.findings.write_refutation(pair_id, one, key_hash=key_hash)
            return
        self.causes[pair_id].add(one.state, map(without_depth, one.paths), one.reason)
        if self.findings is not None:
            self.findings.write(pair_id, one, key_hash=key_hash)

    def learn(self, check: CheckRecord, message: str = "") -> None:
        self.checks[check.id] = check
        if message:
            self.messages[check.id] = message
        if self.writer is not None:
            self.writer.check(check)
