"""Equality by meaning: every spelling of one item is equal, every planted change is not."""

from __future__ import annotations

import base64
import copy
from decimal import Decimal, InvalidOperation

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ddbverify.items.form import Form, UnknownValue
from ddbverify.items.keys import join_key

numbers = st.builds(
    lambda digits, exponent: str(Decimal(digits).scaleb(exponent)),
    st.integers(min_value=-(10**37), max_value=10**37),
    st.integers(min_value=-80, max_value=80),
)
texts = st.text(max_size=8)
binaries = st.binary(max_size=8).map(lambda raw: base64.b64encode(raw).decode())


def distinct(kind, values):
    unique = {"SS": None, "NS": Decimal, "BS": None}[kind]
    return st.lists(values, min_size=1, max_size=4, unique_by=unique or (lambda value: value)).map(
        lambda members: {kind: members}
    )


scalars = st.one_of(
    texts.map(lambda value: {"S": value}),
    numbers.map(lambda value: {"N": value}),
    binaries.map(lambda value: {"B": value}),
    st.booleans().map(lambda value: {"BOOL": value}),
    st.just({"NULL": True}),
    distinct("SS", texts),
    distinct("NS", numbers),
    distinct("BS", binaries),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda elements: {"L": elements}),
        st.dictionaries(texts, inner, max_size=3).map(lambda content: {"M": content}),
    ),
    max_leaves=8,
)
items = st.dictionaries(st.text(min_size=1, max_size=6), values, max_size=5).map(
    lambda item: {name: value for name, value in item.items() if not name.startswith("aws:rep:")}
)


def respelt(draw, value):
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return {"N": respelt_number(draw, content)}
        case "SS" | "BS":
            return {kind: draw(st.permutations(content))}
        case "NS":
            return {kind: [respelt_number(draw, one) for one in draw(st.permutations(content))]}
        case "L":
            return {"L": [respelt(draw, element) for element in content]}
        case "M":
            return {"M": respelt_map(draw, content)}
    return copy.deepcopy(value)


def respelt_map(draw, content):
    names = draw(st.permutations(list(content)))
    return {name: respelt(draw, content[name]) for name in names}


def respelt_number(draw, text):
    number = Decimal(text)
    if not number:
        return draw(st.sampled_from(["0", "-0", "0.00", "0E+5"]))
    zeros = draw(st.integers(min_value=0, max_value=3))
    sign, digits, exponent = number.as_tuple()
    longer = Decimal((sign, (*digits, *(0,) * zeros), exponent - zeros))
    return str(longer) if draw(st.booleans()) else format(longer, "E")


@given(st.data(), items)
def test_every_spelling_of_an_item_is_the_same_item(data, item):
    other = respelt_map(data.draw, item)
    form = Form()
    assert form.same(item, other)
    assert form.digest(item) == form.digest(other)


@given(st.from_regex(r"-?0{0,2}[0-9]{0,3}\.?[0-9]{0,3}0{0,2}", fullmatch=True), st.data())
def test_two_numbers_are_one_exactly_where_their_values_are(text, data):
    other = data.draw(
        st.from_regex(r"-?0?[0-9]{1,3}(\.[0-9]{1,3})?(E-?[0-9])?", fullmatch=True) | st.just(text)
    )
    form = Form()
    try:
        value = Decimal(text)
    except InvalidOperation:
        with pytest.raises(UnknownValue):
            form.digest({"n": {"N": text}})
    else:
        assert form.same({"n": {"N": text}}, {"n": {"N": other}}) is (value == Decimal(other))


@pytest.mark.parametrize("text", ["1.2.3", ".", "", "1_000", " 1", "\u0663", "1.\u0663", "0x1", "NaN"])
def test_what_is_no_number_is_no_value(text):
    with pytest.raises(UnknownValue):
        Form().digest({"n": {"N": text}})


