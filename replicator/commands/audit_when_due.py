"""
The audit that nobody has to remember, where workers carry the migration: one of them audits twice a day.

Of several workers one takes it, by a conditional write that says when the next one is due. Behind the flip it
watches the fenced source. What it finds is told as `replicator audit` tells it, which reads on from there.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from ddbverify.errors import DdbVerifyError
from ddbverify.names import BETWEEN, Fact
from ddbverify.tables.aws import translated
from replicator.audits.place import WORKER
from replicator.commands import audit
from replicator.context import live
from replicator.context.context import Context

EVERY_SECONDS: Final = 12 * 3600

AGAIN_SECONDS: Final = 900
"""Behind one that found something, or did not end: what is under way then may have arrived."""

_LOOK_EVERY: Final = 60.0


def when_due(context: Context) -> bool:
    """
    Audit, if it is due and no other worker does.

    Returns:
        Whether it was.

    Raises:
        DdbVerifyError: As `replicator audit`; it is due again soon.
    """
    if not context.begun():
        return False  # a worker may be started before `up`, and stay behind `down`
    turned = live.direction(context)
    if not _can_be(context, turned):
        return False
    now = int(turned.server_time())
    with translated("read when an audit is due"):
        held = turned.whole.get(Fact.AUDIT_DUE)
        if held is not None and int(held["at_epoch"]) > now:
            return False
        if not turned.whole.put_over(Fact.AUDIT_DUE, held, at_epoch=now + AGAIN_SECONDS):
            return False  # another worker does it
    audit.audit(context, by=WORKER)
    with translated("note when an audit is due"):
        turned.whole.put(Fact.AUDIT_DUE, at_epoch=now + EVERY_SECONDS)
    return True


def _can_be(context: Context, turned: Context) -> bool:
    """Whether there is something to audit, and no command that audits by itself."""
    with translated("read how far the migration is"):
        cut = turned.whole.get(Fact.CUTOVER) or {}
        if live.read(context).table == BETWEEN or (cut.get("fenced") and not cut.get("flipped")):
            return False
        return all(
            "ledger_table" in turned.resources(pair)
            and turned.state(pair).get(Fact.BOUNDARY) is not None
            and turned.state(pair).get(Fact.FOLLOWING) is not None
            and turned.state(pair).get(Fact.RESTARTING) is None
            for pair in turned.config.tables
        )


class Auditor:
    """Audits beside a worker's own work, in a thread: changes do not wait for it."""

    def __init__(self) -> None:
        self._looked, self._thread = -_LOOK_EVERY, threading.Thread()

    def __call__(self, context: Context) -> None:
        """Look whether an audit is due, now and then."""
        if self._thread.is_alive() or time.monotonic() - self._looked < _LOOK_EVERY:
            return
        self._looked = time.monotonic()
        self._thread = threading.Thread(target=self._audit, args=(context,), name="audit", daemon=True)
        self._thread.start()

    def _audit(self, context: Context) -> None:
        try:
            with translated("audit"):
                when_due(context)
        except DdbVerifyError as error:
            context.console.warn(f"the audit of this worker: {error.message} Try: {error.hint}")
        except Exception as error:  # noqa: BLE001  # a thread's own would be told to nobody who looks
            # The type only: the text of others' may hold values.
            context.console.warn(
                f"the audit of this worker: {type(error).__qualname__}, which nobody has expected. Try: "
                f"`replicator audit`, which says more; this worker tries again."
            )
