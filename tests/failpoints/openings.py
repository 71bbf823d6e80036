"""
Which of two tables takes the application's writes, found out beside the product: by what the policies say.

They are read behind each change of one, by clients of its own, and held against each moment from then on: two
tables that would both be open in an hour, if everybody died now, are found out as well.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from tests.replicator.policies import APPLICATION, denied, epoch_of


class Openings:
    """
    A journal of which tables are open.

    Args:
        tables: Name -> a client of its region, and its ARN.
        now: Seconds since the epoch.
    """

    def __init__(self, tables: Mapping[str, tuple[Any, str]], now: Callable[[], float] = time.time) -> None:
        self._tables, self._now = tables, now
        self.open: list[tuple[str, frozenset[str]]] = []  # behind which point, and which are open then
        self.both: list[str] = []  # behind which points both are, or will be unless something is changed

    def now(self) -> frozenset[str]:
        """Which tables are open now."""
        return _open_at(self._texts(), self._now())

    def look(self, point: str) -> None:
        """Note what is open behind a point, and whether both are at any moment from then on."""
        texts, now = self._texts(), self._now()
        self.open.append((point, _open_at(texts, now)))
        both = [at for at in moments(texts, now) if len(_open_at(texts, at)) == len(texts)]
        if both:
            self.both.append(f"{point}: in {both[0] - now:.0f} s")

    def _texts(self) -> dict[str, str | None]:
        return {name: _policy(*table) for name, table in self._tables.items()}

    def in_turn(self) -> list[str]:
        """The tables that were open, one after the other."""
        turns = [name for _, names in self.open for name in sorted(names)]
        return [name for at, name in enumerate(turns) if at == 0 or turns[at - 1] != name]


def moments(texts: Mapping[str, str | None], now: float) -> Iterator[float]:
    """Now, and the seconds around each later moment that a policy names."""
    yield now
    for text in texts.values():
        for one in json.loads(text)["Statement"] if text else ():
            for operator in ("DateGreaterThan", "DateLessThan"):
                at = one.get("Condition", {}).get(operator, {}).get("aws:CurrentTime")
                if at is not None:
                    yield from (moment for by in (-1, 0, 1) if (moment := epoch_of(at) + by) > now)


def _open_at(texts: Mapping[str, str | None], at: float) -> frozenset[str]:
    return frozenset(name for name, text in texts.items() if not denied(text, at, APPLICATION))


def _policy(client: Any, arn: str) -> str | None:
    try:
        text: str = client.get_resource_policy(ResourceArn=arn)["Policy"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "PolicyNotFoundException":
            raise
        return None
    return text
