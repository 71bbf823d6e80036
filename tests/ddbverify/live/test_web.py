"""The live page: for this machine and whoever knows its token, and nothing of it changes anything."""

from __future__ import annotations

import contextlib
import http.client
import socket
import stat
import threading

import pytest

from ddbverify.config import load
from ddbverify.errors import ConfigurationError
from ddbverify.evidence.events import EventLog
from ddbverify.live import address, opening, web
from ddbverify.live.address import Address
from ddbverify.live.watching import Watching
from ddbverify.page import making
from tests.ddbverify import projects
from tests.ddbverify.live.logs import RUN, run_log
from tests.ddbverify.pages import HOSTILE

TOKEN = "t" * 43


@contextlib.contextmanager
def served(path, port=0):
    page = web.Page(Address(port=port, token=TOKEN))
    with Watching(path, None, page, seconds=0.05):
        yield page


def ask(page, path, *, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", page.address.port, timeout=10)
    connection.request(method, path, headers={"Host": f"127.0.0.1:{page.address.port}", **headers})
    return connection.getresponse()


def an_event(answer):
    """The next one: its id, and what is inside the page."""
    found, data = "", []
    while line := answer.readline().decode().rstrip("\n"):
        kind, _, value = line.partition(": ")
        if kind == "id":
            found = value
        elif kind == "data":
            data.append(value)
    return found, "\n".join(data)


def next_event(answer):
    while True:
        found, data = an_event(answer)
        if found:
            return found, data


def test_the_page_shows_what_the_log_tells_and_may_do_nothing_else(tmp_path):
    run_log(tmp_path / "e")
    with served(tmp_path / "e") as page:
        answer = ask(page, f"/{TOKEN}/")
        text = answer.read().decode()

    assert answer.status == 200
    assert "3 keys so far stayed different" in text
    assert "30,000 items of the source" in text
    assert HOSTILE not in text
    assert "&lt;script&gt;alert" in text
    assert text.count("<svg") >= 4
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "no-referrer")


@pytest.mark.parametrize(
    "path",
    ["/", f"/{TOKEN}", f"/{'T' * 43}/", f"/{TOKEN[:-1]}/", f"/{TOKEN}/x", f"/{TOKEN}/events/", "/%C3%A9/"],
)
def test_whoever_does_not_know_the_token_or_asks_for_something_else_gets_nothing(tmp_path, path):
    run_log(tmp_path / "e")
    with served(tmp_path / "e") as page:
        answer = ask(page, path)
        assert (answer.status, answer.read()) == (404, b"")


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", ""]
)
def test_another_name_for_this_host_gets_nothing(tmp_path, host):
    run_log(tmp_path / "e")
    with served(tmp_path / "e") as page:
        answer = ask(page, f"/{TOKEN}/", Host=host.format(port=page.address.port))
        assert (answer.status, answer.read()) == (421, b"")
        assert ask(page, f"/{TOKEN}/", Host=f"localhost:{page.address.port}").status == 200


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_but_get_is_answered(tmp_path, method):
    run_log(tmp_path / "e")
    with served(tmp_path / "e") as page:
        answer = ask(page, f"/{TOKEN}/", method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET")


def test_it_listens_on_loopback_alone(tmp_path):
    with served(tmp_path / "e") as page:
        assert page.socket.getsockname()[0] == "127.0.0.1"


def test_events_come_as_the_log_grows_and_the_last_one_before_it_ends(tmp_path):
    log = run_log(tmp_path / "e")
    with served(tmp_path / "e") as page:
        answer = ask(page, f"/{TOKEN}/events")
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        first, inside = next_event(answer)
        assert first.startswith(f"{RUN}:")
        assert "3 keys so far stayed different" in inside
        EventLog(log._path).verdict("failed", complete=True)
        second, inside = next_event(answer)
    assert second != first
    assert "It has ended: failed." in inside
    assert not any(line.startswith(b"id:") for line in answer.read().splitlines())  # it is over, and closed


def test_who_has_seen_it_already_is_told_what_is_new_only_also_behind_a_restart(tmp_path):
    run_log(tmp_path / "e")
    with served(tmp_path / "e") as page:
        port = page.address.port
        first, _ = next_event(ask(page, f"/{TOKEN}/events"))
    with served(tmp_path / "e", port) as page:
        answer = ask(page, f"/{TOKEN}/events", **{"Last-Event-ID": first})
        run_log(tmp_path / "other", name="another", seconds=3)
        (tmp_path / "other").replace(tmp_path / "e")
        second, inside = next_event(answer)

    assert second.startswith("another:")
    assert "Verification another" in inside


def test_no_more_readers_than_it_can_have(tmp_path, monkeypatch):
    monkeypatch.setattr(web, "MOST_READERS", 1)
    run_log(tmp_path / "e")
    with served(tmp_path / "e") as page:
        held = ask(page, f"/{TOKEN}/events")
        next_event(held)
        assert ask(page, f"/{TOKEN}/events").status == 503
        assert ask(page, f"/{TOKEN}/").status == 200


def test_a_port_that_is_in_use_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as refused:
            web.opened(Address(port=port, token=TOKEN), lambda _: None, print, is_asked=True)

    assert refused.value.message == f"Port {port} of 127.0.0.1 cannot be had: Address already in use."
    assert "--port" in refused.value.hint


def test_the_address_of_before_is_taken_again_or_another_one_and_both_are_said(tmp_path, capsys):
    config = load(projects.make_project(tmp_path))
    said = []
    first = opening.page(config, "run", None, said.append)
    place = tmp_path / ".ddbverify" / "page-run.json"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    second = opening.page(config, "run", None, said.append)  # the first one is still there
    second.close()
    first.close()
    assert first.address.port != second.address.port
    assert first.address.token == second.address.token
    assert "has another address this time" in said[1]
    third = opening.page(config, "run", None, said.append)
    third.close()
    assert third.address == second.address
    assert said[-1] == f"the live page, for you alone: {second.address.url}"
    other = opening.page(config, "watch", None, said.append)
    other.close()
    assert other.address.token != third.address.token


@pytest.mark.parametrize("content", ["", "{", '{"port": 80}', '{"port": 99999, "token": "x"}'])
def test_a_note_of_the_address_that_makes_no_sense_is_another_address(tmp_path, content):
    (tmp_path / "p").write_text(content)
    found = address.kept(tmp_path / "p")
    assert (found.port, len(found.token)) == (0, 43)


def test_where_its_address_cannot_be_kept_it_says_so_and_goes_on(tmp_path):
    said = []

    def full(_):
        raise OSError(28, "No space left on device")

    page = web.opened(Address(port=0, token=TOKEN), full, said.append, is_asked=False)
    page.close()
    assert "cannot be kept for next time: No space left on device." in said[0]


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(making, "is_possible", lambda: False)
    with pytest.raises(ConfigurationError, match="Jinja2"):
        web.Page(Address(port=0, token=TOKEN))


def test_closed_it_leaves_no_thread_that_serves(tmp_path):
    run_log(tmp_path / "e")
    with served(tmp_path / "e") as page:
        ask(page, f"/{TOKEN}/").read()
    assert not [one for one in threading.enumerate() if one.name in ("ddbverify-page", "ddbverify-watch")]
    with pytest.raises(OSError, match="refused"):
        ask(page, f"/{TOKEN}/")
