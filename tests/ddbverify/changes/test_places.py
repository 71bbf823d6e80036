"""Places as text: what evidence keeps of them is what is read back, or nothing."""

from __future__ import annotations

import pytest

from ddbverify.changes.places import ENDED, Place, Places
from tests.ddbverify.streams import ARN

NUMBER = "000000000000000000123"
PLACES = Places(
    ARN,
    1_795_000_000,
    {
        "shard-0": ENDED,
        "shard-1": Place.after(NUMBER),
        "shard-2": Place.since(17),
        "shard-3": Place.closed(18),
    },
)


def test_places_are_read_back_as_they_were_written():
    texts = PLACES.as_texts()

    assert texts == (
        f"{ARN} taken 1795000000",
        "shard-0 ended",
        f"shard-1 after {NUMBER}",
        "shard-2 since 17",
        "shard-3 closed since 18",
    )
    assert Places.of_texts(texts) == PLACES


@pytest.mark.parametrize(
    "texts",
    [
        (),
        ("shard-0 ended",),
        (f"{ARN} taken soon",),
        (f"{ARN} taken 1", "shard-0"),
        (f"{ARN} taken 1", "shard-0 after"),
        (f"{ARN} taken 1", "shard-0 ended 7"),
        (f"{ARN} taken 1", "shard-0 closed"),
        (f"{ARN} taken 1", "shard-0 closed after 7"),
        (f"{ARN} taken 1", "shard-0 ended", "shard-0 since 7"),
    ],
)
def test_what_is_no_place_is_refused(texts):
    with pytest.raises(ValueError, match=r"stream|shard"):
        Places.of_texts(texts)
