"""Each invariant of a transform is broken once and caught; what is right passes; nothing real is shown."""

from __future__ import annotations

import datetime
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from ddbverify import second_process, testing
from ddbverify.errors import ConfigurationError
from ddbverify.items import Form
from ddbverify.limits import MAX_CONTAINERS, MAX_ITEM_BYTES, MAX_KEY_BYTES, refusals
from ddbverify.testing import assert_transform, item_size, items, numbers
from ddbverify.values import item_to_typed, to_typed
from tests.ddbverify import broken_transforms as transforms
from tests.ddbverify.projects import REPOSITORY
from tests.shared_data import films

ID = {"id": "S"}
PAIR = {"a": "S", "b": "S"}
NUMBER = {"n": "N"}
SECRET = "SENTINEL-7f1b"


@pytest.fixture(autouse=True)
def the_same_examples_every_time() -> Iterator[None]:
    """The profile is the user's own; here it is one that draws the same in every run."""
    before = settings.get_current_profile_name()
    settings.register_profile("testing", derandomize=True, deadline=None)
    settings.load_profile("testing")
    yield
    settings.load_profile(before)


@pytest.fixture
def nothing_remembered() -> None:
    transforms._met.clear()
    transforms._first.clear()


def broken(function, said, *, source=ID, target=ID, **options):
    options = {"source_keys": source, "target_keys": target} | options
    return pytest.param(function, said, options, id=f"{function.__name__}-{'-'.join(options)}")


TOTAL = [
    broken(transforms.reads_a_number, "raised ValueError in .*broken_transforms.py, line"),
    broken(transforms.wants_an_attribute, "raised KeyError"),
    broken(transforms.ends_the_process, "raised SystemExit"),
]
CONTRACT = [
    broken(transforms.a_float, "returned a float"),
    broken(transforms.a_float_in_a_list, "returned a float"),
    broken(transforms.an_empty_set, "an empty set"),
    broken(transforms.a_mixed_set, "a set holds"),
    broken(transforms.thirty_nine_digits, "more than 38 digits"),
    broken(transforms.not_a_number, "not finite"),
    broken(transforms.a_list, "returned a list"),
    broken(transforms.a_text, "returned a str"),
    broken(transforms.no_key, "without a valid key attribute 'id'"),
    broken(transforms.an_empty_key, "without a valid key attribute 'id'|changed the item's key"),
    broken(transforms.another_key, "changed the item's key"),
    broken(transforms.same, "without a valid key attribute 'id'", target={"id": "N"}, rekeys=True),
    broken(transforms.itself, "nested without end"),
]
INPUT = [
    broken(transforms.adds_to_its_input, "changed the item that it was given"),
    broken(transforms.adds_to_a_list_in_its_input, "changed the item that it was given"),
]
AGAIN = [
    broken(transforms.counts_its_calls, "second call"),
    broken(transforms.remembers_what_it_met, "second call"),
    broken(transforms.says_the_time, "second call"),
]
ELSEWHERE = [
    broken(transforms.joins_a_set, "second process"),
    broken(transforms.hashes_a_text, "second process"),
    broken(transforms.says_the_local_time, "second process"),
    broken(transforms.remembers_the_first, "second process"),
]
LEGAL = [
    broken(transforms.doubles_every_text, "bytes, more than the 409,600"),
    broken(transforms.one_level_more, "bytes, more than the 409,600|lists and maps", largest=MAX_ITEM_BYTES),
    broken(transforms.an_attribute_without_a_name, "without a name"),
    broken(transforms.a_long_name, "attribute name of more than"),
    broken(transforms.a_key_that_is_too_long, "'id' has .* bytes, more than 2,048", rekeys=True),
    broken(transforms.half_a_surrogate_pair, "surrogate"),
    broken(
        transforms.an_index_key_of_another_type,
        "the key attribute 'at' is S, not N",
        target_indexes={"by-time": {"id": "S", "at": "N"}},
    ),
    broken(
        transforms.an_empty_index_key, "attribute 'city' is empty", target_indexes={"by-city": {"city": "S"}}
    ),
]
INVERSE = [
    broken(transforms.only_the_key, "has other attributes: ", inverse=transforms.same),
    broken(transforms.same, "has other attributes: ", inverse=transforms.only_the_key),
    broken(transforms.same, "inverse raised LookupError", inverse=transforms.raises),
    broken(transforms.same, "inverse returned a NoneType", inverse=transforms.nothing),
    broken(transforms.same, "inverse returned a float", inverse=transforms.a_float),
]
APART = [
    broken(transforms.lower_case, "would be lost", rekeys=True),
    broken(transforms.stripped, "would be lost", rekeys=True),
    broken(transforms.first_36, "would be lost", rekeys=True),
    broken(transforms.two_bytes_of_a_digest, "would be lost", rekeys=True),
    broken(transforms.joined, "would be lost", source=PAIR, rekeys=True),
    broken(transforms.joined_without_a_joint, "would be lost", source={"a": "N", "b": "N"}, rekeys=True),
    broken(transforms.without_the_sort_key, "would be lost", source={"a": "S", "b": "B"}, rekeys=True),
    broken(transforms.as_a_float, "would be lost", source=NUMBER, rekeys=True),
    broken(transforms.whole, "would be lost", source=NUMBER, target=NUMBER, rekeys=True),
    broken(transforms.several, "would be lost", target={"id": "S", "part": "N"}, rekeys=True),
    broken(transforms.by_another_attribute, "would be lost", rekeys=True),
]
EXAMINED = [broken(transforms.nothing, "became None")]

