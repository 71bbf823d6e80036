"""A last verification that reads nothing, in the place of `ddbverify run`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from replicator.commands import last_verification


def stand_in(monkeypatch: Any, reads: Callable[[], Any] = lambda: None) -> None:
    """
    Let runs end at once, and say nothing.

    Args:
        reads: Called where the last verification would read the tables, under the fence.
    """

    def has_judged(_: float) -> bool:
        reads()
        return True

    @contextmanager
    def waiting(context: Any, *, follows: bool) -> Any:
        assert isinstance(follows, bool)
        yield SimpleNamespace(
            folder=context.config.folder / "cutover",
            marked=False,
            give_word=lambda: None,
            has_judged=has_judged,
        )

    monkeypatch.setattr(last_verification, "run", lambda *_: 0)
    monkeypatch.setattr(last_verification, "waiting", waiting)
