"""
What both packages and the deployed handlers call the things of a migration.

Standard library only: the handlers import this module in Lambda.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

TypedValue = Mapping[str, Any]
"""One DynamoDB attribute value with its type: ``{"S": "abc"}``; ``B`` is base64 text."""

TypedItem = Mapping[str, TypedValue]
"""A whole item (or key) in DynamoDB's JSON form, as Scan, GetItem and stream events carry it."""

KeySchema = Mapping[str, str]
"""Key attribute -> type (``S``, ``N``, ``B``), the hash key first."""

FILE_NAME: Final = "migration.toml"
"""The settings of a migration, in the folder that commands run in."""

MIGRATION_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,29}")
"""Short enough for every name made from it (an IAM role's has 64 characters)."""

# The canary's key, one constant per key type; those of markers are below. Their form is part of the contract
# of forwarder, consumer, loads and verifier: each knows them by equality, never by a prefix, so that no item
# of a user can be taken for one by accident.
_CANARY: Final = {
    "S": {"S": "~replicator.canary~"},
    "N": {"N": "-31415926535897932384626433832795028841"},
    "B": {"B": base64.b64encode(b"~replicator.canary~").decode()},
}


def canary_key(schema: KeySchema) -> dict[str, dict[str, str]]:
    """The reserved key of the canary in a table with this key schema, in typed form."""
    return {name: dict(_CANARY[kind]) for name, kind in schema.items()}


MARKERS: Final = 4096
"""How many reserved keys of markers there are: enough that each shard of a large stream gets some."""

RESERVED: Final = {
    "S": "~replicator.canary~",
    "N": "-3141592653589793238462643383279",
    "B": base64.b64encode(b"~replicator.canary").decode(),
}
"""Key type -> what each reserved key of that type begins with, the canary's and the markers'. Only a hint:
whether a key is reserved is known by equality."""


def marker_key(schema: KeySchema, number: int) -> dict[str, dict[str, str]]:
    """The reserved key of a marker in a table with this schema, in typed form; *number*: under `MARKERS`."""
    contents = {
        "S": f"~replicator.canary~#{number:04d}",
        "N": f"{RESERVED['N']}{number:04d}111",
        "B": base64.b64encode(f"~replicator.canary~#{number:04d}".encode()).decode(),
    }
    return {name: {kind: contents[kind]} for name, kind in schema.items()}


def is_marker(key: TypedItem, schema: KeySchema) -> bool:
    """Whether a key, in typed form, is that of a marker: by equality, so that no item is taken for it."""
    name, kind = next(iter(schema.items()))
    content = key.get(name, {}).get(kind)
    if not isinstance(content, str) or not content.startswith(RESERVED[kind]):
        return False
    number = _markers(kind).get(content)
    return number is not None and key == marker_key(schema, number)


def is_ours(key: TypedItem, schema: KeySchema) -> bool:
    """Whether a key, in typed form, is one of the replicator's own items: the canary's, a marker's."""
    return key == canary_key(schema) or is_marker(key, schema)


@functools.cache
def _markers(kind: str) -> dict[str, int]:
    return {marker_key({"": kind}, number)[""][kind]: number for number in range(MARKERS)}


def pair_id(source: str, target: str) -> str:
    """
    A short, stable name of one pair, fit for stack and queue names.

    Args:
        source: Source table as the configuration names it, a name or an ARN.
        target: Target table, likewise.

    Returns:
        At most 23 characters of ``[a-z0-9-]``; it changes when either table does.
    """
    digest = hashlib.sha256(f"{source}\0{target}".encode()).hexdigest()
    slug = re.sub(r"[^a-z0-9]+", "-", table_name(source).lower()).strip("-")[:14].rstrip("-")
    return f"{slug or 'table'}-{digest[:8]}"


def table_name(name_or_arn: str) -> str:
    """``orders`` for both ``orders`` and ``arn:aws:dynamodb:eu-west-1:123456789012:table/orders``."""
    return name_or_arn.rpartition(":table/")[2] if name_or_arn.startswith("arn:") else name_or_arn


def region_of(name_or_arn: str) -> str | None:
    """The region that an ARN names; ``None`` for a plain name."""
    return name_or_arn.split(":")[3] if name_or_arn.startswith("arn:") else None


def stack_name(migration: str, part: str, pair: str | None = None) -> str:
    """Name of a stack: its *part* is a template of ours, or ``dashboard``."""
    return "-".join(filter(None, ("replicator", migration, pair, part)))


OF_DIRECTION: Final = re.compile(r".*-(back|over)-\d+")
"""What the names of `direction_name` look like; a migration is not called so."""

LONGEST_NAME_WITH_WAY_BACK: Final = 22


def direction_name(migration: str, cycle: int) -> str:
    """
    What a direction of a migration is called in AWS, as if it were a migration of its own.

    Each has its own state table, stacks, queue, ledger and roles, and so its number is in all their names.

    Args:
        cycle: 0 is the migration itself, 1 the way back from it, 2 the way over again, and so on.
    """
    if cycle == 0:
        return migration
    return f"{migration}-{'back' if cycle % 2 else 'over'}-{cycle}"


