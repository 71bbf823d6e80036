"""The laws of a pair's inverse are held against items of the source, and told by attribute and hash."""

from __future__ import annotations

import msgspec
import pytest

from ddbverify import CheckFailed, Inconclusive, Outcome, Pair, inverse_verdict, require
from ddbverify.config import load
from ddbverify.errors import ConfigurationError
from ddbverify.items.laws import FIRST, SECOND
from ddbverify.names import canary_key, marker_key
from ddbverify.suite import inverses
from tests.ddbverify import projects
from tests.ddbverify.fakes import FakeTable

TOKEN = "SENTINEL-55ad"
RULES = "tests.ddbverify.broken_inverses"


@pytest.fixture
def pair_of(tmp_path, monkeypatch):
    """Make a pair whose source holds *items*; what it tells is in ``pair.told``."""

    def make(inverse="wider", *, items, transform="narrower", says=None) -> Pair:
        config = load(
            projects.make_project(
                tmp_path,
                default_suite=False,
                tables={
                    "orders": {"ItemCount": len(items) if says is None else says},
                    "orders-v2": {
                        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
                        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
                    },
                },
            )
        )
        projects.stand_in(tmp_path, monkeypatch)
        settings = msgspec.structs.replace(
            config.tables[0],
            transform=transform and f"{RULES}:{transform}",
            inverse=inverse and f"{RULES}:{inverse}",
        )
        told = []
        pair = Pair(config, settings, secret=b"of this run", found=lambda *one: told.append(one))
        table = FakeTable(items, page_size=100_000)
        monkeypatch.setattr(inverses, "TableReader", lambda *_, **__: table)
        return pair, told, table

    return make


def orders(count, **attributes):
    return [{"id": {"S": str(n)}, "internal": {"S": "x"}, **attributes} for n in range(count)]


def test_an_inverse_that_holds_has_passed_on_the_items_that_the_transform_keeps(pair_of):
    pair, told, _ = pair_of(items=[*orders(5), {"id": {"S": "hidden"}, "hidden": {"BOOL": True}}])

    verdict = inverse_verdict(pair)

    assert (verdict.outcome, verdict.examined) == (Outcome.PASSED, 5)
    assert not told


@pytest.mark.parametrize(
    ("inverse", "said"),
    [
        ("deletes_what_is_dropped", f"{SECOND} does not hold: other internal"),
        ("another_key", f"{SECOND} does not hold: the inverse {RULES}:another_key changed the item's key"),
        ("counts_its_calls", f"{SECOND} does not hold: two calls with the same items gave two results"),
        (
            "wants_what_was_before",
            f"{FIRST} .* without what was before, the inverse .* raised TypeError",
        ),
        ("hides_what_is_new", f"{FIRST} .* the transform drops what the inverse returns"),
    ],
)
def test_a_broken_law_is_told_by_attribute_and_hash(pair_of, inverse, said):
    pair, told, _ = pair_of(inverse, items=orders(30, secret={"M": {TOKEN: {"S": TOKEN}}}))

    verdict = inverse_verdict(pair)

    assert verdict.outcome is Outcome.FAILED
    assert (verdict.examined, verdict.refuted) == (30, 30)
    pattern = said.replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(CheckFailed, match=pattern) as caught:
        require(verdict)
    assert TOKEN not in str(caught.value)
    assert len(verdict.causes) == 1
    assert verdict.causes[0].endswith("(30 items)")
    # Each can be looked up by the hash that stands for its key.
    key = {"pk": {"S": "7"}}
    assert (pair.id, key, pair.key_hash(key)) in [(name, one.key, hashed) for name, one, hashed in told]
    assert pair.key_hash(told[0][1].key) in str(caught.value)


def test_a_law_that_fails_within_a_map_names_its_attribute_only(pair_of):
    pair, _, _ = pair_of("empties_a_map", items=[{"id": {"S": "1"}, "m": {"M": {TOKEN: {"L": []}}}}])

    (finding,) = inverse_verdict(pair).findings
    assert str(finding).endswith("other m")


def test_it_looks_at_a_thousand_items_at_most_and_never_at_the_replicators_own(pair_of):
    ours = [canary_key({"id": "S"}), marker_key({"id": "S"}, 7)]
    pair, _, table = pair_of(items=[*orders(1_500), *ours], says=0)  # a size that is hours old

    assert inverse_verdict(pair).examined == 1_000
    assert table.requests == 1

    pair, _, _ = pair_of(items=ours)
    assert inverse_verdict(pair).examined == 0


def test_what_cannot_be_looked_at_is_not_passed(pair_of):
    pair, _, _ = pair_of(items=[])
    with pytest.raises(Inconclusive):
        require(inverse_verdict(pair))

    pair, _, _ = pair_of(items=[*orders(2), {"id": {"S": "no number"}}], transform="a_number_of_an_id")
    verdict = inverse_verdict(pair)
    assert verdict.outcome is not Outcome.PASSED
    assert verdict.unexamined == (f"The transform {RULES}:a_number_of_an_id raised ValueError (1 item)",)

    pair, _, _ = pair_of(items=orders(1), inverse=None)
    assert inverse_verdict(pair).outcome is Outcome.INCONCLUSIVE

    pair, _, _ = pair_of(items=orders(1), inverse="absent")
    with pytest.raises(ConfigurationError, match="has no function absent"):
        inverse_verdict(pair)
