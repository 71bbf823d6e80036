"""
Hypothesis strategies for DynamoDB items, as a transform gets them. Public through `ddbverify.testing`.

Values are Python's own (``Decimal``, ``bytes``, ``set``, ``None``; never ``float``), in the
spelling in which DynamoDB gives them back: 1E+3 was stored as 1000.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from ddbverify.errors import ConfigurationError
from ddbverify.items.limits import MAX_CONTAINERS, MAX_ITEM_BYTES, MAX_KEY_BYTES, item_size, refusals
from ddbverify.items.values import ValueNotAllowed, item_from_typed, item_to_typed, to_typed
from ddbverify.names import KeySchema
from ddbverify.testing.neighbours import as_stored, as_stored_number, longer, near, two_readings

Item = dict[str, Any]


_EXTREMES: Final = tuple(
    map(Decimal, ("1E-130", "-1E-130", f"{'9' * 38}E+88", f"-{'9' * 38}E+88", f"0.{'1' * 38}", "1E+125"))
)


# Not `st.text()`: Hypothesis offers it the texts of the code under test, and an attribute that
# the transform knows, with a type that it never has, says little about the transform.
_NAMES: Final = (
    *("a", "b", "A", "0", "a.b", "a[0]", "with space", "quote'", 'double"', "back\\slash", "a/b", "\t", "\0"),
    *("ünï", "u\u0308ni", "日本", "\U0001f600", "\uffff", "#hash", ":colon", "__private__", "n" * 255),
)


_BLANK: Final = (" ", "  ", "\t", "\n", "\u3000")
"""Keys that a function may strip to nothing. Any text is blank too rarely for a search of some hundred."""


_WIDE = 60
"""A map of more names than this has data for names; they are drawn like data."""


def numbers() -> SearchStrategy[Decimal]:
    """Every number of DynamoDB: small ones, cents, 38 digits, 1E-130 to 9.99E+125."""
    whole = st.integers(-100, 100).map(Decimal)
    cents = st.integers(-(10**9), 10**9).map(lambda number: Decimal(number).scaleb(-2))
    digits = st.one_of(st.integers(10**37, 10**38 - 1), st.integers(1, 10**38 - 1))
    any_size = st.builds(_number, digits, st.integers(-130, 125), st.booleans())
    extremes = st.sampled_from(_EXTREMES)
    return st.one_of(whole, whole, cents, any_size, extremes).map(as_stored_number)


def texts() -> SearchStrategy[str]:
    """Any Unicode (no halves of surrogate pairs), the empty text included."""
    return st.text(max_size=20)


@lru_cache
def values() -> SearchStrategy[Any]:
    """Any value of an attribute: scalars, sets (never empty), lists and maps, nested up to the limit."""
    depth = st.one_of(st.integers(0, MAX_CONTAINERS), st.just(MAX_CONTAINERS))
    deep = st.builds(_nested, _values(0), depth, st.booleans())
    return _mostly(_values(2), deep)


def items(
    schema: KeySchema,
    *,
    indexes: Mapping[str, KeySchema] | None = None,
    like: Iterable[Mapping[str, Any]] = (),
    attributes: Mapping[str, SearchStrategy[Any]] | None = None,
    largest: int = MAX_ITEM_BYTES,
) -> SearchStrategy[Item]:
    """
    Items that DynamoDB takes into a table.

    Args:
        schema: Key attribute -> ``S``, ``N`` or ``B``, the hash key first.
        indexes: Index -> its key schema. Their attributes are absent, or of that type.
        like: Real items. What is drawn has their attributes, types and nesting, and values
            that are theirs or near them, **so it may show real data**. An attribute that each
            of them has is always there. Without it, attributes are any, under names of no meaning.
        attributes: Attribute -> what to draw it from, instead of the above.
        largest: Bytes of the largest item; rarely one is filled up to it.

    Raises:
        ConfigurationError: The schema is none, or an item of *like* does not fit the table.
    """
    known = checked_items("like", like, schema, indexes or {})
    return drawn(schema, indexes or {}, known, attributes or {}, largest, real=True)


def drawn(
    schema: KeySchema,
    indexes: Mapping[str, KeySchema],
    like: Sequence[Item],
    attributes: Mapping[str, SearchStrategy[Any]],
    largest: int,
    *,
    real: bool,
) -> SearchStrategy[Item]:
    """Like `items`; unless *real*, only names, types and nesting are taken from *like*, no value."""
    fixed: dict[str, SearchStrategy[Any]] = {}
    optional: dict[str, SearchStrategy[Any]] = {}
    for name, kind, longest in _index_attributes(schema, indexes):
        known = [item[name] for item in like if name in item]
        column = optional if len(known) < len(like) or not like else fixed
        column[name] = _key_value(kind, longest, known if real else [])
    for (name, kind), longest in zip(schema.items(), MAX_KEY_BYTES, strict=False):
        fixed[name] = _key_value(kind, longest, [item[name] for item in like] if real else [])
    taken = {*fixed, *optional, *attributes}
    fixed |= attributes
    optional = {name: one for name, one in optional.items() if name not in attributes}
    if like:
        others = _map_like(
            [{name: one for name, one in item.items() if name not in taken} for item in like], real
        )
    else:
        names = st.sampled_from([name for name in _NAMES if name not in taken])
        others = st.dictionaries(names, values(), max_size=4)
    core = st.fixed_dictionaries(fixed, optional=optional)
    return _filled(core, others, frozenset(taken), largest)


def edges(
    keys: Sequence[tuple[str, str, int]], of: SearchStrategy[Item], largest: int
) -> Iterator[SearchStrategy[Item]]:
    """
    Items at each edge of what a table takes, which a search of some hundred items can miss.

    Args:
        keys: Key attributes to take to their edges: name, type, and bytes at most.
        of: What the rest of each item is drawn from.
        largest: Bytes of the largest item.
    """
    for name, kind, longest in keys:
        for value in _edges_of_a_key(kind, longest):
            yield st.builds(lambda item, edge: item | edge, of, st.just({name: value}))
    yield of.map(lambda item: _padded(item, "padding", largest))


def _edges_of_a_key(kind: str, longest: int) -> Sequence[Any]:
    match kind:
        case "S":
            return (*_BLANK, "x" * longest, "\U0001f600" * (longest // 4))
        case "B":
            return (b"\0", b"\xff" * longest)
    return (Decimal(0), *map(as_stored_number, _EXTREMES))


@st.composite
def families(draw: DrawFn, schema: KeySchema, of: SearchStrategy[Item]) -> list[Item]:
    """
    Up to 12 items that have all but their keys in common; the keys differ by what is easily lost.

    Args:
        schema: Key schema of the table.
        of: What the first item is drawn from.
    """
    first = draw(of)
    if draw(st.booleans()):  # so that they differ behind the place where a function may cut them off
        first |= {name: longer(first[name]) for name in schema}
    made = [first]
    if len(schema) == 2 and draw(st.booleans()):
        two = draw(two_readings(tuple(schema.values())))
        made += [first | dict(zip(schema, pair, strict=True)) for pair in two]
    steps = st.tuples(st.sampled_from(list(schema)), st.integers(0, 20), st.integers(0, 20))
    for name, which, start in draw(st.lists(steps, min_size=1, max_size=5)):
        parent = made[start % len(made)]
        others = near(parent[name])
        made.append(parent | {name: others[which % len(others)]})
    by_key: dict[tuple[Any, ...], Item] = {}
    for item in made:
        if not any(refusals(item_to_typed(item), schema)):
            by_key.setdefault(tuple(item[name] for name in schema), item)
    return list(by_key.values())


def checked_items(
    argument: str,
    given: Iterable[Mapping[str, Any]],
    schema: KeySchema,
    indexes: Mapping[str, KeySchema],
) -> list[Item]:
    """
    Items of the user as DynamoDB gives them back, fresh: plain numbers, ``Decimal`` for ``int``.

    Args:
        argument: What they were given as, for the message.

    Raises:
        ConfigurationError: The key schema is none, or an item is none of that table.
    """
    check_schema("the key schema", schema)
    for name, index in indexes.items():
        check_schema(f"the key schema of the index {name}", index)
    checked = []
    for number, item in enumerate(given):
        try:
            typed = as_stored(item_to_typed(item))
        except ValueNotAllowed as error:
            raise ConfigurationError(
                f"{argument}[{number}] holds what an item cannot hold: {error}.",
                "give items as Python values: str, Decimal, bytes, set, list, dict, bool, None; "
                "of boto3's Binary, its .value.",
            ) from None
        for refusal in refusals(typed, schema, indexes.values()):
            raise ConfigurationError(
                f"{argument}[{number}] is no item of that table: {refusal}.",
                "give items of the source, as Python values; "
                "ddbverify.items.values.item_from_typed makes them of DynamoDB's typed form.",
            )
        checked.append(item_from_typed(typed))
    return checked


def check_schema(what: str, schema: KeySchema) -> None:
    """Refuse what is no key schema."""
    if not 1 <= len(schema) <= len(MAX_KEY_BYTES) or not {*schema.values()} <= {"S", "N", "B"}:
        raise ConfigurationError(
            f"{what[0].upper()}{what[1:]} is not one or two attributes of type S, N or B.",
            'write it like {"customer": "S", "number": "N"}, the hash key first.',
        )


def _mostly(usual: SearchStrategy[Any], rare: SearchStrategy[Any], one_in: int = 8) -> SearchStrategy[Any]:
    return st.sampled_from([*[usual] * (one_in - 1), rare]).flatmap(lambda chosen: chosen)


def _number(digits: int, highest: int, negative: bool) -> Decimal:
    text = str(digits)
    return Decimal((int(negative), tuple(map(int, text)), max(highest - len(text) + 1, -130)))


def _nested(value: Any, depth: int, maps: bool) -> Any:
    for _ in range(depth):
        value = {"n": value} if maps else [value]
    return value


@lru_cache
def _values(depth: int) -> SearchStrategy[Any]:
    leaves = st.one_of(*(_free(kind) for kind in ("S", "N", "BOOL", "NULL", "B", "SS", "NS", "BS")))
    if not depth:
        return leaves
    inner = _values(depth - 1)
    return st.one_of(
        leaves, st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_NAMES), inner, max_size=3)
    )


@lru_cache
def _free(kind: str) -> SearchStrategy[Any]:
    """Any value of a type that is no list and no map."""
    match kind:
        case "S":
            return texts()
        case "N":
            return numbers()
        case "B":
            return st.binary(max_size=20)
        case "BOOL":
            return st.booleans()
        case "NULL":
            return st.none()
    return st.sets(_free(kind[0]), min_size=1, max_size=4)


def _filled(
    core: SearchStrategy[Item], others: SearchStrategy[Item], taken: frozenset[str], largest: int
) -> SearchStrategy[Item]:
    def fill(item: Item, size: int, place: int) -> Item:
        texts_there = [
            name for name, value in item.items() if name not in taken and isinstance(value, str | bytes)
        ]
        names = [*texts_there, "padding"]
        return _padded(item, names[place % len(names)], size)

    plain = st.builds(lambda one, more: one | more, core, others)
    # Some bytes, too, and first: else what was found in the largest item could not be made smaller.
    size = st.one_of(st.integers(0, largest), st.sampled_from((min(64, largest), largest, largest, largest)))
    return _mostly(plain, st.builds(fill, plain, size, st.integers(0, 3)))


def _padded(item: Item, name: str, size: int) -> Item:
    """An item of *size* bytes by a longer text or binary under *name*; itself where that cannot be."""
    old = item.get(name, "")
    count = size - item_size(item) - (0 if name in item else len(name))
    if count <= 0 or not isinstance(old, str | bytes):
        return item
    return item | {name: old + "x" * count if isinstance(old, str) else old + b"x" * count}


def _index_attributes(schema: KeySchema, indexes: Mapping[str, KeySchema]) -> Iterable[tuple[str, str, int]]:
    """Each attribute of an index that is none of the table's key: its name, type, bytes at most."""
    found: dict[str, tuple[str, int]] = {}
    for index in indexes.values():
        for (name, kind), longest in zip(index.items(), MAX_KEY_BYTES, strict=False):
            if name not in schema:
                found[name] = kind, min(longest, found.get(name, (kind, longest))[1])
    return [(name, kind, longest) for name, (kind, longest) in found.items()]


