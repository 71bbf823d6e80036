"""A repair from findings on the embedded AWS: what it writes is the source's, and it touches nothing else."""

from __future__ import annotations

import itertools
import json
import re
from contextlib import nullcontext
from pathlib import Path

import pytest
from botocore.client import BaseClient

from ddbverify.config import Side
from ddbverify.diff import diff
from ddbverify.diff.options import Options
from ddbverify.diff.request import Request
from ddbverify.errors import ConfigurationError, Refused
from ddbverify.evidence import cutover, plans, repaired, repairs, signing
from ddbverify.evidence.plans import Chosen
from ddbverify.names import Fact
from replicator.commands.repair_asked import Asked
from replicator.commands.repair_from import repair_from
from replicator.context.lock import Lock
from replicator.repairs import progress
from tests.replicator.migrations import SOURCE_REGION, TARGET_REGION, Migration

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]


class Bench:
    """A migration that follows, whose target somebody damages."""

    def __init__(self, aws, name, folder, *, begun=True, items=8, transform=""):
        self.moving = Migration(aws, name, folder)
        self.moving.configure(transform=transform)
        with (folder / "migration.toml").open("a") as file:
            file.write('[verification]\nsettle = "0s"\n')
        self.folder, self.runs = folder, itertools.count()
        for start in range(0, items, 25):
            self.moving.database.batch_write_item(
                RequestItems={
                    self.moving.source: [
                        {"PutRequest": {"Item": {"id": {"S": f"k{one}"}, "v": {"S": f"v{one}"}}}}
                        for one in range(start, min(start + 25, items))
                    ]
                }
            )
        if begun:
            self.moving.up()
            self.moving.restore()
        self.target = aws.client("dynamodb", TARGET_REGION)

    def put(self, key, **more):
        item = {"id": {"S": key}, **{name: {"S": value} for name, value in more.items()}}
        self.target.put_item(TableName=self.moving.target, Item=item)

    def lose(self, key):
        self.target.delete_item(TableName=self.moving.target, Key={"id": {"S": key}})

    def held(self):
        return {
            key: item.get("v", {}).get("S")
            for key, item in self.moving.items(TARGET_REGION, self.moving.target).items()
        }

    def find(self):
        """The folder of a diff, and what it lists."""
        out = self.folder / f"found-{next(self.runs)}"
        options = Options(
            source=self.moving.source,
            target=self.moving.target,
            source_side=Side(region=SOURCE_REGION),
            target_side=Side(region=TARGET_REGION),
            transform=f"{self.moving.module}:{self.moving.transform}" if self.moving.transform else None,
            settle="0s",
        )
        request = Request(options=options, folder=self.folder, out=out)
        diff.run(request, emit=lambda _: None, say=lambda _: None, show=lambda _: nullcontext(lambda _: None))
        return out

    def repair(self, plan, **more):
        return repair_from(self.moving.context(), Asked(plan=plan, **more))

    def fates(self, answer):
        (one,) = answer["pairs"].values()
        return one["fates"]


