"""
A hundred thousand pairs of items that are equal by meaning, none of them by bytes: no difference.

And the reverse: what is unequal by meaning never passes, however much alike it is spelt.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbverify.items.states import State
from tests.ddbverify import generated
from tests.ddbverify.generated import alterations, any_value, key_of, meaning, spelt, spelt_item, spelt_text
from tests.ddbverify.items.test_form import items as any_items
from tests.ddbverify.prepared import PreparedTable, run

SCHEMA = {"pk": "S", "sk": "N"}
POOL = 4_000
SPELLINGS = 6


class Pool:
    """Values and names with some spellings each; items are put together from them, which is fast."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.values = []
        for place in range(POOL):
            typed = generated.value(chance, generated.KINDS[place % len(generated.KINDS)])
            self.values.append((typed, [spelt(chance, typed) for _ in range(SPELLINGS)]))
        self.names = {
            name: [spelt_text(chance, name) for _ in range(SPELLINGS)] for name in generated.ODD_NAMES
        }

    def pair(self, place: int) -> tuple[dict, bytes, bytes]:
        """One item, and two ways to write it."""
        chance = self.chance
        key = {"pk": {"S": f"k/{place // 7}"}, "sk": {"N": str(place % 7 - 3)}}
        chosen = [(name, *chance.choice(self.values)) for name in chance.sample(generated.ODD_NAMES, 3)]
        item = key | {name: typed for name, typed, _ in chosen}
        written = []
        for _ in range(2):
            parts = [f"{chance.choice(self.names[name])}: {chance.choice(ways)}" for name, _, ways in chosen]
            parts += [f'"{name}":{spelt(chance, content)}' for name, content in key.items()]
            chance.shuffle(parts)
            written.append(("{" + ",".join(parts) + "}").encode())
        return item, written[0], written[1]


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.full)])
def test_equal_pairs_give_no_difference(count):
    seed = 20_260_101
    chance = random.Random(seed)
    pool = Pool(chance)
    pairs = [pool.pair(place) for place in range(count)]
    assert sum(one != other for _, one, other in pairs) > 0.999 * count
    source = PreparedTable([(item, one) for item, one, _ in pairs], SCHEMA, page_size=1_000)
    # The order agrees by and large: what waits is not the matter here, see test_ordering.
    chunks = [pairs[start : start + 500] for start in range(0, count, 500)]
    near = [pair for chunk in chunks for pair in chance.sample(chunk, len(chunk))]
    target = PreparedTable([(item, other) for item, _, other in near], SCHEMA, page_size=770)
    comparison = run(source, target, segments=3)
    assert {state: count for state, count in comparison.counts.items() if count} == {State.MATCHED: count}
    assert comparison.differences == (), f"seed {seed}: {comparison.differences[:3]}"
    assert comparison.unexamined == ()
    assert comparison.source.scanned == comparison.target.scanned == count
    # Not one was a suspect that a second look had to clear.
    assert (source.requests, target.requests) == (source.pages, target.pages)


def test_unequal_pairs_never_pass():
    """Every small alteration ten times, each time spelt anew, in items that are else the same."""
    seed = 20_260_102
    chance = random.Random(seed)
    here, there, why = [], [], {}
    for alteration in alterations():
        for _ in range(10):
            key = {"pk": {"S": str(len(here) // 7)}, "sk": {"N": str(len(here))}}
            shared = {name: any_value(chance) for name in chance.sample(generated.ODD_NAMES, 2)}
            before = key | shared | ({} if alteration.before is None else {"altered": alteration.before})
            after = key | shared | ({} if alteration.after is None else {"altered": alteration.after})
            here.append((before, spelt_item(chance, before)))
            there.append((after, spelt_item(chance, after)))
            why[key_of(key, SCHEMA)] = alteration.name
    comparison = run(
        PreparedTable(here, SCHEMA), PreparedTable(chance.sample(there, len(there)), SCHEMA), segments=2
    )
    reported = {key_of(dict(one.key), SCHEMA) for one in comparison.only(State.DIFFERENT)}
    passed = {name for key, name in why.items() if key not in reported}
    assert not passed, f"seed {seed}: passed as equal: {sorted(passed)}"
    assert comparison.counts[State.MATCHED] == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(any_items, any_items), min_size=1, max_size=6), st.integers(0, 2**32))
def test_matched_exactly_when_the_meaning_is_the_same(pairs, seed):
    """Half of the pairs hold one item in two spellings, half hold two items that may be equal."""
    chance = random.Random(seed)
    here, there, equal = [], [], 0
    for place, (one, other) in enumerate(pairs):
        key = {"pk": {"S": "k"}, "sk": {"N": str(place)}}
        one, other = {**one, **key}, {**(one if place % 2 else other), **key}
        equal += meaning({"M": one}) == meaning({"M": other})
        here.append((one, spelt_item(chance, one)))
        there.append((other, spelt_item(chance, other)))
    comparison = run(PreparedTable(here, SCHEMA), PreparedTable(there[::-1], SCHEMA))
    assert comparison.counts[State.MATCHED] == equal
    assert comparison.counts[State.DIFFERENT] == len(pairs) - equal
