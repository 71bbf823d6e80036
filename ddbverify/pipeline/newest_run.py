"""The run of ``ddbverify`` that was started last, as the state table of a migration notes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class NewestRun:
    """
    One run, whatever it came to.

    Args:
        run_id: Its id.
        started_ms: Milliseconds since the epoch, by DynamoDB's clock; whole seconds where only its id tells.
        sha256: Of its evidence file; empty for a run that has left none.
    """

    run_id: str
    started_ms: int
    sha256: str

    @classmethod
    def of_fact(cls, fact: Mapping[str, Any] | None) -> NewestRun | None:
        """
        Read `names.Fact.NEWEST_RUN`.

        Raises:
            ValueError: The fact is there and is not one that `as_fact` wrote.
        """
        if fact is None:
            return None
        try:
            return cls(str(fact["run_id"]), int(fact["started_ms"]), str(fact["sha256"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("the state table does not say which run is the newest") from error

    def as_fact(self) -> dict[str, Any]:
        """The attributes of `names.Fact.NEWEST_RUN`."""
        return {"run_id": self.run_id, "started_ms": self.started_ms, "sha256": self.sha256}
