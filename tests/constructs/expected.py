"""The migration of every example, as the commands want its stacks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ddbverify.config import parse
from ddbverify.names import pair_id
from replicator.commands import scheduled_run, wanted
from replicator.commands.wanted import Wanted
from replicator.context.context import Pace
from tests.replicator.stack.template_rules import parsed

SETTINGS = """
name = "orders-2026"

[[tables]]
source = "orders"
target = "orders-v2"

[stack]
deployed = true
permissions_boundary = "arn:aws:iam::111122223333:policy/boundary"
writer_boundary = "arn:aws:iam::444455556666:policy/boundary"
log_retention = 90
tags = {team = "shop"}
"""
SOURCE, TARGET = "111122223333", "444455556666"
KEYS = {"id": "S", "at": "N"}
STREAM = f"arn:aws:dynamodb:eu-west-1:{SOURCE}:table/orders/stream/2026-11-01T00:00:00.000"
CODE = "code/5e6f.zip"
ID = pair_id("orders", "orders-v2")
RESOURCES = {
    "queue_arn": f"arn:aws:sqs:eu-west-1:{SOURCE}:replicator-orders-2026-{ID}-1a2b3c4d.fifo",
    "ledger_arn": f"arn:aws:dynamodb:eu-central-1:{TARGET}:table/replicator-orders-2026-{ID}-ledger-0",
    "writer_role": f"arn:aws:iam::{TARGET}:role/replicator-orders-2026-WriterRole-1a2b3c",
}
MADE = {
    "StateTableArn": f"arn:aws:dynamodb:eu-west-1:{SOURCE}:table/replicator-orders-2026-state",
    "BundleBucket": "replicator-orders-2026-base-bundlebucket-1a2b3c",
}
SIGNING = f"arn:aws:kms:eu-west-1:{SOURCE}:key/1a2b3c4d"
PROJECT = f"bundles/project-{'5e6f' * 16}.zip"


def verified(folder: Path) -> Wanted:
    """The stack that verifies by schedule, as the commands want it of tables that are in one account."""
    text = SETTINGS.replace("permissions_boundary", "# ").replace("log_retention", "# ")
    keys = f'[gate]\nsigning_key = "kms:{SIGNING}"\n[verification]\nevery = "12h"\n'
    context: Any = SimpleNamespace(config=parse(text + keys, folder))
    tables: Any = [
        SimpleNamespace(arn=f"arn:aws:dynamodb:{region}:{SOURCE}:table/{name}", description={})
        for region, name in (("eu-west-1", "orders"), ("eu-central-1", "orders-v2"))
    ]
    packed: Any = SimpleNamespace(key=PROJECT)
    return scheduled_run.wanted(context, packed, MADE, tables)


def every_parameter(one: Wanted) -> dict[str, str]:
    """Those that are given, and the defaults of the others."""
    template = parsed(one.text)
    defaults = {name: str(it["Default"]) for name, it in template["Parameters"].items() if "Default" in it}
    return defaults | dict(one.parameters)


def as_wanted(folder: Path) -> dict[str, Wanted]:
    """The stacks that the commands want of the examples' migration, by name."""
    config = parse(SETTINGS, folder)
    context: Any = SimpleNamespace(
        config=config,
        pace=Pace.of(emulator=False),
        state_table="replicator-orders-2026-state",
        restart_number=lambda pair: 0,
    )
    plan: Any = SimpleNamespace(
        pair=config.tables[0],
        source=SimpleNamespace(
            keys=KEYS, account=SOURCE, arn=f"arn:aws:dynamodb:eu-west-1:{SOURCE}:table/orders"
        ),
        transform=SimpleNamespace(target_keys=KEYS),
        target_arn=f"arn:aws:dynamodb:eu-central-1:{TARGET}:table/orders-v2",
        crosses_accounts=True,
        through=None,
        digest="",
    )
    made = [
        wanted.base(context),
        wanted.capture(context, plan, MADE, CODE, stream=STREAM, view="NEW_AND_OLD_IMAGES"),
        wanted.target(context, plan),
        wanted.apply(context, plan, MADE, CODE, resources=RESOURCES, stream=STREAM, boundary=1793491200),
    ]
    return {one.name: one for one in made}
