"""
Many small groups of writes, each group all or nothing, in as few transactions as they fit in.

The one place that knows how `TransactWriteItems` refuses: which group's condition failed,
what may work later, and what DynamoDB will never take.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.parsers import ResponseParserError

from replicator.handlers.ceiling import Ceiling, units_of, write_units
from replicator.handlers.refusals import in_short
from replicator.handlers.wire import JsonTransactions, json_text

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemsInputTypeDef, TransactWriteItemTypeDef

_log = logging.getLogger(__name__)

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
MOST_ACTIONS = 100
MOST_BYTES = 3_500_000
"""DynamoDB takes 4 MB; the size is taken from the JSON, which is never smaller than the items."""

_PASSING = {
    "InternalServerError",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "ThrottlingError",
    "ThrottlingException",
    "TransactionConflict",
    "TransactionConflictException",
    "TransactionInProgressException",
}
_REFUSED = {
    "ItemCollectionSizeLimitExceeded",
    "SerializationException",
    "ValidationError",
    "ValidationException",
}

ATTEMPTS = 8


class Fate(Enum):
    """What became of one unit."""

    WRITTEN = auto()
    CONDITION = auto()  # a condition of the unit itself failed; nothing of it was written
    REFUSED = auto()  # DynamoDB will never take it as it is
    LATER = auto()  # throttled, timed out, no permission yet: it may work another time


@dataclass(frozen=True, slots=True)
class Unit:
    """Actions that belong together: all of them are written, or none."""

    name: str
    actions: tuple[TransactWriteItemTypeDef, ...]


class _Encoded(NamedTuple):
    """A unit, and its actions as JSON: made once, whatever its size is needed for."""

    name: str
    actions: tuple[TransactWriteItemTypeDef, ...]
    text: str
    estimate: float  # write units


def write(
    client: DynamoDBClient | JsonTransactions,
    units: Sequence[Unit],
    *,
    sleep: Callable[[float], None] = time.sleep,
    attempts: int = ATTEMPTS,
    ceiling: Ceiling | None = None,
) -> dict[str, Fate]:
    """
    Write every unit, and say of each what became of it.

    Args:
        client: `JsonTransactions`, or anything with a boto3 client's ``transact_write_items``.
        units: No two may touch the same item. Each has at most `MOST_ACTIONS` actions.
        ceiling: Asked before each request, told what it consumed; a unit that it does not admit in
            time is one for later.
    """
    writer = _Writer(client, sleep, attempts, ceiling)
    fates: dict[str, Fate] = {}
    for batch in _batches(units, ceiling.most_units if ceiling else math.inf):
        fates.update(writer.write(batch))
    return fates


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes what fits one request, as often as it takes."""

    client: DynamoDBClient | JsonTransactions
    sleep: Callable[[float], None]
    attempts: int
    ceiling: Ceiling | None

    def write(self, batch: Sequence[_Encoded]) -> dict[str, Fate]:
        fates: dict[str, Fate] = {}
        waiting = list(batch)
        for attempt in range(self.attempts):
            if not waiting:
                return fates
            if attempt:
                self.sleep(random.uniform(0.5, 1) * min(0.03 * 2**attempt, 1.5))  # noqa: S311  # jitter, no secret
            if not self._admitted(waiting):
                break
            try:
                self._send(waiting)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "TransactionCanceledException":
                    decided = _judge(waiting, error.response.get("CancellationReasons", ()))
                elif code in _REFUSED:
                    # The request as a whole was refused: halve it until the one bad unit stands alone.
                    return {**fates, **self._halve(waiting)}
                elif code in _PASSING:
                    decided = {}
                else:
                    # Its messages come again, and nothing else would say why.
                    _log.warning("transaction refused: %s", in_short(error))
                    break
                fates.update(decided)
                waiting = [unit for unit in waiting if unit.name not in decided]
            except ParamValidationError:
                # A type that botocore does not know, say: it has sent nothing, and never will.
                return {**fates, **self._halve(waiting)}
            except (BotoCoreError, ResponseParserError):
                # No answer, or not DynamoDB's: it may have happened; the units' own conditions make a
                # repeat safe.
                continue
            else:
                return {**fates, **{unit.name: Fate.WRITTEN for unit in waiting}}
        return {**fates, **{unit.name: Fate.LATER for unit in waiting}}

    def _halve(self, units: Sequence[_Encoded]) -> dict[str, Fate]:
        if len(units) == 1:
            return {units[0].name: Fate.REFUSED}
        middle = len(units) // 2
        return {**self.write(units[:middle]), **self.write(units[middle:])}

    def _admitted(self, units: Sequence[_Encoded]) -> bool:
        return self.ceiling is None or self.ceiling.admit(_estimate(units))

    def _send(self, units: Sequence[_Encoded]) -> None:
        """What was refused has consumed its estimate: the answer does not say, and DynamoDB bills it."""
        answer: Mapping[str, Any]
        if isinstance(self.client, JsonTransactions):
            more = {} if self.ceiling is None else {"ReturnConsumedCapacity": "TOTAL"}
            answer = self.client.transact_write_json(",".join(unit.text for unit in units), **more)
        else:
            request: TransactWriteItemsInputTypeDef = {
                "TransactItems": [action for unit in units for action in unit.actions]
            }
            if self.ceiling is not None:
                request["ReturnConsumedCapacity"] = "TOTAL"
            answer = self.client.transact_write_items(**request)
        if self.ceiling is not None:
            self.ceiling.consumed(_estimate(units), units_of(answer))


def _estimate(units: Sequence[_Encoded]) -> float:
    return sum(unit.estimate for unit in units)


def _judge(units: Sequence[_Encoded], reasons: Sequence[Mapping[str, Any]]) -> dict[str, Fate]:
    """The units that a cancelled transaction itself decides; the others go into the next attempt."""
    codes = iter([reason.get("Code", "None") for reason in reasons])
    decided = {}
    for unit in units:
        own = {next(codes, "None") for _ in unit.actions}
        if own & _REFUSED:
            decided[unit.name] = Fate.REFUSED
        elif "ConditionalCheckFailed" in own:
            decided[unit.name] = Fate.CONDITION
    return decided


def _batches(units: Sequence[Unit], most_units: float) -> Iterator[list[_Encoded]]:
    batch: list[_Encoded] = []
    actions = size = 0
    estimate = 0.0
    for unit in map(_encoded, units):
        if batch and (
            actions + len(unit.actions) > MOST_ACTIONS
            or size + len(unit.text) > MOST_BYTES
            or estimate + unit.estimate > most_units
        ):
            yield batch
            batch, actions, size, estimate = [], 0, 0, 0.0
        batch.append(unit)
        actions += len(unit.actions)
        size += len(unit.text)
        estimate += unit.estimate
    if batch:
        yield batch


def _encoded(unit: Unit) -> _Encoded:
    texts = [json_text(action) for action in unit.actions]
    estimate = sum(write_units(len(text), transaction=True) for text in texts)
    return _Encoded(unit.name, unit.actions, ",".join(texts), estimate)
