"""
One history: a migration under writers and a nemesis on the embedded AWS, and its judgement.

``python -m tests.history --seconds 300 --seed 7`` runs one; what it prints last says how to run
the same again. The commands are child processes of a copy of the packages, into which the
nemesis is planted; nothing in the product switches it on.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replicator.embedded.aws import EmbeddedAws, embedded_aws
from tests.history import shapes
from tests.history.journal import Journal, read
from tests.history.judge import Item, Judgement, backwards, judge
from tests.history.writers import Writers
from tests.replicator.worker.running_workers import Workers

ROOT = Path(__file__).parents[2]
REGION, SOURCE, TARGET = "eu-west-1", "rooms", "rooms-v2"
KEYS = 60

FAULTS: dict[str, float] = {"kill": 0.02, "raise": 0.15, "throttle": 0.15, "lose": 0.15, "again": 0.3}
"""What the functions may meet, and how likely at each request or invocation."""


@dataclass(frozen=True, slots=True)
class Options:
    """One history is made of these, and of the machine's timing."""

    seed: int = 1
    seconds: float = 20.0
    rate: float = 40.0
    shape: str = ""  # a function of `shapes`; "" for items as they are
    patches: tuple[tuple[str, str, str], ...] = ()  # (file, old text, new text): faults of the product
    drain_seconds: float = 240.0
    workers: int = 0  # processes of `replicator worker` that carry it; none: functions do


@dataclass(slots=True)
class History:
    """What a run leaves: the judgement, what the verifier thinks of it, and what the nemesis did."""

    judgement: Judgement
    verified: int  # exit status of the last `ddbverify run`
    not_passed: list[str]  # checks of it
    by_two: int  # exit status of a `ddbverify diff` by two processes, or by one where the pair is re-keyed
    done: list[str]  # the nemesis's deeds, in order
    struck: Counter[str]  # faults that the functions met
    drained: bool = True
    gap: str | None = None

    @property
    def holds(self) -> bool:
        """Whether all that was promised was kept, and the verifier agrees."""
        agrees = self.verified == 0 and self.by_two == 0
        return self.judgement.holds and self.drained and self.gap is None and agrees


