"""
A history that goes over, back and over again under writers that follow the pointer.

Which table is open is found out by others than those who write: a request that would be refused for its
condition is refused for want of permission where a fence stands, and changes nothing either way.
"""

from __future__ import annotations

import json
import random
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, ConnectionClosedError

from replicator.embedded.aws import EmbeddedAws, embedded_aws
from tests.history import shapes
from tests.history.journal import Journal, Said, read
from tests.history.judge import Judgement, judge
from tests.history.run import FAULTS, KEYS, REGION, SOURCE, TARGET, Options, Stage, _create, _items
from tests.history.writers import Writers

ROLE, POINTER = "history-writers", "/history/rooms"
SIDES = {"source": SOURCE, "target": TARGET}
DENIED = ("AccessDeniedException", "AccessDenied")


def arn(aws: EmbeddedAws, table: str) -> str:
    """Of one of the two tables."""
    return f"arn:aws:dynamodb:{REGION}:{aws.account_id}:table/{table}"


class FlipStage(Stage):
    """A stage whose migration has a pointer, a fence, and a way back."""

    def _configure(self) -> None:
        shutil.copy(Path(shapes.__file__), self.folder / "shapes.py")
        tables = [arn(self.aws, table) for table in SIDES.values()]
        fence = [sys.executable, "-m", "replicator.demo.fence", ROLE, *tables, "{side}"]
        through = (
            'transform = "shapes:renamed"\ninverse = "shapes:named_back"\n' if self.options.shape else ""
        )
        (self.folder / "migration.toml").write_text(
            f'name = "history"\n\n[source]\nregion = "{REGION}"\n\n[target]\nregion = "{REGION}"\n\n'
            f'[[tables]]\nsource = "{SOURCE}"\ntarget = "{TARGET}"\naccept = ["stream"]\n{through}\n'
            '[replication]\noverlap = "1s"\ngroups = 4\n\n[verification]\nsettle = "2s"\n\n'
            "[gate]\nemulator = true\nchurning = true\n\n"
            f'[cutover]\npointer = "ssm:{POINTER}"\nquiet = "1s"\nstream_lag = "1s"\nway_back = "7d"\n'
            f"fence = {json.dumps('command:' + shlex.join(fence))}\n",
            encoding="utf-8",
        )


