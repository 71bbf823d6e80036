"""``replicator watch``: it looks gently, writes what it saw, shows what is written, and changes nothing."""

from __future__ import annotations

import fcntl
import os
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from ddbverify.errors import EngineError, Refused
from ddbverify.evidence import events
from ddbverify.evidence.following import Following, Moving
from replicator.cli import main
from replicator.commands import watch, watch_look
from replicator.commands.watch_look import Looking
from tests.ddbverify.live.logs import AT, following, moving


class Looks:
    """Stands in for `Looking`: what each look gives, an error to raise, then Ctrl-C."""

    def __init__(self, *looks):
        self.looks = list(looks)

    def look(self):
        if not self.looks:
            raise KeyboardInterrupt
        one = self.looks.pop(0)
        if isinstance(one, Exception):
            raise one
        return one


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "migration.toml").write_text(
        'name = "shop"\n[source]\nregion = "eu-west-1"\n[target]\nregion = "eu-west-1"\n'
        '[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("replicator.context.context.Context.begun", lambda _: True)
    monkeypatch.setattr(watch.time, "sleep", lambda _: None)
    monkeypatch.setattr(watch.time, "monotonic", iter(range(0, 10**6, 100)).__next__)
    return tmp_path


def watched(monkeypatch, *looks, arguments=()):
    monkeypatch.setattr(watch, "Looking", lambda _: Looks(*looks))
    return CliRunner().invoke(main, ["watch", *arguments], catch_exceptions=False)


def test_what_was_seen_stands_in_the_log_and_is_shown(project, monkeypatch):
    done = watched(
        monkeypatch, (moving(AT), [following(AT)]), (moving(AT + 1), [following(AT + 1, waiting=7)])
    )

    assert done.exit_code == 0
    log = events.read(project / ".ddbverify" / "watch.jsonl")
    assert log is not None
    assert [type(line).__name__ for line in log.lines] == ["Begun", *["Moving", "Following"] * 2]
    assert (log.lines[0].of, log.lines[0].name) == ("migration", "shop")
    assert "Migration shop: well." in done.stdout
    assert "backlog: 5 waiting" in done.stdout
    assert "backlog: 7 waiting" in done.stdout


@pytest.mark.parametrize(
    ("last", "code"),
    [
        ((moving(AT), [following(AT)]), 0),
        ((moving(AT), [following(AT, gap="the stream was cut")]), 1),
        ((moving(AT), [following(AT, quarantined=2)]), 1),
        ((moving(AT), [following(AT, dead_letters=1)]), 1),
        (EngineError("AWS refused.", "wait."), 6),
    ],
)
def test_ctrl_c_ends_it_with_what_is_so(project, monkeypatch, last, code):
    done = watched(monkeypatch, (moving(AT), [following(AT)]), last)

    assert done.exit_code == code
    if code == 6:
        assert "not known at the moment: AWS refused." in done.stdout


def test_what_aws_refuses_ends_nothing_and_is_said_once_until_it_is_known_again(project, monkeypatch):
    refused = EngineError("AWS refused.", "wait.")
    begun = iter([True, refused, refused, True, refused, True])

    def ask(_):
        answer = next(begun)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("replicator.context.context.Context.begun", ask)
    done = watched(monkeypatch, (moving(AT), [following(AT)]))

    assert done.exit_code == 6
    assert done.stdout.count("not known at the moment: AWS refused.") == 2
    assert "5 waiting" in done.stdout


def test_a_migration_that_has_not_begun_is_refused_in_a_sentence(project, monkeypatch):
    monkeypatch.setattr("replicator.context.context.Context.begun", lambda _: False)
    done = watched(monkeypatch)

    assert done.exit_code == 1
    assert "Migration shop has not begun, or has ended: there is nothing to watch." in done.stderr
    assert not (project / ".ddbverify").exists()


def test_one_that_is_removed_meanwhile_is_said_to_be(project, monkeypatch):
    begun = iter([True, True, False])
    monkeypatch.setattr("replicator.context.context.Context.begun", lambda _: next(begun))
    done = watched(monkeypatch, (moving(AT), [following(AT)]))

    assert done.exit_code == 0
    assert "`replicator down` has removed it" in done.stdout


def test_who_watches_second_reads_what_the_first_has_written(project, monkeypatch):
    watched(monkeypatch, (moving(AT), [following(AT, waiting=42)]))
    held = os.open(project / ".ddbverify" / "watch.lock", os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    before = (project / ".ddbverify" / "watch.jsonl").read_bytes()

    class Patience:
        left = 3

        def __call__(self, _):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", Patience())
    monkeypatch.setattr(watch.time, "monotonic", lambda: 0.0)
    done = watched(monkeypatch, Refused("asked for", "nothing"))
    os.close(held)

    assert done.exit_code == 0
    assert "42 waiting" in done.stdout
    assert (project / ".ddbverify" / "watch.jsonl").read_bytes() == before


def test_a_long_log_makes_room_for_a_new_one(project, monkeypatch):
    monkeypatch.setattr(watch, "MOST_BYTES", 1_500)
    looks = [(moving(AT + number), [following(AT + number)]) for number in range(9)]
    watched(monkeypatch, *looks)

    for name in ("watch.jsonl", "watch.old.jsonl"):
        log = events.read(project / ".ddbverify" / name)
        assert log is not None
        assert log.damage == ""
        assert isinstance(log.lines[0], events.Begun)


def test_without_room_for_the_log_it_says_so_in_a_sentence(project, monkeypatch):
    monkeypatch.setattr(
        events, "_append", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    done = watched(monkeypatch, (moving(AT), [following(AT)]))

    assert done.exit_code == 1
    assert "watch.jsonl: No space left." in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--interval", "1s"], "1s is too often"),
        (["--interval", "often"], "90s"),
        (["--port", "8000"], "give --web, too"),
        (["--web", "--port", "70000"], "65535"),
    ],
)
def test_what_makes_no_sense_is_usage(project, monkeypatch, arguments, said):
    done = watched(monkeypatch, arguments=arguments)

    assert done.exit_code == 2
    assert said in done.stderr


def test_a_port_in_use_is_a_sentence_and_nothing_is_asked(project, monkeypatch):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = watched(monkeypatch, Refused("asked for", "nothing"), arguments=["--web", "--port", str(port)])

    assert done.exit_code == 2
    assert f"Port {port} of 127.0.0.1 cannot be had" in done.stderr
    assert not (project / ".ddbverify" / "watch.jsonl").exists()


def test_with_a_page_its_address_is_said(project, monkeypatch):
    done = watched(monkeypatch, (moving(AT), [following(AT)]), arguments=["--web"])

    assert done.exit_code == 0
    assert "the live page, for you alone: http://127.0.0.1:" in done.stderr


# --- what is asked of AWS -------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch):
    """What a look asks, by name, with everything that answers replaced."""
    asked = []
    cut = {"steps": {"gate": "2026-11-18T11:00:00.000Z"}}

    def noted(name, answer):
        def call(*_, **__):
            asked.append(name)
            return answer

        return call

    facts = {
        "phase": "following",
        "paused": False,
        "queue": {"waiting": 3, "in_flight": 1, "delayed": 2},
        "dead_letters": 0,
        "quarantined": {"a": 2, "b": 1},
        "gap": None,
        "last_applied_seconds_ago": 4,
        "canary_arrived_seconds_ago": 9,
        "canary_lag_ms": 1_500,
        "canary_lag_seconds": {"p50": 2, "p99": 5, "canaries": 8},
        "counters": {"applied": 7},
        "cost": {"usd": 0.25},
        "workers": None,
    }
    metrics = {"oldest_message_seconds": 8.0, "iterator_age_seconds": None, "changes_per_second": 2.0}
    for module, name, answer in (
        (watch_look.status, "of_pair", facts),
        (watch_look.sight, "metrics", metrics),
        (watch_look.fence_seen, "look", []),
        (watch_look.target_seen, "look", []),
        (watch_look.gate, "judge", SimpleNamespace(open=False, reasons=("no run",))),
        (watch_look.way_back_seen, "look", None),
        (watch_look.live, "read", SimpleNamespace(table="source", cycle=0)),
    ):
        monkeypatch.setattr(module, name, noted(f"{module.__name__.rpartition('.')[2]}.{name}", answer))
    context = SimpleNamespace(
        config=SimpleNamespace(
            tables=[SimpleNamespace(id="orders-1", target="t", __str__=lambda _: "orders")],
            cutover=SimpleNamespace(fence_limit=300, fence="policy", policy=None),
        ),
        whole=SimpleNamespace(get=lambda _: cut),
        flips_with="cutover",
        resources=lambda _: {},
    )
    context.root = context
    context.turned = lambda _: context
    return context, asked, cut


def test_a_look_says_all_of_it(asked, monkeypatch):
    monkeypatch.setattr(watch_look.fences_told, "of_targets", lambda *_: ["look\x1b out"])
    context, _, _ = asked
    whole, (pair,) = Looking(context, lambda: AT).look()

    assert isinstance(whole, Moving)
    assert isinstance(pair, Following)
    assert (whole.gate_open, whole.gate_reasons, whole.under_way) == (False, ("no run",), False)
    assert whole.warnings == ("look\\x1b out",)
    assert whole.steps == {"gate": "2026-11-18T11:00:00.000Z"}
    assert (pair.waiting, pair.in_flight, pair.quarantined) == (5, 1, 3)
    assert (pair.canary_lag_seconds, pair.oldest_message_seconds, pair.stream_behind_seconds) == (
        1.5,
        8.0,
        None,
    )
    assert (pair.usd, pair.changes_per_second) == (0.25, 2.0)


def test_how_far_a_worker_is_behind_is_known_without_cloudwatch(asked, monkeypatch):
    monkeypatch.setattr(watch_look.fences_told, "of_targets", lambda *_: [])
    context, _, _ = asked
    facts = watch_look.status.of_pair(context)
    monkeypatch.setattr(
        watch_look.status, "of_pair", lambda *_, **__: {**facts, "workers": {"behind_seconds": 61.0}}
    )
    _, (pair,) = Looking(context, lambda: AT).look()

    assert pair.stream_behind_seconds == 61.0


def test_what_is_billed_or_slow_is_asked_once_a_minute_and_fences_under_a_cutover_each_time(
    asked, monkeypatch
):
    monkeypatch.setattr(watch_look.fences_told, "of_targets", lambda *_: [])
    context, names, cut = asked
    now = [AT]
    looking = Looking(context, lambda: now[0])
    looking.look()
    assert {"gate.judge", "sight.metrics", "fence_seen.look", "target_seen.look"} <= set(names)
    for _ in range(5):
        names.clear()
        now[0] += 10
        whole, (pair,) = looking.look()
        assert sorted(names) == ["live.read", "status.of_pair", "way_back_seen.look"]
        assert pair.oldest_message_seconds == 8.0  # as it was told last
        assert whole.gate_open is False
    cut["fenced"] = True
    names.clear()
    now[0] += 2
    whole, _ = looking.look()
    assert whole.under_way
    assert {"fence_seen.look", "target_seen.look"} <= set(names)
    assert "gate.judge" not in names
    names.clear()
    now[0] += 10
    looking.look()
    assert {"gate.judge", "sight.metrics"} <= set(names)


def test_a_gate_that_cannot_be_asked_is_not_known(asked, monkeypatch):
    monkeypatch.setattr(watch_look.fences_told, "of_targets", lambda *_: [])
    context, _, _ = asked

    def refused(*_):
        raise EngineError("AWS refused.", "wait.")

    monkeypatch.setattr(watch_look.gate, "judge", refused)
    whole, _ = Looking(context, lambda: AT).look()

    assert (whole.gate_open, whole.gate_reasons) == (None, ("AWS refused.",))
