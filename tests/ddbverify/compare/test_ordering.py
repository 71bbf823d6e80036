"""
The result is that of a plain comparison of two dictionaries, whatever the order of arrival.

Sort keys of every type, large item collections, scan orders without anything in common, any
number of segments, any page size, either memory bound, keys that a transform has moved.
"""

from __future__ import annotations

import random
import zlib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbverify.compare.comparison import Comparison
from ddbverify.items.states import State
from ddbverify.items.values import item_from_typed, item_to_typed
from tests.ddbverify.fakes import make_judge
from tests.ddbverify.generated import b64, key_of, meaning, spelt_item
from tests.ddbverify.prepared import PreparedTable, plain, run

PLENTY = 10**9
TIGHT = 1_000_000  # some 2,000 items; what does not fit has to wait somewhere else

# Each of these is another key than its neighbours, and sorts or compares differently as text, as
# a float, in UTF-16, without case, or normalised.
TEXT_TRAPS = (
    *("1", "10", "2", "02", "9", "1.0", "1E1", "-1", "a", "A", "aa", "Z", "z", "_", " a", "a ", "\0", "a\0"),
    *("é", "e\u0301", "ß", "ss", "ẞ", "İ", "i", "\u0131", "ǆ", "\ufb01", "fi", "\u200d", "\ufeff", "\ud7ff"),
    *(
        "\ue000",
        "\uffff",
        "\U00010000",
        "\U0001f600",
        "\U0010ffff",
        "日本",
        "日",
        "~",
        "\x7f",
        "\x80",
        "/",
        '"',
    ),
)
NUMBER_TRAPS = (
    *("0", "1", "-1", "2", "9", "10", "11", "99", "100", "-10", "0.5", "0.05", "1E-130", "-1E-130", "1E+125"),
    *("9" * 38, "9" * 37 + "8", "1" + "0" * 37, "9007199254740993", "9007199254740992", "123456789.01"),
    *("123456790.99", "0." + "3" * 38, "0." + "3" * 37 + "4", "-0.5", "1000", "999", "1E+20"),
)
BINARY_TRAPS = (
    *(b"a", b"a\0", b"a\0\0", b"\0", b"\0\0", b"\x7f", b"\x80", b"\xff", b"\xff\0", b"\xfb\xff", b"/", b"+"),
    *(b"A", b"1", b"10", b"2", b"\xc3\xa9", b"e\xcc\x81", b"\xed\xa0\x80", bytes(64), bytes(65)),
)


def typed_keys(kind: str, count: int) -> list[dict[str, str]]:
    """Distinct values of a key attribute, the traps first, in the order in which DynamoDB sorts them."""
    match kind:
        case "S":
            texts = dict.fromkeys([*TEXT_TRAPS, *(f"{number}" for number in range(-50, count))])
            return [{"S": one} for one in sorted(list(texts)[:count], key=lambda one: one.encode())]
        case "N":
            written = [*NUMBER_TRAPS, *(f"{number}.{number % 100:02}" for number in range(count))]
            numbers = {Decimal(one): one for one in written}
            return [{"N": numbers[one]} for one in sorted(list(numbers)[:count])]
        case _:
            # Of three lengths, so that their order is not that of the numbers.
            raws = [*BINARY_TRAPS, *(number.to_bytes(3 + number % 3, "big") for number in range(count))]
            return [{"B": b64(one)} for one in sorted(list(dict.fromkeys(raws))[:count])]


def oracle(source: list[dict[str, Any]], target: list[dict[str, Any]], schema: dict[str, str]) -> dict:
    """The plain comparison: two dictionaries, every key that is not equal with its state."""
    here = {key_of(item, schema): meaning({"M": item}) for item in source}
    there = {key_of(item, schema): meaning({"M": item}) for item in target}
    states = dict.fromkeys(here.keys() - there.keys(), "missing")
    states |= dict.fromkeys(there.keys() - here.keys(), "extraneous")
    return states | {key: "different" for key in here.keys() & there.keys() if here[key] != there[key]}


