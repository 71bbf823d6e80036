"""
One process of a pass: it loads what it needs anew, then reads and joins the segments that it is given.

`main` is called by `processes`, with the numbers of the open files that are its lines. The main thread says
once a second that the process is there; each line has a thread of its own.
"""

from __future__ import annotations

import faulthandler
import os
import threading
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Final

from ddbverify.code import reads, source
from ddbverify.code.under_way import UnderWay
from ddbverify.compare.controls import Specimens
from ddbverify.compare.inspection import Inspector
from ddbverify.compare.judge import Judge
from ddbverify.compare.memory import Memory, rare_collections
from ddbverify.compare.part import Asking, Failed, PartScan
from ddbverify.compare.processes import Beat, Begin, Learned, Ready
from ddbverify.compare.reading import Reader
from ddbverify.compare.sides import Role
from ddbverify.errors import ConfigurationError
from ddbverify.items.form import Form
from ddbverify.items.transform import Transform
from ddbverify.tables import credentials
from ddbverify.tables.wire import TableReader

SECONDS_BETWEEN_BEATS: Final = 1.0
SLACK_SECONDS: Final = 30.0
"""So much later than the other end would this process ends itself: that may be gone by then."""


def main(files: Sequence[int]) -> None:
    """Serve until the other end is gone; never returns."""
    status = 1
    try:
        control, *lines = [Connection(one) for one in files]
        begin: Begin = control.recv()
        # Code of the user's that holds the interpreter would outlive the pass: this timer needs no lock.
        again = partial(
            faulthandler.dump_traceback_later,
            begin.silence_seconds + SLACK_SECONDS,
            exit=True,
            file=_nowhere(),
        )
        again()
        try:
            member = _Member(begin)
        except ConfigurationError as error:
            control.send(
                ConfigurationError(
                    f"{error.message.rstrip('.')} (in another process of the comparison)",
                    f"{error.hint.rstrip('.')}, or set `processes = 1` under [verification].",
                )
            )
        # What the user's module raises when it is imported, and a table that cannot be reached.
        except BaseException as error:  # noqa: BLE001
            control.send(Failed.of(error).error)
        else:
            control.send(Ready())
            with rare_collections():
                for line in lines:
                    threading.Thread(target=member.serve, args=(line,), daemon=True).start()
                _beat(control, member, again)
        status = 0
    except (EOFError, OSError):  # nobody is there any more
        pass
    finally:
        os._exit(status)  # threads that wait for an answer are not waited for


def _nowhere() -> int:
    return os.open(os.devnull, os.O_WRONLY)


def _beat(control: Connection, member: _Member, again: partial[None]) -> None:
    while not control.poll(SECONDS_BETWEEN_BEATS):
        again()
        control.send(Beat(member.running, member.new_reads()))
    control.recv()  # EOFError: the other end is gone
    control.send(Beat(None, member.new_reads()))
    otherwise = source.loaded_otherwise() if member.is_bound else ()
    control.send(Learned(member.inspector.results, source.compiled(), frozenset(otherwise)))
    with suppress(EOFError):
        control.recv()


class _Member:
    """What this process reads with."""

    def __init__(self, begin: Begin) -> None:
        self._under_way = UnderWay()
        self._reads: list[str] = []
        self.is_bound = begin.bound is not None
        if begin.bound is not None:
            own, folders = begin.bound
            source.install(own, folders)
            reads.watch()
            reads.report(self._reads.append)
        warnings.filters[:] = begin.filters  # type: ignore[index]
        credentials.take_assumed(begin.assumed)
        schemas = {role: table.key_schema for role, table in begin.tables.items()}
        transform = Transform.load(
            begin.transform, schemas[Role.SOURCE], schemas[Role.TARGET], rekeys=begin.rekeys
        )
        if transform.function is not None:
            transform = replace(transform, function=self._under_way.noting(transform.function))
        judge = Judge(transform, Form(begin.ignore, begin.secret), begin.ttl_attributes)
        self._asking = Asking(is_free=begin.is_free)
        checks = [one.loaded() for one in begin.checks]
        self.inspector = Inspector(checks, schemas[Role.TARGET], self._asking.tell)
        readers: dict[Role, Reader] = {
            role: TableReader(begin.sides[role], table, places=partial(self._asking.place, role))
            for role, table in begin.tables.items()
        }
        ahead = begin.clock_ahead
        self._scan = PartScan(
            readers,
            judge,
            begin.plan,
            Memory(begin.memory, shares=begin.shares),
            clock=lambda: time.monotonic() + ahead,
            inspector=self.inspector,
            specimens=Specimens(judge, begin.covered),
            judges=begin.judges,
            spent=self._asking.spent,
        )

    @property
    def running(self) -> tuple[int, str | None] | None:
        """The call of the user's code that is under way; of several calls of the transform the oldest."""
        if (checked := self.inspector.running) is not None:
            return checked[1], checked[0].id
        call = self._under_way.oldest
        return None if call is None else (call, None)

    def serve(self, line: Connection) -> None:
        """Do what is asked over one line."""
        self._asking.on(line)
        self._scan.serve(line)

    def new_reads(self) -> tuple[str, ...]:
        """Files that were read since this was asked last."""
        new = tuple(self._reads)
        del self._reads[: len(new)]
        return new
