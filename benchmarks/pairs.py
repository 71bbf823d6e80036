"""
How much longer six pairs take than one, on the embedded AWS: ``python -m benchmarks.pairs``.

`replicator up` and `restore` with an overlap of 20 s, which all pairs wait for together. The embedded AWS
calls the functions on this machine, a process for each: on a busy one that is most of the difference, so the
load before and after stands beside the times.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ddbverify import config as configuration
from replicator.commands import down, restore, up
from replicator.context.console import Console
from replicator.context.context import Context
from replicator.embedded.aws import EmbeddedAws, embedded_aws

SOURCE_REGION, TARGET_REGION = "eu-west-1", "eu-central-1"
PAIRS, OVERLAP_SECONDS, ITEMS = 6, 20, 5
MOST = 1.5
"""Times as long as one pair."""


def seconds(aws: EmbeddedAws, pairs: int, folder: Path) -> float:
    """How long *pairs* pairs take from nothing to following."""
    client, name = aws.client("dynamodb", SOURCE_REGION), f"pairs-{pairs}"
    sections = ""
    for number in range(pairs):
        source = f"{name}-{number}"
        client.create_table(
            TableName=source,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )
        for key in range(ITEMS):
            client.put_item(TableName=source, Item={"id": {"S": str(key)}})
        sections += f'[[tables]]\nsource = "{source}"\ntarget = "{source}-v2"\n'
    file = folder / f"{name}.toml"
    file.write_text(
        f'name = "{name}"\n[source]\nregion = "{SOURCE_REGION}"\n[target]\nregion = "{TARGET_REGION}"\n'
        f'{sections}[replication]\noverlap = "{OVERLAP_SECONDS}s"\n'
    )

    def context() -> Context:
        return Context(configuration.load(file), Console(as_json=True), file)

    began = time.monotonic()
    up.up(context())
    restore.restore(context())
    took = time.monotonic() - began
    down.down(context())
    return took


def main() -> int:
    """Measure both; exit status 1 where six take longer than they may."""
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="replicator-pairs-") as folder,
        embedded_aws(progress=lambda _: None) as aws,
    ):
        for variable, value in aws.variables(SOURCE_REGION).items():
            patch.setenv(variable, value)
        load = os.getloadavg()[0]
        one, six = (seconds(aws, pairs, Path(folder)) for pairs in (1, PAIRS))
    met, after = six <= MOST * one, os.getloadavg()[0]
    sys.stdout.write(
        f"{'met' if met else 'NOT met'}: one pair {one:.1f} s, {PAIRS} pairs {six:.1f} s, "
        f"{six / one:.2f} times as long (at most {MOST}); load {load:.1f} before, {after:.1f} after\n"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
