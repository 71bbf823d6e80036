"""`replicator synth` waits for the stacks that there will be, and for no others."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from replicator.commands import synth, wanted


@pytest.mark.parametrize(
    ("worker", "audited", "parts"),
    [
        (False, False, ["capture", "target", "apply"]),
        (False, True, ["capture", "target", "apply", "audit"]),
        (True, False, ["capture", "target"]),
    ],
)
def test_before_the_base_it_waits_for_the_stacks_of_each_pair(monkeypatch, worker, audited, parts):
    """Where workers carry a pair nothing is ever deployed that applies."""
    context = SimpleNamespace(
        config=SimpleNamespace(
            name="orders-2026",
            replicated=SimpleNamespace(worker=worker, scheduled_audit=audited),
            verification=SimpleNamespace(every=None),
        ),
        begun=lambda: False,
    )
    base = SimpleNamespace(name="the-base")
    monkeypatch.setattr(wanted, "base", lambda _: base)
    monkeypatch.setattr(synth, "check", lambda _: [SimpleNamespace(pair=SimpleNamespace(id="orders-1"))])

    first, *waiting = synth.stacks_of(context)

    assert first is base
    assert [one.name for one in waiting] == [f"replicator-orders-2026-orders-1-{part}" for part in parts]
    assert all("deploy the-base first" in one.reason for one in waiting)
