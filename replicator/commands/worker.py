"""Forwarder and consumer as a process of yours, in place of functions: it works until it is told to end."""

from __future__ import annotations

import signal
import threading
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click

from ddbverify.errors import Refused
from replicator.commands.audit_when_due import Auditor
from replicator.commands.invocation import config_option, execute, json_option
from replicator.context.context import Context

PARTS: Final = ("forwarder", "consumer")

Answer = dict[str, Any]


def worker(context: Context, *, only: str | None = None, stop: threading.Event | None = None) -> Answer:
    """
    Forward and apply until a signal comes: what is in hand is finished, then leases are given back.

    Args:
        only: One of `PARTS`.
        stop: Set from outside, in place of signals.

    Raises:
        Refused: The migration has no workers.
    """
    from replicator.worker.running import Worker  # the handlers' libraries are for this command alone

    if not context.config.replicated.worker:
        raise Refused(
            "This migration's changes are forwarded and applied by functions.",
            "set [replication] worker = true before `replicator up`, or start no worker.",
        )
    context.need_own_tables()
    if stop is None:
        stop = threading.Event()
        _end_with_signals(stop)
    parts = PARTS if only is None else (only,)
    context.console.line(f"Worker of migration {context.config.name}: {' and '.join(parts)}")
    auditor = Auditor()
    left = Worker(context, parts, stop, lambda text: context.console.line(f"  · {text}"), auditor).run()
    context.console.line(
        f"The worker has ended; {', '.join(left)} hung, and what it held is free within 30 s."
        if left
        else "The worker has ended; nothing is in its hands."
    )
    return {"parts": list(parts)}


def _end_with_signals(stop: threading.Event) -> None:
    """The first signal ends the worker behind its batch, a second one at once: its leases expire then."""

    def end(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)


@click.command(name="worker")
@config_option
@json_option
@click.option("--only", type=click.Choice(PARTS), help="Only one of the two; by default both.")
def command(path: Path, as_json: bool, only: str | None) -> None:
    """
    Forward and apply changes in place of functions, until it ends.

    For [replication] worker = true. Start as many as you like, on as many machines: leases in the state table
    say who does what. SIGTERM ends one behind its batch.
    """
    execute(path, as_json=as_json, run=partial(worker, only=only))
