"""Follows a log and shows it, on a terminal and on a page of this machine, for the length of a block."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from ddbverify.evidence.tail import Tail
from ddbverify.live.terminal import Screen
from ddbverify.page.live_view import view

if TYPE_CHECKING:  # Jinja2 need not be installed
    from ddbverify.live.web import Page

SECONDS_BETWEEN_LOOKS: Final = 1.0


class Watching:
    """
    Shows a log for the length of a block.

    With *seconds* a thread of its own looks at the log now and then; without, only `look` does.
    """

    def __init__(
        self,
        path: Path,
        screen: Screen | None,
        page: Page | None = None,
        *,
        seconds: float | None = SECONDS_BETWEEN_LOOKS,
    ) -> None:
        """
        Prepare.

        Args:
            path: Of the log.
            screen: Where to draw; ``None`` for nowhere.
            page: Where to serve; it is closed at the end of the block.
            seconds: Between two looks.
        """
        self._tail, self._screen, self._page = Tail(path), screen, page
        self._over, self._looking = threading.Event(), threading.Lock()
        self._seconds, self._began = seconds, False
        self._thread = threading.Thread(target=self._go, name="ddbverify-watch", daemon=True)

    def __enter__(self) -> Self:
        self.look()
        if self._seconds is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        try:
            self.look()
        finally:
            if self._screen is not None:
                with suppress(OSError):
                    self._screen.close()
            if self._page is not None:
                self._page.close()

    def line(self, text: str) -> None:
        """Print a line of somebody else's, above what is drawn."""
        if self._screen is not None:
            with self._looking, suppress(OSError):  # nobody reads it any more
                self._screen.line(text)

    def look(self) -> None:
        """Show what has come."""
        with self._looking:
            if not self._tail.poll() and self._began:
                return
            self._began = True
            shown = view(self._tail.told)
            if self._screen is not None:
                try:
                    self._screen.show(shown)
                except OSError:  # nobody reads it any more; what is watched goes on
                    self._screen = None
            if self._page is not None:
                self._page.shown.show(shown, self._tail.place)

    def _go(self) -> None:
        while not self._over.wait(self._seconds):
            self.look()