def _key_value(kind: str, longest: int, known: Sequence[Any]) -> SearchStrategy[Any]:
    """A key attribute: not empty, rarely as long as it may be."""
    free: SearchStrategy[Any]
    full: SearchStrategy[Any]
    # One byte, too, and first: else a counter-example with such a key could not be made smaller.
    size = st.sampled_from((1, longest, longest, longest))
    match kind:
        case "N":
            free = numbers()
        case "S":
            fill = st.sampled_from(("x", "é", "\U0001f600"))
            full = st.builds(lambda one, size: one * max(1, size // len(one.encode())), fill, size)
            free = _mostly(st.text(min_size=1, max_size=20), st.sampled_from(_BLANK))
            free = _mostly(free, full, one_in=20)
        case _:
            full = size.map(lambda size: b"\xff" * size)
            free = _mostly(st.binary(min_size=1, max_size=20), full, one_in=20)
    if not known:
        return free
    fits = _fits(kind, longest)
    return st.one_of(st.sampled_from(known), _neighbours(known).filter(fits), free)


def _fits(kind: str, longest: int) -> Callable[[Any], bool]:
    return lambda value: (
        not any(refusals({"k": to_typed(value)}, {"k": kind}))
        and (kind == "N" or item_size({"k": value}) <= longest + 1)
    )


def _map_like(maps: Sequence[Mapping[str, Any]], real: bool) -> SearchStrategy[Item]:
    known: dict[str, list[Any]] = {}
    for one in maps:
        for name, value in one.items():
            known.setdefault(name, []).append(value)
    always = {name: _like(seen, real) for name, seen in known.items() if len(seen) == len(maps)}
    rest = {name: seen for name, seen in known.items() if name not in always}
    if len(rest) > _WIDE:
        every = [value for seen in rest.values() for value in seen]
        some = st.dictionaries(st.sampled_from(list(rest)), _like(every, real), max_size=8)
        return st.builds(lambda one, more: one | more, st.fixed_dictionaries(always), some)
    return st.fixed_dictionaries(always, optional={name: _like(seen, real) for name, seen in rest.items()})


def _like(known: Sequence[Any], real: bool) -> SearchStrategy[Any]:
    """A value of a type, and with a nesting, that one of the known has."""
    by_kind: dict[str, list[Any]] = {}
    for value in known:
        by_kind.setdefault(_kind(value), []).append(value)
    return st.one_of(*(_like_kind(kind, seen, real) for kind, seen in by_kind.items()))


def _like_kind(kind: str, known: Sequence[Any], real: bool) -> SearchStrategy[Any]:
    if kind == "M":
        return _map_like(known, real)
    if kind == "L":
        elements = [element for one in known for element in one]
        if not elements:
            return st.builds(list)
        return st.lists(_like(elements, real), max_size=min(8, max(map(len, known)) + 1))
    if not real:
        return _free(kind)
    if kind in {"SS", "NS", "BS"}:
        members = [member for one in known for member in one]
        return st.one_of(
            st.sampled_from(known).map(set),
            st.sets(_like_kind(kind[0], members, real), min_size=1, max_size=4),
        )
    return st.one_of(st.sampled_from(known), _neighbours(known), _free(kind))


def _neighbours(known: Sequence[Any]) -> SearchStrategy[Any]:
    def pick(value: Any, which: int) -> Any:
        others = near(value)
        return others[which % len(others)]

    return st.builds(pick, st.sampled_from(known), st.integers(0, 20))


def _kind(value: Any) -> str:
    return next(iter(to_typed(value)))
