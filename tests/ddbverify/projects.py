"""
Projects with a ``migration.toml`` and checks, whose tables exist in a JSON file beside them only.

``stand_in`` replaces the three functions through which checks reach AWS, in this process or (by
the project's ``checks/conftest.py``) in the child of a run. Each pass that is asked for leaves a
line in ``passes.log``.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from ddbverify.compare import runner
from ddbverify.compare.attribute_counts import AttributeCounts
from ddbverify.compare.comparison import Comparison, EqualBy, KnownKeys, SideFacts
from ddbverify.compare.controls import Controls, HeldTable
from ddbverify.compare.inspection import Inspected
from ddbverify.compare.judge import Judge
from ddbverify.compare.one_pass import Pass
from ddbverify.compare.request import Listeners, PassRequest, Progress
from ddbverify.config import Config, Side, Verification
from ddbverify.config import Pair as PairSettings
from ddbverify.items.form import Form
from ddbverify.items.states import Difference, Seen, State
from ddbverify.items.transform import Transform
from ddbverify.names import table_name
from ddbverify.pipeline import health as pipeline
from ddbverify.pipeline.health import PipelineHealth
from ddbverify.setting_names import Kind, Setting, pattern
from ddbverify.suite import pair as checks
from ddbverify.tables import settings as table_settings
from ddbverify.tables import table as tables
from ddbverify.tables.segments import Plan
from ddbverify.tables.settings import TableSettings
from ddbverify.tables.table import Table, table_from

REPOSITORY = Path(__file__).parents[2]

TOML = """\
[source]
region = "eu-west-1"

[target]
region = "eu-central-1"

[[tables]]
source = "orders"
target = "orders-v2"
"""

ENGINE_TOML = """\
[source]
region = "eu-west-1"
endpoint_url = "{url}"

[target]
region = "eu-central-1"
endpoint_url = "{url}"

[[tables]]
source = "{name}"
target = "{name}-v2"

[verification]
settle = "1s"

[gate]
emulator = true
"""
"""Of two tables on an engine at `url`, one in each region."""

CLEAN: dict[str, Any] = {"counts": {"matched": 3}}

CONFTEST = """\
from pathlib import Path

from tests.ddbverify import projects