class Instance:
    """One instance of the application: it goes by the pointer, which it reads when it is refused."""

    def __init__(
        self, stage: Stage, session: Any, reshaped: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        self._tables = {side: session.resource("dynamodb").Table(name) for side, name in SIDES.items()}
        self._ssm, self._target, self._reshaped = (
            stage.aws.client("ssm", REGION),
            arn(stage.aws, TARGET),
            reshaped,
        )
        self._side = "source"

    def write(self, key: str, item: dict[str, Any] | None) -> None:
        """Write until a table takes it. Raises what is no refusal."""
        while True:
            table = self._tables[self._side]
            try:
                if item is None:
                    table.delete_item(Key={"id": key})
                else:
                    table.put_item(Item=self._reshaped(item) if self._side == "target" else item)
            except ClientError as error:
                if error.response["Error"]["Code"] not in DENIED:
                    raise
            else:
                return
            time.sleep(0.05)
            self._side = "target" if self._pointer() == self._target else "source"

    def _pointer(self) -> str:
        try:
            value: str = self._ssm.get_parameter(Name=POINTER)["Parameter"]["Value"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ParameterNotFound":
                return ""
            raise
        return value


class FollowingWriters(Writers):
    """Writers whose table is an `Instance`."""

    def _write(self, table: Any, draw: random.Random, key: str, item: dict[str, Any] | None) -> bool:
        operation = self.journal.invoke(key, item)
        chance = draw.random()
        try:
            if chance < self.unanswered / 2:
                raise ConnectionClosedError(endpoint_url="before")  # noqa: TRY301 - never arrives
            table.write(key, item)
            if chance < self.unanswered:
                raise ConnectionClosedError(endpoint_url="after")  # noqa: TRY301 - carried out
        except ConnectionClosedError:
            self.journal.answer(operation, Said.UNKNOWN, key, item)
            return False
        self.journal.answer(operation, Said.ACKNOWLEDGED, key, item)
        return True


@dataclass
class Watch:
    """Looks, all the time, which of the two tables the writers' role may write."""

    session: Any
    seen: list[tuple[str, bool]] = field(default_factory=list)  # (side, open), in the order of the looks
    errors: list[str] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._end.set()
        self._thread.join()

    def both_open(self) -> int:
        """How often a table was open while the other was open before and behind that look."""
        return sum(
            one[0] == last[0] != between[0] and one[1] and between[1] and last[1]
            for one, between, last in zip(self.seen, self.seen[1:], self.seen[2:], strict=False)
        )

    def open_in_turn(self) -> list[str]:
        """The sides that were open, one after the other."""
        turns = [side for side, is_open in self.seen if is_open]
        return [side for at, side in enumerate(turns) if at == 0 or turns[at - 1] != side]

    def _run(self) -> None:
        client = self.session.client("dynamodb")
        try:
            while not self._end.is_set():
                for side, name in SIDES.items():
                    self.seen.append((side, _takes_writes(client, name)))
        # A watch that dies would have seen nothing wrong.
        except Exception as error:
            self.errors.append(f"{type(error).__name__}: {error}")


def _takes_writes(client: Any, table: str) -> bool:
    try:
        client.put_item(
            TableName=table,
            Item={"id": {"S": "nobody's"}},
            ConditionExpression="attribute_exists(id) AND attribute_not_exists(id)",
        )
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in DENIED:
            return False
        assert code == "ConditionalCheckFailedException", code
        return True
    raise AssertionError("a condition that cannot hold did")


@dataclass
class Turns:
    """What such a history leaves."""

    judgement: Judgement
    verified: int  # exit status of the last `ddbverify run`
    both_open: int
    in_turn: list[str]
    kept: list[str]  # keys of which the source has lost what only it holds


def turns(folder: Path, options: Options, *, killed: bool, say: Callable[[str], None] = print) -> Turns:
    """Make one history in an empty folder: over, back, over again. *killed*: the cutback, once."""
    draw = random.Random(options.seed)
    with embedded_aws(progress=say) as aws:
        stage = FlipStage(folder, aws, options)
        _create(stage)
        mine = {
            f"mine{number}": {"id": f"mine{number}", "version": 0, "kept": f"{number}"} for number in range(5)
        }
        for item in mine.values():
            stage.table(SOURCE).put_item(Item=item)
        session, journal = _role(stage), Journal(folder / "journal.jsonl")
        reshaped = shapes.renamed if options.shape else dict
        writers = FollowingWriters(
            lambda: Instance(stage, session, reshaped),
            journal,
            seed=options.seed,
            rate=options.rate,
            keys=KEYS,
            poison=0.0,
        )
        watch = Watch(session)
        writers.start()
        try:
            stage.need("replicator", "up")
            stage.need("replicator", "restore")
            writers.unanswered = 0.05
            for number, command in enumerate(("cutover", "cutback", "cutover")):
                stage.rage(FAULTS)
                time.sleep(options.seconds)
                stage.rage({})  # what a forwarder repeats is in no queue, and looks lost to a run
                _flip(stage, command, draw.uniform(1, 8) if killed and command == "cutback" else None)
                if number == 0:  # before, no command keeps anybody off the target
                    watch.start()
        finally:
            stage.rage({})
            writers.finish()
            journal.close()
        assert not writers.errors, writers.errors
        watch.end()
        assert not watch.errors, watch.errors
        _await_the_same(stage, reshaped)
        source = _items(stage, SOURCE, "id")
        kept = [key for key, item in mine.items() if source.pop(key, None) != item]
        target = {key: item for key, item in _items(stage, TARGET, "id").items() if key not in mine}
        found = judge(read(journal.path), source, target, expected=reshaped)
        verified, _ = stage.run("ddbverify", "run")
        return Turns(found, verified, watch.both_open(), watch.open_in_turn(), kept)


def _flip(stage: Stage, command: str, dies_after: float | None) -> None:
    _open_the_gate(stage)
    if dies_after is not None:
        environment = stage.aws.environment(REGION) | {"PYTHONPATH": f"{stage.code}:{stage.folder}"}
        died = subprocess.Popen(
            [sys.executable, "-m", "replicator", command],
            cwd=stage.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(dies_after)
        died.kill()
        died.wait()
    until, said = time.monotonic() + stage.options.drain_seconds, {}
    while time.monotonic() < until:  # under faults a check may be late, and the gate closed
        status, said = stage.run("replicator", command)
        if status == 0:
            return
        _open_the_gate(stage)
    raise AssertionError(f"{command}: {json.dumps(said)[:2000]}")


def _open_the_gate(stage: Stage) -> None:
    """Runs, until one passes while the writers write; what the faults have put aside is applied first."""
    time.sleep(5)
    for _ in range(10):
        stage.run("replicator", "repair")
        if stage.run("ddbverify", "run")[0] == 0:
            return


def _role(stage: Stage) -> Any:
    """A session of the writers' role, which the fences keep off."""
    aws = stage.aws
    iam = aws.client("iam", REGION)
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{aws.account_id}:root"},
        "Action": "sts:AssumeRole",
    }
    allow = {
        "Effect": "Allow",
        "Action": ["dynamodb:PutItem", "dynamodb:DeleteItem"],
        "Resource": [arn(aws, table) for table in SIDES.values()],
    }
    role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=ROLE, PolicyName="write", PolicyDocument=_policy(allow))
    given = aws.client("sts", REGION).assume_role(RoleArn=role, RoleSessionName="writers")["Credentials"]
    return _Session(
        aws.session(REGION),
        {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretAccessKey"],
            "aws_session_token": given["SessionToken"],
        },
    )


@dataclass(frozen=True)
class _Session:
    session: Any
    credentials: Mapping[str, str]

    def resource(self, service: str) -> Any:
        return self.session.resource(service, **self.credentials)

    def client(self, service: str) -> Any:
        return self.session.client(service, **self.credentials)


def _policy(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _await_the_same(stage: Stage, reshaped: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Wait until what the application wrote last has come back, or it took too long: the judge says."""
    until = time.monotonic() + stage.options.drain_seconds
    while time.monotonic() < until:
        source = {key: reshaped(dict(item)) for key, item in _items(stage, SOURCE, "id").items()}
        if source == _items(stage, TARGET, "id"):
            return
        stage.run("replicator", "repair")
        time.sleep(1)


def lines(found: Turns) -> Iterator[str]:
    """For a failed test."""
    yield str(found.judgement)
    yield f"run {found.verified}, both open {found.both_open} times, in turn {found.in_turn}"
    yield f"what only the source holds is lost of {found.kept}"
