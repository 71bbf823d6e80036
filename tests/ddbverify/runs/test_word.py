"""A run that has loaded everything and waits for its word: nothing that counts is read before it."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from benchmarks.page_server import REGION, Generated, page_server
from ddbverify.errors import ConfigurationError
from ddbverify.evidence import folders
from ddbverify.runs import run as runs
from ddbverify.runs.word import Word
from tests.ddbverify import projects
from tests.ddbverify.projects import REPOSITORY

pytestmark = pytest.mark.usefixtures("on_loopback")

ITEMS, CHANGED = 500, 20
PATIENCE_SECONDS = 120.0

CHECKS = """\
from ddbverify import State, require


def check_every_item(pair):
    require(pair.verdict(State.MISSING, State.EXTRANEOUS, State.DIFFERENT))
"""

READING = {"Scan", "BatchGetItem", "GetItem", "Query", "DescribeStream", "GetShardIterator", "GetRecords"}


@pytest.fixture(scope="module")
def server():
    tables = {name: Generated(items=ITEMS, records=CHANGED) for name in ("orders", "orders-v2")}
    with page_server(tables) as running:
        yield running


class Waiting:
    """``ddbverify run --at-word`` in a project of its own."""

    def __init__(self, server, folder):
        self.server, self.folder, self.out = server, folder, folder / "out"
        self.process = None
        side = f'region = "{REGION}"\nendpoint_url = "{server.endpoint_url}"\n'
        self.toml = folder / "migration.toml"
        self.toml.write_text(
            f"[source]\n{side}[target]\n{side}[gate]\nemulator = true\n[cutover]\nstream_lag = '0s'\n"
            '[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n'
        )
        (folder / "checks").mkdir()
        self.checks(CHECKS)
        self.environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}

    def checks(self, text):
        (self.folder / "checks" / "check_own.py").write_text(text)

    def command(self, *options, limit="120s"):
        waits = ("--at-word", limit, "--out", str(self.out))
        return [sys.executable, "-m", "ddbverify", "run", "--json", *waits, *options]

    def start(self, *options, **how):
        self.process = subprocess.Popen(
            self.command(*options, **how),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def await_loaded(self):
        until(lambda: (self.out / folders.WAITING).exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()

    def say(self, line=b"now\n"):
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def end(self):
        """Its exit status, and what it said; standard input stays open until it has ended."""
        output, errors = self.process.stdout.read(), self.process.stderr.read()
        return self.process.wait(PATIENCE_SECONDS), json.loads(output or "{}"), errors.decode()

    @property
    def evidence(self):
        envelope = json.loads((self.out / folders.EVIDENCE).read_bytes())
        return json.loads(base64.b64decode(envelope["payload"]))

    @property
    def traces(self):
        """Of runs, in the tool's own folder."""
        home = self.folder / folders.HOME
        return [one.name for one in home.glob("*")] + [one.name for one in home.glob("runs/*")]

    @property
    def read(self):
        """How many requests there were for what is in tables and streams."""
        asked = (one for operations in self.server.stats().values() for one in operations.items())
        return sum(one.requests for operation, one in asked if operation in READING)


def until(is_so, patience_seconds=PATIENCE_SECONDS):
    deadline = time.monotonic() + patience_seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def waiting(server, tmp_path):
    made = Waiting(server, tmp_path)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait()
        for pipe in filter(None, (made.process.stdin, made.process.stdout, made.process.stderr)):
            pipe.close()


def test_nothing_is_read_before_the_word_and_all_of_it_behind_it(waiting):
    before = waiting.read
    waiting.start()
    waiting.await_loaded()
    assert waiting.read == before
    assert "latest" not in waiting.traces, "it is no run before the word"

    said_at = time.time()
    waiting.say()
    code, ran, said = waiting.end()

    assert (code, ran["pairs"][0]["counts"]["matched"]) == (0, ITEMS), said
    assert waiting.read > before
    assert waiting.evidence["started_epoch"] >= int(said_at)
    assert not (waiting.out / folders.WAITING).exists()
    assert (waiting.folder / ".ddbverify" / "latest").resolve() == waiting.out.resolve()


