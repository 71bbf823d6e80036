"""
What ``ddbverify init`` writes: a folder that is ready for a first run. Nothing that is there is ever changed.

The default suite is copied, not imported: what a run is bound to then stands in the user's own
repository, can be read and changed there, and a new version of ddbverify changes no claim behind
anybody's back. After an upgrade ``init`` names the copies that differ from the new suite; one that
is deleted is written anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddbverify import config as configuration
from ddbverify.config import Side
from ddbverify.errors import ConfigurationError
from ddbverify.evidence import folders
from ddbverify.names import FILE_NAME, table_name
from ddbverify.tables.hosts import is_aws

_IGNORED = f"{folders.HOME}/"
MINE = "check_mine.py"
"""Where users write checks of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What ``migration.toml`` is made of."""

    source: str
    target: str
    source_side: Side = field(default_factory=Side)
    target_side: Side = field(default_factory=Side)
    transform: str | None = None


@dataclass(slots=True)
class Made:
    """What became of each file, by its path from the folder."""

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)  # kept, and not the default suite's any more

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "command": "init",
            "written": self.written,
            "kept": self.kept,
            "differing": self.differing,
            "exit_code": 0,
        }


def write(folder: Path, answers: Answers | None) -> Made:
    """
    Write what is missing in *folder*: ``migration.toml``, ``checks/``, a line in ``.gitignore``.

    Args:
        folder: It has to exist.
        answers: ``None`` where there is a ``migration.toml``.

    Raises:
        ConfigurationError: The answers make no migration, or a file cannot be written. Nothing
            is left half written.
    """
    made = Made()
    if answers is not None:
        text = migration_toml(answers)
        configuration.parse(text, folder)
        _write(folder / FILE_NAME, text, made, folder)
    else:
        made.kept.append(FILE_NAME)
    checks = folder / "checks"
    for file in sorted(folders.default_suite().glob("check_*.py")):
        text = file.read_text(encoding="utf-8")
        mine = checks / file.name
        if mine.exists() and mine.read_bytes() != text.encode():
            made.differing.append(mine.relative_to(folder).as_posix())
        _write(mine, text, made, folder)
    _write(checks / MINE, _MINE_TEXT, made, folder)
    _ignore(folder / ".gitignore", made)
    return made


def migration_toml(answers: Answers) -> str:
    """The text of a ``migration.toml``: what was answered, and what else can be said, as comments."""
    emulated = any(
        side.endpoint_url and not is_aws(side.endpoint_url)
        for side in (answers.source_side, answers.target_side)
    )
    name = _migration_name(answers.source)
    return _TOML.format(
        name=_text(name),
        slug=name,
        pad=" " * max(1, 16 - len(name)),
        source_side=_side(answers.source_side, "eu-west-1"),
        target_side=_side(answers.target_side, "eu-central-1"),
        source=_text(answers.source),
        target=_text(answers.target),
        transform=_line("transform", answers.transform, "shop.migrations:orders_v2"),
        emulator="emulator = true" if emulated else "# emulator = true",
    )


def _write(path: Path, text: str, made: Made, folder: Path) -> None:
    name = path.relative_to(folder).as_posix()
    if path.exists():
        made.kept.append(name)
        return
    try:
        path.parent.mkdir(exist_ok=True)
        with path.open("x", encoding="utf-8") as file:  # "x": never over one that has just come to be
            file.write(text)
    except OSError as error:
        raise ConfigurationError(
            f"{name} cannot be written: {error.strerror}.", "run this where you may write."
        ) from error
    else:
        made.written.append(name)


def _ignore(path: Path, made: Made) -> None:
    """One more line, unless it is there: raw keys and a private key are in that folder."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if {_IGNORED, _IGNORED.rstrip("/"), "/" + _IGNORED} & set(map(str.strip, lines)):
            made.kept.append(path.name)
            return
        with path.open("a+", encoding="utf-8") as file:
            file.write(("\n" if lines and not _ends_a_line(path) else "") + _IGNORED + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path.name} cannot be read or written.", f"add {_IGNORED} to it yourself."
        ) from error
    made.written.append(path.name)


def _ends_a_line(path: Path) -> bool:
    return path.read_bytes().endswith(b"\n")


