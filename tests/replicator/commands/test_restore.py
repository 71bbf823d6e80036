"""What `replicator restore` does before and behind its lease."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from ddbverify.errors import Refused
from replicator.commands import restore

PLANS = [SimpleNamespace(pair="a"), SimpleNamespace(pair="b")]


@pytest.fixture
def said(monkeypatch):
    log = []
    monkeypatch.setattr(restore, "check", lambda _: PLANS)
    monkeypatch.setattr(restore, "bind", lambda _, plan: log.append(f"bind {plan.pair}"))
    monkeypatch.setattr(restore, "phase_two", lambda *_: log.append("phase 2"))
    monkeypatch.setattr(restore.scheduled_run, "project", lambda _: None)
    monkeypatch.setattr(restore.scheduled_run, "deploy", lambda *_: log.append("verification by schedule"))
    monkeypatch.setattr(restore, "transforms_of", lambda _: {})
    monkeypatch.setattr(restore.bundle, "build", lambda _: None)
    for name in ("_need_phase_one", "base_stack", "deployed", "end"):
        monkeypatch.setattr(restore, name, lambda *_: None)
    return log


def context(said, *, restarting=False):
    looks = iter([False, restarting])

    def need_no_restart():
        if next(looks):
            raise Refused("A restart of a is under way.", "x")

    @contextmanager
    def locked(_):
        said.append("lease")
        yield None

    return SimpleNamespace(
        config=SimpleNamespace(name="shop", tables=()),
        console=SimpleNamespace(line=lambda _: None),
        need_begun=lambda: None,
        need_no_restart=need_no_restart,
        resources=lambda _: {},
        locked=locked,
    )


def test_what_the_pairs_are_made_with_is_bound_under_the_lease(said):
    restore.restore(context(said))
    assert said == ["lease", "bind a", "bind b", "phase 2", "verification by schedule"]


def test_nothing_is_bound_in_the_middle_of_a_restart(said):
    """It had forgotten what the pair was bound to: the restart was then refused for another transform."""
    with pytest.raises(Refused, match="under way"):
        restore.restore(context(said, restarting=True))
    assert said == ["lease"]
