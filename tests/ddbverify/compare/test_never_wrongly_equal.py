"""
Whatever tables hold, however they are cut, and whatever goes wrong: "equal" is only said of what is.

Against a plain oracle of dictionaries. Without faults the result is the oracle's, key by key; with
faults it may know less, and it never says anything that is not so.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from ddbverify.compare.comparison import Comparison
from ddbverify.diff.result import REFUTING, verdict_of
from ddbverify.errors import EngineError
from ddbverify.items.states import State
from ddbverify.names import canary_key
from ddbverify.tables.pages import PageDecoder
from tests.ddbverify.fakes import SCHEMA, Clock, FakeTable, item, make_judge
from tests.ddbverify.generated import meaning
from tests.ddbverify.prepared import run

KEYS = "abcdefgh"
SWEEPS = pytest.mark.parametrize("examples", [40, pytest.param(1_000, marks=pytest.mark.full)])
PAST, FUTURE = "1799999999", "1800009999"  # the clock stands at 1800000000
CANARY = canary_key(SCHEMA)


# --- what tables hold -----------------------------------------------------------------------

# Pairs of spellings mean the same; all others do not.
CONTENTS = (
    {},
    {"v": {"S": "x"}},
    {"v": {"S": ""}},
    {"v": {"NULL": True}},
    {"v": {"N": "1"}},
    {"v": {"N": "1.0"}},
    {"v": {"NS": ["1", "2"]}},
    {"v": {"NS": ["2", "1e0"]}},
    {"v": {"L": [{"N": "1"}, {"N": "2"}]}},
    {"v": {"L": [{"N": "2"}, {"N": "1"}]}},
    {"v": {"M": {"a": {"B": "AQI="}, "b": {"BOOL": True}}}},
    {"v": {"M": {"b": {"BOOL": True}, "a": {"B": "AQI="}}}},
    {"v": {"S": "x"}, "expires": {"N": PAST}},
    {"v": {"S": "x"}, "expires": {"N": FUTURE}},
    {"v": {"S": "x"}, "expires": {"S": PAST}},
    {"v": {"S": "x"}, "ignored": {"S": "1"}},
    {"v": {"S": "x"}, "ignored": {"S": "2"}, "aws:rep:updatetime": {"N": "1"}},
)
FEW_CONTENTS = CONTENTS[:8]


def tables(contents=CONTENTS, keys=KEYS):
    """Contents by key; a canary now and then."""
    some = st.dictionaries(st.sampled_from(keys), st.sampled_from(contents), max_size=len(keys))
    return st.builds(
        lambda held, canary: [item(key) | content for key, content in held.items()] + [CANARY] * canary,
        some,
        st.booleans(),
    )


def mostly_alike():
    """A source, and a target that is a copy but for some keys."""

    @st.composite
    def drawn(draw):
        source = draw(tables())
        target = {one["id"]["S"]: one for one in source if one != CANARY}
        for key in draw(st.lists(st.sampled_from(KEYS), max_size=2)):
            content = draw(st.sampled_from([None, *CONTENTS]))
            target.pop(key, None)
            if content is not None:
                target[key] = item(key) | content
        return source, [*target.values()] + [CANARY] * draw(st.booleans())

    return st.one_of(drawn(), st.tuples(tables(), tables()))


def judge(function=None, *, rekeys=False):
    return make_judge(function, rekeys=rekeys, ignore=["ignored"], ttl=["expires"])


# --- the oracle -----------------------------------------------------------------------------


def counts(one):
    """What of an item counts."""
    kept = {
        name: value for name, value in one.items() if name != "ignored" and not name.startswith("aws:rep:")
    }
    return meaning({"M": kept})


def is_expired(one):
    return one.get("expires") == {"N": PAST}


def oracle(source, target, claims_of):
    """State by key, of every key that is neither matched nor left out; and how many are matched."""
    here = {one["id"]["S"]: one for one in source if one["id"] != CANARY["id"]}
    there = {one["id"]["S"]: one for one in target if one["id"] != CANARY["id"]}
    claims: dict[str, list] = {}
    states, dropped, refused = {}, set(), set()
    for key, one in here.items():
        try:
            made = claims_of(one)
        except ValueError:
            refused.add(key)
            continue
        if not made:
            dropped.add(key)
        for claimed in made:
            claims.setdefault(claimed["id"]["S"], []).append((claimed, one))
    matched = 0
    for key in claims.keys() | there.keys():
        owners, held = claims.get(key, []), there.get(key)
        alone = [one for claim in owners for one in claim] + ([held] if held else [])
        if len(owners) > 1:
            states[key] = State.UNCOMPARABLE
        elif owners and held:
            if counts(owners[0][0]) == counts(held):
                matched += 1
            else:
                states[key] = State.DIFFERENT
        elif not any(map(is_expired, alone)):
            states[key] = State.MISSING if owners else State.EXTRANEOUS
    return states, refused, matched


# --- what goes wrong ------------------------------------------------------------------------


@dataclass
class Trouble:
    """What happens to the answers of one table, by their number."""

    answers: list[str] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)


def bearable(answers):
    """
    No answer that lost everything right after one that lost its end.

    Together they are an end that was said twice, and nothing tells it from a true one.
    """
    befores = ["", *answers]
    return [
        "" if what == "nothing" and before not in ("", "error") else what
        for before, what in zip(befores, answers, strict=False)
    ]


TROUBLES = st.builds(
    Trouble,
    st.lists(
        st.sampled_from(["", "", "", "lost end", "nothing", "again", "error", "lost half"]), max_size=12
    ).map(bearable),
    st.sets(st.sampled_from(KEYS), max_size=2),
)


class Troubled(FakeTable):
    def __init__(self, items, trouble, **more):
        super().__init__(items, **more)
        self.trouble, self.answers = trouble, 0
        self.before = {}  # the last answer by segment
        self.unreadable = {(key,) for key in trouble.unreadable}

    def scan_page(self, segment, total_segments, start):
        page = super().scan_page(segment, total_segments, start)
        what = self.trouble.answers[self.answers] if self.answers < len(self.trouble.answers) else ""
        self.answers += 1
        body, before = json.loads(page.body), self.before.get(segment)
        self.before[segment] = page.body
        match what:
            case "error":
                raise EngineError("the connection was reset", "try again.")
            case "lost end":  # DynamoDB's answer without the word that more follows
                body.pop("LastEvaluatedKey", None)
            case "nothing":  # all of it is lost
                body = {"Items": [], "Count": 0}
            case (
                "lost half"
            ):  # a page of half the items, with the end of the whole one; the count gives it away
                body["Items"] = body["Items"][: len(body["Items"]) // 2]
            case "again" if before is not None:  # what somebody had remembered for another question
                body = json.loads(before)
        return PageDecoder(SCHEMA).decode(json.dumps(body).encode())


def require_no_lie(comparison: Comparison, states, refused) -> None:
    """Nothing is claimed that is not so; "equal" only where every key is."""
    verdict, _ = verdict_of(comparison)
    event(verdict)
    wrong = {key for key, state in states.items() if state in REFUTING}
    if verdict == "equal":
        assert not states
        assert not refused
        assert comparison.unexamined == ()
    said = {one.key["id"]["S"]: one.state for one in comparison.only(*REFUTING)}
    if comparison.unexamined:  # of a key that two items claim, the second may not have been read
        said = {key: state for key, state in said.items() if states.get(key) is not State.UNCOMPARABLE}
    assert said.items() <= states.items(), f"made up: {said.items() - states.items()}"
    if verdict == "different":
        assert wrong or comparison.unexamined


CUTS = st.tuples(st.integers(1, 4), st.integers(1, 4))
MEMORY = st.sampled_from([10**9, 2_000, 400])
ORDERS = st.permutations(KEYS)


def in_any_order(items, trouble, page_size, order):
    """A table that scans in this order of keys, in segments that have nothing to do with the other's."""
    made = Troubled(items, trouble, page_size=page_size)
    made.order = lambda key: (order.index(key[0]) if key[0] in order else -1, key)
    return made