def _migration_name(source: str) -> str:
    """One that the stacks and the queue can be named after."""
    slug = re.sub(r"[^a-z0-9]+", "-", table_name(source).lower()).strip("-")
    return (slug if slug[:1].isalpha() else f"m-{slug}")[:30].rstrip("-")


def _side(side: Side, region: str) -> str:
    examples: Mapping[str, str] = {"region": region, "profile": "legacy"}
    names: Iterable[str] = ("region", "profile", *(("endpoint_url",) if side.endpoint_url else ()))
    return "\n".join(_line(name, getattr(side, name), examples.get(name, "")) for name in names)


def _line(name: str, value: str | None, example: str) -> str:
    return f"# {name} = {_text(example)}" if value is None else f"{name} = {_text(value)}"


def _text(value: str) -> str:
    """A basic string of TOML: JSON's escapes but for the halves of pairs, and one more."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"{value!r} is not text.", "write it in your terminal's encoding."
        ) from error
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


_TOML = """\
# What is moved where, and what has to hold before anyone switches. Every key: configuration.md in the
# documentation, whose folder `ddbverify --help` names.
# What stands behind a # is a default, or an example.

# It names stacks, queue and state table: another one for each migration of an account and region.
name = {name}

# Without region and profile, the ordinary AWS chain decides.
[source]
{source_side}

[target]
{target_side}

[[tables]]
source = {source}
target = {target}
{transform}
# transform_files = ["rates.json"]   # files that the transform reads
# inverse = "shop.migrations:back"   # what makes a source item of a target item again
# rekeys = false                     # whether it may make keys of its own, or several items of one
# ignore = ["updated_at"]            # attributes that may differ
# accept = ["pitr", "tags.*"]        # settings that may differ: checks.md
# export = "s3://exports/AWSDynamoDB/01700000000000-0a1b2c3d"  # one that is there, to fill the target from
# may_be_empty = false               # whether both tables may hold no item
# source_export = "s3://exports/AWSDynamoDB/01700000000000-0a1b2c3d"   # read in place of the source
# source_changes = ["s3://exports/AWSDynamoDB/01700000900000-4e5f6a7b"]   # incremental ones on top of it
# target_export = "s3://exports/AWSDynamoDB/01700000000000-4e5f6a7b"   # likewise, of the target
# target_changes = []

# With this section a pipeline has to be there and healthy. Leave it out to verify tables that
# something else has filled. `replicator up` makes one, with these settings or the defaults.
# [replication]
# backfill = "backup"                # or "pitr", "scan", "export": what the target is filled from at first
# export_to = "s3://exports/orders"  # where an "export" is to lie
# export_owner = "111122223333"      # account of that bucket, where it is another one
# export_key = "alias/exports"       # key of KMS that an export is encrypted with
# import_from = "s3://imports/orders"  # targets are imported from there, without write units
# groups = 32                        # of the queue: at most so many consumers work at once
# overlap = "5m"                     # how far before the backup's time the replay starts
# read_units = 5000                  # ceiling per second of a "scan"
# write_units = 1000                 # ceiling per second, of target and ledger together
# canary = true                      # whether a canary may be written to the source
# alarm_topic = "arn:aws:sns:eu-west-1:123456789012:ops"  # whom the alarms tell
# dashboard = true                   # whether CloudWatch has a dashboard of it
# scheduled_audit = true            # whether a function audits twice a day
# worker = false                     # whether a process of yours does it, in place of functions

# What the CloudFormation stacks of `replicator` are to have.
# [stack]
# permissions_boundary = "arn:aws:iam::111122223333:policy/team"  # of the functions' roles
# writer_boundary = "arn:aws:iam::444455556666:policy/team"  # of the role in the target's account
# role_path = "/"                    # of the roles
# role_prefix = "acme-"              # what their names begin with
# subnets = ["subnet-0123456789abcdef0"]  # that the functions run in
# security_groups = ["sg-0123456789abcdef0"]  # of the functions
# table_key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"  # of the state table
# ledger_key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"  # of the ledger
# queue_key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"  # of the queue
# log_key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"  # of the logs
# bucket_key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"  # of the bucket with the code
# log_retention = 30                 # days
# forwarder_memory = 512             # MB
# consumer_memory = 1024             # MB
# concurrency = 32                   # consumers of a pair at once, at most
# deployed = false                   # whether others deploy them, and `up` only takes them
# tags = {{ team = "shop" }}           # of the stacks and all that they make