BROKEN = {
    testing.TOTAL: TOTAL,
    testing.CONTRACT: CONTRACT,
    testing.INPUT: INPUT,
    testing.AGAIN: AGAIN,
    testing.ELSEWHERE: ELSEWHERE,
    testing.LEGAL: LEGAL,
    testing.INVERSE: INVERSE,
    testing.APART: APART,
    testing.EXAMINED: EXAMINED,
}


def each_broken(*invariants):
    return [
        pytest.param(invariant, *one.values, id=one.id)
        for invariant in invariants or BROKEN
        for one in BROKEN[invariant]
    ]


def failure(function, options, **more) -> AssertionError:
    with pytest.raises(AssertionError) as caught:
        assert_transform(function, **{**options, **more})
    return caught.value


def pasted(message: str) -> list[dict[str, Any]]:
    """What a user gets by pasting the end of a message into a test."""
    _, found, program = message.partition("from decimal import Decimal\n")
    assert found, message
    names: dict[str, Any] = {}
    exec("from decimal import Decimal\n" + program, names)
    return names["examples"]


@pytest.mark.usefixtures("nothing_remembered")
@pytest.mark.parametrize(("invariant", "function", "said", "options"), each_broken())
def test_each_broken_invariant_is_named_with_an_example_that_reproduces_it(invariant, function, said, options):
    error = failure(function, options)

    message = str(error)
    assert message.startswith(f"tests.ddbverify.broken_transforms:{function.__name__} breaks")
    assert message.splitlines()[0].endswith(f": {invariant}.")
    import re

    assert re.search(said, message)
    if invariant == testing.EXAMINED:
        return
    found = pasted(message)
    assert len(message) < 1_200
    if "bytes" not in said:
        assert sum(map(item_size, found)) < 130, message

    transforms._met.clear()
    again = str(failure(function, options, examples=found, max_examples=1))
    assert again.splitlines()[:1] == message.splitlines()[:1]
    assert pasted(again) == found


GUARDS = {
    testing.INPUT: lambda patch: patch.delitem(testing._GUARDS, testing.INPUT),
    testing.AGAIN: lambda patch: patch.delitem(testing._GUARDS, testing.AGAIN),
    testing.LEGAL: lambda patch: patch.delitem(testing._GUARDS, testing.LEGAL),
    testing.INVERSE: lambda patch: patch.delitem(testing._GUARDS, testing.INVERSE),
    testing.APART: lambda patch: patch.setattr(testing, "_collisions", lambda *_: iter(())),
    testing.ELSEWHERE: lambda patch: patch.setattr(testing, "_compared", lambda *_: None),
    testing.EXAMINED: lambda patch: patch.setattr(testing._Trial, "_examined", lambda _: iter(())),
}


@pytest.mark.usefixtures("nothing_remembered")
@pytest.mark.parametrize("invariant", GUARDS)
def test_each_guard_is_needed(invariant, monkeypatch):
    """Without it, each transform that breaks only that invariant passes: no other guard sees it."""
    GUARDS[invariant](monkeypatch)
    for one in BROKEN[invariant]:
        function, _, options = one.values
        if function in {transforms.counts_its_calls, transforms.says_the_time}:
            continue  # a second process sees these, too
        assert_transform(function, **options)
