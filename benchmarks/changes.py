"""Stream records to measure with: of a size, compressible or not, or of the films. The same every time."""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from ddbverify.items.values import item_to_typed

FILMS = Path(__file__).parents[2] / "shared" / "data" / "movies.json.gz"

STREAM_ARN = "arn:aws:dynamodb:eu-west-1:000000000000:table/orders/stream/2026-01-01T00:00:00.000"

Content = Literal["text", "random", "films"]

KEYS: dict[Content, dict[str, str]] = {
    "text": {"pk": "S", "sk": "N"},
    "random": {"pk": "S", "sk": "N"},
    "films": {"year": "N", "title": "S"},
}

_WORDS = ("blue", "größer", "never", "parcel", "two", "left", "invoice", "Straße", "return", "gift")
_CITIES = ("Oslo", "Genf", "Lyon", "Bari", "Gent")
_PREPARED = 2_000  # bodies that are made once; keys and numbers differ in every record


def records(content: Content, item_bytes: int, count: int) -> Iterator[dict[str, Any]]:
    """
    Insertions of *count* different items, as Lambda hands them over.

    Args:
        content: ``text``: like a shop's orders; ``random``: bytes that no compression shrinks.
        item_bytes: About the size of an item; the films are as they are.
        count: How many.
    """
    images = _films() if content == "films" else _orders(content, item_bytes)
    keys = KEYS[content]
    for number in range(count):
        image = images[number % len(images)]
        if content == "films":
            if number >= len(images):  # another film with the same data
                image = image | {"title": {"S": f"{image['title']['S']} {number // len(images)}"}}
        else:
            image = {
                "pk": {"S": f"customer-{number * 7919 % 10**10:010d}"},
                "sk": {"N": str(1_764_000_000_000 + number)},
                **image,
            }
        yield {
            "eventID": f"{number:032x}",
            "eventName": "INSERT",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "eu-west-1",
            "eventSourceARN": STREAM_ARN,
            "dynamodb": {
                "ApproximateCreationDateTime": 1_800_000_000.0 + number // 1000,
                "Keys": {name: image[name] for name in keys},
                "NewImage": image,
                "SequenceNumber": str(4_421_584_500_000_000_017_450_439_092 + number),
                "SizeBytes": item_bytes,
                "StreamViewType": "NEW_IMAGE",
            },
        }


def orders(count: int, item_bytes: int) -> list[dict[str, Any]]:
    """Items without their keys, about as large."""
    draw = random.Random(480)
    return [_order(draw, "text", item_bytes - 60) for _ in range(count)]


def _films() -> list[dict[str, Any]]:
    films = json.loads(gzip.decompress(FILMS.read_bytes()), parse_float=Decimal)
    return [item_to_typed(film) for film in films]


def _orders(content: Content, item_bytes: int) -> list[dict[str, Any]]:
    draw = random.Random(480)
    return [_order(draw, content, item_bytes - 60) for _ in range(_PREPARED)]


def _order(draw: random.Random, content: Content, size: int) -> dict[str, Any]:
    if content == "random":
        # As text: a binary attribute would travel as base64 as well.
        return {"data": {"S": base64.b64encode(draw.randbytes(size * 3 // 4)).decode()}}
    order: dict[str, Any] = {
        "address": {
            "M": {"city": {"S": draw.choice(_CITIES)}, "zip": {"N": str(draw.randrange(10**4, 10**5))}}
        },
        "paid": {"BOOL": draw.random() < 0.5},
        "tags": {"SS": sorted({draw.randbytes(2).hex() for _ in range(3)})},
        "total": {"N": f"{draw.randrange(10**4)}.{draw.randrange(1, 10)}"},
        "token": {"B": base64.b64encode(draw.randbytes(18)).decode()},
    }
    size -= 130
    lines: list[dict[str, Any]] = []
    while size > 200 and len(lines) < 20:
        sku = {"sku": {"S": draw.randbytes(5).hex()}, "qty": {"N": str(draw.randrange(1, 9))}}
        lines.append({"M": sku | {"name": {"S": " ".join(draw.choices(_WORDS, k=4))}}})
        size -= 50
    note = " ".join(draw.choices(_WORDS, k=max(1, size // 6)))
    return order | ({"lines": {"L": lines}} if lines else {}) | {"note": {"S": note}}