def identity(one):
    return one


def emptied(one):
    """Drops, refuses and reshapes, by what an item holds."""
    if one.get("v") is None and "v" in one:
        return None
    if one.get("v") == "":
        raise ValueError(one["v"])
    return {**one, "made": True} if "v" in one else one


def emptied_typed(one):
    if one.get("v") == {"NULL": True}:
        return []
    if one.get("v") == {"S": ""}:
        raise ValueError
    return [one | {"made": {"BOOL": True}}] if "v" in one else [one]


FUNCTIONS = {
    "none": (None, lambda one: [one]),
    "identity": (identity, lambda one: [one]),
    "reshaping": (emptied, emptied_typed),
}


def made_of(source, claims_of, chance_keys):
    """The target that *source* should have, but for some keys that are left out."""
    made = []
    for one in source:
        if one["id"] == CANARY["id"]:
            continue
        try:
            made += [claim for claim in claims_of(one) if claim["id"]["S"] not in chance_keys]
        except ValueError:
            continue
    return made


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("troubled", [False, True])
@pytest.mark.parametrize(
    ("examples", "hired"),
    [(40, 0), (15, 2), *(pytest.param(1_000, n, marks=pytest.mark.full) for n in (0, 2))],
)
def test_keys_that_go_one_to_one(name, troubled, examples, hired):
    function, claims_of = FUNCTIONS[name]
    troubles = TROUBLES if troubled else st.just(Trouble())

    @settings(max_examples=examples, deadline=None)
    @given(
        mostly_alike(),
        st.booleans(),
        st.sets(st.sampled_from(KEYS), max_size=1),
        st.tuples(troubles, troubles),
        CUTS,
        st.integers(1, 3),
        st.tuples(ORDERS, ORDERS),
        MEMORY,
    )
    def holds(pair, is_made, left_out, trouble, page_sizes, segments, orders, memory):
        source, target = pair
        if is_made:  # else most of what a reshaping transform makes would differ
            target = made_of(source, claims_of, left_out)
        comparison = run(
            in_any_order(source, trouble[0], page_sizes[0], orders[0]),
            in_any_order(target, trouble[1], page_sizes[1], orders[1]),
            judge=judge(function),
            segments=segments,
            memory=memory,
            settle=1.0,
            hired=hired,
        )
        states, refused, matched = oracle(source, target, claims_of)
        require_no_lie(comparison, states, refused)
        if not troubled:
            require_exactly(comparison, states, refused, matched)

    holds()


