"""What a cutover waits for behind its fence: only what is read behind the quiet counts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.config import parse
from ddbverify.errors import EngineError
from replicator.aws import queue
from replicator.commands import audit, cutover_drain
from replicator.commands.audit import Audit
from tests.replicator.commands.test_cutover import FILE, quiet_step
from tests.replicator.fakes import Rooted

CLEAN, UNDER_WAY, LOST, GAP = Audit(examined=7), Audit(young=1), Audit(lost=["k"]), Audit(gap="trimmed")


class Pipeline:
    """A pair whose audits find these, one after the other."""

    def __init__(self, tmp_path, monkeypatch, *found):
        self.found, self.ends = list(found), []
        monkeypatch.setattr(audit, "run", self._audit)
        monkeypatch.setattr(queue, "await_empty_queue", lambda *_, **__: None)
        monkeypatch.setattr(queue, "dead_letters", lambda *_: 0)
        monkeypatch.setattr(cutover_drain.time, "sleep", lambda _: None)
        self.context = Rooted(
            config=parse(FILE, tmp_path),
            console=SimpleNamespace(step=quiet_step),
            pace=SimpleNamespace(poll_seconds=5.0),
            resources=lambda pair: {"dead_letter_url": "url"},
            state=lambda pair: SimpleNamespace(quarantined=dict),
        )

    def _audit(self, context, pair, *, to_the_end):
        self.ends.append(to_the_end)
        return self.found.pop(0)

    def drain(self):
        cutover_drain.drain(self.context, lambda _: None, 1e9, SimpleNamespace())


@pytest.mark.parametrize(
    "found", [(CLEAN, CLEAN), (UNDER_WAY, CLEAN, CLEAN), (CLEAN, UNDER_WAY, CLEAN, CLEAN)]
)
def test_two_audits_in_a_row_are_clean_to_the_streams_end(tmp_path, monkeypatch, found):
    pipeline = Pipeline(tmp_path, monkeypatch, *found)
    pipeline.drain()
    assert pipeline.found == []
    assert all(pipeline.ends)


def test_what_was_read_ahead_counts_for_nothing(tmp_path, monkeypatch):
    """A write of before the end of the quiet may have come behind it."""
    pipeline = Pipeline(tmp_path, monkeypatch, CLEAN, CLEAN, CLEAN, LOST)
    assert cutover_drain.read_ahead(pipeline.context, to_the_end=True) == 7
    assert cutover_drain.read_ahead(pipeline.context) == 7
    with pytest.raises(EngineError, match=r"1 change of .* never applied"):
        pipeline.drain()
    assert pipeline.ends == [True, False, True, True]


def test_what_an_audit_ahead_calls_lost_may_only_be_under_way(tmp_path, monkeypatch):
    """A forwarder that is behind the stream cannot be told from it as long as the application writes."""
    pipeline = Pipeline(tmp_path, monkeypatch, LOST)
    cutover_drain.approach(pipeline.context)
    assert pipeline.ends == [False]


def test_a_gap_is_said_before_the_fence(tmp_path, monkeypatch):
    pipeline = Pipeline(tmp_path, monkeypatch, GAP)
    with pytest.raises(EngineError, match="trimmed"):
        cutover_drain.approach(pipeline.context)
