"""Each law of an inverse is broken once and caught; what holds passes; nothing real is shown."""

from __future__ import annotations

import gzip
import json
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st

from ddbverify.errors import ConfigurationError
from ddbverify.items.laws import FIRST, SECOND
from ddbverify.testing import assert_inverse, item_size, laws, texts
from ddbverify.testing import inverse as trial
from tests.ddbverify import broken_inverses as inverses
from tests.ddbverify.projects import REPOSITORY
from tests.shared_data import films

pytestmark = pytest.mark.usefixtures("the_same_examples_every_time")

ID = {"id": "S"}
SECRET = "SENTINEL-7f1b"
NARROWER: dict[str, Any] = {
    "transform": inverses.narrower,
    "source_keys": ID,
    "target_keys": {"pk": "S"},
    "attributes": {"internal": texts(), "hidden": st.booleans()},
}
SAME: dict[str, Any] = {"transform": inverses.same, "source_keys": ID, "target_keys": ID}


def broken(function, said, pair=NARROWER, **options):
    return pytest.param(function, said, pair | options, id=function.__name__)


BROKEN = {
    laws.TOTAL: [
        broken(inverses.wants_what_was_before, "raised TypeError in .*broken_inverses.py, line"),
        broken(inverses.reads_a_number, "raised ValueError"),
        broken(inverses.calls_itself_without_end, "raised RecursionError"),
    ],
    laws.RETURNS: [
        broken(inverses.returns_nothing, "returned a NoneType. Return a dict"),
        broken(inverses.returns_a_list, "returned a list. Return a dict"),
        broken(inverses.forgets_the_key, "without a valid key attribute 'id'"),
        broken(inverses.another_key, "changed the item's key"),
        broken(inverses.a_float, "attribute 'price' holds a float"),
    ],
    laws.INPUT: [
        broken(inverses.adds_to_its_item, "changed what it was given"),
        broken(inverses.adds_to_what_was_before, "changed what it was given"),
    ],
    laws.AGAIN: [broken(inverses.counts_its_calls, "second call")],
    laws.ELSEWHERE: [broken(inverses.hashes_a_text, "second process")],
    laws.LEGAL: [
        broken(inverses.a_name_that_is_empty, "without a name"),
        broken(inverses.half_a_surrogate, "surrogate"),
    ],
    FIRST: [
        broken(inverses.keeps_what_was_removed, r"differs from item in \S+: added"),
        broken(inverses.keeps_the_older_value, r"differs from item in \S+: (value|\w+ -> \w+)"),
        broken(inverses.hides_what_is_new, "The transform drops what it returned"),
    ],
    SECOND: [
        broken(inverses.deletes_what_is_dropped, r"internal: removed\. Write it as inverse\(item, before\)"),
        broken(inverses.deletes_what_is_dropped_before, "internal: removed. Take from before what"),
        broken(inverses.numbers_as_text, r"N -> S", SAME),
        broken(inverses.booleans_as_numbers, r"BOOL -> N", SAME),
        broken(inverses.empty_is_absent, r"\S+: removed", SAME),
    ],
    laws.EXAMINED: [broken(inverses.same, "the transform dropped each", SAME, transform=inverses.nothing)],
}
EACH_BROKEN = [pytest.param(law, *one.values, id=one.id) for law, some in BROKEN.items() for one in some]


def failure(function, options, **more) -> AssertionError:
    with pytest.raises(AssertionError) as caught:
        assert_inverse(inverse=function, **{**options, **more})
    return caught.value


def pasted(message: str) -> dict[str, Any]:
    """What a user gets by pasting the end of a message into a test."""
    _, found, program = message.partition("from decimal import Decimal\n")
    assert found, message
    names: dict[str, Any] = {}
    exec("from decimal import Decimal\n" + program, names)
    return {name: names[name] for name in ("examples", "changes") if name in names}


@pytest.mark.parametrize(("law", "function", "said", "options"), EACH_BROKEN)
def test_each_broken_law_is_named_with_an_example_that_reproduces_it(law, function, said, options):
    message = str(failure(function, options))

    assert message.startswith(f"tests.ddbverify.broken_inverses:{function.__name__} breaks a law of inverses")
    assert message.splitlines()[0].endswith(f": {law}.")
    assert re.search(said, message)
    if law == laws.EXAMINED:
        return
    found = pasted(message)
    items = [*found.get("examples", ()), *(one for pair in found.get("changes", ()) for one in pair if one)]
    assert sum(map(item_size, items)) < 250

    again = str(failure(function, options, **found, max_examples=1))
    assert again.splitlines()[0] == message.splitlines()[0]
    if law != laws.ELSEWHERE:
        assert pasted(again) == found


GUARDS = {
    laws.INPUT: lambda patch: patch.setattr(laws, "_is_kept", lambda *_: True),
    laws.LEGAL: lambda patch: patch.setattr(laws, "refusals", lambda *_: ()),
    FIRST: lambda patch: patch.setattr(laws.Laws, "_reached", lambda *_: None),
    SECOND: lambda patch: patch.setattr(laws.Laws, "_given_back", lambda *_: None),
    laws.ELSEWHERE: lambda patch: patch.setattr(trial, "elsewhere", lambda *_: None),
    laws.EXAMINED: lambda patch: patch.setattr(trial, "nothing_examined", lambda *_: iter(())),
}


