"""
Time and money of moving one pair: each part with where its number is from. Pure.

Nothing here is promised: sizes are hours old, prices are list prices of one region, and how long a restore
takes AWS alone knows. What nobody knows has no number, and is in no sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ddbverify.words import number_of, size_in_words
from replicator.aws.prices import PRICES, Prices
from replicator.estimate.moved import GB, Moved

RESTORE_SECONDS: Final = 3600.0
"""95 % of all restores are through by then (docs/aws.md T36)."""

NEW_TABLE_WRITES: Final = 4_000
"""
Write units a second that a new on-demand table takes at first.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
"""

IMPORT_FILES: Final = 2.0
"""
Bytes of DynamoDB JSON for each of the table's: a guess. Names and types stand beside each value, and binary
values are base64.
"""

QUEUE_SECONDS: Final = 14 * 86_400.0
"""What is captured waits so long at most."""

BUILD_SECONDS: Final = 180.0
"""Of a build beside its passes: a guess. It gets a machine, installs packages and fetches evidence."""

LINKED_SECONDS: Final = 23 * 3600.0
"""Between two builds, at most, so that the second reads only what has changed. Streams keep 24 hours."""

_REQUEST_BYTES: Final = 65_536  # of SQS
_WIRE: Final = 1.4  # of a change in a message, against the item alone
_CHANGES_OF_A_MESSAGE: Final = 50
_BUSY_SECONDS: Final = 0.001  # of both functions for a change, waiting included


@dataclass(frozen=True, slots=True)
class Part:
    """
    A part of the time or of the money.

    Args:
        number: Seconds or US dollars; ``None``: nobody knows.
        how: Where it is from, in words.
    """

    name: str
    number: float | None
    how: str

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"name": self.name, "number": self.number, "how": self.how}


def total(parts: Sequence[Part]) -> float:
    """Of all that is known."""
    return sum(part.number for part in parts if part.number is not None)


def unknown(parts: Sequence[Part]) -> list[str]:
    """Names of the parts that nobody knows."""
    return [part.name for part in parts if part.number is None]


def times(moved: Moved, *, overlap_seconds: float, verification_seconds: float | None) -> list[Part]:
    """How long it takes until the target follows, and has been verified once; in the order of the steps."""
    return [
        Part("overlap", overlap_seconds, "[replication] overlap, while the stream is on"),
        *_filling(moved),
        Part("verification", verification_seconds, "one whole pass (`ddbverify plan` says it in parts)"),
    ]


def _filling(moved: Moved) -> Iterator[Part]:
    if moved.is_exported:
        yield Part("export", None, "as the table's size has it; AWS says nothing of how long one takes")
    if moved.is_restored:
        what = "as the target" if not moved.is_loaded else "as a staging table"
        yield Part("restore", RESTORE_SECONDS, f"{what}: AWS says that 95 % take less than an hour")
    if moved.is_written:
        yield Part("load", load_seconds(moved), _rate_in_words(moved))
    if moved.imported:
        yield Part("import", None, "AWS says nothing of how long one takes; the files are written before it")


def load_units(moved: Moved) -> int:
    """Write units of the load, indexes included."""
    return moved.items * moved.units_of_an_item * (1 + moved.indexes)


def load_seconds(moved: Moved) -> float:
    """As long as the tightest of ceiling and capacity makes it; the transform's own time is not in it."""
    by_ceiling = load_units(moved) / moved.ceiling if moved.ceiling else 0.0
    alone = moved.items * moved.units_of_an_item
    return max(by_ceiling, alone / (moved.capacity or NEW_TABLE_WRITES))


def _rate_in_words(moved: Moved) -> str:
    if moved.ceiling and load_units(moved) / moved.ceiling >= load_seconds(moved):
        return f"[replication] write_units of {moved.ceiling:,} a second"
    if moved.capacity:
        return f"the target is provisioned with {moved.capacity:,} write units a second"
    return f"a new on-demand table takes {NEW_TABLE_WRITES:,} write units a second, and more later"


