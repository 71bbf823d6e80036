"""
The proof can fail: faults planted in the code that is bundled and deployed, by no switch of the product.

Each test copies the two packages, patches one file of the copy, and lets the demonstration
run, and bundle, from there.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.demonstration import ROOT, Told, demonstrate

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]


def patched(folder: Path, *patches: tuple[str, str, str]) -> Path:
    """A copy of both packages with each (file, old text, new text) applied exactly once."""
    for package in ("ddbverify", "replicator", "checks"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in patches:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name} has changed: mend the patch"
        path.write_text(text.replace(old, new), encoding="utf-8")
    return folder


def told_by(code: Path, *, traffic: int = 40) -> Told:
    return demonstrate("--count", "300", "--traffic", str(traffic), code=code, folder=code)


def assert_found_out(told: Told) -> None:
    assert told.status == 1
    assert not told.outcome["held"]
    assert told.outcome["failed"]
    assert "FAILED: " in told.text
    assert told.wrong > 0


EACH_CHANGE = "                changes += 1\n"


@pytest.mark.full
def test_a_consumer_that_drops_every_change_of_some_keys(tmp_path):
    drop = (
        "                if key_hash(change.keys, self.transform.source_keys)[0] in '01234567':\n"
        "                    continue\n"
    )
    code = patched(tmp_path, ("replicator/handlers/applier.py", EACH_CHANGE, drop + EACH_CHANGE))
    told = told_by(code)
    assert_found_out(told)
    assert told.outcome["proof"]["lost"] + told.outcome["proof"]["stale"] > 0


@pytest.mark.full
def test_a_consumer_that_ignores_deletes(tmp_path):
    drop = '                if change.event_name == "REMOVE":\n                    continue\n'
    code = patched(tmp_path, ("replicator/handlers/applier.py", EACH_CHANGE, drop + EACH_CHANGE))
    told = told_by(code)
    assert_found_out(told)
    assert told.outcome["proof"]["resurrected"] > 0


def test_writes_without_the_guard_while_changes_come_twice_and_late(tmp_path):
    no_guard = (
        "replicator/handlers/ledger.py",
        """f"attribute_not_exists(pk) OR n {'<=' if write.repair else '<'} :n",""",
        '"attribute_not_exists(pk) OR n <> :n",',
    )
    # Half of the messages are sent a second time, a second and a half later, under another id.
    late = (
        "replicator/handlers/forwarder.py",
        "        lambda messages: fifo.send(sqs, settings.queue_url, messages),\n",
        "        lambda messages: _twice_and_late(sqs, settings.queue_url, messages),\n",
    )
    sender = (
        "replicator/handlers/forwarder.py",
        "@functools.cache\ndef _deployment()",
        """_SENT: list = []


def _twice_and_late(sqs, url, messages):
    import dataclasses, time
    due = [m for at, m in _SENT if at < time.monotonic() - 1.5]
    del _SENT[: len(due)]
    again = [dataclasses.replace(m, deduplication_id="again" + m.deduplication_id[5:]) for m in due]
    fifo.send(sqs, url, again)
    _SENT.extend((time.monotonic(), m) for m in messages if m.deduplication_id[0] in "01234567")
    return fifo.send(sqs, url, messages)


@functools.cache
def _deployment()""",
    )
    assert_found_out(told_by(patched(tmp_path, no_guard, late, sender), traffic=60))