def require_exactly(comparison, states, refused, matched) -> None:
    found = {(one.key["id"]["S"], one.state) for one in comparison.differences}
    expected = {(key, state) for key, state in states.items() if key not in refused}
    assert found == expected | {(key, State.UNCOMPARABLE) for key in refused}
    assert len(found) == len(comparison.differences)
    assert comparison.counts[State.MATCHED] == matched
    assert comparison.unexamined == ()


def spread(one):
    """None to some items, under keys that other items may want too."""
    if one["to"] == "!":
        raise ValueError(one["to"])
    return [
        {"id": key, "of": one["of"], **({"expires": one["expires"]} if "expires" in one else {})}
        for key in one["to"]
    ]


def spread_typed(one):
    if one["to"]["S"] == "!":
        raise ValueError
    more = {"expires": one["expires"]} if "expires" in one else {}
    return [item(key, of=one["of"]["S"]) | more for key in one["to"]["S"]]


SPREADING = st.dictionaries(
    st.sampled_from("stuvw"),
    st.tuples(
        st.one_of(
            st.sets(st.sampled_from(KEYS), max_size=3).map(lambda keys: "".join(sorted(keys))), st.just("!")
        ),
        st.sampled_from("12"),
        st.sampled_from([None, None, PAST]),
    ),
    max_size=5,
).map(
    lambda held: [
        item(key, to=to, of=of) | ({"expires": {"N": expires}} if expires else {})
        for key, (to, of, expires) in held.items()
    ]
)


@pytest.mark.parametrize("troubled", [False, True])
@SWEEPS
def test_rekeyed_tables(troubled, examples):
    troubles = TROUBLES if troubled else st.just(Trouble())

    @settings(max_examples=2 * examples, deadline=None)
    @given(
        SPREADING,
        st.sets(st.sampled_from(KEYS), max_size=2),
        st.lists(
            st.tuples(st.sampled_from(KEYS), st.sampled_from("12"), st.sampled_from([None, PAST])), max_size=2
        ),
        st.tuples(st.booleans(), st.booleans()),
        st.tuples(troubles, troubles),
        CUTS,
        st.integers(1, 3),
        MEMORY,
    )
    def holds(source, lost, written, canaries, trouble, page_sizes, segments, memory):
        held = {one["id"]["S"]: one for one in made_of(source, spread_typed, lost)}
        for key, of, expires in written:
            held[key] = item(key, of=of) | ({"expires": {"N": expires}} if expires else {})
        target = [*held.values()]
        comparison = run(
            Troubled(source + [CANARY] * canaries[0], trouble[0], page_size=page_sizes[0]),
            Troubled(target + [CANARY] * canaries[1], trouble[1], page_size=page_sizes[1]),
            judge=judge(spread, rekeys=True),
            segments=segments,
            memory=memory,
            settle=1.0,
        )
        states, refused, matched = oracle(source, target, spread_typed)
        require_no_lie(comparison, states, refused)
        if not troubled:
            if refused:  # one that cannot be transformed may own what nobody claims
                states = {
                    key: State.UNDECIDED if state is State.EXTRANEOUS else state
                    for key, state in states.items()
                }
            found = Counter((one.key["id"]["S"], one.state) for one in comparison.differences)
            expected = Counter(states.items()) + Counter((key, State.UNCOMPARABLE) for key in refused)
            # What nobody claims and what is past its time is left out, or not known, with a refused item.
            unsure = {key for key, one in held.items() if refused and is_expired(one)}
            assert {one for one in found.items() if one[0][0] not in unsure} == {
                one for one in expected.items() if one[0][0] not in unsure
            }
            assert comparison.counts[State.MATCHED] == matched
            assert comparison.unexamined == ()

    holds()


