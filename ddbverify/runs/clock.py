"""DynamoDB's clock, which dates a run: this machine's may be wrong, or be set while a run is under way."""

from __future__ import annotations

import time

from ddbverify.config import Config
from ddbverify.errors import EngineError
from ddbverify.tables import table as tables


class Clock:
    """DynamoDB's clock, asked at both ends of a run; in between this machine's counts on."""

    # It tells whole seconds. The time that an answer takes is allowed for besides.
    TOLERANCE_SECONDS = 5.0

    def __init__(self, config: Config) -> None:
        self._config = config
        self.ahead_seconds, self._unsure_seconds = self._ask()

    def now(self) -> float:
        return time.time() + self.ahead_seconds

    def was_set(self) -> list[str]:
        """Whether this machine's clock went on as DynamoDB's did; in words if not."""
        try:
            ahead, unsure = self._ask()
        except EngineError as error:
            return [f"DynamoDB could not be asked for the time at the end: {error.message}"]
        allowed = self.TOLERANCE_SECONDS + self._unsure_seconds + unsure
        was_set = abs(ahead - self.ahead_seconds) > allowed
        return ["this machine's clock was set during the run"] if was_set else []

    def _ask(self) -> tuple[float, float]:
        """How far DynamoDB's clock is ahead of this machine's, and how long the question took."""
        asked = time.monotonic()
        there = tables.server_time(self._config.source, self._config.tables[0].source)
        return there - time.time(), time.monotonic() - asked
