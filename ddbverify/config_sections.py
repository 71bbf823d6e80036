"""
The sections of ``migration.toml`` as frozen settings, with defaults that are safe on production.

`ddbverify.config` reads the file and offers these names; `ddbverify.config_checks` says which values
are refused. The reference of all keys is ``docs/configuration.md``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from ddbverify.names import direction_name, pair_id, region_of, table_name

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

WAY_BACK: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
"""What ``[cutover] way_back`` may be, beside ``off``."""

WAY_BACK_DEFAULT: Final = "7d"
"""What it is where there can be one."""


class Duration(float):
    """Seconds, written ``"90s"``, ``"5m"``, ``"1.5h"`` or ``"1d"`` in the file."""


class Size(int):
    """Bytes, written ``"512MB"`` (powers of 1,000) in the file."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Side(_Section, frozen=True):
    """How to reach the account and region of one table; the defaults are the ordinary AWS chain."""

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None


class Pair(_Section, frozen=True):
    """One source table and the target table that is to follow it."""

    source: str
    target: str
    transform: str | None = None
    transform_files: tuple[str, ...] = ()
    inverse: str | None = None
    rekeys: bool = False
    ignore: tuple[str, ...] = ()
    accept: tuple[str, ...] = ()
    may_be_empty: bool = False
    export: str | None = None
    source_export: str | None = None
    target_export: str | None = None
    source_changes: tuple[str, ...] = ()
    target_changes: tuple[str, ...] = ()

    @property
    def is_read_from_exports(self) -> bool:
        """Whether a whole pass is to read at least one side from an export, and not from its table."""
        exports = (self.source_export, self.target_export)
        return any(one is not None for one in exports) or bool(self.source_changes or self.target_changes)

    @property
    def id(self) -> str:
        """Stable short name, used in stack names and in the state table."""
        return pair_id(self.source, self.target)

    def __str__(self) -> str:
        return f"{table_name(self.source)} -> {table_name(self.target)}"


class Replication(_Section, frozen=True):
    """How the target is filled and kept following."""

    backfill: Literal["backup", "pitr", "scan", "export"] = "backup"
    export_to: str | None = None
    export_owner: str | None = None
    export_key: str | None = None
    import_from: str | None = None
    groups: int = 32
    overlap: Duration = Duration(300)
    read_units: int | None = None
    write_units: int | None = None
    alarm_topic: str | None = None
    dashboard: bool = True
    canary: bool = True
    worker: bool = False
    scheduled_audit: bool = False


class Stack(_Section, frozen=True):
    """What the CloudFormation stacks are to have beyond what every migration has."""

    permissions_boundary: str | None = None
    writer_boundary: str | None = None
    role_path: str = "/"
    role_prefix: str | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    table_key: str | None = None
    ledger_key: str | None = None
    queue_key: str | None = None
    log_key: str | None = None
    bucket_key: str | None = None
    log_retention: int = 30
    forwarder_memory: int = 512
    consumer_memory: int = 1024
    concurrency: int = 32
    tags: dict[str, str] = {}
    deployed: bool = False

    @property
    def of_one_place(self) -> tuple[str, ...]:
        """The keys of it that hold in one account and region only, as far as they are set."""
        keys = ("table_key", "ledger_key", "queue_key", "log_key", "bucket_key")
        names = ("subnets", "security_groups", "permissions_boundary", "writer_boundary", *keys)
        return tuple(name for name in names if getattr(self, name))


class Verification(_Section, frozen=True):
    """How the tables are compared."""

    coverage: str = "full"
    settle: Duration = Duration(60)
    read_units: int | None = None
    max_read_units: int | None = None
    processes: int | None = None
    engine: Literal["here", "spark"] = "here"
    spark_staging: str | None = None
    memory: Size = Size(512_000_000)
    plugins: tuple[str, ...] = ()
    time_limit: Duration = Duration(600)
    findings_key: str | None = None
    last: Literal["changes", "full"] = "changes"
    max_base_age: Duration = Duration(7 * 86_400)
    every: Duration | None = None

    @property
    def sampled_fraction(self) -> float | None:
        """Fraction of segments to read, ``None`` for all of them."""
        return None if self.coverage == "full" else float(self.coverage.rstrip("%")) / 100


