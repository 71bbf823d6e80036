"""
The application of the demonstration: writers that journal every acknowledged write.

Each key has one writer, so that its last acknowledged write is defined. A writer that is
refused looks at the pointer, and goes on at the table that it points at.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import BotoCoreError, ClientError

from ddbverify.items.values import with_base64
from replicator.demo.shapes import Item, Schema, key_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

WRITERS = 4
HOT_KEYS = 5  # of each writer; every third write goes to one of them
BURST = 4  # writes of one key at once, within the second that DynamoDB's times are rounded to

_ENDED = ("ExpiredTokenException", "ExpiredToken")
"""Codes of a session that has ended: that of an assumed role after an hour."""

_typed = TypeSerializer().serialize


@dataclass(slots=True)
class Journal:
    """Every acknowledged write, one JSON object a line: the key, and the item or null."""

    path: Path
    schema: Schema
    _file: TextIO = field(init=False)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    count: int = 0

    def __post_init__(self) -> None:
        self._file = self.path.open("a", encoding="utf-8")

    def wrote(self, key: Item, item: Item | None) -> None:
        """Note a write that was acknowledged."""
        line = json.dumps({"key": _wire(key), "item": None if item is None else _wire(item)})
        with self._guard:
            self._file.write(line + "\n")
            self._file.flush()
            self.count += 1


@dataclass(slots=True)
class Application:
    """
    What the writers share.

    Args:
        source: boto3 table resource under the writers' role.
        target: Likewise; used once the pointer says so.
        pointer: Reads the pointer's value; ``None`` as long as there is none.
        flipped_value: The value that means "use the target".
        transform: What the application does to its items once it uses the target.
        renew: Makes both table resources anew, where the role's session has ended.
    """

    source: Table
    target: Table
    pointer: Callable[[], str | None]
    flipped_value: str
    schema: Schema
    target_schema: Schema
    transform: Callable[[Item], Any] | None
    journal: Journal
    renew: Callable[[], tuple[Table, Table]] | None = None
    moved: bool = False
    refused: int = 0  # writes that the fence kept out
    longest_refusal: float = 0.0  # seconds from the first time that a write was refused until it was taken
    after_flip: int = 0
    errors: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    _renewing: threading.Lock = field(default_factory=threading.Lock)

    def write(self, key: Item, before: Item | None, after: Item | None, change: Item | None = None) -> bool:
        """
        Write one item's new state; journalled when it was acknowledged.

        Args:
            before: The item's state as this writer knows it.
            after: Its new state; ``None`` deletes it.
            change: The attributes that differ, for an update instead of a put.

        Returns:
            False where the application stopped before the write was acknowledged.
        """
        refused_at: float | None = None
        while not self.stopping.is_set():
            held = self.source
            try:
                if self.moved:
                    self._write_target(before, after)
                    self.after_flip += 1
                else:
                    self._write_source(key, after, change)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code in _ENDED and self.renew is not None:
                    self._renew(held)
                    continue
                if code not in ("AccessDeniedException", "AccessDenied"):
                    raise
                self.refused += 1
                refused_at = time.monotonic() if refused_at is None else refused_at
                self.moved = self.pointer() == self.flipped_value  # over, and back
                time.sleep(0.05)
                continue
            except BotoCoreError:
                time.sleep(0.05)  # not acknowledged; every write sets a state, so trying again is safe
                continue
            self.journal.wrote(key, after)
            if refused_at is not None:
                self.longest_refusal = max(self.longest_refusal, time.monotonic() - refused_at)
            return True
        return False

    def _renew(self, held: Table) -> None:
        """Take a new session of the role, unless another writer has done so since *held* was used."""
        with self._renewing:
            if self.source is held and self.renew is not None:
                self.source, self.target = self.renew()

    def _write_source(self, key: Item, after: Item | None, change: Item | None) -> None:
        if after is None:
            self.source.delete_item(Key=key)
        elif change is None:
            self.source.put_item(Item=after)
        else:
            self.source.update_item(
                Key=key,
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in change),
                ExpressionAttributeNames={f"#{name}": name for name in change},
                ExpressionAttributeValues={f":{name}": value for name, value in change.items()},
            )

    def _write_target(self, before: Item | None, after: Item | None) -> None:
        old = {key_of(item, self.target_schema) for item in made_of(before, self.transform)}
        new = made_of(after, self.transform)
        for item in new:
            self.target.put_item(Item=item)
        for key in old - {key_of(item, self.target_schema) for item in new}:
            self.target.delete_item(Key=dict(zip(self.target_schema, key, strict=True)))


def made_of(item: Item | None, transform: Callable[[Item], Any] | None) -> list[Item]:
    """The target items of a source item."""
    if item is None:
        return []
    result = transform(dict(item)) if transform else item
    return [] if result is None else result if isinstance(result, list) else [result]


@dataclass(slots=True)
class Writers:
    """Threads that write at *rate* operations a second in all, until stopped."""

    application: Application
    items: Sequence[Item]
    rate: float
    seed: int
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Start them; each has a share of the items of its own."""
        for number in range(WRITERS):
            share = [dict(item) for item in self.items[number::WRITERS]]
            thread = threading.Thread(target=self._run, args=(number, share), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop them, and wait until none is writing."""
        self.application.stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int, share: Sequence[Item]) -> None:
        try:
            self._write_on(number, share)
        # A writer that dies would make the traffic, and so the proof, smaller than it says.
        except Exception as error:  # noqa: BLE001
            self.application.errors.append(f"writer {number}: {type(error).__name__}")

    def _write_on(self, number: int, share: Sequence[Item]) -> None:
        app, schema = self.application, self.application.schema
        draw = random.Random(self.seed * 1000 + number)  # noqa: S311  # a demonstration's traffic
        keys = [{name: item[name] for name in schema} for item in share]
        states: dict[int, Item | None] = dict(enumerate(share))
        templates = list(share)
        pause = WRITERS / self.rate
        due = time.monotonic()
        count = 0
        while not app.stopping.is_set() and keys:
            hot = draw.random() < 1 / 3
            at = draw.randrange(min(HOT_KEYS, len(keys))) if hot else draw.randrange(len(keys))
            for _ in range(BURST if hot and draw.random() < 0.25 else 1):
                count += 1
                if draw.random() < 0.05:
                    at = len(keys)
                    template = templates[draw.randrange(len(templates))]
                    keys.append(_new_key(template, schema, number, count))
                    templates.append(template)
                    states[at] = None
                before = states[at]
                after, change = _next_state(draw, {**templates[at], **keys[at]}, before, f"{number}.{count}")
                if not app.write(keys[at], before, after, change):
                    return
                states[at] = after
                due += pause
            time.sleep(max(0.0, due - time.monotonic()))


def _next_state(
    draw: random.Random, template: Item, before: Item | None, mark: str
) -> tuple[Item | None, Item | None]:
    """What a write makes of an item: its new state, and for an update the attributes that change."""
    kind = draw.random()
    if before is None or kind < 0.4:
        return {**template, "written": mark}, None
    if kind < 0.8:
        change = {"written": mark, "visits": Decimal(draw.randrange(1000))}
        return {**before, **change}, change
    return None, None


def _new_key(template: Item, schema: Schema, writer: int, count: int) -> Item:
    *others, last = schema
    unique: Any = {
        "S": f"{template[last]} (new {writer}.{count})",
        "N": Decimal(10**9 + count * WRITERS + writer),
        "B": b"new" + bytes([writer]) + count.to_bytes(4, "big"),
    }[schema[last]]
    return {**{name: template[name] for name in others}, last: unique}


def _wire(item: Mapping[str, Any]) -> Any:
    return with_base64({name: _plain(_typed(value)) for name, value in item.items()})


def _plain(value: Any) -> Any:
    """boto3's serializer leaves Binary objects; bytes are enough."""
    ((kind, content),) = value.items()
    if kind == "B":
        return {kind: bytes(content)}
    if kind == "BS":
        return {kind: [bytes(one) for one in content]}
    if kind == "L":
        return {kind: [_plain(one) for one in content]}
    if kind == "M":
        return {kind: {name: _plain(one) for name, one in content.items()}}
    return value
