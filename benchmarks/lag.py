"""
How long a change takes from the source's answer to the target's, on the embedded AWS.

A migration is set up with the commands that a user would run; one writer writes keys of its own at
a steady rate, one reader looks at the target for each of them. The figures are of the embedded AWS
on this machine; real AWS has other ones (its pollers, its network), so no budget hangs on them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgspec

from ddbverify.errors import EngineError
from replicator.embedded.aws import EmbeddedAws, embedded_aws

SOURCE_REGION, TARGET_REGION = "eu-west-1", "eu-central-1"
SOURCE, TARGET = "orders", "orders-v2"
RATE = 50  # changes a second: what the embedded AWS carries without falling behind
LOOK_EVERY_SECONDS = 0.02
PATIENCE_SECONDS = 60.0


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from acknowledged in the source to readable in the target."""

    changes: int = 0
    rate: float = 0.0  # changes written per second
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    worst: float | None = None
    unmeasured: str = ""  # why there are no figures, in words

    def shown(self) -> str:
        """As one line."""
        if self.unmeasured:
            return f"lag on the embedded AWS: not measured, {self.unmeasured}"
        return (
            f"lag on the embedded AWS, {self.changes:,} changes at {self.rate:.0f} a second: "
            f"p50 {self.p50:.0f} ms, p90 {self.p90:.0f} ms, p99 {self.p99:.0f} ms, worst {self.worst:.0f} ms "
            f"(to {LOOK_EVERY_SECONDS * 1000:.0f} ms)"
        )


def measured(*, seconds: float) -> Lag:
    """Set a migration up, measure for *seconds*, and remove everything."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix="replicator-lag-") as folder,
            embedded_aws(progress=lambda _: None) as aws,
        ):
            _migrate(aws, Path(folder))
            return _measure(aws, seconds)
    except (EngineError, RuntimeError) as error:
        return Lag(unmeasured=str(error).splitlines()[0])


def _migrate(aws: EmbeddedAws, folder: Path) -> None:
    client = aws.client("dynamodb", SOURCE_REGION)
    client.create_table(
        TableName=SOURCE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    (folder / "migration.toml").write_text(
        f'name = "lag"\n[source]\nregion = "{SOURCE_REGION}"\n[target]\nregion = "{TARGET_REGION}"\n'
        f'[[tables]]\nsource = "{SOURCE}"\ntarget = "{TARGET}"\n[replication]\noverlap = "1s"\n'
    )
    environment = aws.environment(SOURCE_REGION)
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    for command in ("up", "restore"):
        done = subprocess.run(
            [sys.executable, "-m", "replicator", command, "--json"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = json.loads(done.stdout or "{}").get("error") or done.stderr[-300:]
            raise RuntimeError(f"`replicator {command}` ended with {done.returncode}: {said}")


def _measure(aws: EmbeddedAws, seconds: float) -> Lag:
    written: dict[str, float] = {}
    seen: dict[str, float] = {}
    stop = threading.Event()
    reader = threading.Thread(target=_read, args=(aws, written, seen, stop))
    reader.start()
    source = aws.client("dynamodb", SOURCE_REGION)
    begun = time.monotonic()
    count = int(seconds * RATE)
    for number in range(count):
        time.sleep(max(0.0, begun + number / RATE - time.monotonic()))
        key = f"lag-{number}"
        source.put_item(TableName=SOURCE, Item={"id": {"S": key}, "note": {"S": "x" * 400}})
        written[key] = time.monotonic()
    took = time.monotonic() - begun
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(seen) < count and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_SECONDS)
    stop.set()
    reader.join()
    if len(seen) < count:
        raise RuntimeError(f"{count - len(seen)} of {count} changes had not arrived after a minute")
    # The reader may see an item before the writer has its answer.
    lags = sorted(max(0.0, seen[key] - written[key]) * 1000 for key in written)
    return Lag(
        changes=count,
        rate=count / took,
        p50=_percentile(lags, 50),
        p90=_percentile(lags, 90),
        p99=_percentile(lags, 99),
        worst=lags[-1],
    )


def _read(aws: EmbeddedAws, written: dict[str, float], seen: dict[str, float], stop: threading.Event) -> None:
    target = aws.client("dynamodb", TARGET_REGION)
    while not stop.is_set():
        waited_for = [key for key in list(written) if key not in seen]
        for start in range(0, len(waited_for), 100):
            keys = [{"id": {"S": key}} for key in waited_for[start : start + 100]]
            answer = target.batch_get_item(RequestItems={TARGET: {"Keys": keys, "ConsistentRead": True}})
            now = time.monotonic()
            seen.update({item["id"]["S"]: now for item in answer["Responses"].get(TARGET, ())})
        stop.wait(LOOK_EVERY_SECONDS)


def _percentile(ascending: list[float], share: float) -> float:
    """The smallest value that *share* per cent do not exceed."""
    return ascending[max(0, -(-len(ascending) * int(share) // 100) - 1)]