class Checks(_Section, frozen=True):
    """What belongs to the checks, beside their folder."""

    files: tuple[str, ...] = ()
    not_checks: tuple[str, ...] = ()
    pytest_plugins: tuple[str, ...] = ()
    plugins_not_needed: tuple[str, ...] = ()


class Gate(_Section, frozen=True):
    """What has to hold before anyone switches."""

    required: tuple[str, ...] = ("*",)
    max_age: Duration = Duration(3600)
    clean_runs: int = 1
    churning: bool = False
    unclaimed: tuple[Literal["missing", "extraneous", "different"], ...] = ()
    signing_key: str = "file:.ddbverify/key.pem"
    trusted_keys: tuple[str, ...] = ()
    emulator: bool = False


class Cutover(_Section, frozen=True):
    """How the application is moved over."""

    pointer: str | None = None
    pointer_form: Literal["source", "target"] = "source"
    pointer_tier: Literal["standard", "advanced"] = "standard"
    fence: str = "resource-policy"
    fence_target: bool = True
    fence_limit: Duration = Duration(900)
    quiet: Duration = Duration(60)
    stream_lag: Duration = Duration(10)
    before_flip: str | None = None
    way_back: str | None = None

    @property
    def way_back_seconds(self) -> float | None:
        """
        For how long the source is to follow the target after a flip; ``None``: it does not.

        Where nobody has said, only if it can.
        """
        found = WAY_BACK.fullmatch(WAY_BACK_DEFAULT if self.way_back is None else self.way_back)
        return None if found is None else float(found[1]) * _SECONDS[found[2]]


class Metrics(_Section, frozen=True):
    """Where the numbers of a run and of a cutover are sent; nowhere by default."""

    textfile: str | None = None
    otlp: str | None = None
    statsd: str | None = None


class Notify(_Section, frozen=True):
    """Who is told each step of a cutover; nobody by default."""

    command: str | None = None
    topic: str | None = None


class Config(_Section, frozen=True, kw_only=True):
    """A whole ``migration.toml``."""

    name: str = "migration"
    tables: tuple[Pair, ...]
    source: Side = Side()
    target: Side = Side()
    replication: Replication | None = None
    stack: Stack = Stack()
    verification: Verification = Verification()
    checks: Checks = Checks()
    gate: Gate = Gate()
    cutover: Cutover = Cutover()
    metrics: Metrics = Metrics()
    notify: Notify = Notify()
    folder: Path = Path()
    """Folder of the file: relative paths and the transform's module are looked up from here."""

    def turned(self, cycle: int) -> Config:
        """
        The settings of one direction of this migration, as if it were a migration of its own.

        Args:
            cycle: 0 is this one. In odd ones the sources follow the targets: they change places. The pointer
                and the gate stay with the migration itself.
        """
        if cycle == 0:
            return self
        back = cycle % 2 == 1
        tables, topic, stack = self.tables, self.replicated.alarm_topic, self.stack
        if back:
            # Where both sides are one place; where they are not, such keys allow no way back.
            stack = msgspec.structs.replace(stack, table_key=stack.ledger_key, ledger_key=stack.table_key)
            # Items come as they are: what an inverse makes of them is the consumer's, and of no digest here.
            none = ("transform", "inverse", "export", "source_export", "target_export")
            plain: dict[str, Any] = dict.fromkeys(none) | dict.fromkeys(
                ("transform_files", "source_changes", "target_changes"), ()
            )
            tables = tuple(
                msgspec.structs.replace(pair, source=pair.target, target=pair.source, **plain)
                for pair in self.tables
            )
            # CloudWatch's alarms reach topics of their own region only.
            here = self.target.region or region_of(self.tables[0].target)
            topic = topic if topic is not None and topic.split(":")[3] == here else None
        return msgspec.structs.replace(
            self,
            name=direction_name(self.name, cycle),
            tables=tables,
            source=self.target if back else self.source,
            target=self.source if back else self.target,
            replication=msgspec.structs.replace(self.replicated, alarm_topic=topic),
            stack=stack,
            # What follows is closed by the fence of the flip before.
            cutover=msgspec.structs.replace(self.cutover, pointer=None, fence_target=False),
        )

    @property
    def replicated(self) -> Replication:
        """The settings of replication, the defaults where the section is not in the file."""
        return self.replication or Replication()
