"""
Many small groups of writes, each group all or nothing, in as few transactions as they fit in.

The one place that knows how `TransactWriteItems` refuses: which group's condition failed,
what may work later, and what DynamoDB will never take.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from replicator.wire import JsonTransactions, json_text

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
    actions: tuple[Mapping[str, Any], ...]


class _Encoded(NamedTuple):
    """A unit, and its actions as JSON: made once, whatever its size is needed for."""

    name: str
    actions: tuple[Mapping[str, Any], ...]
    text: str


def write(
    client: Any,
    units: Sequence[Unit],
    *,
    sleep: Callable[[float], None] = time.sleep,
    attempts: int = ATTEMPTS,
) -> dict[str, Fate]:
    """
    Write every unit, and say of each what became of it.

    Args:
        client: `JsonTransactions`, or anything with a boto3 client's ``transact_write_items``.
        units: No two may touch the same item. Each has at most `MOST_ACTIONS` actions.
    """
    fates: dict[str, Fate] = {}
    for batch in _batches(units):
        fates.update(_write_batch(client, batch, sleep, attempts))
    return fates


def _write_batch(
    client: Any, batch: Sequence[_Encoded], sleep: Callable[[float], None], attempts: int
) -> dict[str, Fate]:
    fates: dict[str, Fate] = {}
    waiting = list(batch)
    for attempt in range(attempts):
        if not waiting:
            return fates
        if attempt:
            sleep(random.uniform(0.5, 1) * min(0.03 * 2**attempt, 1.5))  # noqa: S311  # jitter, no secret
        try:
            _send(client, waiting)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "TransactionCanceledException":
                decided = _judge(waiting, error.response.get("CancellationReasons", ()))
            elif code in _REFUSED:
                # The request as a whole was refused: halve it until the one bad unit stands alone.
                fates.update(_halve(client, waiting, sleep, attempts))
                return fates
            elif code in _PASSING:
                decided = {}
            else:
                break
            fates.update(decided)
            waiting = [unit for unit in waiting if unit.name not in decided]
        except ParamValidationError:
            # A type that botocore does not know, say: it has sent nothing, and never will.
            fates.update(_halve(client, waiting, sleep, attempts))
            return fates
        except BotoCoreError:
            continue  # no answer: the write may have happened; the units' own conditions make a repeat safe
        else:
            fates.update({unit.name: Fate.WRITTEN for unit in waiting})
            return fates
    fates.update({unit.name: Fate.LATER for unit in waiting})
    return fates


def _halve(
    client: Any, units: Sequence[_Encoded], sleep: Callable[[float], None], attempts: int
) -> dict[str, Fate]:
    if len(units) == 1:
        return {units[0].name: Fate.REFUSED}
    middle = len(units) // 2
    return {
        **_write_batch(client, units[:middle], sleep, attempts),
        **_write_batch(client, units[middle:], sleep, attempts),
    }


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


def _batches(units: Sequence[Unit]) -> Iterator[list[_Encoded]]:
    batch: list[_Encoded] = []
    actions = size = 0
    for unit in units:
        text = json_text(unit.actions)[1:-1]
        if batch and (actions + len(unit.actions) > MOST_ACTIONS or size + len(text) > MOST_BYTES):
            yield batch
            batch, actions, size = [], 0, 0
        batch.append(_Encoded(unit.name, unit.actions, text))
        actions += len(unit.actions)
        size += len(text)
    if batch:
        yield batch


def _send(client: Any, units: Sequence[_Encoded]) -> None:
    if isinstance(client, JsonTransactions):
        client.transact_write_json(",".join(unit.text for unit in units))
    else:
        client.transact_write_items(TransactItems=[dict(action) for unit in units for action in unit.actions])
