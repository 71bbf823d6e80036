"""What plugins say decides about items that differ, is checked, and is told in the result."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify import KnownDifference
from ddbverify.compare.comparison import EqualBy, KnownKeys
from ddbverify.compare.inspection import ItemCheck
from ddbverify.compare.one_pass import Pass
from ddbverify.compare.request import Listeners, PassRequest
from ddbverify.compare.tally import REASONS_ACCEPTED
from ddbverify.config import Duration, Verification
from ddbverify.errors import PluginError
from ddbverify.items.form import Form
from ddbverify.items.states import Difference, State
from ddbverify.plugins.rulings import Rulings
from ddbverify.suite.verdicts import Outcome, comparison_verdict
from ddbverify.tables.segments import Plan
from tests.ddbverify.fakes import SCHEMA, Clock, FakeTable, on
from tests.ddbverify.plugged import judge_of, plugin, plugins_of, rulings_of

UNTIL = date(2100, 1, 1)  # the fake clock begins in 2027


def typed(key, **values):
    return {
        "id": {"S": key},
        **{name: {"N" if value[:1].isdigit() else "S": value} for name, value in values.items()},
    }


def compared(source, target, judge, *, clock=None, settle=1.0, **more):
    clock = clock or Clock()
    return Pass(
        "pair",
        source if isinstance(source, FakeTable) else FakeTable(source),
        target if isinstance(target, FakeTable) else FakeTable(target),
        judge,
        Plan(1, (0,)),
        Verification(settle=Duration(settle)),
        running=on(clock),
        **more,
    ).run()


def counted(comparison):
    return {str(state): count for state, count in comparison.counts.items() if count}


def lower_name(item):
    return {**item, "name": item["name"].lower()} if "name" in item else None


LOWER = plugin(normalise_item=lower_name)


def nearly(path, expected, target):
    if path != "price":
        return None
    return abs(expected - target) <= Decimal("0.01")


NEARLY = plugin(compare_values=nearly)
SHAPES = {
    "plain": {},
    "transform": {"function": dict},
    "re-keyed": {"function": lambda one: [one], "rekeys": True},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_normaliser_makes_keys_equal_and_is_counted(shape):
    source = [typed("a", name="Anna", note="x"), typed("b", name="Bob"), typed("c", name="Cleo")]
    target = [typed("a", name="anna", note="x"), typed("b", name="Bob"), typed("c", name="clea")]

    comparison = compared(source, target, judge_of(LOWER, **shape))

    assert counted(comparison) == {"matched": 2, "different": 1}
    assert comparison.equal_by == (EqualBy(plugin="shop", hook="ddbverify_normalise_item", keys=1),)
    assert "1 key is equal by the word of the plugin shop (ddbverify_normalise_item) only" in comparison.notes
    assert comparison.unexamined == ()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_comparer_makes_values_equal_and_is_counted(shape):
    source = [
        typed("a", price="1.50"),
        typed("b", price="2"),
        typed("c", price="3", n="x"),
        typed("d", price="4"),
    ]
    target = [
        typed("a", price="1.51"),
        typed("b", price="2.00"),
        typed("c", price="3.01", n="y"),
        typed("d", price="5"),
    ]

    comparison = compared(source, target, judge_of(NEARLY, **shape))

    assert counted(comparison) == {"matched": 2, "different": 2}
    assert comparison.equal_by == (EqualBy(plugin="shop", hook="ddbverify_compare_values", keys=1),)
    # What a plugin accepts is no cause of a difference.
    assert sorted(one.paths for one in comparison.differences) == [("n: value",), ("price: value",)]
    assert comparison.converged == 0


def lower_mail(item):
    def lower(value):
        return {**value, "mail": value["mail"].lower()} if "mail" in value else value

    return {**lower(item), **({"who": lower(item["who"])} if "who" in item else {})}


@pytest.mark.parametrize("nested", [False, True], ids=["attributes", "in a map"])
def test_a_key_counts_for_those_only_that_had_a_part_in_its_being_equal(nested):
    """A normaliser changes every mail; where both sides had the same one, that decided nothing."""

    def item(key, mail, price):
        values = {"mail": {"S": mail}, "price": {"N": price}}
        return {"id": {"S": key}, **({"who": {"M": values}} if nested else values)}

    def nearly_inside(path, expected, target):
        return nearly(path.split(".")[-1], expected, target)

    source = [item("a", "Ann@x", "1.00"), item("b", "Bob@x", "2.00"), item("c", "Cyd@x", "3")]
    target = [item("a", "ann@X", "1.00"), item("b", "Bob@x", "2.01"), item("c", "CYD@X", "3.01")]
    judge = judge_of(
        plugin("mails", normalise_item=lower_mail), plugin("prices", compare_values=nearly_inside)
    )

    apart = compared(source[:2], target[:2], judge)
    together = compared(source[2:], target[2:], judge)

    for comparison in (apart, together):
        assert {(one.plugin, one.keys) for one in comparison.equal_by} == {("mails", 1), ("prices", 1)}
    assert counted(apart) == {"matched": 2}
    assert counted(together) == {"matched": 1}


def test_a_normaliser_that_only_carries_on_where_another_decided_has_no_part():
    judge = judge_of(
        plugin("one", normalise_item=lower_name),
        plugin("two", normalise_item=lambda item: {**item, "name": item["name"] + "!"}),
    )

    comparison = compared([typed("a", name="Anna")], [typed("a", name="ANNA")], judge)

    assert comparison.equal_by == (EqualBy(plugin="one", hook="ddbverify_normalise_item", keys=1),)


def test_equal_items_are_shown_to_no_plugin():
    asked = plugin(
        normalise_item=lambda item: asked_about.append(item["id"]),
        compare_values=lambda path: asked_about.append(path),
    )
    asked_about = []
    content = [typed(str(number), name="x") for number in range(20)]

    compared(content, content, judge_of(asked))

    # The controls ask about items of no sense under a key that nobody has.
    assert not {one["id"]["S"] for one in content} & set(asked_about)


def test_the_same_by_other_bytes_is_shown_to_no_plugin_either():
    asked = []
    judge = judge_of(plugin(normalise_item=lambda item: asked.append(item["id"])), function=dict)
    assert judge.verdict(typed("a", n="1.50"), typed("a", n="1.5"), 0.0) is State.MATCHED
    assert judge.credit(typed("a", n="1.50"), typed("a", n="1.5")) == ()
    assert asked == []


def test_each_gets_what_the_one_before_has_made():
    first = plugin("first", normalise_item=lambda item: {**item, "trail": item.get("trail", "") + "1"})
    second = plugin("second", normalise_item=lambda item: {**item, "trail": item.get("trail", "") + "2"})
    assert rulings_of(first, second).normalised(typed("a"))["trail"] == {"S": "12"}


def test_one_no_outweighs_every_yes():
    yes = plugin("yes", compare_values=lambda path: True)
    no = plugin("no", compare_values=lambda path: False)
    silent = plugin("silent", compare_values=lambda path: None)
    one, other = typed("a", price="1"), typed("a", price="2")
    assert rulings_of(silent, yes).ruling(one, other, Form()).equal
    assert not rulings_of(yes, no).ruling(one, other, Form()).equal
    assert not rulings_of(no, yes).ruling(one, other, Form()).equal
    assert not rulings_of(silent).ruling(one, other, Form()).equal


def test_paths_lead_into_maps_and_lists_that_nobody_has_an_opinion_about():
    asked = []

    def compare(path, expected, target):
        asked.append((path, expected, target))
        return True if path == "lines[1].price" else None

    one = {"id": {"S": "a"}, "lines": {"L": [{"S": "x"}, {"M": {"price": {"N": "1"}, "b": {"B": "AQ=="}}}]}}
    other = {"id": {"S": "a"}, "lines": {"L": [{"S": "x"}, {"M": {"price": {"N": "2"}, "b": {"B": "AQ=="}}}]}}

    assert rulings_of(plugin(compare_values=compare)).ruling(one, other, Form()).equal
    assert asked[-1] == ("lines[1].price", Decimal(1), Decimal(2))
    assert [path for path, *_ in asked[::2]] == ["lines", "lines[1]", "lines[1].price"]
    longer = {**other, "lines": {"L": [*other["lines"]["L"], {"S": "y"}]}}
    assert not rulings_of(plugin(compare_values=compare)).ruling(one, longer, Form()).equal


def test_what_is_ignored_or_on_one_side_only_is_not_asked_about():
    asked = []
    rulings = rulings_of(plugin(compare_values=lambda path: asked.append(path)))
    one = {**typed("a", seen="1", only="x"), "m": {"M": {"x": {"S": "a"}}}}
    other = {**typed("a", seen="2"), "m": {"M": {"y": {"S": "a"}}}}
    assert not rulings.ruling(one, other, Form.of(["seen"])).equal
    assert set(asked) == {"m"}


values = st.recursive(
    st.one_of(
        st.builds(lambda text: {"S": text}, st.text(max_size=3)),
        st.builds(lambda number: {"N": str(number)}, st.integers(-9, 9)),
        st.builds(lambda flag: {"BOOL": flag}, st.booleans()),
    ),
    lambda inner: st.one_of(
        st.builds(lambda found: {"L": found}, st.lists(inner, max_size=3)),
        st.builds(lambda found: {"M": found}, st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)),
    ),
    max_leaves=6,
)
maps = st.dictionaries(st.sampled_from(["p", "q", "r"]), values, max_size=3)


@given(maps, maps)
def test_without_an_opinion_nothing_changes_and_with_every_one_only_presence_counts(one, other):
    """A comparer is asked of everything that differs, and of nothing that is on one side only."""
    ours, theirs = {**one, "id": {"S": "a"}}, {**other, "id": {"S": "a"}}
    silent = rulings_of(plugin(compare_values=lambda path: None)).ruling(ours, theirs, Form())
    assert silent.equal == Form().same(ours, theirs)
    easy = rulings_of(plugin(compare_values=lambda path: True)).ruling(ours, theirs, Form())
    assert easy.equal == (one.keys() == other.keys())
    strict = rulings_of(plugin(compare_values=lambda path: False)).ruling(ours, theirs, Form())
    assert strict.equal == Form().same(ours, theirs)


# --- plugins that fail ----------------------------------------------------------------------

ONCE = iter(range(10**9))
BAD_ANSWERS = {
    "raises": (lambda item: 1 / 0, "raised ZeroDivisionError"),
    "exits": (lambda item: exit(0), "raised SystemExit"),
    "claims to be ours": (
        lambda item: (_ for _ in ()).throw(PluginError("SENTINEL", "")),
        "raised PluginError",
    ),
    "a list": (lambda item: [item], "returned a list, expected an item or None"),
    "a float": (
        lambda item: {**item, "x": 1.5},
        "returned an item whose attribute 'x' holds a float, which",
    ),
    "another key": (lambda item: {**item, "id": "other"}, "changed the item's key"),
    "no key": (lambda item: {}, "changed the item's key"),
    "a key of another type": (lambda item: {**item, "id": 7}, "changed the item's key"),
    "two answers": (lambda item: {**item, "x": next(ONCE)}, "gave two answers to one question"),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("function", "says"), BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_a_normaliser_that_fails_decides_nothing(function, says, shape):
    source, target = [typed("a", name="x"), typed("b")], [typed("a", name="y"), typed("b")]

    comparison = compared(source, target, judge_of(plugin(normalise_item=function), **shape))

    assert counted(comparison) == {"matched": 1, "uncomparable": 1}
    (why, *_) = comparison.unexamined
    assert f"The plugin shop {says}" in why
    assert "in ddbverify_normalise_item" in why
    assert "SENTINEL" not in why


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("yes", "returned a str"),
        (1, "returned a int"),
        (Decimal(1), "returned a Decimal"),
    ],
)
def test_a_comparer_that_answers_something_else_decides_nothing(answer, says):
    judge = judge_of(plugin(compare_values=lambda path: answer))
    comparison = compared([typed("a", n="1")], [typed("a", n="2")], judge)
    assert counted(comparison) == {"uncomparable": 1}
    assert says in comparison.unexamined[0]


def test_a_comparer_that_answers_by_chance_decides_nothing():
    answers = iter([True, False] * 1000)
    judge = judge_of(plugin(compare_values=lambda path: next(answers)))
    comparison = compared([typed("a", n="1")], [typed("a", n="2")], judge)
    assert counted(comparison) == {"uncomparable": 1}
    assert "gave two answers" in comparison.unexamined[0]


def test_one_that_hangs_decides_nothing_and_the_pass_comes_to_its_end():
    let_go = threading.Event()
    judge = judge_of(plugin(normalise_item=lambda item: let_go.wait()), answer_seconds=0.05)
    content = [typed(str(number), name="x") for number in range(5)]
    try:
        comparison = compared(content, [{**one, "name": {"S": "y"}} for one in content], judge)
    finally:
        let_go.set()
    assert counted(comparison) == {"uncomparable": 5}
    assert "did not answer within 0.05 s in ddbverify_normalise_item" in comparison.unexamined[0]


def test_what_a_plugin_does_to_an_item_changes_nothing():
    def vandal(item):
        item.clear()

    def compare_vandal(path, expected, target):
        if isinstance(expected, list):
            expected.clear()
            target.clear()

    one = {**typed("a"), "l": {"L": [{"N": "1"}]}}
    other = {**typed("a"), "l": {"L": [{"N": "2"}]}}
    kept = plugin("second", compare_values=lambda path, expected, target: expected == target)
    judge = judge_of(plugin("first", normalise_item=vandal, compare_values=compare_vandal), kept)

    comparison = compared([one], [other], judge)

    assert counted(comparison) == {"different": 1}
    assert comparison.equal_by == ()


# --- live tables ----------------------------------------------------------------------------


def test_a_target_that_lags_in_another_spelling_converges():
    """Normalised states are remembered, so that a key which moves on is not churning."""
    clock = Clock()
    source = FakeTable([typed("a", name="ANNA 2")], clock=clock)
    target = FakeTable([typed("a", name="anna 1")], clock=clock)
    clock.at(0.5, lambda: target.put(typed("a", name="anna 2")))

    comparison = compared(source, target, judge_of(LOWER), clock=clock)

    assert counted(comparison) == {"matched": 1}
    assert comparison.converged == 1
    assert comparison.equal_by[0].keys == 1


def test_a_comparer_is_asked_again_while_a_key_settles():
    clock = Clock()
    source = FakeTable([typed("a", price="2")], clock=clock)
    target = FakeTable([typed("a", price="1")], clock=clock)
    clock.at(0.5, lambda: target.put(typed("a", price="2.01")))

    comparison = compared(source, target, judge_of(NEARLY), clock=clock)

    assert counted(comparison) == {"matched": 1}
    assert comparison.equal_by[0].keys == 1


def test_a_key_that_never_holds_still_matches_where_a_comparer_says_so_once():
    clock = Clock()
    source = FakeTable([typed("a", price="1")], clock=clock)
    target = FakeTable([typed("a", price="9")], clock=clock)

    def move(number):
        source.put(typed("a", price=f"{number}.00"))
        target.put(typed("a", price=f"{number}.01"))

    for number in range(2, 900):
        clock.at(0.1 * number, lambda number=number: move(number))

    assert counted(compared(source, target, judge_of(NEARLY), clock=clock)) == {"matched": 1}


@pytest.mark.parametrize("only_different", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("lag", [False, True])
def test_checks_on_items_see_them_as_they_are(only_different, shape, lag):
    seen = []
    check = ItemCheck(
        "x.check",
        "check",
        lambda source, target: seen.append((source["name"], target["name"])),
        ("source", "target"),
        only_different=only_different,
    )
    clock = Clock()
    target = FakeTable([typed("a", name="b" if lag else "a")], clock=clock)
    clock.at(0.5, lambda: target.put(typed("a", name="a")))
    request = PassRequest(item_checks=[check])
    compared([typed("a", name="A")], target, judge_of(LOWER, **shape), clock=clock, request=request)
    assert seen == [("A", "a")]


# --- known differences ----------------------------------------------------------------------


def knows(*keys, reason="agreed on", expires=UNTIL, states=("missing", "extraneous", "different")):
    def known_difference(table_name, difference):
        assert table_name == "orders"
        if difference.key["id"]["S"] in keys and difference.state in states:
            return KnownDifference(reason, expires)
        return None

    return known_difference


def test_a_known_difference_is_counted_and_listed_as_known():
    source = [typed("a", n="1"), typed("b", n="1"), typed("c"), typed("e")]
    target = [typed("a", n="2"), typed("b", n="2"), typed("d"), typed("e")]
    found = []

    comparison = compared(
        source,
        target,
        judge_of(plugin(known_difference=knows("a", "c", "d"))),
        listeners=Listeners(found=found.append),
    )

    assert counted(comparison) == {"matched": 1, "known": 3, "different": 1}
    assert comparison.known == (KnownKeys(plugin="shop", reason="agreed on", expires=UNTIL, keys=3),)
    assert comparison.source.items == comparison.target.items == 2  # what is known is in no count
    listed = {one.key["id"]["S"]: one for one in found if one.state is State.KNOWN}
    assert listed["a"].reason == "different; accepted by shop until 2100-01-01: agreed on"
    assert listed["a"].paths == ("n: value",)
    assert listed.keys() == {"a", "c", "d"}


def test_what_has_expired_counts_again():
    clock = Clock(datetime(2027, 3, 1, 23, 59, tzinfo=UTC).timestamp())
    for expires, counts in ((date(2027, 3, 1), {"known": 1}), (date(2027, 2, 28), {"missing": 1})):
        rulings = rulings_of(plugin(known_difference=knows("a", expires=expires)), clock=clock)
        judge = judge_of()
        object.__setattr__(judge, "rulings", rulings)
        comparison = compared([typed("a")], [], judge)
        assert counted(comparison) == counts
    assert comparison.known == ()
    assert "1 difference was known to the plugin shop until 2027-02-28, and no longer" in comparison.notes


def test_another_plugin_may_still_know_it():
    old = plugin("old", known_difference=knows("a", expires=date(2020, 1, 1)))
    new = plugin("new", known_difference=knows("a"))
    comparison = compared([typed("a")], [], judge_of(old, new))
    assert comparison.known[0].plugin == "new"


def test_what_could_not_be_decided_cannot_be_known():
    rulings = rulings_of(plugin(known_difference=lambda difference: KnownDifference("all of it", UNTIL)))
    for state in State:
        accepted = rulings.known(Difference(state=state, key={"id": {"S": "a"}}))
        assert (accepted is not None) == (state in {State.MISSING, State.EXTRANEOUS, State.DIFFERENT})


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (True, "returned a bool"),
        ("agreed", "returned a str"),
        (KnownDifference("", UNTIL), "gave a text of 0 characters"),
        (KnownDifference("a\x1b[0m", UNTIL), "gave a text of 5 characters"),
        (KnownDifference("agreed", datetime(2100, 1, 1, tzinfo=UTC)), "gave a datetime as `expires`"),
        (KnownDifference("agreed", "2100-01-01"), "gave a str as `expires`"),
        (KnownDifference("agreed", None), "gave a NoneType as `expires`"),
    ],
)
def test_a_filter_that_answers_something_else_accepts_nothing(answer, says):
    hook = plugin(known_difference=lambda difference: answer if difference.key["id"]["S"] == "a" else None)
    comparison = compared([typed("a"), typed("b")], [typed("b")], judge_of(hook))
    assert counted(comparison) == {"matched": 1, "missing": 1}
    assert says in comparison.unexamined[0]


def test_a_filter_gets_a_copy():
    def vandal(difference):
        difference.key.clear()

    comparison = compared([typed("a")], [], judge_of(plugin(known_difference=vandal)))
    assert comparison.differences[0].key == {"id": {"S": "a"}}


def test_a_plugin_that_knows_everything_has_verified_nothing():
    judge = judge_of(plugin(known_difference=knows("a", "b")))
    comparison = compared([typed("a"), typed("b")], [], judge)
    assert counted(comparison) == {"known": 2}
    verdict = comparison_verdict(comparison)
    assert (verdict.examined, verdict.outcome) == (0, Outcome.INCONCLUSIVE)


def test_a_reason_for_each_difference_is_none():
    hook = plugin(
        known_difference=lambda difference: (
            KnownDifference(difference.key["id"]["S"], UNTIL) if len(difference.key["id"]["S"]) < 9 else None
        )
    )
    source = [typed(f"k{number}") for number in range(REASONS_ACCEPTED + 7)]
    comparison = compared(source, [], judge_of(hook))
    assert counted(comparison) == {"known": REASONS_ACCEPTED, "missing": 7}
    assert any("it has given more than 100 reasons" in note for note in comparison.notes)


# --- controls -------------------------------------------------------------------------------

EVERYTHING = {
    "compares all as equal": ({"compare_values": lambda path: True}, "another value of type S"),
    "compares numbers as equal": (
        {"compare_values": lambda expected, target: isinstance(expected, Decimal) or None},
        "another value of type N",
    ),
    "empties items": ({"normalise_item": lambda item: {"id": item["id"]}}, "an attribute too many"),
    "drops what it does not know": (
        {"normalise_item": lambda item: {name: item[name] for name in ("id", "name") if name in item}},
        "an attribute too many",
    ),
    "knows all": ({"known_difference": lambda difference: KnownDifference("fine", UNTIL)}, "a missing item"),
    "knows whatever is missing": (
        {
            "known_difference": lambda difference: (
                KnownDifference("fine", UNTIL) if difference.state == "missing" else None
            )
        },
        "a missing item",
    ),
    "spares the controls' own attribute": (
        {"compare_values": lambda path: path != "ddbverify-control"},
        "another value of any attribute",
    ),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("hooks", "missed"), EVERYTHING.values(), ids=EVERYTHING)
def test_a_plugin_that_hides_whatever_there_is_is_found_out(hooks, missed, shape):
    content = [typed("a", name="x", n="1"), typed("b", name="y")]

    comparison = compared(content, content, judge_of(plugin(**hooks), **shape))

    (why,) = comparison.unexamined
    assert why.startswith("a control failed: with the plugins shop it did not notice")
    assert missed in why


HARMLESS = {
    "a tolerance": {"compare_values": nearly},
    "an attribute by name": {"compare_values": lambda path: path == "name" or None},
    "spelling": {"normalise_item": lower_name},
    "numbers as text": {
        "normalise_item": lambda item: {k: str(v) if isinstance(v, Decimal) else v for k, v in item.items()}
    },
    "raises on items of no sense": {"normalise_item": lambda item: {**item, "name": item["name"]}},
    "keys by name": {"known_difference": knows("a", "b")},
    "an attribute that differs everywhere": {
        "known_difference": lambda difference: (
            KnownDifference("rounded", UNTIL) if difference.paths == ("price: value",) else None
        )
    },
}


@pytest.mark.parametrize("hooks", HARMLESS.values(), ids=HARMLESS)
def test_a_plugin_that_hides_what_it_knows_is_not(hooks):
    content = [typed("a", name="x", price="1"), typed("b", name="y", price="1")]
    assert compared(content, content, judge_of(plugin(**hooks))).unexamined == ()
    assert compared([], [], judge_of(plugin(**hooks))).unexamined == ()


# --- lag ------------------------------------------------------------------------------------


def passed_of(*answers, answer_seconds=60.0):
    modules = [plugin(f"p{number}", pipeline_passed=answer) for number, answer in enumerate(answers)]
    made = plugins_of(*modules, answer_seconds=answer_seconds)
    made._manager.unregister(name="ddbverify")  # it would look for a state table
    return Rulings(made, "orders", SCHEMA)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], None),
        ([lambda moved_at: None], None),
        ([lambda moved_at: None, lambda moved_at: moved_at < 5], True),
        ([lambda moved_at: False, lambda moved_at: True], False),
        ([lambda table_name: table_name == "orders"], True),
    ],
)
def test_the_first_that_knows_whether_the_pipeline_has_passed_wins(answers, expected):
    assert passed_of(*answers).pipeline_passed(3.0) is expected


@pytest.mark.parametrize("answer", [lambda moved_at: 1, lambda moved_at: 1 / 0, lambda moved_at: "yes"])
def test_one_that_fails_has_not_passed(answer):
    rulings = passed_of(answer, lambda moved_at: True)
    assert rulings.pipeline_passed(3.0) is False
    assert "in ddbverify_pipeline_passed" in next(rulings.failures)
