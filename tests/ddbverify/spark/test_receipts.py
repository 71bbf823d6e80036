"""What receipts have to say before anything is believed; each guard by itself."""

from __future__ import annotations

import msgspec
import pytest

from ddbverify.errors import Inconclusive
from ddbverify.spark.receipts import (
    Fetched,
    Joined,
    Judged,
    Read,
    Reserved,
    ours,
    require_all_joined,
    require_all_judged,
    require_all_proven,
)
from ddbverify.spark.rows import place_of
from ddbverify.spark.units import Units

UNITS = Units((1, 1), (1, 0))

READ = [
    Read(unit=0, records=3, rows=2, sum=2**64 - 1),
    Read(unit=1, rows=0),
    Read(unit=2, records=2, rows=1, sum=6),
]
JOINED = [
    Joined(rows=1, sum=2, records=(3, 0), matched=0, open=(1, 0), dropped=2),
    Joined(rows=2, sum=3, records=(0, 2), matched=0, open=(0, 1), dropped=0, passed_over=(0, 1)),
]
FETCHED = [Fetched(items=(1, 1), rows=1, sum=5), Fetched(items=(0, 0), rows=0, sum=0)]
JUDGED = [
    Judged(items=(1, 1), rows=1, sum=5, matched=0, excluded=0, dropped=0, suspects=1, refused=1),
]


def test_what_adds_up_is_believed():
    require_all_joined(UNITS, READ, JOINED)
    require_all_judged((1, 1), FETCHED, JUDGED, (1, 1))


@pytest.mark.parametrize(
    ("read", "message"),
    [
        ([READ[0], READ[2]], "3 parts were planned, and 2 receipts"),
        ([*READ, READ[1]], "3 parts were planned, and 4 receipts"),
        ([READ[0], READ[0], READ[2]], "3 parts were planned, and 3 receipts"),
    ],
)
def test_each_part_leaves_one_receipt_also_one_that_held_nothing(read, message):
    with pytest.raises(Inconclusive, match=message):
        require_all_joined(UNITS, read, JOINED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 2}, "rows of records"),
        ({"sum": 3}, "rows of records"),
        ({"records": (4, 0)}, "3 records were made, 4 joined"),
        ({"matched": 1}, "and 4 accounted for"),
        ({"open": (2, 0)}, "and 4 accounted for"),
        ({"dropped": 1}, "and 2 accounted for"),
        ({"superseded": (1, 0)}, "and 4 accounted for"),
        ({"open": (1, 1)}, "2 records were made, 2 joined, and 3 accounted for"),
    ],
)
def test_every_record_is_joined_once(change, message):
    with pytest.raises(Inconclusive, match=message):
        require_all_joined(UNITS, READ, [msgspec.structs.replace(JOINED[0], **change), JOINED[1]])


@pytest.mark.parametrize(
    ("change", "found", "message"),
    [
        ({"rows": 2}, (1, 1), "rows of items"),
        ({"sum": 6}, (1, 1), "rows of items"),
        ({"items": (2, 1)}, (1, 1), "1 items were open, 1 fetched again, and 2 judged"),
        ({}, (0, 1), "2 keys were found to differ, and 1 came back"),
        ({"refused": 0}, (1, 1), "1 keys were found to differ, and 2 came back"),
    ],
)
def test_every_open_item_is_judged_once_and_comes_back(change, found, message):
    with pytest.raises(Inconclusive, match=message):
        require_all_judged((1, 1), FETCHED, [msgspec.structs.replace(JUDGED[0], **change)], found)


def test_an_item_that_was_not_fetched_again_is_missed():
    with pytest.raises(Inconclusive, match="2 items were open, 1 fetched"):
        require_all_judged((2, 1), FETCHED, JUDGED, (1, 1))


# --- incremental exports --------------------------------------------------------------------

ON_TOP = Units((1, 1), (2, 1))


def test_units_are_numbered_side_by_side_and_later_words_behind_earlier_ones():
    assert [ON_TOP.is_change(unit) for unit in range(ON_TOP.total)] == [False, True, True, False, True]
    assert ON_TOP.changed == [1, 2, 4]
    assert [ON_TOP.place(unit) for unit in (0, 2, 3)] == [("source", 0), ("source", 2), ("target", 0)]


@pytest.mark.parametrize("units", [[1, 2], [1, 2, 4, 4], [1, 2, 3]])
def test_each_part_of_an_incremental_export_is_proven_once(units):
    require_all_proven(ON_TOP, [Read(unit=unit) for unit in (2, 1, 4)])
    with pytest.raises(Inconclusive, match=f"3 parts were planned, and {len(units)} receipts"):
        require_all_proven(ON_TOP, [Read(unit=unit) for unit in units])


@pytest.mark.parametrize(
    ("met", "canary", "superseded"),
    [
        ([(0, Reserved.CANARY)], True, 0),
        ([(0, Reserved.CANARY), (1, Reserved.GONE)], False, 2),
        ([(0, Reserved.CANARY), (1, Reserved.CANARY)], True, 1),
        ([(2, Reserved.CANARY), (1, Reserved.GONE)], True, 1),
        ([(1, Reserved.CANARY), (2, Reserved.GONE)], False, 2),
        ([(0, Reserved.MARKER)], False, 0),
        ([(0, Reserved.MARKER), (0, Reserved.MARKER)], False, 0),
        ([(1, Reserved.GONE)], False, 1),
    ],
)
def test_of_keys_that_are_ours_the_last_word_stands(met, canary, superseded):
    read = [
        Read(unit=unit, reserved=[(b"k", place_of(unit, number), what)])
        for number, (unit, what) in enumerate(met)
    ]
    assert ours(ON_TOP, read) == (canary, [superseded, 0])
