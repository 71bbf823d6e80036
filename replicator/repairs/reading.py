"""Items of one table by their keys, strongly consistent and under a ceiling."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ddbverify.errors import ThrottledError
from ddbverify.items.transform import key_hash
from ddbverify.items.values import with_base64, with_bytes
from ddbverify.names import KeySchema, TypedItem
from ddbverify.tables.answers import handed_back

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_MOST_PAUSE_SECONDS = 20.0


@dataclass(slots=True)
class PacedReads:
    """
    Reads of one table, no faster than so many units a second on average.

    Args:
        client: Of the table's region and account.
        table: Its name.
        schema: Its key.
        units_per_second: Ceiling; ``None`` for none.
    """

    client: DynamoDBClient
    table: str
    schema: KeySchema
    units_per_second: int | None = None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    units: float = 0.0
    _free_at: float = field(default=0.0)

    def items(self, keys: Sequence[TypedItem]) -> dict[str, TypedItem]:
        """
        The items under at most 100 keys, by the keys' hashes; what is not there has none.

        Raises:
            ThrottledError: Not all of them were given, however long it was asked.
            ClientError: AWS refused.
        """
        found: dict[str, TypedItem] = {}
        wanted = {key_hash(key, self.schema): with_bytes(key) for key in keys}
        request: Any = {self.table: {"Keys": list(wanted.values()), "ConsistentRead": True}} if wanted else {}
        pause = 0.02
        while request:
            if (left := self._free_at - self.clock()) > 0:
                self.sleep(left)
            answer = self.client.batch_get_item(RequestItems=request, ReturnConsumedCapacity="TOTAL")
            self._pay(sum(one.get("CapacityUnits", 0.0) for one in answer.get("ConsumedCapacity", ())))
            for item in answer["Responses"].get(self.table, ()):
                typed = with_base64(item)
                found[key_hash(typed, self.schema)] = typed
            request = handed_back(answer, "UnprocessedKeys", self.table)
            if request:  # throttled: not an error, and not "absent" (docs/aws.md T17)
                if pause > _MOST_PAUSE_SECONDS:
                    raise ThrottledError(
                        f"The table {self.table} is throttled and gives no answer.",
                        "run the same command again later: it goes on from here.",
                    )
                self.sleep(pause)
                pause *= 2
        return found

    def _pay(self, units: float) -> None:
        self.units += units
        if self.units_per_second:
            self._free_at = max(self._free_at, self.clock()) + units / self.units_per_second