@pytest.mark.full
@pytest.mark.parametrize("law", GUARDS)
def test_each_guard_is_needed(law, monkeypatch):
    """Without it, an inverse that breaks only that law passes: no other guard sees it."""
    GUARDS[law](monkeypatch)
    for one in BROKEN[law]:
        function, _, options = one.values
        if law in (laws.LEGAL, SECOND) and function not in ALONE:
            continue
        assert_inverse(inverse=function, **options)


ALONE = {inverses.deletes_what_is_dropped, inverses.deletes_what_is_dropped_before, inverses.half_a_surrogate}
"""They break one law; the others of these two kinds change what another one looks at, too."""


@pytest.mark.parametrize(
    ("function", "pair"),
    [
        (inverses.wider, NARROWER),
        (inverses.wider_by_default, NARROWER),
        ("tests.ddbverify.broken_inverses:wider", NARROWER),
        (inverses.same, SAME),
        (inverses.with_zeros_at_the_end, SAME),
        (inverses.adds_to_its_item, NARROWER | {"may_change_input": True}),
    ],
    ids=lambda one: getattr(one, "__name__", "") if callable(one) else one if isinstance(one, str) else "",
)
def test_an_inverse_that_holds_passes(function, pair):
    assert_inverse(inverse=function, **pair)


def test_of_numbers_the_value_counts_and_not_their_digits():
    assert_inverse(
        inverse=inverses.with_zeros_at_the_end,
        **SAME,
        examples=[{"id": "1", "n": Decimal(1)}],
        max_examples=1,
    )


def test_the_first_law_alone_is_kept_by_an_inverse_that_deletes_what_the_transform_drops(monkeypatch):
    assert SECOND in str(failure(inverses.deletes_what_is_dropped, NARROWER))

    monkeypatch.setattr(laws.Laws, "_given_back", lambda *_: None)
    assert_inverse(inverse=inverses.deletes_what_is_dropped, **NARROWER)


# --- real items


@pytest.mark.parametrize("argument", ["like", "target_like"])
def test_a_law_that_is_broken_on_the_thousandth_item_is_found_and_its_values_are_not_shown(argument):
    key = "id" if argument == "like" else "pk"
    items = [{key: str(number), "secret": "harmless"} for number in range(1_000)]
    items[-1]["secret"] = SECRET
    options = NARROWER | {argument: items, "attributes": {"internal": texts()}, "max_examples": 1}

    error = failure(inverses.fails_on_one_item, options)
    assert f"{argument}[999]" in str(error)
    assert "secret: value" in str(error)
    assert "secret (S)" in str(error)
    assert "reveal=True" in str(error)
    assert SECRET not in repr(error)
    assert error.__cause__ is None

    assert SECRET in str(failure(inverses.fails_on_one_item, options, reveal=True))


def test_what_the_transform_never_makes_is_tried_where_it_is_described():
    """Of those only the user knows which the application may write."""
    options = SAME | {"transform": "tests.ddbverify.broken_inverses:without_a_total"}

    assert_inverse(inverse="tests.ddbverify.broken_inverses:without_a_total", **options)
    described = {"total": st.just(Decimal(1))}
    message = str(
        failure("tests.ddbverify.broken_inverses:without_a_total", options, target_attributes=described)
    )
    assert FIRST in message
    assert "total: removed" in message


@pytest.fixture
def examples_folder(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "examples")


INFO = st.fixed_dictionaries(
    {},
    optional={
        "rating": st.integers(0, 1_000).map(lambda number: Decimal(number) / 100),
        "running_time_secs": st.integers(0, 10_000).map(Decimal),
        "genres": st.lists(st.sampled_from(["Short", "Drama"])),
        "plot": texts(),
    },
)


@pytest.mark.usefixtures("examples_folder")
def test_the_inverse_of_the_films_holds():
    read = json.loads(gzip.decompress(films().read_bytes()), parse_float=Decimal)

    for like in ([], read[:: len(read) // 60]):
        assert_inverse(
            "film_transforms:by_release",
            "film_transforms:from_release",
            source_keys={"year": "N", "title": "S"},
            target_keys={"released": "N", "title": "S"},
            attributes={"info": INFO},
            like=like,
        )


# --- arguments


@pytest.mark.parametrize(
    "function",
    [inverses.takes_a_rate, inverses.takes_three, inverses.takes_all, inverses.needs_a_keyword],
    ids=lambda one: one.__name__,
)
def test_a_function_of_other_arguments_is_refused(function):
    with pytest.raises(ConfigurationError, match="neither one item nor an item and what the source held"):
        assert_inverse(inverse=function, **SAME)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target_keys": {"id": "N"}}, "one with rekeys = true has no inverse"),
        ({"max_examples": 0}, "nothing would be tried"),
        ({"changes": [({"id": "1"}, {"id": "2"})]}, r"changes\[0\]: its two items have different keys"),
        ({"changes": [({"id": "1"}, {"no": "2"})]}, r"changes\[0\].* is no item of that table"),
        ({"inverse": "tests.ddbverify.broken_inverses:absent"}, "The inverse .*has no function absent"),
    ],
)
def test_what_does_not_fit_is_refused(options, said):
    with pytest.raises(ConfigurationError, match=said):
        assert_inverse(**{"inverse": inverses.same, **SAME, **options})


def test_a_transform_that_breaks_its_own_contract_is_named():
    message = str(failure(inverses.same, SAME | {"transform": inverses.a_number_of_a_text}))

    assert message.startswith(
        "tests.ddbverify.broken_inverses:a_number_of_a_text breaks an invariant of transforms"
    )
