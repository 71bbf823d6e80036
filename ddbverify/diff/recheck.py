"""
Some keys of a pair looked at again, and no other: what a repair came to.

Each is read from both tables, strongly consistent, and settled as in any pass: the verifier's own reading
and judging, which knows nothing of whoever has written meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import msgspec

from ddbverify.compare import runner
from ddbverify.compare.request import Listeners, PassRequest, Progress
from ddbverify.config import Config, Pair
from ddbverify.evidence.repairs import PairOf
from ddbverify.items.keys import join_key
from ddbverify.items.states import State
from ddbverify.names import TypedItem
from ddbverify.plugins.loading import Plugins

KEYS_AT_ONCE: Final = 50_000
"""About a kilobyte each, while they settle."""


@dataclass(slots=True)
class Rechecked:
    """What became of the keys."""

    counts: Counter[State] = field(default_factory=Counter)
    unexamined: list[str] = field(default_factory=list)
    read_units: float = 0.0

    @property
    def equal(self) -> bool:
        """Whether each key was looked at, and is as it should be."""
        return not self.unexamined and not self.counts.keys() - {State.MATCHED, State.EXCLUDED}


def recheck(
    config: Config,
    pair: Pair,
    about: PairOf,
    keys: Iterable[TypedItem],
    progress: Callable[[int], None] = lambda _: None,
) -> Rechecked:
    """
    Look at these keys of a pair.

    Args:
        config: The migration's settings.
        pair: One of its tables.
        about: The pair as it was verified: what `ignore` named then is left out now.
        keys: Of the target.
        progress: Told how many are decided.

    Raises:
        ConfigurationError: The tables are no pair any more.
        EngineError: AWS refused before anything was read.
    """
    found, waiting, total = Rechecked(), iter(keys), 0
    settings = msgspec.structs.replace(pair, ignore=about.ignore)
    while some := [join_key(key, about.target_keys) for key in islice(waiting, KEYS_AT_ONCE)]:
        asked = dict.fromkeys(some)

        def told(now: Progress, before: int = total, batch: int = len(asked)) -> None:
            progress(before + batch - now.open_suspects)

        comparison = runner.compare(
            config,
            settings,
            PassRequest(changed=list(asked), plugins=Plugins(config)),
            Listeners(progress=told),
        )
        total += len(asked)
        found.counts.update({state: count for state, count in comparison.counts.items() if count})
        found.unexamined += comparison.unexamined
        found.read_units += comparison.source.read_units + comparison.target.read_units
    looked_at = sum(found.counts.values())
    if looked_at != total:  # nothing that was not looked at is equal
        found.unexamined.append(f"{looked_at:,} of {total:,} keys were decided")
    return found