@pytest.fixture
def settings(aws, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bench(aws, unique, tmp_path, settings):
    made = Bench(aws, unique("f"), tmp_path)
    yield made
    made.moving.down()


def plan_of(folder, *texts):
    tail = repairs.tail_of(folder / "repair.json")
    chosen = [
        Chosen(pair=one.pair, finding=one.finding, cause=one.cause)
        for one in tail.causes
        if one.cause in texts
    ]
    path = folder / "plan.json"
    made = plans.of(tail.digest, chosen)
    path.write_text(
        json.dumps(
            {
                "version": made.version,
                "repair": made.repair,
                "causes": [{"pair": one.pair, "finding": one.finding, "cause": one.cause} for one in chosen],
                "sum": made.sum,
            }
        )
    )
    return path


def test_what_was_found_is_repaired_and_verified_and_nothing_else(bench):
    bench.lose("k0")
    bench.put("k1", v="damaged")
    bench.put("k2", v="v2", more="x")
    bench.put("extra", v="nobody's")
    damaged = bench.held()
    found = bench.find()

    looked = bench.repair(found, dry_run=True)
    assert bench.fates(looked) == {"written": 3}
    assert bench.held() == damaged
    assert looked["cost"]["write_units"] == 0

    # Only one cause: the others stay.
    chosen = bench.repair(plan_of(found, "not in the target"))
    assert bench.fates(chosen) == {"written": 1}
    assert bench.held() == damaged | {"k0": "v0"}

    done = bench.repair(found)
    assert bench.fates(done) == {"written": 2, "equal already": 1}
    assert bench.held() == {f"k{one}": f"v{one}" for one in range(8)} | {"extra": "nobody's"}
    assert list(done["verified"].values()) == [{"matched": 3}]
    config = bench.moving.context().config
    path = next(found.glob("repaired-*.json"))
    signed = cutover.read_signed(path.read_bytes(), signing.trusted_keys(config))
    assert (signed["equal"], signed["pipeline"]) == (True, True)
    assert "k1" not in json.dumps(signed)
    assert not list(found.glob("repairing-*"))

    with pytest.raises(Refused, match="was applied before") as caught:
        bench.repair(found)
    assert "again" in caught.value.hint

    # Deleted only when the state was named.
    assert bench.fates(bench.repair(found, deletes=True)) == {"deleted": 1, "equal already": 3}
    bench.moving.assert_equal()


def test_what_has_moved_since_is_refused_and_the_pipeline_carries_it(bench):
    for key in ("k0", "k1", "k2"):
        bench.put(key, v="damaged")
    found = bench.find()
    bench.moving.put("k0", "newer")  # the pipeline carries it
    bench.moving.drain()
    bench.put("k1", v="damaged by somebody else")

    with pytest.raises(Refused, match="1 key of 3 are not as they should be"):
        bench.repair(found)

    place = next(found.glob("repaired-*.json"))
    config = bench.moving.context().config
    (pair,) = repaired.decode(place.read_bytes(), signing.trusted_keys(config)).pairs
    assert pair.fates == {
        "equal already": 1,
        "the target's item has changed since it was looked at": 1,
        "written": 1,
    }
    assert pair.verified == {"different": 1, "matched": 2}
    assert bench.held()["k1"] == "damaged by somebody else"


def test_it_goes_on_where_it_was_killed(bench, monkeypatch):
    for one in range(6):
        bench.put(f"k{one}", v="damaged")
    found = bench.find()
    monkeypatch.setattr("replicator.commands.repair_from.BATCH", 2)
    add, batches = progress.Progress.add, itertools.count()

    class Dies(BaseException):
        """SIGKILL: no ``except`` of the product runs on."""

    def added(self, *arguments):
        if next(batches) == 1:
            raise Dies  # behind the second batch's write, before it is noted
        add(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(progress.Progress, "add", added)
        patch.setattr(Lock, "_give_back", lambda self: None, raising=False)
        with pytest.raises(Dies):
            bench.repair(found)

    done = bench.repair(found)
    assert bench.fates(done) == {"written": 4, "equal already": 2}
    bench.moving.assert_equal()


def test_it_is_refused_where_it_is_not_its_turn(bench, tmp_path):
    bench.lose("k0")
    found = bench.find()
    whole = bench.moving.context().whole
    for fact, noted, said in (
        (Fact.LIVE, {"table": "target", "cycle": 0}, "has been moved to the target, or may have"),
        (Fact.LIVE, {"table": "between", "cycle": 0}, "has been moved to the target, or may have"),
        (Fact.CUTOVER, {"fenced": True, "steps": {}}, "its fence stands"),
    ):
        whole.put(fact, **noted)
        with pytest.raises(Refused, match=said) as caught:
            bench.repair(found)
        assert caught.value.hint
        whole.delete(fact)
    with pytest.raises(Refused, match="--without-pipeline was given"):
        bench.repair(found, pipeline=False)
    with pytest.raises(ConfigurationError, match="no such cause"):
        bench.repair(found, causes=("`price` is S instead of N",))
    text = plan_of(found, "not in the target").read_text()
    edited = tmp_path / "plan.json"
    for change, said in (
        (lambda one: one.replace("not in the target", "in the target only"), "was edited"),
        (lambda one: one.replace('"version": 1', '"version": 2'), "is of version 2"),
        (lambda one: one[:40], "is no plan of a repair"),
    ):
        edited.write_text(change(text))
        with pytest.raises(ConfigurationError, match=said):
            bench.repair(edited)
    edited.write_text(text)  # away from its repair.json, which no run of the migration has
    with pytest.raises(ConfigurationError, match="is not here"):
        bench.repair(edited)
    assert bench.fates(bench.repair(edited, folder=found)) == {"written": 1}


def test_a_plan_of_another_migration_is_refused(aws, unique, tmp_path, settings, bench):
    bench.lose("k0")
    found = bench.find()
    other = Migration(aws, unique("g"), tmp_path)
    other.configure()
    with pytest.raises(Refused, match="no pipeline"):
        repair_from(other.context(), Asked(plan=found))
    with pytest.raises(Refused, match="about other tables"):
        repair_from(other.context(), Asked(plan=found, pipeline=False))


def test_without_a_pipeline_it_writes_on_condition(aws, unique, tmp_path, settings):
    bench = Bench(aws, unique("h"), tmp_path, begun=False, transform="louder")
    bench.moving.create(bench.moving.target, TARGET_REGION)
    for one in range(8):
        bench.put(f"k{one}", v=f"V{one}")
    bench.lose("k0")
    bench.put("k1", v="damaged")
    bench.put("extra", v="nobody's")
    bench.put("k2", v="V2", **{f"a{number}": "x" for number in range(160)})
    found = bench.find()

    with pytest.raises(Refused, match="has no pipeline"):
        bench.repair(found)
    with pytest.raises(Refused, match="1 key of 4 are not as they should be"):
        bench.repair(found, pipeline=False, deletes=True)

    place = next(found.glob("repaired-*.json"))
    (pair,) = repaired.decode(place.read_bytes(), signing.trusted_keys(bench.moving.context().config)).pairs
    assert pair.fates == {
        "deleted": 1,
        "the item it replaces has too many attributes for a condition on all of them": 1,
        "written": 2,
    }
    held = bench.held()
    assert (held["k0"], held["k1"], held["k2"], "extra" in held) == ("V0", "V1", "V2", False)


def test_it_asks_for_no_more_than_the_documented_policies(bench, monkeypatch):
    bench.lose("k0")
    bench.put("extra", v="nobody's")
    found = bench.find()
    asked, call = set(), BaseClient._make_api_call

    def noted(self, operation, arguments):
        service = self.meta.service_model.service_name
        asked.add(f"{service}:{operation}")
        return call(self, operation, arguments)

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", noted)
        bench.repair(found, deletes=True)

    text = (Path(__file__).parents[3] / "docs/permissions.md").read_text(encoding="utf-8")
    allowed = set()
    for heading in ("## The verifier", "### Every command", "### Repair", "### The target's fence"):
        section = text.split(f"\n{heading}\n", 1)[1].split(f"\n{heading.partition(' ')[0]} ", 1)[0]
        for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL):
            for statement in json.loads(block)["Statement"]:
                named = statement["Action"]
                allowed |= {named} if isinstance(named, str) else set(named)
    assert {"dynamodb:BatchGetItem", "dynamodb:TransactWriteItems"} <= asked
    # A transaction needs the permissions of its single actions.
    assert asked - allowed - {"sts:GetCallerIdentity", "dynamodb:TransactWriteItems"} == set()
    assert {"dynamodb:PutItem", "dynamodb:DeleteItem"} <= allowed


@pytest.mark.parametrize("damages", [60, pytest.param(1_000, marks=pytest.mark.full)])
def test_planted_differences_under_live_traffic_end_equal(aws, unique, tmp_path, settings, damages):
    """0 lost, 0 stale: the target is what the source is, whatever the application wrote meanwhile."""
    bench = Bench(aws, unique("t"), tmp_path, items=damages + damages // 5)
    for one in range(damages):
        if one % 5 < 2:
            bench.lose(f"k{one}")
        elif one % 5 < 4:
            bench.put(f"k{one}", v="damaged")
        else:
            bench.put(f"extra{one}", v="nobody's")

    def write(number):
        key = f"k{number * 21 % (damages + damages // 5) // 3 * 3}"  # the others a repair alone makes right
        if number % 11 == 3:
            bench.moving.remove(key)
        else:
            bench.moving.put(key, f"written{number}")

    with bench.moving.traffic(write):
        found = bench.find()
        try:
            answer = bench.repair(found, deletes=True)
        except Refused as error:  # a key that never held still is not called equal
            answer = error
    bench.moving.assert_equal()
    assert repairs.tail_of(found / "repair.json").listed > damages // 2
    assert isinstance(answer, Refused) or answer["equal"]
    bench.moving.down()