[verification]
# coverage = "full"                  # or "0.5%": a sample, which never opens a gate
# settle = "60s"                     # how long a difference has to hold still before it counts
# read_units = 5000                  # ceiling per second and table
# max_read_units = 2000000           # limit of one comparison, both tables together
# processes = 2                      # that read and compare, at most
# engine = "here"                    # or "spark": where the tables are read and compared
# spark_staging = "s3://bucket/prefix"  # where items wait there that two orders keep apart
# memory = "512MB"                   # that a comparison may take
# time_limit = "10m"                 # of one call of a check, or of the transform
# last = "changes"                   # or "full": what `run --since` and the last verification read
# max_base_age = "7d"                # how old the full pass may be that such a run stands on
# every = "12h"                      # how often a build of CodeBuild runs it; by default none does
# findings_key = "kms:alias/findings"  # whom a run seals its findings for
# plugins = []                       # that may take part: `ddbverify plugins` shows them

[checks]
# files = ["limits.json"]            # files outside of checks/ that checks read
# not_checks = ["check_mine.py::check_helper"]  # what looks like a check, and is none
# pytest_plugins = []                # plugins of pytest that a gated run loads
# plugins_not_needed = []            # distributions whose plugin of pytest checks can do without

[gate]
# required = ["*"]                   # checks that have to be there and to have passed
# max_age = "1h"                     # how old evidence may be
# clean_runs = 1                     # how many clean runs in a row are asked for
# churning = false                   # whether keys that never held still may pass
# unclaimed = []                     # states whose keys may be there although no check claims them
# signing_key = "file:.ddbverify/key.pem"  # or "kms:alias/…"
# trusted_keys = []                  # whose evidence is believed; by default the signing key's
{emulator:<36} # whether evidence made against an emulator may open this gate

# Where the numbers of runs, the gate, `replicator status` and cutovers are sent; nowhere by default.
[metrics]
# textfile = "/var/lib/node_exporter/textfile_collector"  # a folder: of node_exporter's collector
# otlp = "http://localhost:4318"     # a collector that speaks OTLP over HTTP
# statsd = "localhost:8125"          # one that reads datagrams of statsd, with tags

# Who is told each step of a cutover, and of a gap; nobody by default.
[notify]
# command = "./tell.sh"              # gets a JSON document on its standard input
# topic = "arn:aws:sns:eu-west-1:123456789012:migrations"  # of SNS

# What `replicator cutover` does with the application; it needs the pointer.
[cutover]
# pointer = "ssm:/{slug}/table"{pad}# where the application reads which table it uses; the flip sets it
# pointer_form = "source"            # or "target": what the JSON of several pairs is keyed by
# pointer_tier = "standard"          # or "advanced": of the parameter
# fence = "resource-policy"          # or "command:YOUR COMMAND": what keeps writes off the source
# fence_target = true                # whether the target's own policy denies writes until the flip
# fence_limit = "15m"                # the last verification, and `quiet`, have to fit into it
# quiet = "60s"                      # how long the fenced source has to see no write
# stream_lag = "10s"                 # without a record: then a stream is taken to be read to its end
# before_flip = "./agree.sh"         # a command of yours that has to agree before the flip
# way_back = "7d"                    # the source follows behind the flip, for `replicator cutback`; or "off"
"""

_MINE_TEXT = '''\
"""
Your own checks. All checks of a run share one pass over the tables, so that one more costs no read.

Take the # away from what you can use, and write your own: checks.md in the documentation says how
(`ddbverify --help` names its folder).
"""

from __future__ import annotations

# from ddbverify import Finding, Pair, Verdict, check, each_item, require

# On every item: `source`, `target` and `expected`, or some of them. An attribute is decoded when it
# is touched; numbers are Decimal, never float. `covers` says what it has to notice, and each run
# alters copies of real items to see whether it does.
#
# @check(covers=["value:total_cents"])
# @each_item
# def check_the_total_is_in_cents(source, target):
#     assert target["total_cents"] == source["total"] * 100

# On a pair of tables.
#
# def check_the_target_is_in_the_new_region(pair: Pair) -> None:
#     region = pair.target.region
#     findings = () if region == "eu-central-1" else (Finding(f"it is in {region}"),)
#     require(Verdict(examined=1, findings=findings))
'''
