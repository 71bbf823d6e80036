"""The judge of histories, on histories small enough to check by eye."""

from __future__ import annotations

import itertools

import pytest

from tests.history.journal import Entry, Journal, Said, read
from tests.history.judge import backwards, judge

A1, A2, A3 = ({"id": "a", "seq": number} for number in (1, 2, 3))


def history(*writes):
    """Entries of (item or None, said) of the key ``a``; said ``None`` is a writer that died."""
    entries = []
    for number, (item, said) in enumerate(writes):
        entries.append(Entry(number, Said.INVOKED, "a", item))
        if said:
            entries.append(Entry(number, said, "a", item))
    return entries


OK, UNKNOWN = Said.ACKNOWLEDGED, Said.UNKNOWN


@pytest.mark.parametrize(
    ("writes", "source", "target", "wrong"),
    [
        ([(A1, OK)], A1, A1, None),
        ([(A1, OK), (A2, OK)], A2, A2, None),
        ([(A1, OK), (None, OK)], None, None, None),
        ([(A1, OK), (A2, OK)], A2, A1, "stale"),
        ([(A1, OK), (A2, OK)], A2, None, "lost"),
        ([(A1, OK), (None, OK)], None, A1, "resurrected"),
        # No answer: both ends are right, as long as source and target agree.
        ([(A1, OK), (A2, UNKNOWN)], A1, A1, None),
        ([(A1, OK), (A2, UNKNOWN)], A2, A2, None),
        ([(A1, OK), (A2, UNKNOWN)], A2, A1, "stale"),
        ([(A1, OK), (A2, None)], A2, A2, None),
        ([(A1, OK), (None, UNKNOWN)], None, A1, "resurrected"),
        # What was acknowledged after it settles it.
        ([(A1, OK), (A2, UNKNOWN), (A3, OK)], A3, A3, None),
        ([(A1, OK), (A2, UNKNOWN), (A3, OK)], A2, A2, "impossible"),
        ([(A1, OK), (A2, OK)], A1, A1, "impossible"),
    ],
)
def test_each_end(writes, source, target, wrong):
    found = judge(history(*writes), {"a": source} if source else {}, {"a": target} if target else {})
    kinds = ("lost", "resurrected", "stale", "unexpected", "impossible")
    assert [kind for kind in kinds if getattr(found, kind)] == ([wrong] if wrong else [])
    assert found.holds is (wrong is None)


def test_a_write_without_an_answer_that_happened_is_recovered():
    assert judge(history((A1, OK), (A2, UNKNOWN)), {"a": A2}, {"a": A2}).recovered == 1
    assert judge(history((A1, OK), (A2, UNKNOWN)), {"a": A1}, {"a": A1}).recovered == 0


def test_an_item_that_nobody_wrote_is_unexpected():
    found = judge(history((A1, OK)), {"a": A1}, {"a": A1, "b": {"id": "b"}})
    assert found.unexpected == ["b"]


def test_an_empty_history_proves_nothing():
    assert not judge([], {}, {}).holds
    assert not judge(history((A1, UNKNOWN)), {}, {}).holds


def test_what_a_transform_leaves_out_is_not_missed():
    def odd(item):
        return item if item["seq"] % 2 else None

    assert judge(history((A1, OK), (A2, OK)), {"a": A2}, {}, expected=odd).holds
    assert judge(history((A1, OK), (A2, OK)), {"a": A2}, {"a": A1}, expected=odd).resurrected == ["a"]


@pytest.mark.parametrize(
    ("versions", "wrong"),
    [
        ([1, 2, 3], False),
        ([1, 1, 2], False),
        ([1, None, 2], False),
        ([1, None, None, 3], False),
        ([2, 1], True),
        ([1, 2, None, 2], True),  # the delete was undone
        ([1, 2, None, 1], True),
        ([1, 2, 1, 3], True),
    ],
)
def test_an_item_that_goes_back(versions, wrong):
    assert backwards(("a", version) for version in versions) == (["a"] if wrong else [])


def test_keys_are_told_apart():
    both = itertools.chain.from_iterable((("a", n), ("b", 9 - n)) for n in range(3))
    assert backwards(both) == ["b"]


def test_a_journal_is_read_as_it_was_written(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    first = journal.invoke("a", A1)
    journal.answer(first, Said.ACKNOWLEDGED, "a", A1)
    journal.invoke("a", None)
    journal.close()
    entries = list(read(journal.path))
    assert [(one.operation, one.said, one.item) for one in entries] == [
        (1, Said.INVOKED, A1),
        (1, Said.ACKNOWLEDGED, A1),
        (2, Said.INVOKED, None),
    ]
