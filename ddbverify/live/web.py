"""
The live page on this machine: one page, and a stream of what is inside it (server-sent events).

It listens on loopback alone, answers GET alone, and only who knows the token in its address. The name of the
host is looked at, too: a page of another site whose name leads here would be asked with that name.
"""

from __future__ import annotations

import errno
import hmac
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from ddbverify.errors import ConfigurationError
from ddbverify.live.address import HOST, Address
from ddbverify.page import live, making
from ddbverify.page.live_view import LiveView

MOST_READERS: Final = 16
HEARTBEAT_SECONDS: Final = 15.0
RETRY_MILLISECONDS: Final = 1000
_CLOSING_SECONDS: Final = 1.0
_SOCKET_SECONDS: Final = 30.0


class Shown:
    """What the page shows now. Threads share it."""

    def __init__(self) -> None:
        """There is nothing yet."""
        self.news = threading.Condition()
        self.place, self.over, self.readers = "", False, 0
        self._view: LiveView | None = None
        self._fragment: str | None = None

    def show(self, view: LiveView, place: str) -> None:
        """
        Show something else.

        Args:
            view: What.
            place: Another one for every other view; the same one after the command has started again.
        """
        with self.news:
            self._view, self._fragment, self.place = view, None, place
            self.news.notify_all()

    def end(self) -> None:
        """Let every reader go once it has what is shown."""
        with self.news:
            self.over = True
            self.news.notify_all()

    @property
    def view(self) -> LiveView | None:
        """The last one."""
        return self._view

    def fragment(self) -> tuple[str, str]:
        """Where it is, and what is inside the page; rendered only where somebody reads it, and once."""
        with self.news:
            if self._fragment is None and self._view is not None:
                self._fragment = live.fragment(self._view)
            return self.place, self._fragment or ""


class Page(ThreadingHTTPServer):
    """Serves the page, in threads of its own, until it is closed."""

    daemon_threads = True
    block_on_close = False
    shown: Shown

    def __init__(self, wanted: Address) -> None:
        """
        Take the port, and serve.

        Args:
            wanted: Its address; port 0 for any that is free.

        Raises:
            ConfigurationError: The port is in use, or the extra is not installed.
        """
        making.require_possible()
        self.shown = Shown()
        try:
            super().__init__((HOST, wanted.port), _Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise ConfigurationError(
                f"Port {wanted.port} of {HOST} cannot be had: {error.strerror}.",
                "name another one with --port, or close the live page that has it.",
            ) from error
        self.address = Address(port=self.server_address[1], token=wanted.token)
        threading.Thread(target=self.serve_forever, args=(0.5,), name="ddbverify-page", daemon=True).start()

    def close(self) -> None:
        """Tell every reader what was last, and stop; again, it does nothing."""
        if self.shown.over:
            return
        self.shown.end()
        deadline = time.monotonic() + _CLOSING_SECONDS
        with self.shown.news:
            while self.shown.readers and (left := deadline - time.monotonic()) > 0:
                self.shown.news.wait(left)
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a reader that is gone is no news to whoever looks at the terminal."""
        del request, client_address


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Page
    server_version, sys_version = "ddbverify", ""
    timeout = _SOCKET_SECONDS

    def do_GET(self) -> None:
        """Answer, if it is for us."""
        port = self.server.address.port
        if self.headers.get_all("Host") not in ([f"{HOST}:{port}"], [f"localhost:{port}"]):
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
            return
        parts = urlsplit(self.path)
        _, token, *rest = parts.path.split("/")
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.server.address.token.encode()):
            self._refuse(HTTPStatus.NOT_FOUND)
        elif rest == [""]:
            self._page()
        elif rest == ["events"]:
            asked = self.headers.get("Last-Event-ID") or "".join(parse_qs(parts.query).get("last", []))
            self._events(asked)
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def _page(self) -> None:
        view = self.server.shown.view
        if view is None:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        content, policy = live.frame(view)
        self._begin("text/html; charset=utf-8", length=len(content), policy=policy)
        self.wfile.write(content)

    def _events(self, last: str) -> None:
        shown = self.server.shown
        with shown.news:
            if shown.readers >= MOST_READERS:
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
                return
            shown.readers += 1
        try:
            self._begin("text/event-stream; charset=utf-8")
            self.wfile.write(f"retry: {RETRY_MILLISECONDS}\n\n".encode())
            with suppress(OSError):  # gone
                self._tell(last)
        finally:
            with shown.news:
                shown.readers -= 1
                shown.news.notify_all()

    def _tell(self, last: str) -> None:
        shown = self.server.shown
        while True:
            with shown.news:
                if shown.place == last and not shown.over:
                    shown.news.wait(HEARTBEAT_SECONDS)
                over, changed = shown.over, shown.place != last
            if changed:
                last, fragment = shown.fragment()
                lines = "".join(f"data: {line}\n" for line in fragment.splitlines())
                self.wfile.write(f"id: {last}\n{lines}\n".encode("utf-8", "replace"))
            else:
                self.wfile.write(b": still here\n\n")
            if over and last == shown.place:
                return

    def _begin(self, kind: str, *, length: int | None = None, policy: str = "default-src 'none'") -> None:
        self.send_response(HTTPStatus.OK)
        self._headers(policy)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _headers(self, policy: str) -> None:
        self.close_connection = True
        for name, value in (
            ("Connection", "close"),
            ("Content-Security-Policy", policy),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
        ):
            self.send_header(name, value)

    def _refuse(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self._headers("default-src 'none'")
        self.send_header("Content-Length", "0")
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET")
        self.end_headers()

    def _not_allowed(self) -> None:
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _not_allowed  # noqa: N815 - given names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name is given
        """Nothing: the address of a request holds the token."""
        del format, args


def opened(
    wanted: Address, keep: Callable[[Address], None], say: Callable[[str], None], *, is_asked: bool
) -> Page:
    """
    The page, at the address of before if that can be had.

    Args:
        wanted: The address of before, or with the port that was asked for.
        keep: Lets the address be found again.
        say: Tells the user a line.
        is_asked: Whether the port was asked for: then no other will do.

    Raises:
        ConfigurationError: It was, and cannot be had; or the extra is not installed.
    """
    try:
        page = Page(wanted)
    except ConfigurationError as error:
        if is_asked or not wanted.port:
            raise
        say(f"{error.message} The live page has another address this time.")
        page = Page(Address(port=0, token=wanted.token))
    try:
        keep(page.address)
    except OSError as error:
        say(f"the address of the live page cannot be kept for next time: {error.strerror}.")
    say(f"the live page, for you alone: {page.address.url}")
    return page