def money(
    moved: Moved,
    *,
    days: float,
    verification_usd: float | None,
    verifications: int,
    alarms: int,
    at: Prices = PRICES,
) -> list[Part]:
    """
    What AWS bills for moving one pair, beside what the source costs anyway.

    Args:
        days: From `up` to `down`.
        verification_usd: Of one whole pass.
        verifications: How many there will be.
        alarms: Of a pair's stacks.
    """
    month = days / 30
    restored = moved.gigabytes * at.restore_gb
    load = load_units(moved) * at.write_units / 1e6
    following = following_usd(moved, at)
    parts = []
    if moved.backfill == "backup":
        kept = f"{size_in_words(moved.size_bytes)} for {days:g} days; it stays behind `down`"
        parts.append(Part("backup", moved.gigabytes * at.backup_gb_month * month, kept))
    if moved.is_exported:
        made = f"{size_in_words(moved.size_bytes)}; what S3 bills for keeping it is not in it"
        parts.append(Part("export", moved.gigabytes * at.export_gb, made))
    if moved.is_restored:
        parts.append(Part("restore", restored, size_in_words(moved.size_bytes)))
    if moved.is_written:
        parts.append(Part("load", load, number_of(load_units(moved), "write unit")))
    if moved.imported:
        size = size_in_words(round(moved.size_bytes * IMPORT_FILES))
        parts.append(
            Part(
                "import",
                moved.gigabytes * IMPORT_FILES * at.import_gb,
                f"about {size} of files before they are packed, twice the table; no write unit",
            )
        )
    parts.append(
        Part("target's storage", moved.gigabytes * at.storage_gb_month * month, f"for {days:g} days")
    )
    if moved.crosses_regions:
        parts.append(Part("transfer", moved.gigabytes * at.transfer_gb, "the first filling, between regions"))
    if following is None:
        rate = f"how much is written is not known; ${change_usd(moved, at) * 1e6:,.2f} for a million changes"
        parts.append(Part("following", None, rate))
    else:
        each = f"{moved.units_of_a_change} write units each, for {days:g} days"
        rate = f"{moved.changes_per_second:,.1f} changes a second, {each}"
        parts.append(Part("following", following * days, rate))
    usd = None if verification_usd is None else verification_usd * verifications
    passes = f"{verifications} whole pass{'' if verifications == 1 else 'es'} over both tables"
    parts.append(Part("verification", usd, passes))
    parts.append(Part("alarms", alarms * at.alarm_month * month, f"{alarms} for {days:g} days"))
    return parts


def way_back(moved: Moved, *, days: float, at: Prices = PRICES) -> Part:
    """
    Of the source following the target behind the flip, as the target did before it.

    Args:
        days: ``[cutover] way_back``.
    """
    following = following_usd(moved, at)
    usd = None if following is None else following * days
    return Part("way back", usd, f"the source follows for {days:g} days behind the flip")


def shared(dashboards: int, *, days: float, at: Prices = PRICES) -> list[Part]:
    """What the whole migration costs beside its pairs."""
    if not dashboards:
        return []
    usd = dashboards * at.dashboard_month * days / 30
    return [Part("dashboard", usd, f"for {days:g} days; the first three of an account are free")]


@dataclass(frozen=True, slots=True)
class Pass:
    """
    A whole pass over one pair, as a build makes it.

    Args:
        seconds: It takes; ``None``: nobody knows.
        usd: Likewise, of its reads.
        each_time: Whether every build makes it, and not the first one alone.
    """

    seconds: float | None
    usd: float | None
    each_time: bool


def scheduled(
    passes: Sequence[Pass], every_seconds: float, *, alarms: int, days: float, at: Prices = PRICES
) -> Part:
    """
    The builds that verify by a schedule, with their reads and alarms.

    Args:
        passes: Of each pair.
        every_seconds: Between two builds.
        alarms: Of their stack.
        days: From `up` to `down`.
    """
    builds = max(1, int(days * 86_400 / every_seconds))
    seconds, usd = builds * BUILD_SECONDS, alarms * at.alarm_month * days / 30
    is_known = True
    for one in passes:
        times = builds if one.each_time else 1
        is_known &= one.seconds is not None and one.usd is not None
        seconds += times * (one.seconds or 0.0)
        usd += times * (one.usd or 0.0)
    whole = "each" if any(one.each_time for one in passes) else "the first"
    minutes = f"{seconds / 60:,.0f} minutes in all"
    how = f"{number_of(builds, 'build')} of about {minutes}, of which {whole} reads whole tables"
    return Part("verification by schedule", usd + seconds / 60 * at.build_minute if is_known else None, how)


def following_usd(moved: Moved, at: Prices = PRICES) -> float | None:
    """Of a day of following; ``None`` where nobody knows how much is written."""
    if moved.changes_per_second is None:
        return None
    return 86_400 * moved.changes_per_second * change_usd(moved, at)


def change_usd(moved: Moved, at: Prices = PRICES) -> float:
    """Of one change: its writes, its share of messages and of the functions."""
    writes = moved.units_of_a_change * at.write_units / 1e6
    sent = 2 * max(_WIRE * moved.item_bytes / _REQUEST_BYTES, 1 / _CHANGES_OF_A_MESSAGE)
    queue = (sent + 1 / _CHANGES_OF_A_MESSAGE) * at.fifo_requests / 1e6
    functions = _BUSY_SECONDS * at.lambda_gb_second
    transfer = moved.item_bytes / GB * at.transfer_gb if moved.crosses_regions else 0.0
    return writes + queue + functions + transfer