projects.stand_in(Path(__file__).parents[1])
"""


def make_project(folder: Path, *, toml: str = TOML, default_suite: bool = True, **spec: Any) -> Path:
    """A project in *folder* whose tables are what *spec* says; returns its migration.toml."""
    (folder / "checks").mkdir(parents=True, exist_ok=True)
    (folder / "checks" / "conftest.py").write_text(CONFTEST)
    if default_suite:
        for file in (REPOSITORY / "checks").glob("check_*.py"):
            shutil.copy(file, folder / "checks")
    (folder / "migration.toml").write_text(toml)
    write_spec(folder, **spec)
    return folder / "migration.toml"


def runnable(folder: Path, monkeypatch: Any, *paths: Path, **made: Any) -> Path:
    """
    A project as `make_project` makes it that `ddbverify.runs.run` runs in earnest, without AWS.

    Its child process finds the repository, after *paths*.
    """
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (*paths, REPOSITORY))))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setattr("ddbverify.runs.run._identity", lambda side: None)
    stand_in(folder, monkeypatch)
    return make_project(folder, **made)


def write_spec(folder: Path, **spec: Any) -> None:
    spec_file(folder).write_text(json.dumps(CLEAN | spec))


def spec_file(folder: Path) -> Path:
    """Beside the project: a file in it that checks read would have to be listed."""
    return folder.with_name(f"{folder.name}-spec.json")


def stand_in(folder: Path, monkeypatch: Any = None) -> None:
    """Let every table, pass and pipeline come from the `spec_file` of *folder*."""

    def spec() -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(spec_file(folder).read_text())
        return loaded

    def describe(side: Side, name: str) -> Table:
        return table(name, side.region or "eu-west-1", **spec().get("tables", {}).get(table_name(name), {}))

    def describe_pair(config: Config, pair: PairSettings) -> tuple[Table, Table]:
        return describe(config.source, pair.source), describe(config.target, pair.target)

    def compare(config: Config, pair: PairSettings, request: PassRequest, listeners: Listeners) -> Comparison:
        with (folder / "passes.log").open("a") as log:
            log.write(pair.id + "\n")
        own = spec().get("pairs", {}).get(pair.source, {})
        made = comparison(pair.id, **{"started_epoch": time.time()} | spec() | own)
        seen = sum(made.counts.get(state, 0) for state in (State.MATCHED, State.DIFFERENT))
        inspected = {check.id: Inspected(examined=seen) for check in request.item_checks}
        made = replace(made, inspected=inspected)
        for difference in made.differences if listeners.found else ():
            listeners.found(difference)
        _report(spec().get("reports", ()), listeners)
        if "reads_until_interrupted" in spec():  # how many items, of both tables, so far
            assert listeners.progress is not None
            listeners.progress(Progress("scan", 0, 9, spec()["reads_until_interrupted"], 0, 1.5))
            (folder / "reading").touch()
            time.sleep(120)
        return made

    def health(*_: Any, **__: Any) -> PipelineHealth:
        return PipelineHealth(
            exists=bool(spec().get("problems")),
            problems=tuple(spec().get("problems", ())),
            moved=spec().get("moved"),
        )

    def spec_of(name: str) -> Any:
        return lambda *_: spec().get(name)

    def settings(_: Side, one: Table) -> TableSettings:
        more = settings_named(spec().get("settings", {}).get(one.name, {}))
        return TableSettings(table_settings.described(one) | more, {})

    for module, name, function in (
        (table_settings, "read", settings),
        (tables, "describe", describe),
        (tables, "describe_pair", describe_pair),
        (tables, "server_time", lambda *_: time.time()),
        (runner, "compare", compare),
        (pipeline, "health", health),
        (pipeline, "other_transform", spec_of("other_transform")),
        (pipeline, "in_vain", spec_of("moved")),
    ):
        if monkeypatch is None:
            setattr(module, name, function)
        else:
            monkeypatch.setattr(module, name, function)
    assert checks.tables is tables


def _report(reports: Any, listeners: Listeners) -> None:
    """Say how far the pass is: phase, items of either table, keys that are open."""
    for phase, items, suspects in reports:
        assert listeners.progress is not None
        listeners.progress(Progress(phase, 1, 1, items, items, 1.5, suspects))


def settings_named(spelled: dict[str, str]) -> dict[Setting, str]:
    """Values by their settings, from values by what ``accept`` would call them."""
    return {setting(spelling): value for spelling, value in spelled.items()}


def setting(spelling: str) -> Setting:
    text = pattern(spelling).text
    kinds = sorted(filter(None, Kind), key=len, reverse=True)
    kind = next((kind for kind in kinds if text.startswith(f"{kind}.")), None)
    if kind is None:
        return Setting.own(text)
    name, _, field = text.removeprefix(f"{kind}.").partition(".")
    return Setting(kind, name.replace("\0", "."), field)


def passes(folder: Path) -> int:
    log = folder / "passes.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def table(name: str, region: str, *, ttl: dict[str, str] | None = None, **changes: Any) -> Table:
    from datetime import UTC, datetime

    description = {
        "TableName": table_name(name),
        "TableArn": f"arn:aws:dynamodb:{region}:123456789012:table/{table_name(name)}",
        "TableId": f"id-of-{table_name(name)}",
        "TableStatus": "ACTIVE",
        "CreationDateTime": datetime(2026, 11, 1, tzinfo=UTC),
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
    }
    return table_from(description | changes, ttl or {}, table_name(name))


def comparison(pair_id: str = "orders", **spec: Any) -> Comparison:
    """What a pass would have said; its controls are the real engine's, over items made up here."""
    side = SideFacts(items=3, scanned=3, read_units=1.5, requests=2)
    segments = spec.get("segments", [1, 1, 1])
    places = AttributeCounts()
    for one in spec.get("differences", ()):
        if one["state"] == "different":
            places.add(one.get("paths", ()))
    return Comparison(
        pair_id=pair_id,
        counts={State(name): count for name, count in spec.get("counts", {"matched": 3}).items()},
        differences=tuple(
            Difference(
                state=State(one["state"]),
                key=one["key"],
                paths=tuple(one.get("paths", ())),
                reason=one.get("reason", ""),
                seen=Seen(b"expected", b"target"),
            )
            for one in spec.get("differences", ())
        ),
        source=side,
        target=side,
        segments_planned=segments[0],
        segments_finished=segments[1],
        segments_total=segments[2],
        started_epoch=spec.get("started_epoch", 1_795_000_000.0),
        ended_epoch=spec.get("started_epoch", 1_795_000_000.0) + 1,
        equal_by=msgspec.convert(spec.get("equal_by", ()), tuple[EqualBy, ...]),
        known=msgspec.convert(spec.get("known", ()), tuple[KnownKeys, ...]),
        different_in=places.counted,
        different_told=places.told,
        different_by_cause=spec.get("different_by_cause", 0),
        unexamined=tuple(spec.get("unexamined", ())),
        controls=_controls(),
    )


@functools.cache
def _controls() -> Controls | None:
    judge = Judge(Transform("", None, {"id": "S"}, {"id": "S"}), Form.of(()), ())
    items = [{"id": {"S": str(number)}, "n": {"N": f"{number}.50"}} for number in range(3)]
    table = HeldTable(items, {"id": "S"})
    return Pass("orders", table, table, judge, Plan(1, (0,)), Verification()).run().controls