class Stage:
    """The folder of one history: the copy with the nemesis, the configuration, the plan, the journal."""

    def __init__(self, folder: Path, aws: EmbeddedAws, options: Options) -> None:
        self.folder, self.aws, self.options = folder, aws, options
        self.code, self.plan = folder / "code", folder / "plan.json"
        self._plant()
        self._configure()

    def run(self, *command: str) -> tuple[int, dict[str, Any]]:
        """One of our commands: exit status, and its JSON document."""
        done = self.done(*command, "--json")
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f"{' '.join(command)} said no JSON:\n{done.stderr[-3000:]}") from None

    def done(self, *command: str) -> subprocess.CompletedProcess[str]:
        """One of our commands, once it has ended."""
        environment = self.aws.environment(REGION) | {
            "PYTHONPATH": os.pathsep.join([str(self.code), str(self.folder)])
        }
        program, *arguments = command
        return subprocess.run(
            [sys.executable, "-m", program, *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def need(self, *command: str) -> None:
        """A command that has to work in the end; the nemesis may cost it some tries."""
        for _ in range(3):
            status, answer = self.run(*command)
            if status == 0:
                return
        raise AssertionError(f"{' '.join(command)} ended with {status}: {json.dumps(answer)[:2000]}")

    def rage(self, plan: dict[str, float]) -> None:
        """From now on the functions meet these faults."""
        draft = self.plan.with_suffix(".draft")
        draft.write_text(json.dumps(plan), encoding="utf-8")
        draft.replace(self.plan)

    def struck(self) -> Counter[str]:
        """Faults that the functions have met so far."""
        noted = Path(f"{self.plan}.struck")
        return Counter(noted.read_text(encoding="utf-8").split() if noted.exists() else ())

    def table(self, name: str) -> Any:
        """A boto3 table resource."""
        return self.aws.session(REGION).resource("dynamodb").Table(name)

    def _plant(self) -> None:
        for package in ("ddbverify", "replicator", "checks"):
            shutil.copytree(ROOT / package, self.code / package, ignore=shutil.ignore_patterns("__pycache__"))
        nemesis = (ROOT / "tests" / "history" / "nemesis.py").read_text(encoding="utf-8")
        inside = self.code / "replicator" / "handlers"
        (inside / "nemesis.py").write_text(nemesis.replace("@plan@", str(self.plan)), encoding="utf-8")
        append(
            inside / "forwarder.py",
            "\n\nfrom replicator.handlers import nemesis\n\n"
            "fifo.send = nemesis.again_and_late(fifo.send)\ntake = nemesis.shaken(take)\n",
        )
        append(
            inside / "consumer.py",
            "\n\nfrom replicator.handlers import nemesis\n\ntake = nemesis.shaken(take)\n",
        )
        for name, old, new in self.options.patches:
            path = self.code / name
            text = path.read_text(encoding="utf-8")
            assert text.count(old) == 1, f"{name} has changed: mend the patch"
            path.write_text(text.replace(old, new), encoding="utf-8")

    def _configure(self) -> None:
        shutil.copy(Path(shapes.__file__), self.folder / "shapes.py")
        shape = self.options.shape
        rekeys = "rekeys = true\n" if shape == "moved" else ""
        transform = f'transform = "shapes:{shape}"\n{rekeys}' if shape else ""
        (self.folder / "migration.toml").write_text(
            f'name = "history"\n\n[source]\nregion = "{REGION}"\n\n[target]\nregion = "{REGION}"\n\n'
            f'[[tables]]\nsource = "{SOURCE}"\ntarget = "{TARGET}"\naccept = ["stream"]\n{transform}\n'
            f'[replication]\noverlap = "1s"\ngroups = 4\nworker = {str(self.options.workers > 0).lower()}\n\n'
            '[verification]\nsettle = "2s"\n\n[gate]\nemulator = true\n',
            encoding="utf-8",
        )


def append(path: Path, text: str) -> None:
    """Add *text* to the end of a file."""
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def make(folder: Path, options: Options, say: Callable[[str], None] = print) -> History:
    """Make one history in an empty folder, on an embedded AWS of its own."""
    with embedded_aws(progress=say) as aws:
        stage = Stage(folder, aws, options)
        _create(stage)
        journal = Journal(folder / "journal.jsonl")
        writers = Writers(
            lambda: stage.table(SOURCE),
            journal,
            seed=options.seed,
            rate=options.rate,
            keys=KEYS,
            poison=0.02 if options.shape else 0.0,
        )
        workers = Workers(folder, aws.variables(REGION), stage.code)
        with _kept_alive(workers, options.workers):
            return _carried(stage, writers, journal, workers, say)


def _carried(
    stage: Stage, writers: Writers, journal: Journal, workers: Workers, say: Callable[[str], None]
) -> History:
    """The history itself, once somebody carries it."""
    options = stage.options
    writers.start()
    try:
        say("up and restore, under writes")
        stage.need("replicator", "up")
        stage.need("replicator", "restore")
        _watch_target(stage)
        writers.unanswered = 0.05
        done = list(_rage(stage, options, workers))
    finally:
        stage.rage({})
        writers.finish()
        journal.close()
    assert not writers.errors, writers.errors
    say("drain")
    _await_empty_queue(stage)
    went = list(_versions(stage))  # before a repair, which may write what is newer than its number
    drained, gap = _drain(stage)
    found = judge(
        read(journal.path),
        _items(stage, SOURCE, "id"),
        _items(stage, TARGET, "of" if options.shape == "moved" else "id"),
        expected=getattr(shapes, options.shape) if options.shape else lambda item: item,
    )
    found.backwards += backwards(went)
    verified, outcome = stage.run("ddbverify", "run")
    not_passed = [
        one["name"] for one in outcome["checks"] if one["state"] not in ("passed", "not-applicable")
    ]
    by_two = _by_two(stage)
    return History(found, verified, not_passed, by_two, done, stage.struck(), drained, gap)


@contextmanager
def _kept_alive(workers: Workers, number: int) -> Iterator[None]:
    """So many workers, each started again when it ends, as systemd does."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            workers.again()

    for _ in range(number):
        workers.start()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        workers.end()


def _by_two(stage: Stage) -> int:
    """Exit status of a diff whose segments two processes read; a re-keyed pair is always read by one."""
    shape = stage.options.shape
    rekeys = ("--rekeys",) if shape == "moved" else ()
    transform = ("--transform", f"shapes:{shape}", *rekeys) if shape else ()
    regions = (f"--source-region={REGION}", f"--target-region={REGION}")
    cut = ("--segments", "4", "--processes", "2", "--settle", "2s")
    return stage.done("ddbverify", "diff", SOURCE, TARGET, *regions, *cut, *transform).returncode


def _rage(stage: Stage, options: Options, workers: Workers) -> Iterator[str]:
    """The nemesis: one deed after the other, each for a moment; its order is the seed's."""
    draw = random.Random(options.seed)
    lambdas = stage.aws.client("lambda", REGION)
    mappings = lambdas.list_event_source_mappings()["EventSourceMappings"]
    deeds = [*FAULTS, *FAULTS, "pause", "calm", *(("death", "end") if options.workers else ())]
    until = time.monotonic() + options.seconds
    while time.monotonic() < until:
        deed = draw.choice(deeds)
        yield deed
        seconds = min(draw.uniform(1, 4), max(0.0, until - time.monotonic()))
        if deed in ("death", "end"):  # they are started again: see `_kept_alive`
            one = draw.choice(workers.running)
            one.send_signal(signal.SIGKILL if deed == "death" else signal.SIGTERM)
            time.sleep(seconds)
        elif deed == "pause" and options.workers:
            stage.need("replicator", "pause")
            time.sleep(seconds)
            stage.need("replicator", "resume")
        elif deed == "pause":
            mapping = draw.choice(mappings)["UUID"]
            lambdas.update_event_source_mapping(UUID=mapping, Enabled=False)
            time.sleep(seconds)
            lambdas.update_event_source_mapping(UUID=mapping, Enabled=True)
        else:
            plan = {} if deed == "calm" else {deed: FAULTS[deed], "again": FAULTS["again"]}
            stage.rage(plan)
            time.sleep(seconds)
            stage.rage({})


def _await_empty_queue(stage: Stage) -> None:
    """All that was sent has been taken, or it took too long."""
    until = time.monotonic() + stage.options.drain_seconds
    empty = 0
    while time.monotonic() < until and empty < 2:  # a change may still be on its way to the queue
        empty = 0 if any(_facts(stage)["queue"].values()) else empty + 1
        time.sleep(1)


def _facts(stage: Stage) -> dict[str, Any]:
    _, status = stage.run("replicator", "status")
    (facts,) = status["pairs"].values()
    return dict(facts)


def _drain(stage: Stage) -> tuple[bool, str | None]:
    """Nothing waits, nothing is in quarantine, and the audit is clean twice; or it took too long."""
    until = time.monotonic() + stage.options.drain_seconds
    clean = 0
    gap = None
    while time.monotonic() < until and clean < 2:
        stage.run("replicator", "repair")
        facts = _facts(stage)
        gap = facts["gap"]
        if gap is not None:
            return False, gap
        if any(facts["queue"].values()) or facts["dead_letters"] or facts["quarantined"]:
            time.sleep(1)
            continue
        audited, _ = stage.run("replicator", "audit")
        clean = clean + 1 if audited == 0 else 0
    return clean == 2, gap


def _create(stage: Stage) -> None:
    client = stage.aws.client("dynamodb", REGION)
    client.create_table(
        TableName=SOURCE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )


def _watch_target(stage: Stage) -> None:
    """From now on the target's own stream shows the order in which it took its items."""
    stage.aws.client("dynamodb", REGION).update_table(
        TableName=TARGET,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )


def _versions(stage: Stage) -> Iterator[tuple[str, int | None]]:
    """Every change of the target since it is watched: its key, and the version that it has then."""
    dynamodb, streams = (stage.aws.client(name, REGION) for name in ("dynamodb", "dynamodbstreams"))
    arn = dynamodb.describe_table(TableName=TARGET)["Table"]["LatestStreamArn"]
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator:
            page = streams.get_records(ShardIterator=iterator)
            for record in page["Records"]:
                image = record["dynamodb"].get("NewImage")
                version = int(image["version"]["N"]) if image else None
                yield record["dynamodb"]["Keys"]["id"]["S"], version
            iterator = page.get("NextShardIterator") if page["Records"] else None


def _items(stage: Stage, name: str, key: str) -> dict[str, Item]:
    """Every item of a table by an attribute, read with plain boto3."""
    table, start = stage.table(name), {}
    items: dict[str, Item] = {}
    while True:
        page = table.scan(ConsistentRead=True, **start)
        items |= {item[key]: item for item in page["Items"]}
        if "LastEvaluatedKey" not in page:
            return items
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
