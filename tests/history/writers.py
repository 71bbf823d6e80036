"""The application: writers whose requests are sometimes not answered."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ConnectionClosedError

from tests.history.journal import Journal, Said

ROOMS = "abcdefgh"


class Writers:
    """
    Threads that write items under their own keys, until told to finish.

    Args:
        table: Makes a boto3 table resource of the source; one for each thread.
        rate: Writes a second, of all together.
        poison: Share of the writes whose item the transform cannot handle.
    """

    def __init__(
        self, table: Callable[[], Any], journal: Journal, *, seed: int, rate: float, keys: int, poison: float
    ) -> None:
        self.journal, self.seed, self.rate, self.poison = journal, seed, rate, poison
        self.unanswered = 0.0  # share of the requests that get no answer
        self.errors: list[str] = []
        self._finish = threading.Event()
        shares = [[f"k{number}" for number in range(keys)][at::4] for at in range(4)]
        self._threads = [
            threading.Thread(target=self._run, args=(table, at, share), daemon=True)
            for at, share in enumerate(shares)
        ]

    def start(self) -> None:
        """Begin to write."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Heal what is poisoned, write no more, and return when all is answered."""
        self._finish.set()
        for thread in self._threads:
            thread.join()

    def _run(self, table: Callable[[], Any], number: int, keys: list[str]) -> None:
        try:
            self._write_on(table(), random.Random(self.seed * 100 + number), keys)
        # A writer that dies would make the history smaller than it says.
        except Exception as error:
            self.errors.append(f"writer {number}: {type(error).__name__}: {error}")

    def _write_on(self, table: Any, draw: random.Random, keys: list[str]) -> None:
        version = 0
        poisoned: set[str] = set()
        due = time.monotonic()
        while not self._finish.is_set():
            hot = draw.random() < 0.4
            key = draw.choice(keys[:4] if hot else keys)
            for _ in range(4 if hot and draw.random() < 0.3 else 1):
                version += 1
                item = self._item(draw, key, version)
                answered = self._write(table, draw, key, item)
                if item and "poison" in item:
                    poisoned.add(key)
                elif answered:  # without an answer the poison may still be there
                    poisoned.discard(key)
                due += len(self._threads) / self.rate
            time.sleep(max(0.0, due - time.monotonic()))
        self.unanswered = 0.0
        for key in sorted(poisoned):
            version += 1
            self._write(table, draw, key, {"id": key, "version": version, "room": draw.choice(ROOMS)})

    def _item(self, draw: random.Random, key: str, version: int) -> dict[str, Any] | None:
        kind = draw.random()
        if kind < 0.2:
            return None
        item = {"id": key, "version": version, "room": draw.choice(ROOMS), "text": "x" * draw.randrange(400)}
        if kind < 0.25:
            item["hidden"] = True
        elif kind < 0.25 + self.poison:
            item["poison"] = True
        return item

    def _write(self, table: Any, draw: random.Random, key: str, item: dict[str, Any] | None) -> bool:
        """Whether it was answered; without an answer it may have happened or not."""
        operation = self.journal.invoke(key, item)
        chance = draw.random()
        try:
            if chance < self.unanswered / 2:
                raise ConnectionClosedError(endpoint_url="before")  # noqa: TRY301 - never arrives
            if item is None:
                table.delete_item(Key={"id": key})
            else:
                table.put_item(Item=item)
            if chance < self.unanswered:
                raise ConnectionClosedError(endpoint_url="after")  # noqa: TRY301 - carried out
        except ConnectionClosedError:
            self.journal.answer(operation, Said.UNKNOWN, key, item)
            return False
        self.journal.answer(operation, Said.ACKNOWLEDGED, key, item)
        return True
