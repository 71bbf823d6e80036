"""
What others are told of a cutover, a cutback and an audit, step by step: ``[notify]``.

In the background, since nothing may wait for it while the application cannot write: `Notices.tell` puts a
document aside and comes back, and one thread hands it on, in order, each within `LIMIT_SECONDS`. Only behind
everything, when the fence is lifted or the pointer flipped, is what is left waited for, and not for long.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from ddbverify.config import Config, Side
from ddbverify.errors import DdbVerifyError
from ddbverify.names import table_name
from ddbverify.tables import aws
from replicator.aws import operators_command
from replicator.context import clock
from replicator.context.context import Context
from replicator.handlers.state import now_text

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

VERSION: Final = 1
"""Of the document. A member more is no other version; one that is gone or means something else is."""

LIMIT_SECONDS: Final = 10.0
"""For one notice, one way."""

LAST_SECONDS: Final = 20.0
"""For all that is left when the command is done; of what will not fit into it the last notice goes first."""

_TELL_WHY: Final = ("rolled-back", "gap", "lost")
"""Behind one of these an error is no news."""

_SUBJECT: Final = 100  # characters that SNS takes

Way = Callable[[dict[str, Any]], None]
"""Hands one document on, or raises."""


class Notices:
    """
    Tells what happens, in order, in the background. Nothing of it ever raises, and nothing is waited for.

    Args:
        about: What stands in every document.
        ways: Where documents go; none: nobody is told anything.
        warn: Is told in a sentence what did not arrive.
    """

    def __init__(self, about: dict[str, Any], ways: Sequence[Way], warn: Callable[[str], None]) -> None:
        self._about, self._ways, self._warn = about, ways, warn
        self._waiting: deque[dict[str, Any]] = deque()
        self._changed = threading.Condition()
        self._number, self._last = 0, ""
        self._ended_at: float | None = None  # on the clock of waiting
        self._under_way = ""
        self._thread: threading.Thread | None = None

    def tell(
        self, event: str, *, cycle: int = 0, deadline: float | None = None, reason: str | None = None
    ) -> None:
        """
        Tell one step.

        Args:
            event: Its name.
            cycle: Of the direction: see `Config.turned`.
            deadline: By when the flip has to be done, on `clock.seconds`; none where there is no fence.
            reason: Why, of what went wrong; in the words that the operator gets.
        """
        if not self._ways:
            return
        self._number, self._last = self._number + 1, event
        document = {
            "v": VERSION,
            **self._about,
            "event": event,
            "number": self._number,
            "at": now_text(),
            "cycle": cycle,
            "seconds_left": None if not deadline else int(max(0.0, deadline - clock.seconds())),
            "reason": reason,
        }
        with self._changed:
            self._waiting.append(document)
            if self._thread is None:
                self._thread = threading.Thread(target=self._hand_on, name="notices", daemon=True)
                self._thread.start()
            self._changed.notify()

    def opened(self, is_open: bool, cycle: int) -> None:
        """Tell whether the way back is open behind a flip."""
        self.tell("open" if is_open else "not-open", cycle=cycle)

    def __enter__(self) -> Notices:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell an error that was not told yet, and wait for what is left; behind everything."""
        if error is not None and self._last not in _TELL_WHY:
            self.tell("failed", reason=reason_of(error))
        with self._changed:
            self._ended_at = time.monotonic()
            self._changed.notify()
        if self._thread is None:
            return
        self._thread.join(LAST_SECONDS + LIMIT_SECONDS * len(self._ways))
        if self._thread.is_alive():
            self._warn(f"the notice of `{self._under_way}` may not have arrived: it is still under way")

    def _hand_on(self) -> None:
        while (document := self._next()) is not None:
            self._under_way = document["event"]
            for way in self._ways:
                try:
                    way(document)
                except Exception as error:  # noqa: BLE001 - whatever it is, a cutover does not end by it
                    why = error.message if isinstance(error, DdbVerifyError) else type(error).__name__
                    self._warn(f"the notice of `{document['event']}` did not arrive: {why}")

    def _next(self) -> dict[str, Any] | None:
        """The next document; ``None`` once the command is done and nothing is left."""
        with self._changed:
            while not self._waiting and self._ended_at is None:
                self._changed.wait()
            if not self._waiting:
                return None
            if self._ended_at is not None and time.monotonic() - self._ended_at > LAST_SECONDS / 2:
                *left, last = self._waiting
                self._waiting = deque((last,))
                if left:
                    names = ", ".join(f"`{one['event']}`" for one in left)
                    self._warn(f"the notices of {names} did not arrive: there was no time left for them")
            return self._waiting.popleft()


SILENT: Final = Notices({}, (), lambda _: None)
"""Tells nobody."""


def of(context: Context, command: str, *, silent: bool = False) -> Notices:
    """
    The notices of one command.

    Args:
        command: Such as ``cutover``.
        silent: Nobody is told anything: of a dry run.
    """
    config = context.root.config
    about = {
        "migration": config.name,
        "command": command,
        "pairs": [
            {"id": pair.id, "source": table_name(pair.source), "target": table_name(pair.target)}
            for pair in config.tables
        ],
    }
    return Notices(about, [] if silent else _ways(context, config), context.console.warn)


def _ways(context: Context, config: Config) -> list[Way]:
    found: list[Way] = []
    if config.notify.command is not None:
        found.append(partial(_run, config.notify.command, str(config.folder)))
    if config.notify.topic is not None:
        topic, side = config.notify.topic, context.root.source_side
        there = Side(topic.split(":")[3], side.profile, side.endpoint_url)
        try:  # made here, since it is ours alone and asks for no lease; its first request takes long enough
            client = aws.client(there, "sns", shared=False)
        except DdbVerifyError as error:
            context.console.warn(f"[notify] topic is told nothing: {error.message}")
        else:
            found.append(partial(_publish, client, topic))
    return found


def _run(command: str, folder: str, document: dict[str, Any]) -> None:
    operators_command.run(
        command,
        folder=folder,
        whose="The command of [notify]",
        hint="see why it fails.",
        document=json.dumps(document),
        timeout_seconds=LIMIT_SECONDS,
    )


def _publish(client: SNSClient, topic: str, document: dict[str, Any]) -> None:
    with aws.translated("publish to the topic of [notify]"):
        client.publish(
            TopicArn=topic,
            Message=json.dumps(document),
            Subject=f"{document['command']} of {document['migration']}: {document['event']}"[:_SUBJECT],
            MessageAttributes={  # for filters of subscriptions
                name: {"DataType": "String", "StringValue": str(document[name])}
                for name in ("migration", "command", "event")
            },
        )


def reason_of(error: BaseException) -> str:
    """Why a cutover was rolled back, for people. A bug is known by its type: its text may hold values."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return error.message if isinstance(error, DdbVerifyError) else type(error).__name__
