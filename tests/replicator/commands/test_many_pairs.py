"""Several tables in one migration: what befalls one of them is none of the others' business."""

from __future__ import annotations

import time

import pytest

from ddbverify import config as configuration
from ddbverify.errors import Refused
from replicator.aws import switch
from replicator.commands import down, restart, restore, up
from replicator.commands.status import status
from replicator.context.console import Console
from replicator.context.context import Context
from tests.replicator.migrations import SOURCE_REGION, TARGET_REGION

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]

TABLES = ("poisoned", "backlogged", "well")
TRANSFORM = """
def sulky(item):
    if item["v"] == "bad":
        raise LookupError
    return item
"""


class Migration:
    def __init__(self, aws, name, folder):
        self.aws, self.name, self.folder = aws, name, folder
        self.client = aws.client("dynamodb", SOURCE_REGION)
        self.target_client = aws.client("dynamodb", TARGET_REGION)
        module = name.replace("-", "_") + "_transforms"
        (folder / f"{module}.py").write_text(TRANSFORM)
        sections = []
        for table in TABLES:
            self.client.create_table(
                TableName=self.table(table),
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
            self.put(table, "first", "v")
            transform = f'transform = "{module}:sulky"\n' if table == "poisoned" else ""
            source, target = self.table(table), self.table(table) + "-v2"
            sections.append(f'[[tables]]\nsource = "{source}"\ntarget = "{target}"\n{transform}')
        (folder / "migration.toml").write_text(
            f'name = "{name[:14]}"\n[source]\nregion = "{SOURCE_REGION}"\n'
            f'[target]\nregion = "{TARGET_REGION}"\n'
            + "".join(sections)
            + '[replication]\noverlap = "1s"\ngroups = 2\n'
        )

    def table(self, name):
        return f"{self.name}-{name}"

    def put(self, table, key, value):
        self.client.put_item(TableName=self.table(table), Item={"id": {"S": key}, "v": {"S": value}})

    def there(self, table):
        items = self.target_client.scan(TableName=self.table(table) + "-v2", ConsistentRead=True)["Items"]
        return {item["id"]["S"]: item["v"]["S"] for item in items}

    def context(self):
        path = self.folder / "migration.toml"
        return Context(configuration.load(path), Console(as_json=True), path)

    def pair(self, table):
        return next(pair for pair in self.context().config.tables if pair.source == self.table(table))

    def facts(self, table):
        return status(self.context())["pairs"][str(self.pair(table))]


def await_(what):
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_one_pair_is_poisoned_and_one_is_backlogged_and_the_third_follows(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path)
    moving = Migration(aws, unique("m"), tmp_path)
    up.up(moving.context())
    restore.restore(moving.context())
    context = moving.context()
    switch.set_consumer(context, moving.pair("backlogged"), on=False)

    for number in range(40):
        moving.put("poisoned", f"k{number}", "bad" if number % 2 else "good")
        moving.put("backlogged", f"k{number}", "v")
        moving.put("well", f"k{number}", "v")

    wanted = {"first", *(f"k{number}" for number in range(40))}
    await_(lambda: set(moving.there("well")) == wanted)
    await_(lambda: sum(moving.facts("poisoned")["quarantined"].values()) == 20)
    await_(lambda: moving.facts("backlogged")["queue"]["waiting"] > 0)
    well = moving.facts("well")
    assert (well["quarantined"], well["dead_letters"], well["gap"]) == ({}, 0, None)
    assert set(moving.there("backlogged")) == {"first"}
    assert set(moving.there("poisoned")) == {"first", *(f"k{number}" for number in range(0, 40, 2))}

    switch.set_consumer(context, moving.pair("backlogged"), on=True)
    await_(lambda: set(moving.there("backlogged")) == wanted)
    down.down(moving.context())


SHARED = "def same(item):\n    return item\n"
MADE = "def made(item):\n    return item\n"


@pytest.mark.parametrize(
    ("changed", "wanted"), [pytest.param("one", None, marks=pytest.mark.full), ("shared", True)]
)
def test_a_restart_of_one_pair_names_the_others_that_the_change_reaches(
    aws, unique, tmp_path, monkeypatch, changed, wanted, capsys
):
    """`poisoned` and `well` import what has changed, `backlogged` does not."""
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path)
    moving = Migration(aws, unique("m"), tmp_path)
    names = {name: f"{name}_{moving.name.replace('-', '_')}" for name in ("one", "other", "shared")}
    importing = f"import {names['shared']}\n\n{MADE}"
    for name, text in {"one": importing, "other": MADE, "shared": SHARED}.items():
        (tmp_path / f"{names[name]}.py").write_text(text)
    toml = tmp_path / "migration.toml"
    lines = []
    for line in toml.read_text().splitlines():
        if line.startswith("transform"):
            continue
        lines.append(line)
        if line.startswith("target ="):
            module = names["other" if "backlogged" in line else "one"]
            lines.append(f'transform = "{module}:made"')
    toml.write_text("\n".join(lines))
    up.up(moving.context())
    restore.restore(moving.context())
    file = tmp_path / f"{names[changed]}.py"
    file.write_text(file.read_text() + "# changed\n")
    asked = []

    def offer(text):
        asked.append(text)
        return wanted

    capsys.readouterr()
    restart.restart(
        moving.context(), sources=[moving.table("poisoned")], offer=None if wanted is None else offer
    )

    said = capsys.readouterr().err
    before = said[: said.index("Restart 1 of")]
    assert f"The transform has changed for {moving.pair('well')}, too" in before
    assert str(moving.pair("backlogged")) not in before
    assert (f"--table {moving.table('well')}" in before) is (not wanted)
    assert len(asked) == (wanted is not None)
    context = moving.context()
    numbers = {name: context.restart_number(moving.pair(name)) for name in TABLES}
    assert numbers == {"poisoned": 1, "well": int(bool(wanted)), "backlogged": 0}
    moving.put("backlogged", "later", "v")
    await_(lambda: "later" in moving.there("backlogged"))
    if wanted:
        restore.restore(moving.context())
    else:
        with pytest.raises(Refused, match=str(moving.pair("well"))):
            restore.restore(moving.context())
    down.down(moving.context())
