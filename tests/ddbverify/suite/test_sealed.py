"""What one check does to what it sees is not seen by the next."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import FrozenInstanceError

import pytest

from ddbverify import State, each_item
from ddbverify.compare.inspection import Inspected, Refutation
from ddbverify.suite.sealed import sealed
from tests.ddbverify import projects
from tests.ddbverify.suite.test_pair import _pair

KEY = {"id": {"S": "1"}}
DIFFERENCE = {"state": "missing", "key": KEY}


def _seen(pair):
    comparison = pair.comparison
    return json.dumps([comparison.counts, comparison.differences[0].key, pair.target.raw], default=str)


@pytest.mark.parametrize(
    "change",
    [
        lambda pair: pair.comparison.counts.clear(),
        lambda pair: pair.comparison.counts.update(missing=0),
        lambda pair: pair.comparison.counts.__setitem__(State.MISSING, 0),
        lambda pair: pair.comparison.differences[0].key.clear(),
        lambda pair: pair.comparison.differences[0].key["id"].update(S="2"),
        lambda pair: setattr(pair.comparison, "counts", {}),
        lambda pair: setattr(pair, "comparison", None),
        lambda pair: pair.source.key_schema.pop("id"),
        lambda pair: pair.target.raw["KeySchema"].clear(),
        lambda pair: pair.target.raw["KeySchema"][0].update(AttributeName="other"),
        lambda pair: pair.pipeline.mappings.clear(),
        lambda pair: pair.transform.target_keys.clear(),
    ],
)
def test_what_a_check_sees_refuses_to_be_changed(tmp_path, monkeypatch, change):
    pair = _pair(tmp_path, monkeypatch, counts={"matched": 1, "missing": 1}, differences=[DIFFERENCE])
    before = _seen(pair)

    with pytest.raises((TypeError, AttributeError, FrozenInstanceError)):
        change(pair)

    assert _seen(pair) == before


def test_an_attribute_that_a_check_sets_is_set_for_it_alone(tmp_path, monkeypatch):
    pair = _pair(tmp_path, monkeypatch)
    mine, theirs = pair.of_its_own(), pair.of_its_own()

    mine.settings = mine.config = mine._secret = None

    assert theirs.settings is pair.settings is not None
    assert theirs.comparison is pair.comparison
    assert projects.passes(tmp_path) == 1


def test_what_checks_on_items_have_learned_is_written_down_once():
    refutation = Refutation("check", KEY, "check_it.py:3")
    result = sealed(Inspected(refuted=1, examples=[refutation], raised=Counter({"ValueError": 2})))

    for change in (
        lambda: setattr(result, "refuted", 0),
        lambda: result.examples.clear(),
        lambda: result.raised.clear(),
        lambda: result.examples[0].key.clear(),
    ):
        with pytest.raises(TypeError, match="read-only"):
            change()
    assert (result.refuted, result.examples, result.raised.most_common()) == (
        1,
        [refutation],
        [("ValueError", 2)],
    )


def test_two_closures_of_one_name_are_two_checks():
    def _has(name):
        @each_item
        def check_it(target):
            assert name in target

        return check_it

    assert _has("a").ddb_item_check.id != _has("b").ddb_item_check.id
