"""A transform is loaded strictly, its results are held to the contract, its package is bound by digest."""

from __future__ import annotations

import copy
import functools
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.errors import ConfigurationError, TransformError
from ddbverify.items.transform import (
    Transform,
    canonical_key,
    key_hash,
    load_function,
)

KEYS = {"id": "S"}
SECRET = "SENTINEL-7f1b"
ITEM = {"id": {"S": "7"}, "secret": {"S": SECRET}}


def made(function, *, source=KEYS, target=KEYS, rekeys=False):
    return Transform("shop:made", function, source, target, rekeys)


def test_without_a_function_it_is_the_identity():
    assert Transform("", None, KEYS, KEYS)(ITEM) == [ITEM]


def test_none_means_not_in_the_target():
    assert made(lambda _: None)(ITEM) == []


def test_a_key_may_be_renamed():
    renamed = made(lambda item: {"key": item["id"]}, target={"key": "S"})

    assert renamed(ITEM) == [{"key": {"S": "7"}}]
    assert renamed.target_key_of({"id": {"S": "7"}}) == {"key": {"S": "7"}}


def counted():
    count = itertools.count()
    return lambda item: {**item, "n": next(count)}


def shared():
    seen = []

    def function(item):
        seen.append("x")
        return {**item, "seen": seen}  # the same list each time: the first result changes, too

    return function


def now_and_then():
    count = itertools.count()
    return lambda item: item if next(count) % 2 else None


@pytest.mark.parametrize("make", [counted, shared, now_and_then])
def test_a_result_that_does_not_come_twice_is_none(make):
    with pytest.raises(TransformError, match="gave two results for one item") as caught:
        made(make())(ITEM, twice=True)
    assert SECRET not in str(caught.value)


def test_a_function_that_spoils_what_it_is_given_spoils_its_own_copy():
    def function(item):
        item["tags"].clear()
        item["map"]["a"].append(1)
        del item["secret"]
        return {"id": item["id"], "a": item["map"]["a"]}

    item = {**ITEM, "tags": {"SS": ["a"]}, "map": {"M": {"a": {"L": [{"NULL": True}]}}}}
    before = copy.deepcopy(item)
    assert made(function)(item, twice=True) == [{"id": {"S": "7"}, "a": {"L": [{"NULL": True}, {"N": "1"}]}}]
    assert item == before


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda item: 1 / 0, "raised ZeroDivisionError"),
        (lambda item: item["absent"], "raised KeyError"),
        (lambda item: [item], "returned a list"),
        (lambda item: item["secret"], "returned a str"),
        (
            lambda item: {**item, "price": 0.1},
            "returned an item whose attribute 'price' holds a float, which",
        ),
        (lambda item: {"secret": item["secret"]}, "without a valid key attribute 'id'"),
        (lambda item: {**item, "id": 7}, "without a valid key attribute 'id'"),
        (lambda item: {**item, "id": ""}, "without a valid key attribute 'id'"),
        (lambda item: {**item, "id": item["secret"]}, "changed the item's key"),
    ],
)
def test_what_breaks_the_contract_is_refused_without_showing_a_value(function, said):
    with pytest.raises(TransformError, match=said) as caught:
        made(function)(ITEM)

    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def stops(item):
    raise SystemExit(item["secret"])


def holds_itself(item):
    item["list"] = []
    item["list"].append(item["list"])
    return item


class Lazy(dict):
    """Loads what is in it when it is looked at."""

    def items(self):
        raise LookupError(self["secret"])


class LazyList(list):
    def __iter__(self):
        raise SystemExit(self[0]["secret"])


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (stops, "raised SystemExit"),
        (holds_itself, "nested without end"),
        (
            lambda item: {**item, "list": functools.reduce(lambda one, _: [one], range(3000), [])},
            "without end",
        ),
        (Lazy, "cannot be read: LookupError"),
        (lambda item: {**item, "map": Lazy(item)}, "cannot be read: LookupError"),
        (lambda item: LazyList([item]), "cannot be read: SystemExit"),
    ],
)
def test_what_cannot_be_read_is_refused_like_any_result(function, said):
    with pytest.raises(TransformError, match=said) as caught:
        made(function, rekeys=True)(ITEM)

    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_rekeying_transform_may_change_keys_and_return_many():
    split = made(lambda item: [{**item, "id": "a"}, {**item, "id": "b"}], rekeys=True)

    assert [one["id"] for one in split(ITEM)] == [{"S": "a"}, {"S": "b"}]
    with pytest.raises(TransformError, match="two items with one target key"):
        made(lambda item: [item, item], rekeys=True)(ITEM)
    with pytest.raises(ValueError, match="re-keying"):
        split.target_key_of({"id": {"S": "7"}})


def test_the_function_gets_an_item_of_its_own():
    def meddling(item):
        item["id"] = "other"
        item.clear()

    made(meddling)(ITEM)

    assert ITEM["id"] == {"S": "7"}


@given(st.decimals(allow_nan=False, allow_infinity=False, places=5, min_value=-(10**9), max_value=10**9))
def test_a_number_has_one_key_whatever_its_spelling(number):
    spelled = (str(number), f"{number:f}", f"{number:E}", f"{number:f}000" if "." in f"{number:f}" else None)

    assert len({canonical_key({"n": {"N": one}}, {"n": "N"}) for one in spelled if one}) == 1


@given(st.lists(st.text(min_size=1), min_size=4, max_size=4))
def test_two_keys_never_share_a_canonical_form(parts):
    schema = {"a": "S", "b": "S"}
    first = {"a": {"S": parts[0]}, "b": {"S": parts[1]}}
    second = {"a": {"S": parts[2]}, "b": {"S": parts[3]}}

    assert (canonical_key(first, schema) == canonical_key(second, schema)) == (first == second)
    assert (key_hash(first, schema) == key_hash(second, schema)) == (first == second)


def test_numbers_of_38_digits_keep_their_last_one():
    ones = {f"{'1' * 37}{digit}" for digit in range(10)}

    assert len({canonical_key({"n": {"N": one}}, {"n": "N"}) for one in ones}) == 10


@pytest.fixture
def package(tmp_path, monkeypatch, request):
    """A package of its own name per test, since imports are remembered."""
    name = "shop_" + request.node.name.replace("[", "_").replace("]", "_").replace("-", "_")
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / name / "moves.py").write_text("def orders(item):\n    return item\n\nnot_callable = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / name


def test_a_name_that_does_not_load_is_never_the_identity(package):
    assert load_function(f"{package.name}.moves:orders")({"a": 1}) == {"a": 1}
    for name in ("no_such_module:f", f"{package.name}.moves:ordres", f"{package.name}.moves:not_callable"):
        with pytest.raises(ConfigurationError, match="does not load"):
            load_function(name)


@pytest.mark.parametrize("error", ["RuntimeError", "SystemExit"])  # of a program that calls its `main()`
def test_an_import_that_raises_is_a_configuration_error(package, error):
    (package / "broken.py").write_text(f"raise {error}('no')\n")

    with pytest.raises(ConfigurationError, match=error):
        load_function(f"{package.name}.broken:f")
