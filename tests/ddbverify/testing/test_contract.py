"""Each invariant of a transform is broken once and caught; what is right passes; nothing real is shown."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, core, find, given, settings
from hypothesis import strategies as st

from ddbverify.code import second_process
from ddbverify.errors import ConfigurationError
from ddbverify.items.form import Form
from ddbverify.items.limits import MAX_CONTAINERS, MAX_ITEM_BYTES, MAX_KEY_BYTES, refusals
from ddbverify.items.values import item_to_typed
from ddbverify.testing import assert_transform, invariants, item_size, items, numbers
from ddbverify.testing import contract as testing
from ddbverify.testing.neighbours import as_stored
from ddbverify.testing.search import Unseen
from ddbverify.testing.strategies import checked_items, drawn
from tests.ddbverify import broken_transforms as transforms
from tests.ddbverify.projects import REPOSITORY
from tests.shared_data import films

ID = {"id": "S"}
PAIR = {"a": "S", "b": "S"}
NUMBER = {"n": "N"}
SECRET = "SENTINEL-7f1b"

pytestmark = pytest.mark.usefixtures("the_same_examples_every_time")


@pytest.fixture(autouse=True)
def forget() -> Callable[[], None]:
    """Empty the memory of those transforms that have one; at the start of each test, and when called."""

    def clear() -> None:
        transforms._met.clear()
        transforms._first.clear()

    clear()
    return clear


def broken(function, said, *, source=ID, target=ID, **options):
    options = {"source_keys": source, "target_keys": target} | options
    return pytest.param(function, said, options, id=f"{function.__name__}-{'-'.join(options)}")


TOTAL = [
    broken(transforms.reads_a_number, "raised ValueError in .*broken_transforms.py, line"),
    broken(transforms.wants_an_attribute, "raised KeyError"),
    broken(transforms.ends_the_process, "raised SystemExit"),
]
CONTRACT = [
    broken(transforms.a_float, "attribute 'price' holds a float"),
    broken(transforms.a_float_in_a_list, "attribute 'prices' holds a float"),
    broken(transforms.an_empty_set, "an empty set"),
    broken(transforms.a_mixed_set, "attribute 'tags' holds a set"),
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
    broken(transforms.remembers_what_it_met, "not the next time"),
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
    broken(
        transforms.same,
        "inverse returned an item whose attribute 'price' holds a float",
        inverse=transforms.a_float,
    ),
]
APART = [
    broken(transforms.lower_case, "would be lost", rekeys=True),
    broken(transforms.stripped, "would be lost", rekeys=True),
    broken(transforms.first_36, "would be lost", rekeys=True),
    broken(transforms.a_byte_of_a_digest, "would be lost", rekeys=True),
    # Two keys of full length are too long a key together, and that would be found before.
    broken(
        transforms.joined,
        "would be lost",
        source=PAIR,
        rekeys=True,
        attributes={name: st.text(min_size=1, max_size=99) for name in PAIR},
    ),
    broken(transforms.joined_without_a_joint, "would be lost", source={"a": "N", "b": "N"}, rekeys=True),
    broken(transforms.without_the_sort_key, "would be lost", source={"a": "S", "b": "B"}, rekeys=True),
    broken(transforms.as_a_float, "would be lost", source=NUMBER, rekeys=True),
    broken(transforms.whole, "would be lost", source=NUMBER, target=NUMBER, rekeys=True),
    broken(transforms.several, "would be lost", target={"id": "S", "part": "N"}, rekeys=True),
    broken(transforms.by_another_attribute, "would be lost", rekeys=True),
]
EXAMINED = [broken(transforms.nothing, "became None")]

BROKEN = {
    invariants.TOTAL: TOTAL,
    invariants.CONTRACT: CONTRACT,
    invariants.INPUT: INPUT,
    invariants.AGAIN: AGAIN,
    invariants.ELSEWHERE: ELSEWHERE,
    invariants.LEGAL: LEGAL,
    invariants.INVERSE: INVERSE,
    invariants.APART: APART,
    invariants.EXAMINED: EXAMINED,
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


@pytest.mark.parametrize(("invariant", "function", "said", "options"), each_broken())
def test_each_broken_invariant_is_named_with_an_example_that_reproduces_it(
    invariant, function, said, options, forget
):
    error = failure(function, options)

    message = str(error)
    assert message.startswith(f"tests.ddbverify.broken_transforms:{function.__name__} breaks")
    assert message.splitlines()[0].endswith(f": {invariant}.")
    assert re.search(said, message)
    if invariant == invariants.EXAMINED:
        return
    found = pasted(message)
    assert len(message) < 1_200
    if "bytes" not in said:
        # Of a digest no part can be left out: what is shorter has another one.
        assert sum(map(item_size, found)) < (400 if function is transforms.a_byte_of_a_digest else 150)

    forget()
    # One item more, for those whose result depends on the item before.
    again = str(failure(function, options, examples=found, max_examples=5))
    assert again.splitlines()[0] == message.splitlines()[0]
    if invariant != invariants.ELSEWHERE:
        assert pasted(again) == found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("function", [transforms.an_empty_key, transforms.a_key_that_is_too_long])
def test_a_key_that_is_blank_and_one_of_full_length_are_met_by_whatever_seed(function, seed, monkeypatch):
    monkeypatch.setattr(core, "global_force_seed", seed)

    failure(function, {"source_keys": ID, "target_keys": ID, "rekeys": True})


def test_examples_that_collide_are_answered_before_any_that_are_made_up():
    examples = [{"n": Decimal("-1E-130")}, {"n": Decimal("1E-130")}]

    message = str(
        failure(
            transforms.whole,
            {"source_keys": NUMBER, "target_keys": NUMBER, "rekeys": True},
            examples=examples,
        )
    )

    assert pasted(message) == examples
    assert "Counter-example (examples)" in message


GUARDS = {
    invariants.INPUT: lambda patch: patch.delitem(invariants._GUARDS, invariants.INPUT),
    invariants.AGAIN: lambda patch: patch.delitem(invariants._GUARDS, invariants.AGAIN),
    invariants.LEGAL: lambda patch: patch.delitem(invariants._GUARDS, invariants.LEGAL),
    invariants.INVERSE: lambda patch: patch.delitem(invariants._GUARDS, invariants.INVERSE),
    invariants.APART: lambda patch: patch.setattr(testing, "collisions", lambda *_: iter(())),
    invariants.ELSEWHERE: lambda patch: patch.setattr(testing, "compared", lambda *_: None),
    invariants.EXAMINED: lambda patch: patch.setattr(testing._Trial, "_examined", lambda _: iter(())),
}


@pytest.mark.full
@pytest.mark.parametrize("invariant", GUARDS)
def test_each_guard_is_needed(invariant, monkeypatch):
    """Without it, each transform that breaks only that invariant passes: no other guard sees it."""
    GUARDS[invariant](monkeypatch)
    for one in BROKEN[invariant]:
        function, _, options = one.values
        if function in {transforms.counts_its_calls, transforms.says_the_time}:
            continue  # another process gives another result, too
        assert_transform(function, **options)


# --- what is right passes


@pytest.fixture
def examples_folder(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "examples")


FILM_TRANSFORMS = [
    pytest.param("by_release", {"released": "N", "title": "S"}, {}, id="by_release"),
    pytest.param("by_id", {"id": "S"}, {"rekeys": True}, id="by_id"),
]


@pytest.mark.usefixtures("examples_folder")
@pytest.mark.parametrize(("name", "target", "more"), FILM_TRANSFORMS)
def test_the_transforms_of_the_films_keep_their_contract(name, target, more):
    read = json.loads(gzip.decompress(films().read_bytes()), parse_float=Decimal)
    sample = read[:: len(read) // 60]

    for like in ([], sample):
        assert_transform(
            f"film_transforms:{name}",
            source_keys={"year": "N", "title": "S"},
            target_keys=target,
            like=like,
            **more,
        )


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (transforms.same, {"inverse": transforms.same}),
        (transforms.same, {"target_indexes": {"by-x": {"x": "S", "y": "N"}}, "largest": MAX_ITEM_BYTES}),
        (transforms.by_a_digest, {"rekeys": True}),
        (transforms.set_to_items, {"rekeys": True, "target_keys": {"id": "S", "tag": "S"}}),
        (transforms.prints, {}),
        (transforms.adds_to_its_input, {"may_change_input": True}),
        ("tests.ddbverify.broken_transforms:same", {}),
    ],
    ids=lambda one: one if isinstance(one, str) else getattr(one, "__name__", None),
)
def test_what_keeps_its_contract_passes(function, options):
    assert_transform(function, **{"source_keys": ID, "target_keys": ID} | options)


def test_an_index_of_the_source_gives_its_attributes_their_type():
    index = {"by-time": {"absent": "N"}}

    found = pasted(str(failure(transforms.wants_an_attribute, {"source_keys": ID, "target_keys": ID})))
    assert "absent" not in found[0]
    with pytest.raises(AssertionError, match="KeyError"):  # an index does not say that it is there
        assert_transform(transforms.wants_an_attribute, source_keys=ID, target_keys=ID, indexes=index)
    # ... but items that all have it do, and so does a strategy.
    like = [{"id": "1", "absent": Decimal(1)}]
    assert_transform(transforms.wants_an_attribute, source_keys=ID, target_keys=ID, indexes=index, like=like)
    assert_transform(
        transforms.wants_an_attribute, source_keys=ID, target_keys=ID, attributes={"absent": numbers()}
    )


def reached(strategy, wanted) -> bool:
    """Whether the strategy comes to draw such a one; `find` raises if not."""
    once = settings(max_examples=20_000, database=None, deadline=None, phases=[Phase.generate])
    hidden = strategy.map(Unseen)  # 400 KB are nothing to print
    return find(hidden, lambda one: wanted(one.value), settings=once) is not None


# --- real items


@pytest.mark.parametrize("position", [0, 3])
def test_values_of_real_items_are_not_shown_unless_asked_for(position):
    like = [{"id": str(number), "secret": "harmless"} for number in range(5)]
    like[position]["secret"] = SECRET
    options = {"source_keys": ID, "target_keys": ID, "like": like}

    error = failure(transforms.keeps_its_secret, options)
    assert f"like[{position}]" in str(error)
    assert "id (S), secret (S)" in str(error)
    assert "reveal=True" in str(error)
    assert SECRET not in repr(error)
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert not getattr(error, "__notes__", ())

    error = failure(transforms.keeps_its_secret, options, reveal=True)
    assert pasted(str(error)) == [like[position]]
    assert SECRET in str(error.__cause__)


def test_nor_is_what_was_made_near_them():
    like = [{"id": "1", "secret": "sentinel"}, {"id": "2", "secret": "sentinel"}]  # upper case is near
    options = {"source_keys": ID, "target_keys": ID, "like": like}

    error = failure(transforms.keeps_its_secret, options)
    assert "made near the items of like=" in str(error)
    assert "entinel" not in str(error).lower()
    assert "SENTINEL" in pasted(str(failure(transforms.keeps_its_secret, options, reveal=True)))[0]["secret"]


def test_nor_are_two_of_them_that_collide():
    like = [{"id": SECRET, "secret": True}, {"id": SECRET + "2", "secret": True}]
    # A strategy of its own keeps made-up items apart, so that only the real ones collide.
    options = {"source_keys": ID, "target_keys": ID, "like": like, "rekeys": True}

    error = failure(transforms.first_of_a_secret, options)
    assert "would be lost" in str(error)
    assert SECRET not in str(error)


def test_what_only_a_second_process_shows_is_not_shown_either():
    like = [{"id": "1", "secret": SECRET}]

    error = failure(transforms.hashes_a_secret, {"source_keys": ID, "target_keys": ID, "like": like})
    assert "second process" in str(error)
    assert SECRET not in str(error)


def test_made_up_items_show_no_value_of_a_real_one():
    """Shape only: the same names and types, none of the texts, numbers and bytes."""
    like = [{"id": SECRET, "n": Decimal(31415926), "m": {"l": [SECRET, b"31415926"]}, "s": {SECRET}}] * 3
    strategy = drawn(ID, {}, like, {}, 0, real=False)

    @given(strategy)
    @settings(max_examples=300)
    def holds(item):
        assert SECRET not in repr(item)
        assert "31415926" not in repr(item)
        assert set(item) == {"id", "n", "m", "s"}
        assert {type(one) for one in item["m"]["l"]} <= {str, bytes}

    holds()


def test_items_are_near_the_real_ones():
    like = [{"id": "one", "n": Decimal(7)}, {"id": "two", "n": Decimal(8), "more": {"x": b"1"}}]
    strategy = items(ID, like=like)

    for wanted in (
        lambda item: item in like,
        lambda item: item["id"] == "ONE",
        lambda item: item["n"] == Decimal(-7),
        lambda item: item["id"] == "one" and item["n"] == 8,
        lambda item: item.get("more") == {"x": b"1\0"},
        lambda item: "more" not in item,
        lambda item: item_size(item) == MAX_ITEM_BYTES,
    ):
        assert reached(strategy, wanted)


# --- items


SCHEMAS = [ID, NUMBER, {"b": "B"}, PAIR, {"a": "N", "b": "B"}]
INDEXES = {"one": {"city": "S", "at": "N"}, "two": {"at": "N", "raw": "B"}}


def _kinds(value: Any) -> Iterator[str]:
    ((kind, content),) = value.items()
    yield kind
    for one in content if kind == "L" else content.values() if kind == "M" else ():
        yield from _kinds(one)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: "".join(schema.values()))
def test_items_are_what_dynamodb_takes_and_gives_back(schema):
    @given(items(schema, indexes=INDEXES))
    @settings(max_examples=200, suppress_health_check=list(HealthCheck))
    def holds(item):
        typed = item_to_typed(item)  # refuses floats, empty sets, numbers out of range
        assert not [*refusals(typed, schema, INDEXES.values())]
        assert as_stored(typed) == typed or all(
            Form(secret=b"").same({"v": typed[name]}, {"v": value})
            for name, value in as_stored(typed).items()
        )
        assert item == checked_items("item", [item], schema, INDEXES)[0]

    holds()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("38 digits", lambda item: any(len(one.as_tuple().digits) == 38 for one in _numbers(item))),
        ("1E-130", lambda item: any(one == Decimal("1E-130") for one in _numbers(item))),
        ("126 figures", lambda item: any(one > Decimal("9E+124") for one in _numbers(item))),
        ("an empty text", lambda item: "" in item.values()),
        ("empty bytes", lambda item: b"" in item.values()),
        ("the deepest nesting", lambda item: _depth(item) == MAX_CONTAINERS + 1),
        ("400 KB", lambda item: item_size(item) == MAX_ITEM_BYTES),
        ("the longest key", lambda item: len(item["id"].encode()) == MAX_KEY_BYTES[0]),
        ("beyond the BMP", lambda item: any(ord(one) > 0xFFFF for one in item["id"])),
        ("no index key", lambda item: not {"city", "at", "raw"} & item.keys()),
        ("every index key", lambda item: {"city", "at", "raw"} <= item.keys()),
        *(
            (kind, lambda item, kind=kind: any(kind in _kinds(one) for one in item_to_typed(item).values()))
            for kind in ("S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M")
        ),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_items_reach_the_limits(name, wanted):
    strategy = items(ID, indexes=INDEXES)

    assert reached(strategy, wanted)


def _numbers(value: Any) -> list[Decimal]:
    if isinstance(value, Decimal):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | set) else ()
    return [number for one in inner for number in _numbers(one)]


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


# --- one child


def test_one_second_process_is_all_that_is_started(monkeypatch):
    started = []
    popen = subprocess.Popen

    def counted(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(second_process.subprocess, "Popen", counted)
    assert_transform(transforms.same, source_keys=ID, target_keys=ID, max_examples=30)
    failure(transforms.joins_a_set, {"source_keys": ID, "target_keys": ID})

    assert len(started) == 2  # one for each call
    assert [one.poll() is None for one in started] == [False, False]


def test_the_second_process_has_another_hash_seed_whatever_ours_is(monkeypatch):
    for ours in (None, "0", "1", "2"):
        if ours is None:
            monkeypatch.delenv("PYTHONHASHSEED", raising=False)
        else:
            monkeypatch.setenv("PYTHONHASHSEED", ours)
        with pytest.raises(AssertionError, match="second process"):
            assert_transform(transforms.says_its_hash_seed, source_keys=ID, target_keys=ID, max_examples=1)


def test_a_process_that_ends_is_no_equal_result():
    with pytest.raises(AssertionError, match="second process it ended its process with exit status 3"):
        assert_transform(transforms.ends_other_processes, source_keys=ID, target_keys=ID, max_examples=3)


# --- what cannot be tried


def local_function():
    def inner(item):
        return item

    return inner


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        (lambda item: item, {}, "cannot be found from a second process"),
        (local_function(), {}, "inner cannot be found from a second process"),
        ("no_such_module:f", {}, "does not load"),
        ("tests.ddbverify.broken_transforms:no_such_function", {}, "does not load"),
        (transforms.same, {"source_keys": {}}, "Source_keys is not"),
        (transforms.same, {"target_keys": {"id": "SS"}}, "Target_keys is not"),
        (transforms.same, {"source_keys": {"a": "S", "b": "S", "c": "S"}}, "Source_keys is not"),
        (transforms.same, {"source_keys": {"id": "N"}}, "key types of source_keys and target_keys differ"),
        (transforms.same, {"indexes": {"by-x": {"x": "M"}}}, "index by-x is not"),
        (transforms.same, {"target_indexes": {"by-x": {}}}, "index by-x of target_indexes is not"),
        (transforms.same, {"max_examples": 0}, "nothing would be tried"),
        (transforms.same, {"like": [{"id": "1"}, {"id": 1.5}]}, r"like\[1\] holds .* a float"),
        (transforms.same, {"like": [{"id": {"S": "1"}}]}, r"like\[0\] is no item .* 'id' is M, not S"),
        (transforms.same, {"examples": [{"name": "1"}]}, r"examples\[0\] is no item .* 'id' is absent"),
    ],
)
def test_what_cannot_be_tried_is_refused_with_a_hint(function, options, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        assert_transform(function, **{"source_keys": ID, "target_keys": ID} | options)

    assert caught.value.hint


def test_without_hypothesis_the_message_says_how_to_get_it():
    program = "import sys; sys.modules['hypothesis'] = None; import ddbverify.testing"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "ModuleNotFoundError: ddbverify.testing needs Hypothesis" in done.stderr
    assert "pip install 'ddbverify[testing]'" in done.stderr
