"""
Items of every type and nesting, in many spellings, and what can be altered in them. Seeded.

Independent of ``ddbverify.items.form`` on purpose: what two values mean is said here by Python's own
types (``Decimal``, ``bytes``, ``frozenset``), so that a mistake there is not repeated here.
"""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

from ddbverify.compare.comparison import Comparison

KINDS = ("S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M")
ODD_NAMES = (
    *("plain", "a.b", "a[0]", "[1]", "with space", "quote'", 'double"', "back\\slash", "ünï", "😀"),
    *("__private__", "0", "#hash", ":colon", "root", "root['x']", "a/b", "\t", "MixedCase", "mixedcase"),
)
TEXTS = (
    *("", " ", "a", "A", "é", "e\u0301", "ß", "ss", "\U0001f600", "\uffff", "\ue000", "a\0", "/", "\\", '"'),
    *("1", "1.0", "true", "null", "NaN", "line\nbreak", "\u2028", "x" * 300, '{"S": "a"}', "\x7f", "日本"),
)


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


# --- values ---------------------------------------------------------------------------------


def number(chance: random.Random) -> str:
    """A number as DynamoDB stores it: at most 38 digits, 1E-130 to 9.9E+125."""
    match chance.randrange(6):
        case 0:
            return str(chance.randint(-20, 20))
        case 1:
            return str(chance.randint(10**37, 10**38 - 1) // 10 * 10 + chance.randint(1, 9))
        case 2:
            return f"{chance.randint(0, 10**6)}.{chance.randint(1, 99):02}".rstrip("0")
        case 3:
            return f"-0.{chance.randint(10**36, 10**37 - 1)}1"
        case 4:
            return str(Decimal(chance.randint(1, 10**9)).scaleb(chance.randint(-120, 110)))
        case _:
            return str(chance.randint(-(10**12), 10**12))


def text(chance: random.Random) -> str:
    if chance.random() < 0.4:
        return chance.choice(TEXTS)
    return "".join(chance.choices(string.printable + "éßñ日本\U0001f600", k=chance.randint(1, 12)))


def raw(chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice((0, 1, 2, 3, 16, 40)))


def value(chance: random.Random, kind: str, depth: int = 2) -> dict[str, Any]:
    """One typed value of *kind*, nested up to *depth* levels."""
    members = chance.randint(1, 5)
    match kind:
        case "S":
            return {"S": text(chance)}
        case "N":
            return {"N": number(chance)}
        case "B":
            return {"B": b64(raw(chance))}
        case "BOOL":
            return {"BOOL": chance.random() < 0.5}
        case "NULL":
            return {"NULL": True}
        case "SS":
            return {"SS": list(dict.fromkeys(text(chance) for _ in range(members)))}
        case "NS":
            return {"NS": [*{Decimal(one): one for one in (number(chance) for _ in range(members))}.values()]}
        case "BS":
            return {"BS": list(dict.fromkeys(b64(raw(chance)) for _ in range(members)))}
        case "L":
            return {"L": [any_value(chance, depth - 1) for _ in range(chance.randint(0, 3))]}
        case _:
            names = chance.sample(ODD_NAMES, chance.randint(0, 3))
            return {"M": {name: any_value(chance, depth - 1) for name in names}}


def any_value(chance: random.Random, depth: int = 2) -> dict[str, Any]:
    return value(chance, chance.choice(KINDS if depth > 0 else KINDS[:8]), depth)


def keys(chance: random.Random, schema: dict[str, str], count: int) -> list[dict[str, Any]]:
    """Distinct keys, about 20 sort keys to a hash key; none is empty, none the canary's."""
    made: dict[Any, dict[str, Any]] = {}
    kinds = list(schema.values())
    while len(made) < count:
        place = len(made) // 20 if len(kinds) == 2 else len(made)
        parts = [_key_part(chance, kinds[0], place)]
        if len(kinds) == 2:
            parts.append(_key_part(chance, kinds[1], chance.randrange(10**6)))
        key = dict(zip(schema, parts, strict=True))
        made.setdefault(meaning({"M": key}), key)
    return list(made.values())


def _key_part(chance: random.Random, kind: str, place: int) -> dict[str, str]:
    match kind:
        case "S":
            return {"S": f"{place}{chance.choice(TEXTS)[:20]}"}
        case "N":
            return {"N": chance.choice((str(place), f"{place}.5", f"-{place + 1}", f"{place + 1}E+20"))}
        case _:
            return {"B": b64(place.to_bytes(3, "big") + chance.randbytes(chance.randrange(3)))}


def items(chance: random.Random, schema: dict[str, str], count: int) -> list[dict[str, Any]]:
    """*count* items with distinct keys; every type stands in every tenth item at the least."""
    made = []
    for place, key in enumerate(keys(chance, schema, count)):
        names = [f"{name}." for name in chance.sample(ODD_NAMES, chance.randint(0, 4))]
        always = {"always": value(chance, KINDS[place % len(KINDS)])}
        made.append(key | always | {name: any_value(chance) for name in names})
    return made


# --- what they mean -------------------------------------------------------------------------


def meaning(typed: dict[str, Any]) -> Any:
    """Equal, and equally hashed, exactly when two values are equal by DynamoDB's rules."""
    ((kind, content),) = typed.items()
    match kind:
        case "N":
            return kind, Decimal(content)
        case "B":
            return kind, base64.b64decode(content)
        case "SS":
            return kind, frozenset(content)
        case "NS":
            return kind, frozenset(map(Decimal, content))
        case "BS":
            return kind, frozenset(map(base64.b64decode, content))
        case "L":
            return kind, tuple(map(meaning, content))
        case "M":
            return kind, frozenset((name, meaning(one)) for name, one in content.items())
    return kind, content


def key_of(item: dict[str, Any], schema: dict[str, str]) -> Any:
    return tuple(meaning(item[name]) for name in schema)


def shown(path: Sequence[str | int]) -> str:
    """``("a.b", 0)`` -> ``a\\.b[0]``, as findings write a path."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            escaped = "".join("\\" + one if one in ".[]\\" else one for one in step)
            text += ("." if text else "") + escaped
    return text


def lines_between(one: dict[str, Any], other: dict[str, Any], path: tuple[str | int, ...] = ()) -> set[str]:
    """Every place at which two maps (contents of ``M``) differ, as findings write it."""
    lines = set()
    for name in one.keys() | other.keys():
        lines |= _between(one.get(name), other.get(name), (*path, name))
    return lines


def _between(one: Any, other: Any, path: tuple[str | int, ...]) -> set[str]:
    if one is None or other is None:
        return {f"{shown(path)}: {'added' if one is None else 'removed'}"}
    ((kind, before),), ((after_kind, after),) = one.items(), other.items()
    if kind != after_kind:
        return {f"{shown(path)}: {kind} -> {after_kind}"}
    if kind == "M":
        return lines_between(before, after, path)
    if kind == "L":
        padded = [[*content, *[None] * (len(before) + len(after))] for content in (before, after)]
        places = range(max(len(before), len(after)))
        return set().union(*(_between(padded[0][at], padded[1][at], (*path, at)) for at in places))
    return set() if meaning(one) == meaning(other) else {f"{shown(path)}: value"}


# --- spellings ------------------------------------------------------------------------------


def spelt_item(chance: random.Random, item: dict[str, Any]) -> bytes:
    """One of the many ways in which JSON can say an item: order, numbers, sets, spaces, escapes."""
    return _spelt_map(chance, item).encode()


def spelt(chance: random.Random, typed: dict[str, Any]) -> str:
    ((kind, content),) = typed.items()
    match kind:
        case "S" | "B":
            inside = spelt_text(chance, content)
        case "N":
            inside = f'"{spelt_number(chance, content)}"'
        case "SS" | "BS":
            inside = _sequence(chance, [spelt_text(chance, one) for one in _mixed(chance, content)])
        case "NS":
            inside = _sequence(chance, [f'"{spelt_number(chance, one)}"' for one in _mixed(chance, content)])
        case "L":
            inside = _sequence(chance, [spelt(chance, one) for one in content])
        case "M":
            inside = _spelt_map(chance, content)
        case _:
            inside = json.dumps(content)
    return f'{{{_space(chance)}"{kind}"{_space(chance)}:{_space(chance)}{inside}{_space(chance)}}}'


def _spelt_map(chance: random.Random, content: dict[str, Any]) -> str:
    parts = [
        f"{spelt_text(chance, name)}{_space(chance)}:{_space(chance)}{spelt(chance, content[name])}"
        for name in _mixed(chance, content)
    ]
    return "{" + _space(chance) + f"{_space(chance)},".join(parts) + "}"


def _sequence(chance: random.Random, parts: list[str]) -> str:
    return "[" + _space(chance) + f",{_space(chance)}".join(parts) + "]"


def _mixed(chance: random.Random, content: Any) -> list[Any]:
    return chance.sample(list(content), len(content))


def _space(chance: random.Random) -> str:
    return chance.choice(("", "", "", "", " ", "\n", "\t ", "\r\n"))


def spelt_text(chance: random.Random, content: str) -> str:
    way = chance.randrange(4)
    if way < 2:
        return json.dumps(content, ensure_ascii=way == 0)
    escaped = json.dumps(content)[1:-1].replace("/", "\\/")
    if way == 2 and content.isascii() and content.isalnum():
        at = chance.randrange(len(content))
        escaped = f"{content[:at]}\\u{ord(content[at]):04X}{content[at + 1 :]}"
    return f'"{escaped}"'


def spelt_number(chance: random.Random, content: str) -> str:
    """The same number, at most 38 digits long."""
    number = Decimal(content)
    if not number:
        return chance.choice(("0", "-0", "0.0", "0E+7", "000"))
    sign, digits, exponent = number.as_tuple()
    zeros = chance.randint(0, min(3, 38 - len(digits)))
    longer = Decimal((sign, (*digits, *(0,) * zeros), int(exponent) - zeros))
    match chance.randrange(4):
        case 0 if -40 < int(exponent) < 20:
            return f"{longer:f}"
        case 1:
            mantissa, _, power = f"{longer:E}".partition("E")
            return f"{mantissa}e{int(power)}"
        case 2:
            return f"{'-' if sign else ''}{''.join(map(str, digits))}E{exponent}"
    return str(longer)


# --- alterations ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Alteration:
    """A value that becomes another one; ``None`` is none at all."""

    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


_TWO = "2" * 37
_BYTES = bytes(range(40))
_EMPTY = {"S": {"S": ""}, "B": {"B": ""}, "L": {"L": []}, "M": {"M": {}}}
_SAMPLES: dict[str, dict[str, Any]] = {
    "S": {"S": "1"},
    "N": {"N": "1"},
    "B": {"B": "MQ=="},
    "BOOL": {"BOOL": True},
    "NULL": {"NULL": True},
    "SS": {"SS": ["1", "2"]},
    "NS": {"NS": ["1", "2"]},
    "BS": {"BS": ["MQ==", "Mg=="]},
    "L": {"L": [{"S": "1"}, {"S": "2"}]},
    "M": {"M": {"1": {"S": "2"}}},
}


def alterations() -> Iterator[Alteration]:
    """Every small way in which one value can be wrong; both directions of each."""
    for one in _one_way():
        yield one
        yield Alteration(f"{one.name}, the other way", one.after, one.before)


def _one_way() -> Iterator[Alteration]:
    for kind, sample in _SAMPLES.items():
        yield Alteration(f"absent to {kind}", None, sample)
        for other, another in _SAMPLES.items():
            if kind < other:
                yield Alteration(f"{kind} to {other}", sample, another)
    for kind, empty in _EMPTY.items():
        yield Alteration(f"absent to an empty {kind}", None, empty)
        yield Alteration(f"NULL to an empty {kind}", {"NULL": True}, empty)
        yield Alteration(f"an empty {kind} to one with content", empty, _SAMPLES[kind])
        yield from (
            Alteration(f"an empty {kind} to an empty {other}", empty, _EMPTY[other])
            for other in _EMPTY
            if kind < other
        )
    yield Alteration("false to true", {"BOOL": False}, {"BOOL": True})
    yield from _of_numbers()
    yield from _of_texts_and_bytes()
    yield from _of_sets()
    yield from _of_containers()


def _of_numbers() -> Iterator[Alteration]:
    pairs = {
        "the last of 38 digits": (f"{_TWO}1", f"{_TWO}2"),
        "the last of 38 digits, negative": (f"-{_TWO}1", f"-{_TWO}2"),
        "the last of 38 digits, a fraction": (f"0.{_TWO}1", f"0.{_TWO}2"),
        "the last of 38 digits, in the middle": (f"{_TWO[:19]}.{_TWO[:18]}1", f"{_TWO[:19]}.{_TWO[:18]}2"),
        "the last of 38 digits, large": (f"{_TWO}1E+80", f"{_TWO}2E+80"),
        "the first of 38 digits": (f"1{_TWO}", f"2{_TWO}"),
        "the sign": ("1", "-1"),
        "the place of the point": ("10", "1"),
        "zero and the least there is": ("0", "1E-130"),
        "more digits than a float has": ("9007199254740993", "9007199254740992"),
        "what a float32 takes for equal": ("123456789.01", "123456790.99"),
        "the exponent": ("1E+125", "1E+124"),
    }
    for name, (one, other) in pairs.items():
        yield Alteration(name, {"N": one}, {"N": other})


def _of_texts_and_bytes() -> Iterator[Alteration]:
    pairs = {
        "a character more": ("abc", "abcd"),
        "upper and lower case": ("abc", "abC"),
        "composed and decomposed": ("é", "e\u0301"),
        "a space at the end": ("abc", "abc "),
        "a zero byte at the end": ("abc", "abc\0"),
        "one spelling of a number": ("1.0", "1"),
        "an emoji": ("\U0001f600", "\U0001f601"),
        "a text that is JSON": ('{"S":"a"}', '{"S": "a"}'),
        "a long text": ("x" * 5_000, "x" * 4_999 + "y"),
    }
    for name, (one, other) in pairs.items():
        yield Alteration(name, {"S": one}, {"S": other})
    for at in (0, 20, 39):
        flipped = bytearray(_BYTES)
        flipped[at] ^= 1
        yield Alteration(f"byte {at} of a binary", {"B": b64(_BYTES)}, {"B": b64(bytes(flipped))})
    yield Alteration("a zero byte more", {"B": b64(_BYTES)}, {"B": b64(_BYTES + b"\0")})
    yield Alteration("bytes twice encoded", {"B": b64(b"\1\2\3")}, {"B": b64(b64(b"\1\2\3").encode())})


def _of_sets() -> Iterator[Alteration]:
    members = {
        "SS": (["a", "b", "c"], "d"),
        "NS": (["1", "2", f"{_TWO}1"], f"{_TWO}2"),
        "BS": ([b64(b"a"), b64(b"b"), b64(b"ab")], b64(b"\0")),
    }
    for kind, (some, another) in members.items():
        yield Alteration(f"a member of {kind} more", {kind: some}, {kind: [*some, another]})
        yield Alteration(f"one member of {kind}", {kind: some}, {kind: [*some[:2], another]})
        yield Alteration(
            f"a member of {kind} less, in another order", {kind: some}, {kind: [some[1], some[0]]}
        )
    joined = {"SS": ["ab", "c"]}, {"SS": ["a", "bc"]}
    yield Alteration("members that join to the same text", *joined)


def _of_containers() -> Iterator[Alteration]:
    one, two = {"N": "1"}, {"N": "2"}
    yield Alteration("the order of a list", {"L": [one, two]}, {"L": [two, one]})
    yield Alteration("an element more", {"L": [one]}, {"L": [one, one]})
    yield Alteration("an element in front", {"L": [one, two]}, {"L": [two, one, two]})
    yield Alteration("another depth of lists", {"L": [{"L": [one]}, two]}, {"L": [{"L": [one, two]}]})
    yield Alteration("an entry more", {"M": {"a": one}}, {"M": {"a": one, "b": one}})
    yield Alteration("the name of an entry", {"M": {"a": one}}, {"M": {"b": one}})
    yield Alteration(
        "two entries that change places", {"M": {"a": one, "b": two}}, {"M": {"a": two, "b": one}}
    )
    yield Alteration(
        "another depth of maps",
        {"M": {"a": {"M": {"b": one}}, "c": two}},
        {"M": {"a": {"M": {"b": one, "c": two}}}},
    )
    yield Alteration("an entry that is NULL", {"M": {"a": one}}, {"M": {"a": one, "b": {"NULL": True}}})


NESTS = ("", "M", "L", "ML", "LM", "MMM", "LLL", "MLMLMLMLMLML")


def nested(inner: dict[str, Any] | None, nest: str) -> dict[str, Any] | None:
    """*inner* inside the containers of *nest*, outermost first, each with something beside it."""
    for position, kind in enumerate(reversed(nest)):
        beside = {"S": f"beside {position}"}
        if kind == "M":
            inner = {"M": {"beside": beside} | ({} if inner is None else {"in.side": inner})}
        else:
            inner = {"L": [beside] + ([] if inner is None else [inner])}
    return inner


# --- a pair of tables with known differences ------------------------------------------------


@dataclass
class Planted:
    """Two tables as lists of items, and what a comparison has to report, by key."""

    schema: dict[str, str]
    source: list[dict[str, Any]]
    target: list[dict[str, Any]]
    expected: dict[Any, tuple[str, frozenset[str]]]
    why: dict[Any, str]

    @property
    def matched(self) -> int:
        differing = {key for key, (state, _) in self.expected.items() if state != "extraneous"}
        return len(self.source) - len(differing)

    def replant(self, key: Any, state: str, lines: set[str], why: str) -> None:
        self.expected[key] = state, frozenset(lines)
        self.why[key] = why


def planted(chance: random.Random, base: list[dict[str, Any]], schema: dict[str, str]) -> Planted:
    """
    A source of *base*, and a target in which a few hundred of its items are altered, each once.

    Every alteration at the top of an item and in one nesting of its own; in turn, every nesting.
    Then leaves that the items have by themselves, items that are gone, that are new (beside the
    key of another), and pairs that have exchanged everything but their keys.
    """
    base = chance.sample(base, len(base))
    source = {key_of(item, schema): dict(item) for item in base}
    target = {key: dict(item) for key, item in source.items()}
    plan = Planted(schema, [], [], {}, {})
    free = iter(list(source))
    cases = [(one, nest) for one in alterations() for nest in ("", chance.choice(NESTS[1:]))]
    cases += [(one, nest) for nest in NESTS for one in chance.sample(list(alterations()), 4)]
    for one, nest in cases:
        key, name = next(free), chance.choice(ODD_NAMES)
        for side, content in ((source, one.before), (target, one.after)):
            wrapped = nested(content, nest)
            side[key].pop(name, None)
            if wrapped is not None:
                side[key][name] = wrapped
        plan.replant(
            key, "different", lines_between(source[key], target[key]), f"{one.name} in {nest or 'it'}"
        )
    for _ in range(60):
        key = next(free)
        names = [name for name in source[key] if name not in schema]
        if not names:
            continue
        name = chance.choice(names)
        target[key] = target[key] | {name: _altered_leaf(chance, source[key][name])}
        plan.replant(key, "different", lines_between(source[key], target[key]), f"a leaf of {name!r}")
    for _ in range(20):
        key = next(free)
        del target[key]
        plan.replant(key, "missing", set(), "deleted")
    for _ in range(20):
        neighbour = _beside(chance, source[next(free)], schema)
        key = key_of(neighbour, schema)
        if key not in source and key not in target:
            target[key] = neighbour
            plan.replant(key, "extraneous", set(), "added")
    for _ in range(10):
        one, other = next(free), next(free)
        for key, content in ((one, source[other]), (other, source[one])):
            kept = {name: source[key][name] for name in schema}
            target[key] = {**content, **kept}
            if lines := lines_between(source[key], target[key]):
                plan.replant(key, "different", lines, "swapped")
    plan.source, plan.target = list(source.values()), list(target.values())
    return plan


def _altered_leaf(chance: random.Random, typed: dict[str, Any]) -> dict[str, Any]:
    """The value with one thing in it changed, somewhere down."""
    ((kind, content),) = typed.items()
    if kind == "L" and content:
        at = chance.randrange(len(content))
        return {"L": [*content[:at], _altered_leaf(chance, content[at]), *content[at + 1 :]]}
    if kind == "M" and content:
        name = chance.choice(list(content))
        return {"M": content | {name: _altered_leaf(chance, content[name])}}
    while True:
        other = any_value(chance, 1) if chance.random() < 0.3 else value(chance, kind, 1)
        if kind in {"NULL", "L", "M"}:
            other = any_value(chance, 1)
        if meaning(other) != meaning(typed):
            return other


def _beside(chance: random.Random, item: dict[str, Any], schema: dict[str, str]) -> dict[str, Any]:
    """The same item under a key that is only just another one."""
    name, kind = list(schema.items())[-1]
    content = item[name][kind]
    match kind:
        case "S":
            other = content + " "
        case "N":
            other = str(Context(prec=38).add(Decimal(content), Decimal("1E-9")))
        case _:
            other = b64(base64.b64decode(content) + b"\0")
    return item | {name: {kind: other}}


def reported(comparison: Comparison, schema: dict[str, str]) -> dict[Any, tuple[str, frozenset[str]]]:
    """What a comparison has found, by key, in the form of `Planted.expected`."""
    found = {}
    for one in comparison.differences:
        key = key_of(dict(one.key), schema)
        assert key not in found, "a key was reported twice"
        found[key] = str(one.state), frozenset(one.paths)
    return found


def require_exactly(comparison: Comparison, plan: Planted, seed: object) -> None:
    """Exactly what was planted was found, each with its state, key and paths; nothing else."""
    found = reported(comparison, plan.schema)
    wrong = {
        plan.why.get(key, "nothing was planted here"): (plan.expected.get(key), found.get(key))
        for key in plan.expected.keys() | found.keys()
        if plan.expected.get(key) != found.get(key)
    }
    assert not wrong, f"seed {seed}: (planted, found) of {len(wrong)}: {dict(list(wrong.items())[:5])}"
    states = [state for state, _ in plan.expected.values()]
    counts = {str(state): count for state, count in comparison.counts.items() if count}
    assert counts == {"matched": plan.matched} | {state: states.count(state) for state in set(states)}
    assert comparison.unexamined == (), f"seed {seed}"
    assert comparison.converged == 0, f"seed {seed}: a second look had to clear what the join should have met"
    assert comparison.source.items == comparison.source.scanned == len(plan.source), f"seed {seed}"
    assert comparison.target.items == comparison.target.scanned == len(plan.target), f"seed {seed}"