def require_the_oracle(
    comparison: Comparison, expected: list[dict], target: list[dict], schema: dict, seed: object
) -> None:
    states = oracle(expected, target, schema)
    found = [(key_of(dict(one.key), schema), str(one.state)) for one in comparison.differences]
    assert dict(found) == states, f"seed {seed}"
    assert len(found) == len(states), f"seed {seed}: a key was reported twice"
    keys = {key_of(item, schema) for item in (*expected, *target)}
    assert comparison.counts[State.MATCHED] == len(keys) - len(states), f"seed {seed}"
    assert comparison.source.items == len(expected), f"seed {seed}"
    assert comparison.target.items == comparison.target.scanned == len(target), f"seed {seed}"
    assert comparison.unexamined == (), f"seed {seed}"
    assert comparison.converged == 0, f"seed {seed}: a second look had to clear what the join should have met"


def altered(chance: random.Random, items: list[dict[str, Any]], share: float) -> list[dict[str, Any]]:
    """A target for *items*: so many lost, changed, and added beside an existing key."""
    made = []
    for item in items:
        fate = chance.random() / share
        if fate < 1:
            continue
        made.append({**item, "v": {"S": "another"}} if fate < 2 else item)
    return made


def in_order(chance: random.Random, items: list[dict[str, Any]], order: str) -> list[dict[str, Any]]:
    match order:
        case "same":
            return items
        case "reversed":
            return items[::-1]
        case "as text":  # a tool that sorts numbers and bytes as the text on the wire
            return sorted(items, key=repr)
        case "nearly":  # swapped here and there, as concurrent writes leave it
            moved = list(items)
            for _ in range(len(items) // 50):
                at = chance.randrange(len(items) - 1)
                moved[at], moved[at + 1] = moved[at + 1], moved[at]
            return moved
    return chance.sample(items, len(items))


def anywhere(key: Any, total: int) -> int:
    """A cut that tears item collections apart, and has nothing to do with the other side's."""
    return zlib.crc32(b"salt" + repr(key).encode()) % total


def table(
    chance: random.Random,
    items: list[dict[str, Any]],
    schema: dict[str, str],
    *,
    respelt: bool = False,
    **more,
) -> PreparedTable:
    written = [(item, spelt_item(chance, item)) for item in items] if respelt else plain(items)
    return PreparedTable(written, schema, **more)


COLLECTION = 10_000


@pytest.mark.parametrize(
    ("kind", "order", "segments", "page_size", "memory"),
    [
        pytest.param("N", "same", 1, 1_000, PLENTY, marks=pytest.mark.full),
        ("N", "same", 1, 1_000, TIGHT),
        ("N", "nearly", 4, 333, TIGHT),
        pytest.param("N", "reversed", 1, 1_000, PLENTY, marks=pytest.mark.full),
        ("N", "as text", 3, 97, PLENTY),
        ("N", "shuffled", 16, 10_000, PLENTY),
        pytest.param("S", "as text", 2, 333, PLENTY, marks=pytest.mark.full),
        ("S", "shuffled", 3, 97, PLENTY),
        pytest.param("B", "as text", 2, 333, PLENTY, marks=pytest.mark.full),
        pytest.param("B", "shuffled", 3, 97, PLENTY, marks=pytest.mark.full),
        ("N", "reversed", 1, 1_000, TIGHT),
        pytest.param("N", "shuffled", 3, 97, TIGHT, marks=pytest.mark.full),
        pytest.param("S", "shuffled", 16, 10_000, TIGHT, marks=pytest.mark.full),
        ("B", "shuffled", 2, 1_000, TIGHT),
    ],
)
def test_a_collection_of_ten_thousand(kind, order, segments, page_size, memory):
    """One hash key with ten thousand sort keys, beside a hundred small collections."""
    seed = f"{kind} {order} {segments} {page_size}"
    chance = random.Random(seed)
    schema = {"pk": "S", "sk": kind}
    sort_keys = typed_keys(kind, COLLECTION)
    assert len(sort_keys) == COLLECTION
    source = [{"pk": {"S": "large"}, "sk": key, "v": {"N": str(at)}} for at, key in enumerate(sort_keys)]
    for number in range(100):
        some = sort_keys[number % 7 :: COLLECTION // 8]
        source += [{"pk": {"S": f"small {number}"}, "sk": key, "v": {"N": "1"}} for key in some]
    ghosts = [
        {"pk": {"S": "large" + extra}, "sk": sort_keys[7], "v": {"N": "7"}} for extra in (" ", "\0", "1")
    ]
    target = in_order(chance, altered(chance, source, 0.01) + ghosts, order)
    otherwise = {"respelt": True, "cut": anywhere} if order == "shuffled" else {}
    comparison = run(
        table(chance, source, schema, page_size=page_size),
        table(chance, target, schema, page_size=page_size, **otherwise),
        segments=segments,
        memory=memory,
    )
    require_the_oracle(comparison, source, target, schema, seed)


@pytest.mark.parametrize(
    ("empty", "memory"),
    [
        ("source", PLENTY),
        ("target", PLENTY),
        ("source and target", TIGHT),
        ("source", TIGHT),
        ("target", TIGHT),
    ],
)
def test_an_empty_side(empty, memory):
    schema = {"pk": "S", "sk": "N"}
    full = [{"pk": {"S": "k"}, "sk": key} for key in typed_keys("N", 5_000)]
    source, target = ([] if side in empty else full for side in ("source", "target"))
    comparison = run(
        PreparedTable(plain(source), schema), PreparedTable(plain(target), schema), segments=2, memory=memory
    )
    require_the_oracle(comparison, source, target, schema, "none")
    assert comparison.segments_finished == 2


# --- any small tables -----------------------------------------------------------------------

SMALL_KEYS = {
    "S": [{"S": one} for one in TEXT_TRAPS],
    "N": [{"N": one} for one in NUMBER_TRAPS],
    "B": [{"B": b64(one)} for one in BINARY_TRAPS],
}
CONTENTS = st.sampled_from(
    [
        {},
        {"v": {"S": "x"}},
        {"v": {"NULL": True}},
        {"v": {"S": ""}},
        {"v": {"NS": ["1", "2"]}},
        {"v": {"N": "1"}},
    ]
)


@st.composite
def small_tables(draw: st.DrawFn) -> tuple[dict[str, str], list[dict[str, Any]], list[dict[str, Any]]]:
    """A schema, and two tables over the same few keys, each in an order of its own."""
    kinds = draw(st.lists(st.sampled_from("SNB"), min_size=1, max_size=2))
    schema = dict(zip(("pk", "sk"), kinds, strict=False))
    parts = st.tuples(*(st.sampled_from(SMALL_KEYS[kind]) for kind in kinds))
    keys = [
        dict(zip(schema, key, strict=True))
        for key in draw(st.lists(parts, max_size=12, unique_by=lambda key: tuple(map(meaning, key))))
    ]
    sides = []
    for _ in range(2):
        here = [key | draw(CONTENTS) for key in keys if draw(st.integers(0, 5))]
        sides.append(draw(st.permutations(here)))
    return schema, sides[0], sides[1]


@pytest.mark.parametrize("memory", [PLENTY, 2_000])
def test_any_two_tables(memory):
    @settings(max_examples=150, deadline=None)
    @given(
        small_tables(),
        st.integers(1, 5),
        st.tuples(st.integers(1, 6), st.integers(1, 6)),
        st.integers(0, 2**32),
    )
    def holds(tables, segments, page_sizes, seed):
        schema, source, target = tables
        chance = random.Random(seed)
        comparison = run(
            table(chance, source, schema, page_size=page_sizes[0]),
            table(chance, target, schema, page_size=page_sizes[1], respelt=seed % 2 == 0, cut=anywhere),
            segments=segments,
            memory=memory,
        )
        require_the_oracle(comparison, source, target, schema, seed)
        assert comparison.segments_finished == segments

    holds()


# --- re-keyed tables ------------------------------------------------------------------------


def exchanged(item):
    """Hash and sort key change places."""
    return [{**item, "pk": item["sk"], "sk": item["pk"]}]


def gathered(item):
    """All into one collection; what was the key is an attribute."""
    return [{"pk": Decimal(0), "sk": f"{item['pk']}|{item['sk']}", "v": item.get("v")}]


def split(item):
    """None to three items, by the number in the sort key."""
    count = int(abs(item["sk"])) % 4
    return [{**item, "pk": Decimal(part), "sk": f"{item['pk']}|{item['sk']}"} for part in range(count)]


REKEYED = {"pk": "N", "sk": "S"}  # the source: pk S, sk N


@pytest.mark.full
@pytest.mark.parametrize("function", [exchanged, gathered, split])
@pytest.mark.parametrize(
    ("order", "segments", "page_size", "memory"),
    [
        ("same", 1, 1_000, PLENTY),
        ("shuffled", 7, 97, PLENTY),
        ("shuffled", 3, 500, TIGHT),
    ],
)
def test_a_rekeyed_table(function, order, segments, page_size, memory):
    seed = f"{function.__name__} {order}"
    chance = random.Random(seed)
    schema = {"pk": "S", "sk": "N"}
    source = [
        {"pk": {"S": f"k{at % 3}"}, "sk": key, "v": {"S": str(at)}}
        for at, key in enumerate(typed_keys("N", COLLECTION if order == "shuffled" else 2_000))
    ]
    expected = [item_to_typed(made) for item in source for made in function(item_from_typed(item))]
    ghost = {"pk": {"N": "77"}, "sk": {"S": "ghost"}, "v": {"S": "1"}}
    target = in_order(chance, [*altered(chance, expected, 0.01), ghost], order)
    here = table(chance, source, schema, page_size=page_size)
    there = table(chance, target, REKEYED, page_size=page_size)
    comparison = run(
        here,
        there,
        judge=make_judge(function, rekeys=True, schema=schema, target_schema=REKEYED),
        segments=segments,
        memory=memory,
    )
    require_the_oracle(comparison, expected, target, REKEYED, seed)
    assert comparison.source.scanned == len(source)
    # One pass over each table, and one more over the source for the ghost.
    assert here.scans == 2
    assert there.scans == 1


@pytest.mark.parametrize("memory", [PLENTY, 2_000])
def test_any_two_rekeyed_tables(memory):
    numbers = st.sampled_from(SMALL_KEYS["N"])
    keys = st.lists(numbers, max_size=8, unique_by=meaning)

    @settings(max_examples=100, deadline=None)
    @given(keys, st.sampled_from([exchanged, gathered, split]), st.integers(1, 4), st.integers(0, 2**32))
    def holds(sort_keys, function, segments, seed):
        chance = random.Random(seed)
        schema = {"pk": "S", "sk": "N"}
        source = [{"pk": {"S": chance.choice("ab")}, "sk": key, "v": {"S": "x"}} for key in sort_keys]
        expected = [item_to_typed(made) for item in source for made in function(item_from_typed(item))]
        ghosts = [{"pk": {"N": "77"}, "sk": {"S": name}} for name in "gh"[: chance.randrange(3)]]
        target = in_order(chance, [*altered(chance, expected, 0.2), *ghosts], "shuffled")
        comparison = run(
            table(chance, source, schema, page_size=chance.randint(1, 4)),
            table(chance, target, REKEYED, page_size=chance.randint(1, 4)),
            judge=make_judge(function, rekeys=True, schema=schema, target_schema=REKEYED),
            segments=segments,
            memory=memory,
        )
        require_the_oracle(comparison, expected, target, REKEYED, seed)

    holds()
