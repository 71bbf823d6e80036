"""
``python -m replicator.backfill.worker``: loads one share in a process of its own.

It is told its share and the end of the lease on standard input, and tells its progress on standard output, a
JSON document a line. When the input ends, so does the process: nobody holds the lease for it any more.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from ddbverify import config as configuration
from ddbverify import errors
from ddbverify.code.digest import transform_digest
from ddbverify.errors import DdbVerifyError, EngineError, Refused
from replicator.backfill.share import Share, load_of
from replicator.context.console import Console
from replicator.context.context import Context
from replicator.context.lock import Borrowed


class Begin(msgspec.Struct):
    """What the command says first."""

    share: Share
    until: float  # as in `Word`


class Word(msgspec.Struct):
    """What the command says about every second."""

    until: float  # when the lease ends, by `clock.seconds`, which all processes of a machine share
    stop: bool = False  # end with the pages in hand


class Told(msgspec.Struct, omit_defaults=True):
    """What a worker says: how far it is, and at the end what came of it."""

    read: int = 0
    units: float = 0.0
    done: dict[str, int] | None = None
    failed: str = ""  # the error's type
    message: str = ""
    hint: str = ""


def main() -> int:
    """Load the share that standard input names; the exit status is 0 if it was told what came of it."""
    say = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what the user's code prints is no word of ours
    first = msgspec.json.decode(sys.stdin.buffer.readline(), type=Begin)
    lease, stop = Borrowed("load", first.until), threading.Event()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, lease, stop), daemon=True).start()
    guard = threading.Lock()

    def tell(**words: Any) -> None:
        with guard:
            say.write(msgspec.json.encode(Told(**words)) + b"\n")

    try:
        tell(done=_load(first.share, lease, stop, lambda read, units: tell(read=read, units=units)))
    except DdbVerifyError as error:
        known = next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
        tell(failed=known.__name__, message=error.message, hint=error.hint)
    # A bug's text may hold values, so the command is told its type only.
    except Exception as error:  # noqa: BLE001
        tell(failed=type(error).__name__)
    return 0


def _listen(words: BinaryIO, lease: Borrowed, stop: threading.Event) -> None:
    try:
        for line in words:
            word = msgspec.json.decode(line, type=Word)
            lease.until = word.until
            if word.stop:
                stop.set()
    finally:
        lease.end()
        stop.set()


def _load(share: Share, lease: Borrowed, stop: threading.Event, progress: Any) -> dict[str, int]:
    path = Path(share.config)
    context = Context(configuration.load(path), Console(as_json=True), path)
    context.lease = lease
    pair = next(pair for pair in context.config.tables if pair.id == share.pair)
    transform = context.transform(pair, share.source_keys, share.target_keys)
    if transform_digest(context.config, pair) != share.digest:
        raise Refused(
            f"The transform of {pair} was changed while the load began.",
            "put it back, and run the command again.",
        )
    counts = load_of(context, pair, share, transform, lease, progress, stop).run()
    if stop.is_set():  # these may not be the counts of the whole share
        raise EngineError(
            "A process of the load was stopped before its share was done.",
            "run the same command again: the load goes on where it was.",
        )
    return counts


if __name__ == "__main__":
    status = 1
    try:
        status = main()
    except BaseException as error:  # noqa: BLE001 - its text may hold values
        sys.stderr.write(f"A process of the load ended with {type(error).__name__}.\n")
    finally:
        sys.stderr.flush()
        os._exit(status)  # the thread that listens holds standard input, which Python would wait for