FENCE_SID: Final = "ReplicatorFence"
"""The statement in a source table's own policy that a cutover keeps writers off with."""

TARGET_FENCE_SIDS: Final = ("ReplicatorTargetFence", "ReplicatorTargetFenceAgain")
"""The statements in a target table's own policy that keep all but the replicator off: until a moment, or
until they are taken out; and again from a moment on."""

FOLLOWER_FENCE_SIDS: Final = (FENCE_SID, TARGET_FENCE_SIDS[1])
"""The same in the policy of a table that follows behind a flip: that flip has put the first of them there."""

FENCE_SIDS: Final = (FENCE_SID, *TARGET_FENCE_SIDS)
"""All statements of ours in policies of tables: none of them is a setting of the user's."""


METRICS: Final = "Replicator"
"""CloudWatch's namespace of all metrics. Dimensions: ``migration``, ``pair`` and ``service`` (``forwarder``,
``consumer``, ``auditor``)."""


# --- the state table -------------------------------------------------------------------
#
# One item per fact, so that forwarder, consumer and operator write without reading first.
# `pk` is MIGRATION for facts of the whole migration, pair_pk(id) for those of one pair.

MIGRATION: Final = "migration"


def state_table(migration: str) -> str:
    """Name of the state table, in the source's account and region."""
    return f"replicator-{migration}-state"


def pair_pk(pair: str) -> str:
    """Partition key (attribute ``pk``) of one pair's facts in the state table."""
    return f"pair#{pair}"


WORKER: Final = "worker"
"""In place of an event source mapping's UUID: a worker reads the stream, or the queue."""

RUN: Final = "run"
PAUSE: Final = "pause"
SHUT: Final = "closed"
"""What the ``state`` of `Fact.CONTROL` may be; any other word is a pause. `SHUT`: a flip is near,
or was made."""


SOURCE: Final = "source"
TARGET: Final = "target"
BETWEEN: Final = "between"
"""What ``table`` of `Fact.LIVE` may be. `BETWEEN`: a flip was asked for, and may have happened."""


