"""Where items differ: exact paths, kinds of difference, and no value ever."""

from __future__ import annotations

import pytest
from deepdiff import DeepDiff
from hypothesis import given

from ddbverify.items.differences import PATHS_SHOWN, differences
from ddbverify.items.form import Form
from ddbverify.items.paths import show_path
from tests.ddbverify.items.test_form import items

ITEM = {
    "id": {"S": "secret-key"},
    "info": {"M": {"rating": {"N": "8.1"}, "directors": {"SS": ["secret-a", "secret-b"]}}},
    "list": {"L": [{"N": "1"}, {"M": {"c": {"B": "AQID"}}}]},
    "flag": {"BOOL": True},
}


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"flag": {"BOOL": False}}, ("flag: value",)),
        ({"flag": {"N": "1"}}, ("flag: BOOL -> N",)),
        ({"flag": {"NULL": True}}, ("flag: BOOL -> NULL",)),
        ({"new": {"S": "secret"}}, ("new: added",)),
        ({"flag": None}, ("flag: removed",)),
        (
            {"info": {"M": {"rating": {"S": "8.1"}, "directors": {"SS": ["secret-a", "secret-c"]}}}},
            ("info.directors: value", "info.rating: N -> S"),
        ),
        ({"info": {"M": {}}}, ("info.directors: removed", "info.rating: removed")),
        ({"info": {"S": "secret"}}, ("info: M -> S",)),
        (
            {"info": {"M": {"rating": {"N": "8.10"}, "directors": {"NS": ["1", "2"]}}}},
            ("info.directors: SS -> NS",),
        ),
        ({"list": {"L": [{"N": "1"}, {"M": {"c": {"B": "AQIE"}}}]}}, ("list[1].c: value",)),
        ({"list": {"L": [{"N": "1"}]}}, ("list[1]: removed",)),
        ({"list": {"L": [{"S": "1"}, {"M": {"c": {"B": "AQID"}}}]}}, ("list[0]: N -> S",)),
        ({"list": {"SS": ["1", "2"]}}, ("list: L -> SS",)),
        ({"__private": {"S": "secret"}}, ("__private: added",)),
        ({"a.b": {"S": "secret"}}, (r"a\.b: added",)),
    ],
)
def test_paths_and_kinds(change, paths):
    other = {name: value for name, value in {**ITEM, **change}.items() if value is not None}
    shown = differences(ITEM, other, Form())
    assert tuple(sorted(set(shown))) == paths


@given(items, items)
def test_two_items_that_differ_have_a_path_and_two_that_do_not_have_none_but_the_fallback(one, other):
    form = Form()
    shown = differences(one, other, form)
    assert shown
    assert (shown == ("(somewhere)",)) == form.same(one, other)


@given(items, items)
def test_deepdiff_finds_the_same_paths(one, other):
    """Another implementation of the same walk, over both items with each value as its canonical form."""
    exact = Form()

    def outline(value):
        ((kind, content),) = value.items()
        if kind == "M":
            return {name: outline(element) for name, element in content.items()}
        if kind == "L":
            return [outline(element) for element in content]
        return exact.canonical({"": value}).hex()

    found = DeepDiff(
        {name: outline(value) for name, value in one.items()},
        {name: outline(value) for name, value in other.items()},
        view="tree",
        zip_ordered_iterables=True,
        threshold_to_diff_deeper=0,
        ignore_private_variables=False,
    )
    expected = {
        show_path(tuple(node.path(output_format="list"))) for nodes in found.values() for node in nodes
    }
    shown = {line.rpartition(": ")[0] for line in differences(one, other, exact)} - {""}

    assert shown == expected or len(expected) > PATHS_SHOWN


def test_ignored_paths_do_not_appear():
    form = Form.of(["flag", "list[1].c"])
    other = {
        **ITEM,
        "flag": {"N": "1"},
        "list": {"L": [{"N": "2"}, {"M": {}}]},
        "aws:rep:updatetime": {"N": "1"},
    }
    assert differences(ITEM, other, form) == ("list[0]: value",)


def test_no_value_appears():
    other = {**ITEM, "id": {"S": "secret-other"}, "info": {"M": {"directors": {"SS": ["secret-z"]}}}}
    assert "secret" not in " ".join(differences(ITEM, other, Form()))


def test_many_differences_are_counted_not_listed():
    one = {f"a{number:03}": {"N": "1"} for number in range(200)}
    other = {name: {"N": "2"} for name in one}
    shown = differences(one, other, Form())
    assert len(shown) == PATHS_SHOWN + 1
    assert shown[-1] == f"(and {200 - PATHS_SHOWN} more)"


def test_a_huge_item_is_compared_attribute_by_attribute():
    one = {"l": {"L": [{"N": str(n)} for n in range(20_000)]}, "a": {"S": "x"}, "gone": {"S": "x"}}
    other = {"l": {"L": [{"N": "0"}, *one["l"]["L"][1:-1], {"S": "x"}]}, "a": {"N": "1"}, "new": {"S": "x"}}
    assert differences(one, other, Form()) == ("a: S -> N", "gone: removed", "l: value", "new: added")


def test_an_unknown_type_is_said_to_be_one():
    assert differences({"a": {"X": "secret"}}, {"a": {"S": ""}}, Form()) == ("(a type that is not known)",)