def test_what_it_goes_on_from_is_loaded_before_and_the_streams_are_read_behind_it(waiting):
    plain = [sys.executable, "-m", "ddbverify", "run", "--json"]
    assert subprocess.run(plain, cwd=waiting.folder, env=waiting.environment, check=False).returncode == 0
    before = waiting.read
    waiting.start("--since", "latest")
    waiting.await_loaded()
    assert waiting.read == before

    waiting.say()
    code, ran, said = waiting.end()

    assert (code, ran["pairs"][0]["changed"], ran["full_pass"]) == (0, CHANGED, None), said
    assert ran["pairs"][0]["counts"]["matched"] == CHANGED


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "standard input has ended"),
        (b"no", "standard input has ended"),
        (b"later\n", "another line came"),
        (b"x" * 1000, "another line came"),
    ],
)
def test_without_the_word_it_ends_and_leaves_nothing(waiting, line, why):
    waiting.start()
    waiting.await_loaded()
    before = waiting.read
    waiting.say(line)
    if b"\n" not in line:
        waiting.process.stdin.close()
    code, ran, said = waiting.end()

    assert (code, ran["error"]["type"]) == (2, "Refused")
    assert why in said
    assert not waiting.out.exists()
    assert not any(folders.moment(name) or name == "latest" for name in waiting.traces)
    assert waiting.read == before


def test_one_that_waits_too_long_ends(waiting):
    waiting.start(limit="0s")
    code, _, said = waiting.end()

    assert (code, "none came within 0 s" in said) == (2, True)
    assert not waiting.out.exists()


def test_ctrl_c_ends_one_that_waits(waiting):
    waiting.start()
    waiting.await_loaded()
    waiting.process.send_signal(signal.SIGINT)

    assert waiting.end()[0] == 3
    assert not waiting.out.exists()


@pytest.mark.parametrize("word_first", [False, True])
def test_a_kill_of_whoever_gives_the_word_leaves_no_process(waiting, word_first):
    (waiting.folder / "checks" / "conftest.py").write_text(
        "import os, pathlib\n"
        "(pathlib.Path(__file__).parents[1] / 'child').write_text(f'{os.getpid()} {os.getppid()}')\n"
    )
    waiting.checks(CHECKS.replace("    require", "    import time; time.sleep(600)\n    require"))
    operator = textwrap.dedent(f"""
        import subprocess, sys, time
        run = subprocess.Popen({waiting.command()!r}, stdin=subprocess.PIPE)
        sys.stdin.readline()
        run.stdin.write(b"now\\n")
        run.stdin.flush()
        time.sleep(600)
    """)
    waiting.process = subprocess.Popen(
        [sys.executable, "-c", operator],
        cwd=waiting.folder,
        env=waiting.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: (waiting.out / folders.WAITING).exists())
    if word_first:
        waiting.say(b"\n")
        until(lambda: not (waiting.out / folders.WAITING).exists())
        until(lambda: (waiting.folder / ".ddbverify" / "latest").exists())
    both = [int(number) for number in (waiting.folder / "child").read_text().split()]
    assert all(map(is_alive, both))

    waiting.process.kill()

    until(lambda: not any(map(is_alive, both)))


def is_alive(process):
    status = Path(f"/proc/{process}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_file_that_is_changed_between_loading_and_the_word_is_noticed(waiting):
    waiting.start()
    waiting.await_loaded()
    waiting.checks(CHECKS + "\n# mended\n")
    waiting.say()
    code, ran, _ = waiting.end()

    assert code == 3
    assert any("was changed during the run" in one for one in ran["shortcomings"]), ran


REACHES_OUT = (
    """\
import contextlib, pathlib, time, urllib.request

HERE = pathlib.Path(__file__).parents[1]
with contextlib.suppress(OSError):
    urllib.request.urlopen("URL")
(HERE / f"loaded-{time.time_ns()}").touch()
"""
    + CHECKS
)


def test_checks_that_ask_somebody_while_they_are_loaded_are_loaded_again_behind_the_word(waiting):
    """What they were told before the word may not hold any more."""
    waiting.checks(REACHES_OUT.replace("URL", waiting.server.endpoint_url))
    waiting.start()
    waiting.await_loaded()
    said_at = time.time_ns()
    waiting.say()
    code, ran, said = waiting.end()

    loaded = sorted(int(one.name.removeprefix("loaded-")) for one in waiting.folder.glob("loaded-*"))
    assert len(loaded) == 2
    assert loaded[0] < said_at < loaded[1]
    assert (code, ran["pairs"][0]["counts"]["matched"]) == (0, ITEMS), said
    assert "The checks are loaded anew" in said


def test_checks_that_cannot_be_loaded_are_told_of_before_the_word(waiting):
    waiting.checks("import no_such_module\n")
    waiting.start()
    code, ran, said = waiting.end()

    assert (code, ran["error"]["type"]) == (2, "Refused")
    assert "could not be loaded" in said
    assert not waiting.out.exists()


def test_its_folder_has_to_be_named(tmp_path, monkeypatch):
    file = projects.runnable(tmp_path, monkeypatch)

    with pytest.raises(ConfigurationError, match="has no folder before"):
        runs.run(file, word=Word(0, 1.0, lambda: None))
    assert not (tmp_path / ".ddbverify" / "runs").exists()
