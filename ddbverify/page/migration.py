"""The migration that a run belongs to, as `replicator watch` saw it last: a part nobody has signed. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ddbverify.evidence.following import Following
from ddbverify.page import live_view, plots
from ddbverify.page.live_view import Part
from ddbverify.page.watched import Watched
from ddbverify.words import duration_in_words

STREAM_SECONDS: Final = 24 * 3600
QUEUE_SECONDS: Final = 14 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Left:
    """How much of a time that AWS gives is used up."""

    sentence: str
    length: float


@dataclass(frozen=True, slots=True)
class PairView:
    """One pair of the migration."""

    part: Part
    left: tuple[Left, ...]


@dataclass(frozen=True, slots=True)
class MigrationView:
    """All that is shown of it."""

    at: float
    loud: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]
    pairs: tuple[PairView, ...]
    more: int


def view(watched: Watched) -> MigrationView:
    """What is shown of it."""
    told, live = watched.told, live_view.view(watched.told)
    return MigrationView(
        at=max(seen[-1].at for seen in told.following.values()),
        loud=live.loud,
        rows=live.rows,
        pairs=tuple(PairView(part, tuple(_left(told.following[part.name][-1]))) for part in live.parts),
        more=live.more,
    )


def _left(last: Following) -> Iterator[Left]:
    """Behind either of these times, changes are lost."""
    for used, keeps, what, where in (
        (
            last.stream_behind_seconds,
            STREAM_SECONDS,
            "The forwarder is {} behind the stream",
            "a stream keeps 24 h",
        ),
        (
            last.oldest_message_seconds,
            QUEUE_SECONDS,
            "The oldest message has waited {}",
            "a queue keeps 14 days",
        ),
    ):
        if used is not None:
            left = duration_in_words(max(0.0, keeps - used))
            said = f"{what.format(duration_in_words(used))}: {where}, so {left} are left."
            yield Left(said, round(min(plots.WIDTH, plots.WIDTH * used / keeps), 1))