# --- while they are written to --------------------------------------------------------------


class Live(FakeTable):
    """Point reads take time, too."""

    def get_items(self, keys):
        self.clock.pass_until(self.clock.now + 0.02)
        return super().get_items(keys)


SETTLE = 5.0
LATEST = 4.0  # seconds that a write is under way, at most: less than the settle time
WRITES = st.lists(
    st.tuples(
        st.floats(-3, 12),  # when, from the begin of the scan
        st.sampled_from(KEYS),
        st.sampled_from([None, "x", "y", "z"]),
        st.floats(0, LATEST),  # how late it arrives
        st.integers(0, 7).map(lambda fate: fate == 0),  # whether it is lost
    ),
    max_size=25,
)


@pytest.mark.parametrize(
    ("examples", "hired"),
    [(40, 0), (10, 1), *(pytest.param(1_000, n, marks=pytest.mark.full) for n in (0, 1))],
)
def test_what_was_lost_before_is_found_and_what_is_on_its_way_is_not(examples, hired):
    """Writes of one key arrive in order. The replica loses some for good."""

    @settings(max_examples=2 * examples, deadline=None)
    @given(
        st.dictionaries(st.sampled_from(KEYS), st.sampled_from("xyz")),
        WRITES,
        st.sampled_from([None, "identity", "rekeyed"]),
        st.floats(0.05, 2.0),
        st.integers(1, 2),
        MEMORY,
    )
    def holds(begin, writes, transform, seconds_per_page, segments, memory):
        clock = Clock()
        prefix = "t-" if transform == "rekeyed" else ""
        function = {
            None: None,
            "identity": identity,
            "rekeyed": lambda one: [{**one, "id": f"t-{one['id']}"}],
        }[transform]
        source, target = (Live(clock=clock, seconds_per_page=seconds_per_page, page_size=2) for _ in range(2))
        for key, value in begin.items():
            source.put(item(key, v=value))
            target.put(item(prefix + key, v=value))
        writes = sorted(writes, key=lambda write: write[0])
        arrivals: dict[str, float] = {}
        lost_at: dict[str, float] = {}
        moved_at: dict[str, float] = {}

        def put(table, key, value):
            table.delete((key,)) if value is None else table.put(item(key, v=value))

        for at, key, value, lag, is_lost in writes:
            moved_at[key] = at
            clock.at(at + 3, lambda key=key, value=value: put(source, key, value))
            arrives = arrivals[key] = max(arrivals.get(key, -3.0), at + lag)
            if is_lost:
                lost_at[key] = at
            else:
                clock.at(arrives + 3, lambda key=prefix + key, value=value: put(target, key, value))
        clock.pass_until(clock.now + 3)
        comparison = run(
            source,
            target,
            judge=make_judge(function, rekeys=transform == "rekeyed"),
            segments=segments,
            memory=memory,
            settle=SETTLE,
            clock=clock,
            hired=hired if transform != "rekeyed" else 0,
        )
        clock.pass_until(clock.now + 60)
        differs = {
            key
            for key in KEYS
            if source.items.get((key,), {}).get("v") != target.items.get((prefix + key,), {}).get("v")
        }
        found = {one.key["id"]["S"].removeprefix("t-") for one in comparison.only(*REFUTING)}
        assert found <= lost_at.keys(), "a write under way was reported"
        assert comparison.unexamined == ()
        # Lost before the scan began, and nothing has been written since: no excuse.
        certain = {key for key in differs if moved_at.get(key, -9) < 0 and arrivals.get(key, -9) < 0}
        assert certain <= found
        assert not certain or verdict_of(comparison)[0] == "different"
        assert {one.state for one in comparison.differences} <= {*REFUTING, State.CHURNING}

    holds()