class Fact:
    """
    Sort keys (attribute ``sk``) of the state table, with the attributes of each.

    Times are ISO 8601 in UTC with milliseconds unless their name ends in ``_epoch`` (seconds).
    """

    RESOURCES: Final = "resources"
    """``queue_url``, ``dead_letter_url``, ``forwarder_mapping``, ``consumer_mapping`` (UUIDs, or `WORKER`),
    ``stream_arn``, ``ledger_table``, ``target_region``, ``forwarder``, ``consumer`` (function names),
    ``knows_markers`` (the forwarder leaves them out; not there: that of an earlier build does not),
    ``by_others`` (whether others have deployed the stacks)."""

    BOUND: Final = "bound"
    """What the target is made with, from the first step on: ``transform`` (or empty), ``digest`` (of its
    package), ``rekeys``, ``backfill``, ``export``. Not there while a restart is under way."""

    BOUNDARY: Final = "boundary"
    """``how`` (``backup``, ``pitr``, ``scan``, ``export``), ``backup_epoch`` (of the backup, the chosen
    second, the scan's beginning, or the export's moment), ``boundary_epoch`` (whole seconds); ``backup_arn``
    where there is one; of an export ``export`` (address), ``export_arn``, ``manifests`` (name -> SHA-256)."""

    RESTART: Final = "restart"
    """``number``: how often the pair was started anew. Not there before the first time."""

    RESTARTING: Final = "restarting"
    """While a restart is under way: ``number`` (the new one), ``backup`` (of an older one the ARN, of an
    export that is named the address; else empty), ``at``."""

    CONSUMER: Final = "consumer"
    """Written by the operator: ``on``, and ``since_epoch``. Off: nothing was in flight any more by then,
    and ``counted`` is the consumer's work up to then, so that it shows if somebody else switches it on."""

    LOADED: Final = "load#"
    """Prefix, followed by a segment: how far the load is in it. ``reading`` (what it reads), ``done``,
    ``last`` (JSON of the last key read; of an export's data file, of the number of items), ``read``,
    ``written``, ``quarantined``."""

    STREAM_ENABLED_BY_US: Final = "stream-enabled-by-us"
    """``at``: the source had no stream before, and has none again afterwards."""

    CANARY_SENT: Final = "canary#sent"
    """Written by the forwarder: ``number`` (sequence number, padded), ``at``."""

    CANARY_ARRIVED: Final = "canary#arrived"
    """Written by the consumer: ``number``, ``at``, ``lag_ms``."""

    CANARY_GROUPS: Final = "canary#groups"
    """Written by the consumer: message group -> number of the last canary that came through it."""

    CANARY_LAGS: Final = "canary#lags"
    """Added to by the consumer: bound in seconds -> how many canaries took at most so long, see
    `replicator.handlers.control.lag_bound`."""

    CONTROL: Final = "control"
    """``state``: `RUN`, `PAUSE` or `SHUT`, and ``at``. Read by the consumer before each batch; not there:
    run."""

    CEILING: Final = "ceiling"
    """``until_ms``: the moment (DynamoDB's clock) up to which the write ceiling is given away."""

    FOLLOWING: Final = "following"
    """``since``: the consumer is on and replay had passed the backup time by then."""

    CUTOVER: Final = "cutover"
    """Of the whole migration, the latest attempt: ``steps`` (name -> time), ``fenced``, ``flipping``,
    ``flipped``, ``token`` (of its lease), ``fence`` (the setting), ``verified_by`` (a folder), ``pointer``
    (parameter -> what it is to hold; from the moment in which the flip is asked for)."""

    LIVE: Final = "live"
    """Of the whole migration: ``table`` (`SOURCE`, `TARGET` or `BETWEEN`: which one the application writes),
    ``cycle`` (of the direction that follows, or that was the last to do so), ``at``. Not there: the source,
    as far as `CUTOVER` knows of no flip. Asked before a consumer is switched on, or a table deleted."""

    FENCE: Final = "fence#"
    """Prefix, followed by a source table's name; of the whole migration, while its fence stands or may:
    ``rest`` (JSON of the policy without it, or not there), ``revision`` (of the policy with it; not there:
    asked for, no answer yet), ``begin_epoch`` (it denies behind that second; not there: it denies),
    ``until_epoch`` (not there: until it is lifted), ``shown``, ``at``."""

    TARGET_FENCE: Final = "target-fence#"
    """Prefix, followed by a target table's name; of the whole migration, once its policy was asked to keep
    writers off: ``exempt`` (ARNs that may write), ``revision`` (of the policy; not there: asked for, no
    answer yet), ``opens_epoch`` and ``closes_epoch`` (between them everybody may write; not there: nobody),
    ``opened`` (the statements are out of the policy, for the flip), ``at``."""

    MARKED: Final = "marked"
    """``at``: markers are being written to both tables of the pair, or were and are not all removed."""

    MOVED: Final = "moved"
    """``at``: the application reads the target since then, so that whoever still writes to the source is
    late. Read by the forwarder for every batch."""

    LATE: Final = "late#"
    """Prefix, followed by the source key's hash, of what was written to the source behind the flip: ``key``
    (typed), ``number``, ``at`` (when it was written)."""

    GAP: Final = "gap"
    """Latched while it exists: ``reason``, ``at``."""

    COUNTERS: Final = "counters"
    """Added to by the consumer: ``applied``, ``superseded``, ``dropped`` (before the boundary),
    ``retired`` (of a stream that a restart has left), ``quarantined``; and its progress, one attribute
    ``PROGRESS`` + message group each: see there."""

    PROGRESS: Final = "at#"
    """Prefix of attributes of `COUNTERS`, followed by a message group (``g0`` to ``g31``): time of the
    newest change applied in it, in seconds since the epoch."""

    COST: Final = "cost#"
    """Prefix of attributes of `COUNTERS`: ``calls`` of the consumer, ``queue_units`` (requests of 64 KB that
    SQS bills for receiving), ``write_units`` of target and ledger, ``busy_ms`` of the function."""

    QUARANTINE: Final = "quarantine#"
    """Prefix, followed by the source key's hash: ``key`` (typed), ``number``, ``reason``, ``at``."""

    AUDIT_DUE: Final = "audit-due"
    """``at_epoch``: of a whole direction, from when on one of its workers audits; of a pair, until when no
    other call of its auditor begins."""

    WORKER: Final = "worker#"
    """Prefix, followed by ``forwarder`` or ``consumer``: what `up` and `restore` tell a worker, as they tell
    a function by its environment. ``settings`` (name -> text), ``at``."""

    SWITCH: Final = "switch#"
    """Prefix, likewise: ``on``, ``at``. A worker's event source mapping: read before each batch, strongly
    consistent; not there: off."""

    SHARD: Final = "shard#"
    """Prefix, followed by a stream's label, ``#`` and a shard's id: a worker's lease (``holder``, ``token``,
    ``until_epoch``, ``writes_as``: ARN of the identity that it writes to the target with), and how far the
    shard is forwarded: ``place`` (a sequence number, ``ended``, or nothing yet), ``read_epoch`` (whatever was
    written to it before was read)."""

    HAND: Final = "hand#"
    """Prefix, followed by a number: a worker's lease to apply changes, as `SHARD` has it; one for each
    consumer that may be at work at once. While none is held nothing is in hand."""

    NEWEST_RUN: Final = "newest-run"
    """Of the migration, written by the operator's commands: the run of the verifier that was started last.
    ``run_id``, ``started_ms`` (DynamoDB's clock), ``sha256`` (of its evidence file, or empty)."""

    STEP: Final = "step#"
    """Prefix, followed by the step's name: ``at`` when it was done, and what it made."""
