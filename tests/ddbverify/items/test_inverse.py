"""An inverse is called as it takes its arguments, and what it returns is held to the contract."""

from __future__ import annotations

import pytest

from ddbverify.errors import ConfigurationError, TransformError
from ddbverify.items.inverse import Inverse, takes_before

SECRET = "SENTINEL-7f1b"
NUMBERS = {"n": "N"}, {"number": "N"}


def inverse(function, schemas=({"id": "S"}, {"pk": "S"})) -> Inverse:
    return Inverse.of("rules:back", function, *schemas)


def test_before_is_given_to_whoever_takes_it():
    item, before = {"pk": {"S": "1"}, "a": {"N": "2"}}, {"id": {"S": "1"}, "kept": {"BOOL": True}}

    def with_before(item, before):
        return {"id": item["pk"], "a": item["a"], "kept": None if before is None else before["kept"]}

    assert inverse(with_before)(item, before) == {"id": {"S": "1"}, "a": {"N": "2"}, "kept": {"BOOL": True}}
    assert inverse(with_before)(item, None)["kept"] == {"NULL": True}
    assert inverse(lambda item: {"id": item["pk"]})(item, before) == {"id": {"S": "1"}}


def test_neither_item_is_changed():
    def changes(item, before):
        item["l"].append(1)
        before.clear()
        return {"id": item["pk"]}

    item, before = {"pk": {"S": "1"}, "l": {"L": []}}, {"id": {"S": "1"}}
    inverse(changes)(item, before)
    assert (item, before) == ({"pk": {"S": "1"}, "l": {"L": []}}, {"id": {"S": "1"}})


def test_a_key_may_be_spelt_otherwise():
    assert inverse(lambda item: {"n": item["number"] + 0}, NUMBERS)({"number": {"N": "1.0"}}, None)


class Unreadable(dict):
    def items(self):
        raise LookupError(SECRET)


def raises(item):
    raise LookupError(SECRET)


def ends(item):
    raise SystemExit(SECRET)


def endless(item):
    made = {"id": item["pk"]}
    return made | {"self": made.setdefault("self", made)}


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (raises, "raised LookupError"),
        (ends, "raised SystemExit"),
        (lambda item: None, "returned a NoneType"),
        (lambda item: [{"id": item["pk"]}], "returned a list"),
        (lambda item: {}, "without a valid key attribute 'id'"),
        (lambda item: {"id": item["pk"] + SECRET}, "changed the item's key"),
        (lambda item: {"id": item["pk"], "a": {1.5}}, "attribute 'a' holds a float"),
        (endless, "nested without end"),
        (lambda item: Unreadable(id=item["pk"]), "cannot be read: LookupError"),
    ],
)
def test_what_is_no_item_of_the_source_is_refused_without_a_value(function, said):
    with pytest.raises(TransformError, match=f"^The inverse rules:back .*{said}") as caught:
        inverse(function)({"pk": {"S": "1"}}, None)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda item: item, False),
        (lambda item, before: item, True),
        (lambda item, before=None: item, True),
        (lambda item, *, rate=1: item, False),
        (lambda item, **more: item, False),
        (lambda item, rate: item, None),
        (lambda item, rate=1: item, None),
        (lambda item, *, rate: item, None),
        (lambda item, before, more: item, None),
        (lambda *items: items, None),
        (lambda: None, None),
        (dict.fromkeys, None),
    ],
)
def test_a_second_argument_is_what_was_before_and_nothing_else(function, expected):
    if expected is not None:
        assert takes_before("rules:back", function) is expected
        return
    with pytest.raises(ConfigurationError, match="write it as inverse"):
        takes_before("rules:back", function)


def test_one_that_does_not_load_is_no_inverse():
    with pytest.raises(ConfigurationError, match="The inverse rules_of_nobody:back does not load"):
        Inverse.load("rules_of_nobody:back", {"id": "S"}, {"id": "S"})