def mutations(value):  # noqa: C901 - one case per type
    """Every item that differs from *value* in one place, and only there."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            yield {"S": content + "x"}
            yield {"B": base64.b64encode(content.encode("utf-8", "surrogatepass")).decode()}
        case "N":
            sign, digits, exponent = Decimal(content).as_tuple()
            yield {"N": str(Decimal((sign, (*digits[:-1], (digits[-1] + 1) % 10), exponent)))}
            yield {"S": content}
        case "B":
            raw = base64.b64decode(content)
            yield {"B": base64.b64encode(raw + b"\0").decode()}
            yield {"S": content}
        case "BOOL":
            yield {"BOOL": not content}
            yield {"NULL": True}
        case "NULL":
            yield {"S": ""}
            yield {"M": {}}
        case "SS" | "NS" | "BS":
            yield {kind: content[1:]} if len(content) > 1 else {"L": []}
            yield {"L": [{kind[0]: member} for member in content]}
        case "L":
            yield {"L": [*content, {"NULL": True}]}
            for index, element in enumerate(content):
                for mutated in mutations(element):
                    yield {"L": [*content[:index], mutated, *content[index + 1 :]]}
        case "M":
            yield {"M": {**content, "another": {"NULL": True}}}
            for name, element in content.items():
                yield {"M": {other: one for other, one in content.items() if other != name}}
                for mutated in mutations(element):
                    yield {"M": {**content, name: mutated}}


@given(items)
def test_every_planted_change_is_seen(item):
    form = Form()
    assume("another" not in item)
    for mutated in mutations({"M": item}):
        if "M" in mutated:
            assert not form.same(item, mutated["M"])
            assert form.digest(item) != form.digest(mutated["M"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"NULL": True}, {"S": ""}),
        ({"NULL": True}, {"M": {}}),
        ({"L": []}, {"M": {}}),
        ({"S": ""}, {"B": ""}),
        ({"L": [{"S": "a"}, {"S": "b"}]}, {"L": [{"S": "b"}, {"S": "a"}]}),
        ({"L": [{"S": "a"}, {"S": "b"}]}, {"SS": ["a", "b"]}),
        ({"SS": ["1"]}, {"NS": ["1"]}),
        ({"N": "1"}, {"S": "1"}),
        ({"N": "1"}, {"N": "-1"}),
        ({"BOOL": False}, {"N": "0"}),
        ({"M": {"a": {"S": ""}}}, {"M": {}}),
        ({"L": [{"S": "ab"}]}, {"L": [{"S": "a"}, {"S": "b"}]}),
    ],
)
def test_what_looks_alike_and_is_not(one, other):
    assert not Form().same({"a": one}, {"a": other})


def test_an_absent_attribute_is_neither_null_nor_empty():
    assert not Form().same({}, {"a": {"NULL": True}})
    assert not Form().same({}, {"a": {"S": ""}})


def test_regression_11_sets_are_compared_without_order():
    one = {"s": {"SS": ["b", "a"]}, "n": {"NS": ["10", "9", "1.0"]}}
    other = {"n": {"NS": ["1", "9", "1e1"]}, "s": {"SS": ["a", "b"]}}
    assert Form().same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("123456789.01", "123456790.99"),
        ("0.1", "0.10000000000000000000000000000000000001"),
        ("1" * 38, "1" * 37 + "2"),
        ("1E-130", "2E-130"),
    ],
)
def test_regression_15_every_digit_counts(one, other):
    assert not Form().same({"n": {"N": one}}, {"n": {"N": other}})
    schema = {"n": "N"}
    assert join_key({"n": {"N": one}}, schema) != join_key({"n": {"N": other}}, schema)


def test_regression_15_digests_of_different_items_differ():
    form = Form()
    digests = {form.digest({"n": {"N": str(number)}}) for number in range(1_000)}
    assert len(digests) == 1_000
    assert {len(digest) for digest in digests} == {16}


def test_digests_of_another_run_are_others():
    assert Form().digest({}) != Form().digest({})


def test_attributes_of_legacy_global_tables_do_not_count():
    form = Form()
    assert form.same({"a": {"S": "x"}}, {"a": {"S": "x"}, "aws:rep:updatetime": {"N": "1"}})
    assert not form.same({}, {"m": {"M": {"aws:rep:inside": {"N": "1"}}}})


@pytest.mark.parametrize(
    ("ignore", "one", "other", "same"),
    [
        ("a", {"a": {"S": "1"}}, {}, True),
        ("a", {"a": {"S": "1"}, "b": {"S": "1"}}, {"b": {"S": "2"}}, False),
        ("a.b", {"a": {"M": {"b": {"S": "1"}}}}, {"a": {"M": {}}}, True),
        ("a.b", {"a": {"M": {"b": {"S": "1"}}}}, {}, False),
        ("a.b", {"a": {"S": "1"}}, {"a": {"S": "2"}}, False),
        ("l[0].c", {"l": {"L": [{"M": {"c": {"N": "1"}}}]}}, {"l": {"L": [{"M": {}}]}}, True),
        ("l[1]", {"l": {"L": [{"N": "1"}, {"N": "2"}]}}, {"l": {"L": [{"N": "1"}, {"N": "3"}]}}, True),
        ("l[0]", {"l": {"L": [{"N": "1"}, {"N": "2"}]}}, {"l": {"L": [{"N": "2"}, {"N": "1"}]}}, False),
        ("l[0]", {"l": {"L": [{"N": "1"}]}}, {"l": {"L": []}}, True),
        ("l[0]", {"l": {"L": [{"N": "1"}, {"N": "2"}]}}, {"l": {"L": [{"N": "2"}]}}, False),
        (r"a\.b", {"a.b": {"S": "1"}}, {}, True),
    ],
)
def test_ignored_paths(ignore, one, other, same):
    assert Form.of([ignore]).same(one, other) is same


@pytest.mark.parametrize(
    "value",
    [
        {"X": "1"},
        {},
        {"S": "a", "N": "1"},
        {"N": "NaN"},
        {"N": "1 "},
        {"N": "\u0661"},
        {"N": 1},
        {"S": 1},
        {"B": "?"},
        {"BOOL": "true"},
        {"NULL": False},
        {"SS": []},
        {"SS": "ab"},
        {"L": {}},
        {"M": []},
        {"L": ["a"]},
        {"N": "1E" + "9" * 20},
    ],
)
def test_an_unknown_value_is_never_equal(value):
    with pytest.raises(UnknownValue) as caught:
        Form().same({"a": value}, {"a": value})
    assert "NaN" not in str(caught.value)
